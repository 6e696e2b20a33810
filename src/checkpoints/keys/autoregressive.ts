// Autoregressive transformers: layouts recognised, joined when read, and the architecture read off the shapes. The plans of the
// layouts themselves are in hub/keys. The keys of the network are the PyTorch ones without `model.`.
import { type NdArray, OrreryError } from '../../base/index.ts';
import { decodeTensor } from '../../formats/index.ts';
import {
  assembleTensor,
  fromNemo,
  fromTransformerEngine,
  type HeadCounts,
  mergeTensorParallel,
  type Shapes,
  type TensorPlan,
} from '../../hub/index.ts';
import { bytesOfFloats, floatsOf } from '../floats.ts';
import { type CheckpointTensor, countOf, type Expected, prefixOf, type Spelling, type Tensors } from '../types.ts';

/** What shapes tell about a transformer; option names of the public code. */
export type AutoregressiveOptions = {
  readonly dim: number;
  readonly n_layers: number;
  readonly n_heads: number;
  readonly n_kv_heads: number;
  readonly head_dim: number;
  readonly ffn_hidden_size: number;
  /** Logits. */
  readonly vocab_size: number;
  /** Rows of the token embedding. */
  readonly embedding_rows: number;
  readonly use_qk_normalization: boolean;
  readonly insert_cross_attn: boolean;
  readonly insert_cross_attn_every_k_layers: number;
  readonly context_dim?: number;
};

/** Recognises a transformer and its layout. */
export function recogniseAutoregressive(keys: readonly string[]): Spelling | undefined {
  const family = 'autoregressive';
  const markers = [
    ['transformer-engine', 'layers\\.\\d+\\.self_attention\\.layernorm_qkv\\.query_weight$'],
    ['nemo', 'decoder\\.layers\\.\\d+\\.self_attention\\.linear_qkv\\.weight$'],
    ['fused-qkv', 'layers\\.\\d+\\.attention\\.wqkv\\.weight$'],
    ['original', 'layers\\.\\d+\\.attention\\.wq\\.weight$'],
  ] as const;
  for (const [layout, marker] of markers) {
    const prefix = prefixOf(keys, marker);
    if (prefix !== undefined) return { family, layout, prefix };
  }
  return undefined;
}

export const isUnusedAutoregressiveKey = (key: string): boolean =>
  /_extra_state$|(^|\.)rope\.|freqs_cis|rotary_emb/.test(key);

/** Every weight of the network. */
export function autoregressiveWeights(c: AutoregressiveOptions): Expected[] {
  const [q, k] = [c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim];
  const list: Expected[] = [{ key: 'tok_embeddings.weight', shape: [c.embedding_rows, c.dim] }];
  const add = (key: string, ...shape: number[]): void => void list.push({ key: `${key}.weight`, shape });
  const attention = (at: string, from: number): void => {
    add(`${at}.wq`, q, c.dim);
    add(`${at}.wk`, k, from);
    add(`${at}.wv`, k, from);
    add(`${at}.wo`, c.dim, q);
    if (c.use_qk_normalization) for (const norm of ['q_norm', 'k_norm']) add(`${at}.${norm}`, c.head_dim);
  };
  for (let i = 0; i < c.n_layers; i++) {
    const at = `layers.${i}`;
    add(`${at}.attention_norm`, c.dim);
    attention(`${at}.attention`, c.dim);
    if (c.insert_cross_attn && i % c.insert_cross_attn_every_k_layers === 0) {
      add(`${at}.cross_attention_norm`, c.dim);
      attention(`${at}.cross_attention`, c.context_dim ?? 1024);
    }
    add(`${at}.ffn_norm`, c.dim);
    add(`${at}.feed_forward.w1`, c.ffn_hidden_size, c.dim);
    add(`${at}.feed_forward.w2`, c.dim, c.ffn_hidden_size);
    add(`${at}.feed_forward.w3`, c.ffn_hidden_size, c.dim);
  }
  add('norm', c.dim);
  add('output', c.vocab_size, c.dim);
  return list;
}

/** Reads the architecture off the shapes, under the keys of the network. */
export function autoregressiveOptionsOf(tensors: Tensors, path: string): AutoregressiveOptions {
  const keys = [...tensors.keys()];
  const find = (key: string): readonly number[] | undefined => tensors.get(`${key}.weight`)?.shape;
  const shape = (key: string): readonly number[] => {
    const found = find(key);
    if (found === undefined)
      throw new OrreryError(
        'model',
        `${path}: no tensor ${key}.weight, without which the size of the network is unknown; fetch the file again or pass --config`,
      );
    return found;
  };
  const headWidth = find('layers.0.attention.q_norm')?.[0] ?? 128;
  const [embeddingRows, dim] = shape('tok_embeddings') as [number, number];
  const layers = countOf(keys, /^layers\.(\d+)\./, 200);
  const cross = Array.from({ length: layers }, (_, i) => i).filter(
    (i) => find(`layers.${i}.cross_attention.wq`) !== undefined,
  );
  return {
    dim,
    n_layers: layers,
    n_heads: shape('layers.0.attention.wq')[0]! / headWidth,
    n_kv_heads: shape('layers.0.attention.wk')[0]! / headWidth,
    head_dim: headWidth,
    ffn_hidden_size: shape('layers.0.feed_forward.w1')[0]!,
    vocab_size: shape('output')[0]!,
    embedding_rows: embeddingRows,
    use_qk_normalization: find('layers.0.attention.q_norm') !== undefined,
    insert_cross_attn: cross.length > 0,
    insert_cross_attn_every_k_layers: cross.length > 1 ? cross[1]! - cross[0]! : 1,
    ...(cross.length > 0 ? { context_dim: shape(`layers.${cross[0]}.cross_attention.wk`)[1]! } : {}),
  };
}

