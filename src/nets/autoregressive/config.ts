// Options of the autoregressive transformer, presets of the public models, and the reader of the public option names.
import { InputError } from '../../base/index.ts';
import type { Grid } from '../diffusion/index.ts';

/** Frequency change of YaRN: low frequencies are divided by `scale`, high ones stay. */
export type YarnConfig = { readonly scale: number; readonly betaFast: number; readonly betaSlow: number };

/** Rotary positions over a video grid, or over a plain sequence. */
export type RotaryConfig = {
  readonly theta: number;
  /** True: pairs (2i, 2i+1) turn together and YaRN's magnitude acts ("v1"); false: pairs (i, i + D/2) ("v2"). */
  readonly isInterleaved: boolean;
} & (
  | { readonly kind: '3d'; readonly yarn?: YarnConfig & { readonly original: Grid } }
  | { readonly kind: '1d'; readonly yarn?: YarnConfig & { readonly original: number } }
);

/** Everything that fixes the architecture. */
export type AutoregressiveConfig = {
  readonly kind: 'autoregressive';
  readonly layers: number;
  /** Width D. */
  readonly width: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads; each serves heads/keyValueHeads neighbouring query heads. */
  readonly keyValueHeads: number;
  readonly headWidth: number;
  /** Width inside the MLP. */
  readonly hidden: number;
  /** Rows of the token embedding: codes and special tokens. */
  readonly inputVocabulary: number;
  /** Logits: codes only. */
  readonly outputVocabulary: number;
  /** Rows of the position tables, and the longest sequence. */
  readonly maxTokens: number;
  /** ε of all norms. */
  readonly eps: number;
  readonly hasQueryKeyNorm: boolean;
  /** One matrix `wqkv` in place of wq, wk, wv. */
  readonly hasFusedQkv: boolean;
  readonly isCausal: boolean;
  readonly rotary: RotaryConfig;
  /** Token grid of a clip; absent in language models. */
  readonly latent?: Grid;
  /** A begin-of-video token stands before the clip; it and the first code share position 0. */
  readonly hasBeginToken: boolean;
  /** The fixed sine-cosine table that is added before every layer. */
  readonly hasAbsolutePositions: boolean;
  /** Cross-attention to text in every `every`-th layer, from layer 0 on. */
  readonly cross?: { readonly every: number; readonly width: number };
};

/** Codes of the DV8x16x16 tokenizer. */
export const VIDEO_CODES = 64000;
/** Stands before the clip in Video2World. */
export const BEGIN_OF_VIDEO = 64000;
/** Fills sequences; also the label that is not learned. */
export const VIDEO_PAD = 64002;

/** `nvidia/Cosmos-Predict1-4B`: 33 frames of 640×1024 as 5×40×64 tokens. */
export const PREDICT1_AR_4B: AutoregressiveConfig = {
  kind: 'autoregressive',
  layers: 16,
  width: 4096,
  heads: 32,
  keyValueHeads: 8,
  headWidth: 128,
  hidden: 14336,
  inputVocabulary: VIDEO_CODES,
  outputVocabulary: VIDEO_CODES,
  maxTokens: 12800,
  eps: 1e-5,
  hasQueryKeyNorm: true,
  hasFusedQkv: false,
  isCausal: true,
  rotary: { kind: '3d', theta: 500000, isInterleaved: false },
  latent: { t: 5, h: 40, w: 64 },
  hasBeginToken: false,
  hasAbsolutePositions: false,
};

const VIDEO2WORLD = {
  inputVocabulary: VIDEO_CODES + 64,
  maxTokens: 12864,
  hasBeginToken: true,
  hasAbsolutePositions: true,
  cross: { every: 1, width: 1024 },
} as const;

/** `nvidia/Cosmos-Predict1-5B-Video2World`. */
export const PREDICT1_AR_5B: AutoregressiveConfig = { ...PREDICT1_AR_4B, ...VIDEO2WORLD };

/** `nvidia/Cosmos-Predict1-12B`. */
export const PREDICT1_AR_12B: AutoregressiveConfig = {
  ...PREDICT1_AR_4B,
  layers: 40,
  width: 5120,
  rotary: {
    kind: '3d',
    theta: 500000,
    isInterleaved: false,
    yarn: { scale: 2, betaFast: 4, betaSlow: 1, original: { t: 3, h: 40, w: 64 } },
  },
};

/** `nvidia/Cosmos-Predict1-13B-Video2World`. */
export const PREDICT1_AR_13B: AutoregressiveConfig = { ...PREDICT1_AR_12B, ...VIDEO2WORLD };

/** Presets by the size in the public folder names. */
export const PREDICT1_AR: Readonly<Record<'4B' | '5B' | '12B' | '13B', AutoregressiveConfig>> = {
  '4B': PREDICT1_AR_4B,
  '5B': PREDICT1_AR_5B,
  '12B': PREDICT1_AR_12B,
  '13B': PREDICT1_AR_13B,
};

/** Options that change nothing in the network. */
const IGNORED = new Set(
  (
    'max_batch_size num_video_frames precision tensor_model_parallel_size context_dim original_seq_len yarn_scale yarn_beta_fast ' +
    'yarn_beta_slow original_latent_shape tensor_parallel_size embedding_dropout backend ckpt_path ckpt_dir cache_dir ' +
    'freeze_vision_encoder vision_encoder multimodal_ignore_first'
  ).split(' '),
);
const KNOWN = new Set(
  (
    'apply_abs_pos_emb apply_yarn causal_mask dim ffn_hidden_size fuse_qkv head_dim insert_cross_attn insert_cross_attn_every_k_layers ' +
    'max_seq_len n_heads n_kv_heads n_layers norm_eps norm_type pad_to_multiple_of pytorch_rope_version rope_dim rope_theta ' +
    'training_type use_qk_normalization video_latent_shape vocab_size add_special_tokens'
  ).split(' '),
);

