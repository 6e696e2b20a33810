// Options of the Predict1 diffusion transformer, presets of the public models, and the reader of the public option names.
import { InputError } from '../../base/index.ts';
import type { Grid, RopeRatios } from './rope.ts';

/** Sub-blocks of a transformer block: self-attention, cross-attention, MLP. */
export type SubBlock = 'fa' | 'ca' | 'mlp';

/** Everything that fixes the architecture. */
export type GeneralDitConfig = {
  readonly kind: 'general-dit';
  /** Largest latent size; fixes the rows of learned position tables. */
  readonly maxLatent: Grid;
  /** Latent channels plus condition mask and camera channels; not padding mask, code, view and trajectory channels. */
  readonly inChannels: number;
  readonly outChannels: number;
  readonly patchSpatial: number;
  readonly patchTemporal: number;
  /** One more input channel: 1 where the picture is padding. */
  readonly hasPaddingMask: boolean;
  readonly subBlocks: readonly SubBlock[];
  /** Width D. */
  readonly width: number;
  readonly blocks: number;
  /** Blocks that are left out, by number; the others keep theirs (layer_mask). Absent: none. */
  readonly skippedBlocks?: readonly number[];
  readonly heads: number;
  readonly mlpRatio: number;
  readonly contextWidth: number;
  /** Width of text features that one layer projects to `contextWidth` first (Predict2.5). */
  readonly contextProjection?: number;
  /** RMS norm with a learned weight on the timestep embedding. */
  readonly hasEmbeddingNorm: boolean;
  /** Rank of the low-rank modulation; absent: full rank with biases in the timestep MLP. */
  readonly adalnRank?: number;
  readonly ropeRatios: RopeRatios;
  readonly extraPositions: 'learned' | 'sincos' | 'none';
  readonly extraRatios: RopeRatios;
  /** A second timestep embedder for the noise level of the given frames. */
  readonly hasAugmentSigma: boolean;
  /** Several cameras side by side in time; absent: one. */
  readonly views?: ViewsConfig;
  /** A 7-vector of a robot's action steers the modulation. */
  readonly hasAction?: boolean;
  /** The diffusion decoder: codes of a discrete tokenizer as further channels. */
  readonly tokenCondition?: TokenCondition;
  /**
   * Trained with rectified flow, a time for every latent frame: Predict2 and Predict2.5, which differ in text and sampler. Absent: EDM.
   */
  readonly flow?: 'predict2' | 'predict2.5';
  /** ε of the query and key norms: 1e-6; 1e-5 in the diffusers implementation. */
  readonly queryKeyEps: number;
};

/** Codes beside the latent; row 0 of the embedding also stands for "no condition". */
export type TokenCondition = {
  /** Number of codes. */
  readonly vocabulary: number;
  /** Channels of an embedded code. */
  readonly width: number;
};

/** Options of the multi-view networks. */
export type ViewsConfig = {
  readonly count: number;
  /** Channels of the view embedding; 0: none. */
  readonly width: number;
  /** One more embedding from the number of repeated frames of each view. */
  readonly hasFrameRepeat: boolean;
  /** Channels of the embedded trajectory; 0: none. */
  readonly trajectoryWidth: number;
};

/** `nvidia/Cosmos-Predict1-7B-Text2World`; Video2World has 17 input channels. */
export const PREDICT1_7B: GeneralDitConfig = {
  kind: 'general-dit',
  maxLatent: { t: 128, h: 240, w: 240 },
  inChannels: 16,
  outChannels: 16,
  patchSpatial: 2,
  patchTemporal: 1,
  hasPaddingMask: true,
  subBlocks: ['fa', 'ca', 'mlp'],
  width: 4096,
  blocks: 28,
  heads: 32,
  mlpRatio: 4,
  contextWidth: 1024,
  hasEmbeddingNorm: true,
  adalnRank: 256,
  ropeRatios: { t: 2, h: 1, w: 1 },
  extraPositions: 'learned',
  extraRatios: { t: 1, h: 1, w: 1 },
  hasAugmentSigma: false,
  queryKeyEps: 1e-6,
};

