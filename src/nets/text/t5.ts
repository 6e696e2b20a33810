// The T5 encoder family (Raffel et al. 2020; gated form of T5 1.1; per-layer positions of UMT5): text tokens to features.
// Weight names are those of the published files: `encoder.block.N…`.
import { assert, InputError } from '../../base/index.ts';
import {
  add,
  attention,
  constantInts,
  gather,
  geluTanh,
  linear,
  mul,
  relu,
  reshape,
  rmsNorm,
  sub,
  type Tensor,
  transpose,
} from '../../graph/index.ts';
import { type Init, scoped, type Weights } from '../orrery/weights.ts';

/** Everything that fixes the architecture of an encoder. */
export type T5Config = {
  readonly kind: 't5-encoder';
  readonly layers: number;
  /** Width D. */
  readonly width: number;
  readonly heads: number;
  /** Width of a head; heads × headWidth need not be D. */
  readonly headWidth: number;
  /** Width inside the feed-forward part. */
  readonly hidden: number;
  readonly vocabulary: number;
  readonly activation: 'relu' | 'gelu';
  /** True: two input projections, one of them gating the other. */
  readonly isGated: boolean;
  /** Relative distances fall into this many buckets, half of them for each direction. */
  readonly buckets: number;
  /** Distances from here on share the last bucket. */
  readonly maxDistance: number;
  /** True: every layer has a position table of its own (UMT5); false: all use that of the first. */
  readonly hasTablePerLayer: boolean;
  readonly eps: number;
};

/** `google-t5/t5-11b`, whose encoder the Predict1 and Predict2 models read text with. */
export const T5_11B: T5Config = {
  kind: 't5-encoder',
  layers: 24,
  width: 1024,
  heads: 128,
  headWidth: 128,
  hidden: 65536,
  vocabulary: 32128,
  activation: 'relu',
  isGated: false,
  buckets: 32,
  maxDistance: 128,
  hasTablePerLayer: false,
  eps: 1e-6,
};

/** Reads the published `config.json`. */
export function t5Config(options: Readonly<Record<string, unknown>>): T5Config {
  const number = (name: string, standard?: number): number => {
    const value = options[name] ?? standard;
    if (typeof value !== 'number' || !(value > 0)) throw new InputError(name, { got: value, need: 'a number above 0' });
    return value;
  };
  const type = options.model_type ?? 't5';
  if (type !== 't5' && type !== 'umt5') {
    throw new InputError('model_type', { got: type, need: '"t5" or "umt5"' }, 'unsupported');
  }
  const feedForward = String(options.feed_forward_proj ?? 'relu');
  const known: Readonly<Record<string, { activation: 'relu' | 'gelu'; isGated: boolean }>> = {
    relu: { activation: 'relu', isGated: false },
    'gated-gelu': { activation: 'gelu', isGated: true },
    'gated-relu': { activation: 'relu', isGated: true },
    gelu_new: { activation: 'gelu', isGated: false },
  };
  const form = known[feedForward];
  if (form === undefined) {
    throw new InputError('feed_forward_proj', { got: feedForward, need: Object.keys(known).join(', ') }, 'unsupported');
  }
  return {
    kind: 't5-encoder',
    layers: number('num_layers'),
    width: number('d_model'),
    heads: number('num_heads'),
    headWidth: number('d_kv'),
    hidden: number('d_ff'),
    vocabulary: number('vocab_size'),
    ...form,
    buckets: number('relative_attention_num_buckets', 32),
    maxDistance: number('relative_attention_max_distance', 128),
    hasTablePerLayer: type === 'umt5',
    eps: number('layer_norm_epsilon', 1e-6),
  };
}

/** Keys of published files that the encoder does not use: the decoder, the language head, the second name of the embedding. */
export const isUnusedT5Key = (key: string): boolean =>
  /^(decoder\.|lm_head\.|encoder\.embed_tokens\.weight$)/.test(key);

const ONES: Init = { kind: 'constant', value: 1 };

/**
 * Text features; padding gives zeros.
 * @param tokens int64 [B, L]
 * @param mask [B, L]: 1 for tokens, 0 for padding
 * @returns [B, L, D]
 */
