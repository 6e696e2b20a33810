// The autoregressive transformer of Cosmos-Predict1 (4B, 12B, 5B and 13B Video2World) and of the language models that share its code.
// `autoregressive` looks at a whole sequence (training, scoring); `autoregressiveStep` at new tokens beside a cache (generation).
// Weight names are those of the public checkpoints below `model.`.
import { assert, InputError } from '../../base/index.ts';
import {
  add,
  attention,
  concat,
  constantF32,
  gather,
  linear,
  matmul,
  mul,
  repeat,
  reshape,
  rmsNorm,
  rope,
  silu,
  softmax,
  split,
  type Tensor,
  transpose,
} from '../../graph/index.ts';
import { type Init, scoped, type Weights } from '../orrery/weights.ts';
import { type AutoregressiveConfig, hasCross } from './config.ts';

/** Position values of the tokens, from `rotaryRows` and `absoluteRows`. */
export type PositionTensors = {
  /** [S, headWidth/2]. */
  readonly cos: Tensor;
  readonly sin: Tensor;
  /** [S, D]; needed when the model has an absolute table. */
  readonly absolute?: Tensor;
};

/** Keys and values of one layer: [B, keyValueHeads, M, headWidth] each; keys are normalised and turned. */
export type KeyValue = { readonly keys: Tensor; readonly values: Tensor };

/** Sees intermediate values by name, for comparison with a reference. */
export type AutoregressiveTap = (name: string, value: Tensor) => void;

const ONES: Init = { kind: 'constant', value: 1 };
const NARROW: Init = { kind: 'normal', std: 0.02 };

/**
 * Logits of a whole sequence.
 * @param inputs `tokens` int64 [B, S]; `context` text [B, M, cross width], whose padding is zeros and takes part
 * @returns [B, S, outputVocabulary]
 */
export function autoregressive(
  inputs: { readonly tokens: Tensor; readonly positions: PositionTensors; readonly context?: Tensor },
  c: AutoregressiveConfig,
  weights: Weights,
  tap: AutoregressiveTap = () => {},
): Tensor {
  const { positions } = inputs;
  const attend: Attend = (q, k, v) => attention(q, widen(k, c), widen(v, c), { causal: c.isCausal });
  const cross: CrossAttend = (i, q) => {
    const { context } = inputs;
    if (context === undefined) throw missingContext();
    const { keys, values } = crossKeyValue(context, i, c, weights);
    return attention(q, widen(fromCache(keys), c), widen(fromCache(values), c));
  };
  let x = embed(inputs.tokens, c, weights);
  tap('embed', x);
  for (let i = 0; i < c.layers; i++) x = layer(x, i, { positions, attend, cross, c, weights, tap });
  return logitsOf(x, c, weights);
}

/** New keys and values of a step, and the logits. */
export type StepOutputs = {
  /** [B, S, outputVocabulary], or [B, 1, outputVocabulary] of the row asked for. */
  readonly logits: Tensor;
  /** What each layer appends to its cache: [B, keyValueHeads, S, headWidth]. */
  readonly appended: readonly KeyValue[];
};

/**
 * Logits of new tokens that follow what the cache holds.
 * @param inputs `tokens` int64 [B, S]. `past` per layer, of fixed length M, filled from place 0; absent for the first tokens.
 *   `pastMask` [1, 1, 1, M]: 0 for filled places, −1e30 for others. `cross`: from `crossCache`, for the layers that have it.
 *   `row` int64 [1]: compute the logits of this row only
 */
export function autoregressiveStep(
  inputs: {
    readonly tokens: Tensor;
    readonly positions: PositionTensors;
    readonly past?: readonly KeyValue[];
    readonly pastMask?: Tensor;
    readonly cross?: readonly (KeyValue | undefined)[];
    readonly row?: Tensor;
  },
  c: AutoregressiveConfig,
  weights: Weights,
): StepOutputs {
  const { tokens, positions, past, pastMask, row } = inputs;
  assert((past === undefined) === (pastMask === undefined), 'a cache goes with its mask');
  const appended: KeyValue[] = [];
  let x = embed(tokens, c, weights);
  for (let i = 0; i < c.layers; i++) {
    const attend: Attend = (q, k, v) => {
      const fresh = { keys: toCache(k), values: toCache(v) };
      appended.push(fresh);
      const old = past?.[i];
      return grouped(q, old === undefined ? [fresh] : [{ ...old, mask: pastMask! }, fresh], c, c.isCausal);
    };
    const cross: CrossAttend = (index, q) => {
      const text = inputs.cross?.[index];
      if (text === undefined) throw missingContext();
      return grouped(q, [text], c, false);
    };
    x = layer(x, i, { positions, attend, cross, c, weights, tap: () => {} });
  }
  if (row !== undefined) x = gather(x, row, 1);
  return { logits: logitsOf(x, c, weights), appended };
}

