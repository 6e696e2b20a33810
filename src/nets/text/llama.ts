// The decoder of the Llama and Qwen families (Touvron et al. 2023; Grattafiori et al. 2024; Qwen2.5 and Qwen3 reports 2024, 2025): RMS norms before
// attention and gated MLP, rotary positions, grouped key and value heads. Weight names are those of the public files.
import {
  add,
  attention,
  cast,
  constantF32,
  expand,
  gather,
  input,
  lessOrEqual,
  linear,
  mul,
  param,
  reshape,
  rmsNorm,
  rope,
  scatterRows,
  silu,
  sub,
  type Tensor,
  where,
} from '../../graph/index.ts';
import { scoped, type Weights } from '../orrery/weights.ts';
import { type LlamaConfig, llamaFrequencies } from './llama-config.ts';
import type { LoraConfig } from './lora.ts';

/** Sees the tokens after the embedding (0) and after each layer (1…layers), [B, L, C]. */
export type LlamaTap = (index: number, value: Tensor) => void;

export type LlamaOptions = {
  readonly tap?: LlamaTap;
  /** A low-rank adapter kept apart from the weights: y = W·x + (α/r)·B·(A·x). */
  readonly lora?: LoraConfig;
};

/**
 * What comes out of each layer for whole sequences ids [B, L] (int64): layers × [B, L, C]; the last one is normalised, as the output layer
 * sees it.
 */
export function llamaStates(ids: Tensor, c: LlamaConfig, weights: Weights): Tensor[] {
  const states: Tensor[] = [];
  const last = stack(ids, c, weights, { tap: (i, x) => void (i > 0 && states.push(x)) }, wholeSequence(ids, c));
  return [...states.slice(0, -1), last];
}

/** Logits [B, L, vocabulary] of whole sequences ids [B, L] (int64). */
export function llama(ids: Tensor, c: LlamaConfig, weights: Weights, options: LlamaOptions = {}): Tensor {
  return decoder(ids, c, weights, options, wholeSequence(ids, c));
}

/** Every token looks at itself and those before it. */
function wholeSequence(ids: Tensor, c: LlamaConfig): () => Attend {
  const { cos, sin } = ropeConstants(ids.shape[1]!, c);
  const attend: Attend = (q, k, v) =>
    attention(rope(q, cos, sin), grouped(rope(k, cos, sin), c), grouped(v, c), { causal: true });
  return () => attend;
}

/** Graph inputs of `llamaStep` besides the ids, and names of the cache arrays of a layer. */
export const CACHE_NAMES = {
  start: 'start',
  last: 'last',
  keys: (layer: number): string => `cache.${layer}.keys`,
  values: (layer: number): string => `cache.${layer}.values`,
  next: (name: string): string => `next.${name}`,
};

/**
 * Extends a sequence by n tokens with cached keys and values. Graph inputs: `ids` [1, n] int64, `start` [1] int64 (place of
 * the first token), `last` [1] int64 (which of the n gives the logits), and the cache arrays [1, capacity, Nkv, D].
 * Outputs: `logits` [1, vocabulary], and each cache array under `next.…`. Tokens after `last` may be padding: what they
 * write lies behind every place that is looked at, and the next call writes over it.
 */
export function llamaStep(
  n: number,
  capacity: number,
  c: LlamaConfig,
  weights: Weights,
  options: LlamaOptions = {},
): Record<string, Tensor> {
  const ids = input('ids', [1, n], 'i64');
  const start = input(CACHE_NAMES.start, [1], 'i64');
  const last = input(CACHE_NAMES.last, [1], 'i64');
  const table = ropeConstants(capacity, c);
  const steps = constantF32(
    [n],
    Array.from({ length: n }, (_, i) => i),
  );
  const places = add(steps, cast(start, 'f32')); // [n], exact below 2²⁴
  const rows = cast(places, 'i64');
  const [cos, sin] = [gather(table.cos, rows), gather(table.sin, rows)]; // [n, D/2]
  const all = constantF32(
    [1, capacity],
    Array.from({ length: capacity }, (_, i) => i),
  );
  const isSeen = lessOrEqual(all, reshape(places, [n, 1])); // [n, S]
  const mask = where(isSeen, zeros([n, capacity]), constantF32([1, 1], [-1e30]));
  const mask4 = reshape(mask, [1, 1, n, capacity]);
  const isOld = lessOrEqual(reshape(all, [capacity, 1]), sub(cast(start, 'f32'), 1)); // [S, 1]

  const outputs: Record<string, Tensor> = {};
  const width = c.kvHeads * c.headWidth;
  const extend = (name: string, fresh: Tensor): Tensor => {
    const old = reshape(input(name, [1, capacity, c.kvHeads, c.headWidth]), [capacity, width]);
    const written = scatterRows(capacity, rows, reshape(fresh, [n, width]));
    const next = reshape(where(isOld, old, written), [1, capacity, c.kvHeads, c.headWidth]);
    outputs[CACHE_NAMES.next(name)] = next;
    return next;
  };
  const attendOf =
    (layer: number): Attend =>
    (q, k, v) => {
      const keys = extend(CACHE_NAMES.keys(layer), rope(k, cos, sin));
      const values = extend(CACHE_NAMES.values(layer), v);
      return attention(rope(q, cos, sin), grouped(keys, c), grouped(values, c), { mask: mask4 });
    };
  const pick = (x: Tensor): Tensor => reshape(gather(x, last, 1), [1, 1, c.width]);
  outputs['logits'] = reshape(decoder(ids, c, weights, options, attendOf, pick), [1, c.vocabulary]);
  return outputs;
}