export function t5Encoder(
  inputs: { readonly tokens: Tensor; readonly mask: Tensor },
  c: T5Config,
  weights: Weights,
  tap: (name: string, value: Tensor) => void = () => {},
): Tensor {
  const { tokens, mask } = inputs;
  const [b, l] = tokens.shape as [number, number];
  const table = weights('shared.weight', [c.vocabulary, c.width], { kind: 'normal', std: 1 });
  let x = gather(table, tokens); // [B, L, D]
  const hidden = mul(reshape(sub(1, mask), [b, 1, 1, l]), -1e30);
  let shared: Tensor | undefined;
  for (let i = 0; i < c.layers; i++) {
    const w = scoped(weights, `encoder.block.${i}`);
    if (shared === undefined || c.hasTablePerLayer) shared = positionBias(l, c, scoped(w, 'layer.0.SelfAttention'));
    x = add(
      x,
      selfAttention(norm(x, c, scoped(w, 'layer.0')), add(shared, hidden), c, scoped(w, 'layer.0.SelfAttention')),
    );
    x = add(x, feedForward(norm(x, c, scoped(w, 'layer.1')), c, scoped(w, 'layer.1.DenseReluDense')));
    tap(`block.${i}`, x);
  }
  const y = rmsNorm(x, weights('encoder.final_layer_norm.weight', [c.width], ONES), c.eps);
  return mul(y, reshape(mask, [b, l, 1]));
}

/** Root mean square only: no mean is taken away, nothing is added. */
const norm = (x: Tensor, c: T5Config, w: Weights): Tensor => rmsNorm(x, w('layer_norm.weight', [c.width], ONES), c.eps);

/** Attention without the usual 1/√d: it is in the weights. */
function selfAttention(x: Tensor, bias: Tensor, c: T5Config, w: Weights): Tensor {
  const [b, l] = x.shape as [number, number];
  const rows = c.heads * c.headWidth;
  const heads = (name: string, std: number): Tensor =>
    reshape(linear(x, w(`${name}.weight`, [rows, c.width], { kind: 'normal', std })), [b, l, c.heads, c.headWidth]);
  const d = c.width ** -0.5;
  const q = heads('q', (c.width * c.headWidth) ** -0.5);
  const mixed = attention(q, heads('k', d), heads('v', d), { scale: 1, mask: bias });
  return linear(reshape(mixed, [b, l, rows]), w('o.weight', [c.width, rows], { kind: 'normal', std: rows ** -0.5 }));
}

function feedForward(x: Tensor, c: T5Config, w: Weights): Tensor {
  const activate = c.activation === 'relu' ? relu : geluTanh;
  const into = (name: string): Tensor => linear(x, w(`${name}.weight`, [c.hidden, c.width]));
  const inner = c.isGated ? mul(activate(into('wi_0')), into('wi_1')) : activate(into('wi'));
  return linear(inner, w('wo.weight', [c.width, c.hidden]));
}

/** A learned number per head and bucket of the distance key − query: [1, heads, L, L]. */
function positionBias(l: number, c: T5Config, w: Weights): Tensor {
  const table = w('relative_attention_bias.weight', [c.buckets, c.heads], { kind: 'normal', std: c.width ** -0.5 });
  const buckets = new Int32Array(l * l);
  for (let q = 0; q < l; q++) for (let k = 0; k < l; k++) buckets[q * l + k] = relativeBucket(k - q, c);
  return reshape(transpose(gather(table, constantInts([l * l], buckets)), [1, 0]), [1, c.heads, l, l]);
}

/** Bucket of a distance: one each for small ones, then logarithmic up to `maxDistance`; later keys in the upper half. */
export function relativeBucket(distance: number, c: Pick<T5Config, 'buckets' | 'maxDistance'>): number {
  assert(c.buckets % 4 === 0, `${c.buckets} buckets`);
  const half = c.buckets / 2;
  const exact = half / 2;
  const offset = distance > 0 ? half : 0;
  const n = Math.abs(distance);
  if (n < exact) return offset + n;
  const far = exact + Math.floor((Math.log(n / exact) / Math.log(c.maxDistance / exact)) * (half - exact));
  return offset + Math.min(half - 1, far);
}