/** `nvidia/Cosmos-Predict1-14B-Text2World`. */
export const PREDICT1_14B: GeneralDitConfig = {
  ...PREDICT1_7B,
  width: 5120,
  blocks: 36,
  heads: 40,
  ropeRatios: { t: 2, h: 2, w: 2 },
};

/** `nvidia/Cosmos-Predict2-2B-Video2World`; the 14B has width 5120, 36 blocks, 40 heads and RoPE ratios 5/6, 2, 2. */
export const PREDICT2_2B: GeneralDitConfig = {
  ...PREDICT1_7B,
  inChannels: 17,
  width: 2048,
  heads: 16,
  ropeRatios: { t: 1, h: 3, w: 3 },
  extraPositions: 'none',
  flow: 'predict2',
};

/** `nvidia/Cosmos-Predict1-7B-Decoder-DV8x16x16ToCV8x8x8-720p`: from codes of DV8x16x16 to latents of CV8x8x8. */
export const PREDICT1_7B_DECODER: GeneralDitConfig = {
  ...PREDICT1_7B,
  ropeRatios: { t: 1, h: 1.5, w: 1.5 },
  extraPositions: 'none',
  tokenCondition: { vocabulary: 64000, width: 32 },
};

const SUB_BLOCKS: Readonly<Record<string, SubBlock>> = {
  fa: 'fa',
  full_attn: 'fa',
  ca: 'ca',
  cross_attn: 'ca',
  mlp: 'mlp',
  ff: 'mlp',
};

/** Options that change nothing here, or that later code checks. */
const KNOWN = new Set(
  [
    'class block_x_format legacy_patch_emb pos_emb_learnable use_cross_attn_mask max_img_h max_img_w max_frames in_channels out_channels',
    'patch_spatial patch_temporal concat_padding_mask block_config model_channels num_blocks num_heads mlp_ratio crossattn_emb_channels',
    'pos_emb_cls pos_emb_interpolation affline_emb_norm use_adaln_lora adaln_lora_dim rope_h_extrapolation_ratio',
    'rope_w_extrapolation_ratio rope_t_extrapolation_ratio extra_per_block_abs_pos_emb extra_per_block_abs_pos_emb_type',
    'extra_h_extrapolation_ratio extra_w_extrapolation_ratio extra_t_extrapolation_ratio add_augment_sigma_embedding',
    'is_diffusion_decoder diffusion_decoder_condition_on_sigma diffusion_decoder_condition_on_token',
    'diffusion_decoder_token_condition_voc_size diffusion_decoder_token_condition_dim',
    'layer_mask',
    'n_views view_condition_dim concat_view_embedding add_repeat_frame_embedding traj_condition_dim concat_traj_embedding',
  ].flatMap((line) => line.split(' ')),
);