/** Keys and values of the text for every layer with cross-attention, computed once per prompt. */
export function crossCache(
  context: Tensor,
  c: AutoregressiveConfig,
  weights: Weights,
): readonly (KeyValue | undefined)[] {
  return Array.from({ length: c.layers }, (_, i) =>
    hasCross(c, i) ? crossKeyValue(context, i, c, weights) : undefined,
  );
}

/** Mixes values for queries q [B, S, N, D]; k, v [B, S, K, D] of the same tokens. */
type Attend = (q: Tensor, k: Tensor, v: Tensor) => Tensor;

/** Mixes values of the text for queries of a layer. */
type CrossAttend = (layer: number, q: Tensor) => Tensor;

type LayerOptions = {
  readonly positions: PositionTensors;
  readonly attend: Attend;
  readonly cross: CrossAttend;
  readonly c: AutoregressiveConfig;
  readonly weights: Weights;
  readonly tap: AutoregressiveTap;
};

/** One layer: the absolute table comes back in each; then self-attention, cross-attention, MLP. */
function layer(x: Tensor, i: number, options: LayerOptions): Tensor {
  const { positions, cross, c, weights, tap } = options;
  const w = scoped(weights, `layers.${i}`);
  const note = (name: string, value: Tensor): Tensor => {
    tap(`layer${i}.${name}`, value);
    return value;
  };
  const norm = (name: string, y: Tensor): Tensor => rmsNorm(y, w(`${name}.weight`, [c.width], ONES), c.eps);
  let h = x;
  if (c.hasAbsolutePositions) {
    const { absolute } = positions;
    if (absolute === undefined) throw new InputError('absolute positions', { got: undefined, need: '[S, D] rows' });
    h = add(h, reshape(absolute, [1, ...absolute.shape]));
  }
  const self = selfAttention(norm('attention_norm', h), i, options, scoped(w, 'attention'));
  h = add(h, note('self_attn', self));
  if (hasCross(c, i)) {
    const cw = scoped(w, 'cross_attention');
    const source = norm('cross_attention_norm', h);
    const q = headNorm(project(source, 'wq', c.heads, c, cw), 'q_norm', c, cw);
    const mixed = cross(i, q);
    h = add(h, note('cross_attn', output(mixed, i, c, cw)));
  }
  const inner = norm('ffn_norm', h);
  const narrow = (name: string, init: Init): Tensor =>
    linear(inner, w(`feed_forward.${name}.weight`, [c.hidden, c.width], init));
  const hidden = mul(silu(narrow('w1', NARROW)), narrow('w3', deep(i)));
  h = add(h, note('ffn', linear(hidden, w('feed_forward.w2.weight', [c.width, c.hidden], deep(i)))));
  return note('out', h);
}

/** Start of the matrices that end a residual branch: narrower with depth. */
const deep = (layerIndex: number): Init => ({ kind: 'normal', std: 0.02 / Math.sqrt(2 * (layerIndex + 1)) });

function selfAttention(x: Tensor, i: number, { positions, attend, c, tap }: LayerOptions, w: Weights): Tensor {
  const [q, k, v] = queryKeyValue(x, c, w);
  const turned = (t: Tensor, name: string): Tensor => {
    const pairs = pairsToHalves(c.hasQueryKeyNorm ? headNorm(t, `${name}_norm`, c, w) : t, c);
    const y = rope(pairs, positions.cos, positions.sin);
    tap(`layer${i}.${name}_rot`, halvesToPairs(y, c));
    return y;
  };
  return output(attend(turned(q, 'q'), turned(k, 'k'), v), i, c, w);
}

/** Interleaved rotary pairs (2i, 2i+1) → (i, i + D/2). Queries and keys move alike, so their products stay. */
function pairsToHalves(x: Tensor, c: AutoregressiveConfig): Tensor {
  if (!c.rotary.isInterleaved) return x;
  const [b, s, n, d] = x.shape as [number, number, number, number];
  return reshape(transpose(reshape(x, [b, s, n, d / 2, 2]), [0, 1, 2, 4, 3]), x.shape);
}

function halvesToPairs(x: Tensor, c: AutoregressiveConfig): Tensor {
  if (!c.rotary.isInterleaved) return x;
  const [b, s, n, d] = x.shape as [number, number, number, number];
  return reshape(transpose(reshape(x, [b, s, n, 2, d / 2]), [0, 1, 2, 4, 3]), x.shape);
}

function queryKeyValue(x: Tensor, c: AutoregressiveConfig, w: Weights): readonly [Tensor, Tensor, Tensor] {
  if (!c.hasFusedQkv) {
    return [
      project(x, 'wq', c.heads, c, w),
      project(x, 'wk', c.keyValueHeads, c, w),
      project(x, 'wv', c.keyValueHeads, c, w),
    ];
  }
  const counts = [c.heads, c.keyValueHeads, c.keyValueHeads];
  const rows = counts.map((n) => n * c.headWidth);
  const all = linear(x, w('wqkv.weight', [rows.reduce((a, b) => a + b, 0), c.width], NARROW));
  const parts = split(all, rows, 2);
  return parts.map((t, i) => reshape(t, [t.shape[0]!, t.shape[1]!, counts[i]!, c.headWidth])) as [
    Tensor,
    Tensor,
    Tensor,
  ];
}