/**
 * Reads the options under their public names, such as `n_kv_heads`. Refuses what this network does not have.
 * @param options `ignored`: names of options that belong to something else, such as a run
 */
export function autoregressiveConfig(
  source: Readonly<Record<string, unknown>>,
  options: { readonly ignored?: readonly string[] } = {},
): AutoregressiveConfig {
  const ignored = new Set([...IGNORED, ...(options.ignored ?? [])]);
  const unknown = Object.keys(source).filter((name) => !KNOWN.has(name) && !ignored.has(name));
  if (unknown.length > 0) {
    throw new InputError('network options', { got: unknown, need: 'options of the transformer' }, 'unsupported');
  }
  const number = (name: string, standard?: number): number => {
    const value = source[name] ?? standard;
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw new InputError(name, { got: value, need: 'a number' });
    }
    return value;
  };
  const oneOf = <T extends string>(name: string, allowed: readonly T[], standard: T): T => {
    const value = source[name] ?? standard;
    if (!allowed.includes(value as T)) {
      throw new InputError(name, { got: value, need: allowed.join(' or ') }, 'unsupported');
    }
    return value as T;
  };
  oneOf('norm_type', ['rmsnorm', 'fused_rmsnorm'], 'rmsnorm');
  if (source.add_special_tokens === true) {
    throw new InputError('add_special_tokens', { got: true, need: 'false' }, 'unsupported');
  }
  const type = oneOf('training_type', ['video_to_video', 'text_to_video', 'text_only'], 'video_to_video');
  const heads = number('n_heads');
  const keyValueHeads = number('n_kv_heads', heads);
  const width = number('dim');
  const headWidth = number('head_dim', width / heads);
  if (!(Number.isInteger(heads / keyValueHeads) && Number.isInteger(headWidth) && headWidth % 2 === 0)) {
    throw new InputError('heads', {
      got: `${heads} query heads, ${keyValueHeads} key heads of width ${headWidth}`,
      need: 'a multiple of the key heads, and an even width',
    });
  }
  const hasBeginToken = type === 'text_to_video';
  const vocabulary = number('vocab_size');
  const latent = type === 'text_only' ? undefined : gridOf('video_latent_shape', source.video_latent_shape);
  return {
    kind: 'autoregressive',
    layers: number('n_layers'),
    width,
    heads,
    keyValueHeads,
    headWidth,
    hidden: number('ffn_hidden_size'),
    inputVocabulary: hasBeginToken ? Math.ceil((vocabulary + 1) / 64) * 64 : vocabulary,
    outputVocabulary: vocabulary,
    maxTokens: number('max_seq_len'),
    eps: number('norm_eps', 1e-5),
    hasQueryKeyNorm: source.use_qk_normalization === true,
    hasFusedQkv: source.fuse_qkv === true,
    isCausal: source.causal_mask !== false,
    rotary: rotaryOf(source, number, oneOf),
    ...(latent === undefined ? {} : { latent }),
    hasBeginToken,
    hasAbsolutePositions: source.apply_abs_pos_emb === true,
    ...(source.insert_cross_attn === true
      ? { cross: { every: number('insert_cross_attn_every_k_layers', 1), width: number('context_dim', 1024) } }
      : {}),
  };
}

function rotaryOf(
  source: Readonly<Record<string, unknown>>,
  number: (name: string, standard?: number) => number,
  oneOf: <T extends string>(name: string, allowed: readonly T[], standard: T) => T,
): RotaryConfig {
  const base = {
    theta: number('rope_theta', 500000),
    isInterleaved: oneOf('pytorch_rope_version', ['v1', 'v2'], 'v2') === 'v1',
  };
  const yarn = (): YarnConfig => ({
    scale: number('yarn_scale'),
    betaFast: number('yarn_beta_fast'),
    betaSlow: number('yarn_beta_slow'),
  });
  const hasYarn = source.apply_yarn === true;
  if (oneOf('rope_dim', ['1D', '3D'], '1D') === '1D') {
    return { ...base, kind: '1d', ...(hasYarn ? { yarn: { ...yarn(), original: number('original_seq_len') } } : {}) };
  }
  const original = (): Grid => gridOf('original_latent_shape', source.original_latent_shape);
  return { ...base, kind: '3d', ...(hasYarn ? { yarn: { ...yarn(), original: original() } } : {}) };
}

function gridOf(name: string, value: unknown): Grid {
  if (!Array.isArray(value) || value.length !== 3 || !value.every((n) => Number.isInteger(n) && n > 0)) {
    throw new InputError(name, { got: value, need: 'three whole numbers: frames, rows, columns' });
  }
  const [t, h, w] = value as [number, number, number];
  return { t, h, w };
}

/** Tokens of one clip, the begin token not counted. */
export function clipTokens(c: AutoregressiveConfig): number {
  if (c.latent === undefined) throw new InputError('model', { got: 'a language model', need: 'a video model' });
  return c.latent.t * c.latent.h * c.latent.w;
}

/** True for layers with cross-attention. */
export const hasCross = (c: AutoregressiveConfig, layer: number): boolean =>
  c.cross !== undefined && layer % c.cross.every === 0;
