// Layouts of the autoregressive checkpoints: the published PyTorch keys, Transformer Engine, NeMo, tensor-parallel shards.
// Each way is a list of plans, one per tensor; no values are touched here.
import { InputError, OrreryError } from '../../base/index.ts';
import type { Shapes, TensorPart, TensorPlan } from './assemble.ts';

/** How the keys of a checkpoint are spelled. */
export type AutoregressiveLayout = 'pytorch' | 'transformer-engine' | 'nemo';

/** Heads, needed where a layout interleaves them. */
export type HeadCounts = { readonly heads: number; readonly keyValueHeads: number };

/** Keys that carry no weights. */
export const isUnusedAutoregressiveKey = (key: string): boolean => key.includes('_extra_state');

/** Recognises a layout by its keys. */
export function autoregressiveLayout(keys: Iterable<string>): AutoregressiveLayout {
  for (const key of keys) {
    if (key.includes('self_attention.layernorm_qkv.query_weight')) return 'transformer-engine';
    if (/self_attention\.linear_qkv\.weight$/.test(key)) return 'nemo';
    if (/attention\.wq(kv)?\.weight$/.test(key)) return 'pytorch';
  }
  throw new OrreryError(
    'model',
    'no attention weights of an autoregressive model: need keys such as model.layers.0.attention.wq.weight, ' +
      'self_attention.layernorm_qkv.query_weight or self_attention.linear_qkv.weight',
  );
}

/** PyTorch ending below `layers.N.` ↔ Transformer Engine ending; w1 and w3 are one tensor there. */
const TE_NAMES: readonly (readonly [string, string])[] = [
  ['attention_norm.weight', 'self_attention.layernorm_qkv.layer_norm_weight'],
  ['attention.wq.weight', 'self_attention.layernorm_qkv.query_weight'],
  ['attention.wk.weight', 'self_attention.layernorm_qkv.key_weight'],
  ['attention.wv.weight', 'self_attention.layernorm_qkv.value_weight'],
  ['attention.wo.weight', 'self_attention.proj.weight'],
  ['attention.q_norm.weight', 'self_attention.q_norm.weight'],
  ['attention.k_norm.weight', 'self_attention.k_norm.weight'],
  ['cross_attention_norm.weight', 'inter_attention.layernorm_query.layer_norm_weight'],
  ['cross_attention.wq.weight', 'inter_attention.layernorm_query.query_weight'],
  ['cross_attention.wk.weight', 'inter_attention.key_value.key_weight'],
  ['cross_attention.wv.weight', 'inter_attention.key_value.value_weight'],
  ['cross_attention.wo.weight', 'inter_attention.proj.weight'],
  ['cross_attention.q_norm.weight', 'inter_attention.q_norm.weight'],
  ['cross_attention.k_norm.weight', 'inter_attention.k_norm.weight'],
  ['ffn_norm.weight', 'layernorm_mlp.layer_norm_weight'],
  ['feed_forward.w2.weight', 'layernorm_mlp.fc2_weight'],
];

const W1 = 'feed_forward.w1.weight';
const W3 = 'feed_forward.w3.weight';
const FC1 = 'layernorm_mlp.fc1_weight';

const renamed = (key: string, source: string): TensorPlan => ({ key, parts: [{ key: source }] });

/** `…layers.N.` and the rest of a key; undefined outside the layers. */
function layerKey(key: string): { prefix: string; rest: string } | undefined {
  const found = /^(.*\blayers\.\d+\.)(.*)$/.exec(key);
  return found === null ? undefined : { prefix: found[1]!, rest: found[2]! };
}

/** PyTorch → Transformer Engine, for models with half-split rotary pairs ("v2"). */
export function toTransformerEngine(shapes: Shapes): TensorPlan[] {
  const names = new Map(TE_NAMES);
  const plans: TensorPlan[] = [];
  for (const key of shapes.keys()) {
    const layer = layerKey(key);
    if (layer === undefined) plans.push(renamed(key, key));
    else if (layer.rest === W1) {
      plans.push({ key: `${layer.prefix}${FC1}`, parts: [{ key }, { key: `${layer.prefix}${W3}` }] });
    } else if (layer.rest !== W3) {
      const name = names.get(layer.rest);
      if (name === undefined) throw unknownKey(key);
      plans.push(renamed(`${layer.prefix}${name}`, key));
    }
  }
  return plans;
}

/** Transformer Engine → PyTorch. */
export function fromTransformerEngine(shapes: Shapes): TensorPlan[] {
  const names = new Map(TE_NAMES.map(([a, b]) => [b, a] as const));
  const plans: TensorPlan[] = [];
  for (const [key, shape] of shapes) {
    if (isUnusedAutoregressiveKey(key)) continue;
    const layer = layerKey(key);
    if (layer === undefined) plans.push(renamed(key, key));
    else if (layer.rest === FC1) {
      const half = shape[0]! / 2;
      plans.push({ key: `${layer.prefix}${W1}`, parts: [{ key, axis: 0, from: 0, to: half }] });
      plans.push({ key: `${layer.prefix}${W3}`, parts: [{ key, axis: 0, from: half, to: 2 * half }] });
    } else {
      const name = names.get(layer.rest);
      if (name === undefined) throw unknownKey(key);
      plans.push(renamed(`${layer.prefix}${name}`, key));
    }
  }
  return plans;
}