/** Query and key heads: given, or read off a joined matrix, where public models have 4 query heads per key head. */
function headsOf(tensors: Tensors, given: HeadCounts | undefined, key: string, norm: string): HeadCounts {
  if (given !== undefined) return given;
  const rows = tensors.get(key)?.shape[0] ?? 0;
  const keyValueHeads = rows / (tensors.get(norm)?.shape[0] ?? 128) / 6;
  if (!Number.isInteger(keyValueHeads) || keyValueHeads === 0) {
    throw new OrreryError(
      'model',
      `${key} has ${rows} rows, need those of 4 query heads per key head; pass --config with n_heads and n_kv_heads`,
    );
  }
  return { heads: 4 * keyValueHeads, keyValueHeads };
}

/**
 * Tensors under keys of `layout`, without a prefix → under the keys of the network. Joined matrices are cut when they are read.
 * @param heads where the file's own norms do not tell the head width
 */
export function fromLayout(
  tensors: Tensors,
  layout: Spelling['layout'],
  heads?: HeadCounts,
): Map<string, CheckpointTensor> {
  const shapes = new Map([...tensors].map(([key, { shape }]) => [key, shape]));
  switch (layout) {
    case 'transformer-engine':
      return applyPlans(fromTransformerEngine(shapes), [tensors]);
    case 'nemo': {
      const at = 'decoder.layers.0.self_attention';
      const counts = headsOf(tensors, heads, `${at}.linear_qkv.weight`, `${at}.q_layernorm.weight`);
      return applyPlans(fromNemo(shapes, counts), [tensors], (key) => key.replace(/^model\./, ''));
    }
    case 'fused-qkv': {
      const at = 'layers.0.attention';
      const counts = headsOf(tensors, heads, `${at}.wqkv.weight`, `${at}.q_norm.weight`);
      return applyPlans(fromFusedQkv(shapes, counts), [tensors]);
    }
    default:
      return new Map(tensors);
  }
}

/** `wqkv` → wq, wk, wv: their rows one after the other. */
function fromFusedQkv(shapes: Shapes, { heads, keyValueHeads }: HeadCounts): TensorPlan[] {
  return [...shapes].flatMap(([key, shape]): TensorPlan[] => {
    if (!key.endsWith('.wqkv.weight')) return [{ key, parts: [{ key }] }];
    const row = shape[0]! / (heads + 2 * keyValueHeads);
    const ends = [0, heads * row, (heads + keyValueHeads) * row, shape[0]!];
    return ['wq', 'wk', 'wv'].map((name, i) => ({
      key: key.replace('wqkv', name),
      parts: [{ key, axis: 0, from: ends[i]!, to: ends[i + 1]! }],
    }));
  });
}

/** The pieces of all ranks, in order → whole tensors. Copies of norms are averaged. */
export function joinPieces(pieces: readonly Tensors[]): Map<string, CheckpointTensor> {
  const shapes = pieces.map((piece) => new Map([...piece].map(([key, { shape }]) => [key, shape])));
  return applyPlans(mergeTensorParallel(shapes), pieces);
}

/** Tensors that are put together by plan when they are read. */
export function applyPlans(
  plans: readonly TensorPlan[],
  sources: readonly Tensors[],
  rename: (key: string) => string = (key) => key,
): Map<string, CheckpointTensor> {
  return new Map(plans.map((plan) => [rename(plan.key), planned(plan, sources)]));
}

function planned(plan: TensorPlan, sources: readonly Tensors[]): CheckpointTensor {
  const sourceOf = (key: string, shard = 0): CheckpointTensor => {
    const found = sources[shard]?.get(key);
    if (found === undefined) throw new OrreryError('model', `${key} is missing, from which ${plan.key} is made`);
    return found;
  };
  const shapes = plan.parts.map(({ key, shard, axis, from = 0, to }) =>
    sourceOf(key, shard).shape.map((d, i) => (i === axis ? (to ?? d) - from : d)),
  );
  const { dtype } = sourceOf(plan.parts[0]!.key, plan.parts[0]!.shard);
  const axis = plan.axis ?? 0;
  const shape =
    plan.combine === 'mean'
      ? shapes[0]!
      : shapes[0]!.map((d, i) => (i === axis ? shapes.reduce((n, s) => n + s[i]!, 0) : d));
  return {
    dtype,
    shape,
    readBytes: () => {
      // The same source may serve several parts.
      const read = new Map<string, NdArray>();
      const made = assembleTensor(plan, (key, shard) => {
        const id = `${shard} ${key}`;
        const source = sourceOf(key, shard);
        const value = read.get(id) ?? decodeTensor(source, source.readBytes(), key);
        read.set(id, value);
        return value;
      });
      const bytes = new Uint8Array(made.data.buffer, made.data.byteOffset, made.data.byteLength);
      // A mean of copies that differ comes back as float32.
      return made.dtype === dtype ? bytes : bytesOfFloats(dtype, floatsOf(made.dtype, bytes, plan.key));
    },
  };
}