/** Reads the options under their public names, such as `model_channels`. Refuses what this network does not have. */
export function generalDitConfig(options: Readonly<Record<string, unknown>>): GeneralDitConfig {
  const unknown = Object.keys(options).filter((name) => !KNOWN.has(name));
  if (unknown.length > 0)
    throw new InputError('network options', { got: unknown, need: 'options of GeneralDIT' }, 'unsupported');
  const number = (name: string, standard?: number): number => {
    const value = options[name] ?? standard;
    if (typeof value !== 'number' || !Number.isFinite(value))
      throw new InputError(name, { got: value, need: 'a number' });
    return value;
  };
  const only = (name: string, allowed: unknown): void => {
    const value = options[name] ?? allowed;
    if (value !== allowed) throw new InputError(name, { got: value, need: String(allowed) }, 'unsupported');
  };
  only('pos_emb_cls', 'rope3d');
  only('use_cross_attn_mask', false);
  only('diffusion_decoder_condition_on_sigma', false);
  const ratios = (prefix: string): RopeRatios => ({
    t: number(`${prefix}_t_extrapolation_ratio`, 1),
    h: number(`${prefix}_h_extrapolation_ratio`, 1),
    w: number(`${prefix}_w_extrapolation_ratio`, 1),
  });
  const type = options.extra_per_block_abs_pos_emb_type ?? 'learnable';
  if (type !== 'learnable' && type !== 'sincos') {
    throw new InputError('extra_per_block_abs_pos_emb_type', { got: type, need: '"learnable" or "sincos"' });
  }
  const count = number('n_views', 1);
  const isMultiView = count > 1 || /Multiview/.test(String(options.class ?? ''));
  const views: ViewsConfig = {
    count,
    width: options.concat_view_embedding === false ? 0 : number('view_condition_dim', 0),
    hasFrameRepeat: options.add_repeat_frame_embedding === true,
    trajectoryWidth: options.concat_traj_embedding === true ? number('traj_condition_dim', 0) : 0,
  };
  const hasExtra = options.extra_per_block_abs_pos_emb === true;
  return {
    kind: 'general-dit',
    maxLatent: { t: number('max_frames'), h: number('max_img_h'), w: number('max_img_w') },
    inChannels: number('in_channels', 16),
    outChannels: number('out_channels', 16),
    patchSpatial: number('patch_spatial', 2),
    patchTemporal: number('patch_temporal', 1),
    hasPaddingMask: options.concat_padding_mask !== false,
    subBlocks: parseSubBlocks(options.block_config ?? 'FA-CA-MLP'),
    width: number('model_channels'),
    blocks: number('num_blocks'),
    ...skippedBlocks(options.layer_mask, number('num_blocks')),
    heads: number('num_heads'),
    mlpRatio: number('mlp_ratio', 4),
    contextWidth: number('crossattn_emb_channels', 1024),
    hasEmbeddingNorm: options.affline_emb_norm === true,
    ...(options.use_adaln_lora === true ? { adalnRank: number('adaln_lora_dim', 256) } : {}),
    ropeRatios: ratios('rope'),
    // Multi-view networks always build the fixed table.
    extraPositions: !hasExtra ? 'none' : type === 'sincos' || isMultiView ? 'sincos' : 'learned',
    extraRatios: ratios('extra'),
    hasAugmentSigma: options.add_augment_sigma_embedding === true,
    ...(isMultiView ? { views } : {}),
    ...(options.diffusion_decoder_condition_on_token === true
      ? {
          tokenCondition: {
            vocabulary: number('diffusion_decoder_token_condition_voc_size', 64000),
            width: number('diffusion_decoder_token_condition_dim', 32),
          },
        }
      : {}),
    ...(/^(.*\.)?ActionConditional/.test(String(options.class ?? '')) ? { hasAction: true } : {}),
    queryKeyEps: 1e-6,
  };
}

/** One truth value per block: true leaves it out. */
function skippedBlocks(mask: unknown, blocks: number): Pick<GeneralDitConfig, 'skippedBlocks'> {
  if (mask === undefined || mask === null) return {};
  if (!Array.isArray(mask) || mask.length !== blocks || !mask.every((v) => typeof v === 'boolean')) {
    throw new InputError('layer_mask', { got: mask, need: `${blocks} times true or false; true leaves the block out` });
  }
  const skipped = mask.flatMap((isOut, i) => (isOut ? [i] : []));
  return skipped.length === 0 ? {} : { skippedBlocks: skipped };
}

/** "FA-CA-MLP" → sub-blocks, in any order and number. */
function parseSubBlocks(text: unknown): SubBlock[] {
  const names = String(text).toLowerCase().split('-');
  return names.map((name) => {
    const found = SUB_BLOCKS[name];
    if (found === undefined) {
      throw new InputError('block_config', {
        got: text,
        need: `names of ${Object.keys(SUB_BLOCKS).join(', ')} joined by "-"`,
      });
    }
    return found;
  });
}