/** Axis along which tensor parallelism cuts a tensor; undefined: every rank has a copy. */
export function tensorParallelAxis(key: string): 0 | 1 | undefined {
  if (/\b(wq|wk|wv|wqkv|w1|w3|tok_embeddings|output)\.weight$/.test(key)) return 0;
  if (/\b(wo|w2)\.weight$/.test(key)) return 1;
  return undefined;
}

/** The part of rank `rank` of `ranks`, PyTorch keys. */
export function tensorParallelShard(shapes: Shapes, ranks: number, rank: number): TensorPlan[] {
  return [...shapes].map(([key, shape]) => {
    const axis = tensorParallelAxis(key);
    if (axis === undefined) return renamed(key, key);
    if (key.includes('wqkv')) {
      throw new InputError('layout', { got: `${key} in ${ranks} shards`, need: 'wq, wk and wv apart' }, 'unsupported');
    }
    const size = shape[axis]! / ranks;
    if (!Number.isInteger(size)) {
      throw new InputError('shards', { got: ranks, need: `a number that divides the ${shape[axis]} places of ${key}` });
    }
    return { key, parts: [{ key, axis, from: rank * size, to: (rank + 1) * size }] };
  });
}

/** All ranks → whole tensors. Names the rank and the key when one is missing. */
export function mergeTensorParallel(shards: readonly Shapes[]): TensorPlan[] {
  const first = shards[0];
  if (first === undefined) throw new OrreryError('model', 'no shards to merge');
  for (const [rank, shard] of shards.entries()) {
    const missing = [...first.keys()].find((key) => !shard.has(key));
    const extra = [...shard.keys()].find((key) => !first.has(key));
    if (missing !== undefined || extra !== undefined) {
      const at = missing === undefined ? `shard 0 has no ${extra}` : `shard ${rank} has no ${missing}`;
      throw new OrreryError('model', `${at}; the ${shards.length} shards are not of one checkpoint`);
    }
  }
  return [...first.keys()]
    .filter((key) => !isUnusedAutoregressiveKey(key))
    .map((key) => {
      const parts = shards.map((_, shard) => ({ key, shard }));
      const axis = tensorParallelAxis(key);
      return axis === undefined ? { key, parts, combine: 'mean' as const } : { key, parts, axis };
    });
}

/** NeMo → PyTorch: per key head its query heads, then the key, then the value; w1 and w3 are one tensor. */
export function fromNemo(shapes: Shapes, { heads, keyValueHeads }: HeadCounts): TensorPlan[] {
  const plans: TensorPlan[] = [];
  const outer: Readonly<Record<string, string>> = {
    'embedding.word_embeddings.weight': 'model.tok_embeddings.weight',
    'decoder.final_layernorm.weight': 'model.norm.weight',
    'output_layer.weight': 'model.output.weight',
  };
  const inner: Readonly<Record<string, string>> = {
    'self_attention.linear_qkv.layer_norm_weight': 'attention_norm.weight',
    'self_attention.linear_proj.weight': 'attention.wo.weight',
    'self_attention.q_layernorm.weight': 'attention.q_norm.weight',
    'self_attention.k_layernorm.weight': 'attention.k_norm.weight',
    'mlp.linear_fc1.layer_norm_weight': 'ffn_norm.weight',
    'mlp.linear_fc2.weight': 'feed_forward.w2.weight',
  };
  for (const [key, shape] of shapes) {
    if (isUnusedAutoregressiveKey(key)) continue;
    const bare = key.replace(/^(module\.|model\.)*/, '');
    const layer = /^decoder\.layers\.(\d+)\.(.*)$/.exec(bare);
    if (layer === null) {
      const name = outer[bare];
      if (name === undefined) throw unknownKey(key);
      plans.push(renamed(name, key));
      continue;
    }
    const prefix = `model.layers.${layer[1]}.`;
    const rest = layer[2]!;
    if (rest === 'self_attention.linear_qkv.weight') {
      const perGroup = heads / keyValueHeads;
      const width = shape[0]! / (heads + 2 * keyValueHeads);
      const pick = (from: number, count: number): TensorPart[] =>
        Array.from({ length: keyValueHeads }, (_, g) => {
          const start = (g * (perGroup + 2) + from) * width;
          return { key, axis: 0, from: start, to: start + count * width };
        });
      plans.push({ key: `${prefix}attention.wq.weight`, parts: pick(0, perGroup) });
      plans.push({ key: `${prefix}attention.wk.weight`, parts: pick(perGroup, 1) });
      plans.push({ key: `${prefix}attention.wv.weight`, parts: pick(perGroup + 1, 1) });
    } else if (rest === 'mlp.linear_fc1.weight') {
      const half = shape[0]! / 2;
      plans.push({ key: `${prefix}${W1}`, parts: [{ key, axis: 0, from: 0, to: half }] });
      plans.push({ key: `${prefix}${W3}`, parts: [{ key, axis: 0, from: half, to: 2 * half }] });
    } else {
      const name = inner[rest];
      if (name === undefined) throw unknownKey(key);
      plans.push(renamed(`${prefix}${name}`, key));
    }
  }
  return plans;
}

const unknownKey = (key: string): OrreryError =>
  new OrreryError('model', `${key} is no weight of an autoregressive model in this layout`);