type Attend = (q: Tensor, k: Tensor, v: Tensor) => Tensor;

/** Logits; `pick` chooses the tokens whose logits are wanted. */
function decoder(
  ids: Tensor,
  c: LlamaConfig,
  weights: Weights,
  options: LlamaOptions,
  attendOf: (layer: number) => Attend,
  pick: (x: Tensor) => Tensor = (x) => x,
): Tensor {
  const last = stack(ids, c, weights, options, attendOf, pick);
  return c.isTied
    ? linear(last, weights('model.embed_tokens.weight', [c.vocabulary, c.width]))
    : projection(weights, options)('lm_head', last, c.vocabulary);
}

/** y = W·x of a key, with the adapter where there is one. */
function projection(weights: Weights, { lora }: LlamaOptions) {
  return (key: string, x: Tensor, out: number): Tensor => {
    const y = linear(x, weights(`${key}.weight`, [out, x.shape[2]!]));
    if (lora === undefined || !lora.targets(key)) return y;
    const a = param(`${lora.prefix}${key}.lora_A.weight`, [lora.rank, x.shape[2]!]);
    const b = param(`${lora.prefix}${key}.lora_B.weight`, [out, lora.rank]);
    return add(y, mul(linear(linear(x, a), b), lora.alpha / lora.rank));
  };
}

/** The stack of layers and the norm behind it. */
function stack(
  ids: Tensor,
  c: LlamaConfig,
  weights: Weights,
  options: LlamaOptions,
  attendOf: (layer: number) => Attend,
  pick: (x: Tensor) => Tensor = (x) => x,
): Tensor {
  const table = weights('model.embed_tokens.weight', [c.vocabulary, c.width]);
  const { tap = () => {} } = options;
  const project = projection(weights, options);
  const norm = (x: Tensor, w: Weights): Tensor => rmsNorm(x, w('weight', [x.shape[x.shape.length - 1]!]), c.eps);

  let x = gather(table, ids); // [B, L, C]
  tap(0, x);
  for (let i = 0; i < c.layers; i++) {
    const key = `model.layers.${i}`;
    const w = scoped(weights, key);
    const y = norm(x, scoped(w, 'input_layernorm'));
    const heads = (name: string, count: number): Tensor => {
      const plain = project(`${key}.self_attn.${name}_proj`, y, count * c.headWidth);
      const projected =
        c.hasQkvBias === true
          ? add(plain, weights(`${key}.self_attn.${name}_proj.bias`, [count * c.headWidth]))
          : plain;
      const cut = reshape(projected, [x.shape[0]!, x.shape[1]!, count, c.headWidth]); // [B, L, N, D]
      return c.hasQkNorm && name !== 'v' ? norm(cut, scoped(w, `self_attn.${name}_norm`)) : cut;
    };
    const mixed = attendOf(i)(heads('q', c.heads), heads('k', c.kvHeads), heads('v', c.kvHeads));
    const flat = reshape(mixed, [x.shape[0]!, x.shape[1]!, c.heads * c.headWidth]);
    x = add(x, project(`${key}.self_attn.o_proj`, flat, c.width));
    const z = norm(x, scoped(w, 'post_attention_layernorm'));
    const gate = silu(project(`${key}.mlp.gate_proj`, z, c.mlpWidth));
    x = add(x, project(`${key}.mlp.down_proj`, mul(gate, project(`${key}.mlp.up_proj`, z, c.mlpWidth)), c.width));
    tap(i + 1, x);
  }
  return norm(pick(x), scoped(weights, 'model.norm'));
}

/** Repeats each key or value head for the query heads of its group: [B, S, Nkv, D] → [B, S, N, D]. */
function grouped(x: Tensor, c: LlamaConfig): Tensor {
  const group = c.heads / c.kvHeads;
  if (group === 1) return x;
  const [b, s, n, d] = x.shape as [number, number, number, number];
  return reshape(expand(reshape(x, [b, s, n, 1, d]), [b, s, n, group, d]), [b, s, n * group, d]);
}

/** cos and sin of position·frequency, each [length, D/2]. */
function ropeConstants(length: number, c: LlamaConfig): { cos: Tensor; sin: Tensor } {
  const frequencies = llamaFrequencies(c);
  const half = frequencies.length;
  const angles = Float32Array.from({ length: length * half }, (_, i) =>
    Math.fround(Math.floor(i / half) * frequencies[i % half]!),
  );
  return {
    cos: constantF32([length, half], angles.map(Math.cos)),
    sin: constantF32([length, half], angles.map(Math.sin)),
  };
}

const zeros = (shape: readonly number[]): Tensor =>
  constantF32(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
