// Autoregressive transformers: the PyTorch keys and those of Transformer Engine, NeMo and fused projections; tensor-parallel
// pieces; the architecture read off the shapes. The keys of the network are the PyTorch ones without `model.`.
import { OrreryError } from '../../base/index.ts';
import { averageTensors, joinTensors, reorderRows, rowsOf } from '../bytes.ts';
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
  const layers = countOf(keys, /^layers\.(\d+)\./);
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

type Pair = readonly [network: string, other: string];
/** Renames between the network and Transformer Engine, inside a layer. */
const TRANSFORMER_ENGINE: readonly Pair[] = [
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
const NEMO: readonly Pair[] = [
  ['attention_norm.weight', 'self_attention.linear_qkv.layer_norm_weight'],
  ['attention.wo.weight', 'self_attention.linear_proj.weight'],
  ['attention.q_norm.weight', 'self_attention.q_layernorm.weight'],
  ['attention.k_norm.weight', 'self_attention.k_layernorm.weight'],
  ['ffn_norm.weight', 'mlp.linear_fc1.layer_norm_weight'],
  ['feed_forward.w2.weight', 'mlp.linear_fc2.weight'],
];
const NEMO_ENDS: readonly Pair[] = [
  ['tok_embeddings.weight', 'embedding.word_embeddings.weight'],
  ['norm.weight', 'decoder.final_layernorm.weight'],
  ['output.weight', 'output_layer.weight'],
];

const LAYER = /^(?:decoder\.)?layers\.(\d+)\.(.+)$/;

/**
 * Tensors under keys of `layout`, without a prefix → under the keys of the network. Joined matrices are cut into views.
 * @param heads where the file's own norms do not tell the head width: query and key-value heads
 */
export function fromLayout(
  tensors: Tensors,
  layout: Spelling['layout'],
  heads?: { readonly query: number; readonly keyValue: number },
): Map<string, CheckpointTensor> {
  const out = new Map<string, CheckpointTensor>();
  const back = new Map((layout === 'nemo' ? NEMO : TRANSFORMER_ENGINE).map(([network, other]) => [other, network]));
  const ends = new Map(NEMO_ENDS.map(([network, other]) => [other, network]));
  const headOf = (i: string): number | undefined => {
    const names = [`decoder.layers.${i}.self_attention.q_layernorm.weight`, `layers.${i}.attention.q_norm.weight`];
    return names.map((name) => tensors.get(name)?.shape[0]).find((v) => v !== undefined);
  };
  for (const [key, tensor] of tensors) {
    const match = LAYER.exec(key);
    if (match === null || layout === 'original') {
      out.set(layout === 'nemo' ? (ends.get(key) ?? key) : key, tensor);
      continue;
    }
    const [, i, rest] = match as unknown as [string, string, string];
    const set = (name: string, value: CheckpointTensor): void => void out.set(`layers.${i}.${name}`, value);
    const half = tensor.shape[0]! / 2;
    if (rest === 'layernorm_mlp.fc1_weight' || rest === 'mlp.linear_fc1.weight') {
      set('feed_forward.w1.weight', rowsOf(tensor, 0, half));
      set('feed_forward.w3.weight', rowsOf(tensor, half, half));
    } else if (rest === 'attention.wqkv.weight') {
      const width = tensor.shape[1]!;
      const [q, kv] = splitQkv(tensor, headOf(i), heads, width, key);
      set('attention.wq.weight', rowsOf(tensor, 0, q));
      set('attention.wk.weight', rowsOf(tensor, q, kv));
      set('attention.wv.weight', rowsOf(tensor, q + kv, kv));
    } else if (rest === 'self_attention.linear_qkv.weight') {
      const [q, kv, head] = splitQkv(tensor, headOf(i), heads, tensor.shape[1]!, key);
      const groups = kv / head;
      const perGroup = q / kv + 2;
      // Per key-value head: its query heads, then the key head, then the value head.
      const rows = (from: number, count: number): number[] =>
        Array.from({ length: groups }, (_, g) =>
          Array.from({ length: count * head }, (_, r) => (g * perGroup + from) * head + r),
        ).flat();
      set('attention.wq.weight', reorderRows(tensor, rows(0, q / kv)));
      set('attention.wk.weight', reorderRows(tensor, rows(q / kv, 1)));
      set('attention.wv.weight', reorderRows(tensor, rows(q / kv + 1, 1)));
    } else set(back.get(rest) ?? rest, tensor);
  }
  return out;
}

/** Rows of the query part, of the key part, and of one head in a joined matrix. Public models: 4 query heads per key head. */
function splitQkv(
  tensor: CheckpointTensor,
  headWidth: number | undefined,
  heads: { readonly query: number; readonly keyValue: number } | undefined,
  width: number,
  key: string,
): [q: number, kv: number, head: number] {
  const ratio = heads === undefined ? 4 : heads.query / heads.keyValue;
  const kv = tensor.shape[0]! / (ratio + 2);
  const head = headWidth ?? (heads === undefined ? 128 : kv / heads.keyValue);
  if (!Number.isInteger(kv) || !Number.isInteger(kv / head)) {
    throw new OrreryError(
      'model',
      `${key} has [${tensor.shape}] for width ${width}, need rows for ${ratio} query heads per key head; pass --config with n_heads and n_kv_heads`,
    );
  }
  return [ratio * kv, kv, head];
}

/** Tensors under the keys of the network → under those of Transformer Engine, without a prefix. RoPE v2 only. */
export function toTransformerEngine(tensors: Tensors): Map<string, CheckpointTensor> {
  const there = new Map(TRANSFORMER_ENGINE);
  const out = new Map<string, CheckpointTensor>();
  for (const [key, tensor] of tensors) {
    const match = LAYER.exec(key);
    const [i, rest] = [match?.[1], match?.[2] ?? ''];
    if (rest === 'feed_forward.w3.weight') continue;
    if (rest === 'feed_forward.w1.weight') {
      const w3 = tensors.get(`layers.${i}.feed_forward.w3.weight`);
      if (w3 === undefined) throw new OrreryError('model', `layers.${i}.feed_forward.w3.weight is missing`);
      out.set(`layers.${i}.layernorm_mlp.fc1_weight`, joinTensors([tensor, w3], 0, key));
    } else out.set(match === null ? key : `layers.${i}.${there.get(rest) ?? rest}`, tensor);
  }
  return out;
}

/** The axis along which tensor-parallel ranks cut a weight; undefined: each has a copy. */
export function parallelAxis(key: string): 0 | 1 | undefined {
  if (/(^|\.)(wq|wk|wv|wqkv|w1|w3|tok_embeddings|output)\.weight$/.test(key)) return 0;
  return /(^|\.)(wo|w2)\.weight$/.test(key) ? 1 : undefined;
}

/** One rank's piece of every tensor. */
export function pieceOf(tensors: Tensors, rank: number, ranks: number): Map<string, CheckpointTensor> {
  const out = new Map<string, CheckpointTensor>();
  for (const [key, tensor] of tensors) {
    const axis = parallelAxis(key);
    const size = axis === undefined ? 0 : tensor.shape[axis]! / ranks;
    if (!Number.isInteger(size))
      throw new OrreryError('model', `${key} [${tensor.shape}] cannot be cut into ${ranks} pieces`);
    if (axis === undefined) out.set(key, tensor);
    else if (axis === 0) out.set(key, rowsOf(tensor, rank * size, size));
    else out.set(key, columnsOf(tensor, rank * size, size));
  }
  return out;
}

function columnsOf(tensor: CheckpointTensor, start: number, count: number): CheckpointTensor {
  const [rows, columns] = tensor.shape as [number, number];
  return {
    dtype: tensor.dtype,
    shape: [rows, count],
    readBytes: () => {
      const from = tensor.readBytes();
      const width = from.length / rows / columns;
      const out = new Uint8Array(rows * count * width);
      for (let r = 0; r < rows; r++) {
        const at = (r * columns + start) * width;
        out.set(from.subarray(at, at + count * width), r * count * width);
      }
      return out;
    },
  };
}

/** The pieces of all ranks, in order → whole tensors. Copies of norms are averaged. */
export function joinPieces(pieces: readonly Tensors[], names: readonly string[]): Map<string, CheckpointTensor> {
  const out = new Map<string, CheckpointTensor>();
  const keys = [...pieces[0]!.keys()];
  for (const [rank, piece] of pieces.entries()) {
    const lost = keys.filter((key) => !piece.has(key)).concat([...piece.keys()].filter((key) => !pieces[0]!.has(key)));
    if (lost.length > 0) {
      throw new OrreryError(
        'model',
        `${names[rank]} and ${names[0]} hold different keys, such as ${lost[0]}; the files are of two models`,
      );
    }
  }
  for (const key of keys) {
    const parts = pieces.map((piece) => piece.get(key)!);
    const axis = parallelAxis(key);
    out.set(key, axis === undefined ? averageTensors(parts, key) : joinTensors(parts, axis, key));
  }
  return out;
}