/** x [B, S, ·] → heads [B, S, n, headWidth]. */
function project(x: Tensor, name: string, n: number, c: AutoregressiveConfig, w: Weights): Tensor {
  const y = linear(x, w(`${name}.weight`, [n * c.headWidth, x.shape[2]!], NARROW));
  return reshape(y, [x.shape[0]!, x.shape[1]!, n, c.headWidth]);
}

/** RMS norm of each head with one weight for all. */
const headNorm = (x: Tensor, name: string, c: AutoregressiveConfig, w: Weights): Tensor =>
  c.hasQueryKeyNorm ? rmsNorm(x, w(`${name}.weight`, [c.headWidth], ONES), c.eps) : x;

function output(mixed: Tensor, layerIndex: number, c: AutoregressiveConfig, w: Weights): Tensor {
  const [b, s] = mixed.shape as [number, number];
  const rows = c.heads * c.headWidth;
  return linear(reshape(mixed, [b, s, rows]), w('wo.weight', [c.width, rows], deep(layerIndex)));
}

function crossKeyValue(context: Tensor, i: number, c: AutoregressiveConfig, weights: Weights): KeyValue {
  const w = scoped(weights, `layers.${i}.cross_attention`);
  return {
    keys: toCache(headNorm(project(context, 'wk', c.keyValueHeads, c, w), 'k_norm', c, w)),
    values: toCache(project(context, 'wv', c.keyValueHeads, c, w)),
  };
}

/** [B, S, K, D] → [B, K, S, D]: the tokens of a head lie together. */
const toCache = (t: Tensor): Tensor => transpose(t, [0, 2, 1, 3]);
const fromCache = toCache;

/** Each key head serves heads/keyValueHeads neighbouring query heads. */
const widen = (t: Tensor, c: AutoregressiveConfig): Tensor => repeat(t, 2, c.heads / c.keyValueHeads);

/**
 * Attention over several stretches of keys and values in cache layout, one softmax over all. The keys are not repeated: the query heads
 * of a group are rows of one product.
 * @param causal the last stretch holds the queries' own tokens
 */
function grouped(
  q: Tensor,
  stretches: readonly (KeyValue & { readonly mask?: Tensor })[],
  c: AutoregressiveConfig,
  causal: boolean,
): Tensor {
  const [b, s, , d] = q.shape as [number, number, number, number];
  const k = c.keyValueHeads;
  const g = c.heads / k;
  const rows = reshape(transpose(reshape(q, [b, s, k, g, d]), [0, 2, 3, 1, 4]), [b, k, g * s, d]);
  const scores = stretches.map(({ keys, mask }, i) => {
    const raw = matmul(rows, keys, { transB: true, alpha: 1 / Math.sqrt(d) }); // [B, K, G·S, M]
    if (mask !== undefined) return add(raw, mask);
    return causal && s > 1 && i === stretches.length - 1 ? add(raw, causalRows(g, s)) : raw;
  });
  const lengths = stretches.map((t) => t.keys.shape[2]!);
  const shares = split(softmax(concat(scores, 3)), lengths, 3);
  const parts = shares.map((p, i) => matmul(p, stretches[i]!.values)); // [B, K, G·S, D]
  const mixed = parts.reduce((a, p) => add(a, p));
  return reshape(transpose(reshape(mixed, [b, k, g, s, d]), [0, 3, 1, 2, 4]), [b, s, c.heads, d]);
}

/** −1e30 above the diagonal, for each query head of a group: [1, 1, G·S, S]. */
function causalRows(g: number, s: number): Tensor {
  const data = new Float32Array(g * s * s);
  for (let row = 0; row < g * s; row++) data.fill(-1e30, row * s + (row % s) + 1, (row + 1) * s);
  return constantF32([1, 1, g * s, s], data);
}

const embed = (tokens: Tensor, c: AutoregressiveConfig, weights: Weights): Tensor =>
  gather(weights('tok_embeddings.weight', [c.inputVocabulary, c.width], { kind: 'normal', std: 1 }), tokens);

function logitsOf(x: Tensor, c: AutoregressiveConfig, weights: Weights): Tensor {
  const y = rmsNorm(x, weights('norm.weight', [c.width], ONES), c.eps);
  return linear(y, weights('output.weight', [c.outputVocabulary, c.width], { kind: 'normal', std: c.width ** -0.5 }));
}

const missingContext = (): InputError =>
  new InputError('context', { got: undefined, need: 'a text embedding; this model has cross-attention' });
