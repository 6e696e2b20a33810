// Attention and rotary position embedding, fused where ONNX Runtime has a kernel.
import { assert } from '../../base/index.ts';
import type { Op } from '../op.ts';
import { constant, makeNode, type Node, type Tensor } from '../tensor.ts';
import { add, mul, neg, sub } from './elementwise.ts';
import { matmul } from './linear.ts';
import { softmax, sum, sumTo } from './reduce.ts';
import { concat, reshape, slice, transpose } from './shape.ts';

type AttentionAttrs = { readonly scale: number; readonly causal: boolean };

/** −∞ above the diagonal is −1e30: exact zeros after the softmax and no NaN from rows of infinities. */
function causalMask(queries: number, keys: number): Tensor {
  const data = new Float32Array(queries * keys);
  const offset = keys - queries;
  for (let i = 0; i < queries; i++) data.fill(-1e30, i * keys + i + offset + 1, (i + 1) * keys);
  return constant({ dtype: 'f32', shape: [1, 1, queries, keys], data });
}

const attentionOp: Op<AttentionAttrs> = {
  name: 'attention',
  formula: 'y = softmax(q·kᵀ·scale [+ mask])·v per head; q, k, v [B, L, N, D]',
  infer: ([q, k, v, mask]) => {
    const fits =
      q!.shape.length === 4 &&
      k!.shape.length === 4 &&
      v!.shape.length === 4 &&
      q!.shape[0] === k!.shape[0] &&
      q!.shape[2] === k!.shape[2] &&
      q!.shape[3] === k!.shape[3] &&
      k!.shape[1] === v!.shape[1] &&
      k!.shape[2] === v!.shape[2] &&
      (mask === undefined || mask.shape.length === 4);
    assert(fits, `attention of q [${q!.shape}], k [${k!.shape}], v [${v!.shape}]`);
    return [{ dtype: q!.dtype, shape: [q!.shape[0]!, q!.shape[1]!, q!.shape[2]!, v!.shape[3]!] }];
  },
  // With P = softmax(S), S = scale·Q·Kᵀ + mask, O = P·V (heads first):
  //   V̄ = Pᵀ·Ō,  S̄ = P·(Ō·Vᵀ − δ) with δ = Σ_k P·(Ō·Vᵀ) = Σ_d Ō·O (Dao et al. 2022, section B.4),  Q̄ = scale·S̄·K,  K̄ = scale·S̄ᵀ·Q.
  grad: ({ gy, x: [, , , mask], y: [o], attrs: { scale } }) => {
    const [, p, q, k, v] = attentionParts(o!.node);
    const g = headsFirst(gy);
    const delta = headsFirst(sum(mul(gy, o!), [3], true)); // [B, N, Lq, 1]
    const s = mul(p!, sub(matmul(g, v!, { transB: true }), delta)); // [B, N, Lq, Lk]
    return [
      headsFirst(matmul(s, k!, { alpha: scale })),
      headsFirst(matmul(s, q!, { transA: true, alpha: scale })),
      headsFirst(matmul(p!, g, { transA: true })),
      mask === undefined ? undefined : sumTo(s, mask.shape),
    ];
  },
  contrib: true,
  onnx: (e, [q, k, v, mask], { attrs, inputs: [tq, tk, tv], outputs: [out] }) => {
    const heads = tq!.shape[2]!;
    const flat = (name: string, t: Tensor): string =>
      e.node('Reshape', [name, e.ints([t.shape[0]!, t.shape[1]!, heads * t.shape[3]!])])[0]!;
    const inputs = [flat(q!, tq!), flat(k!, tk!), flat(v!, tv!)];
    if (mask !== undefined) inputs.push('', '', mask);
    const [y] = e.node(
      'MultiHeadAttention',
      inputs,
      { num_heads: heads, scale: { float: attrs.scale }, unidirectional: attrs.causal ? 1 : 0 },
      { domain: 'com.microsoft' },
    );
    return e.node('Reshape', [y!, e.ints(out!.shape)]);
  },
  unfused: (inputs, { scale, causal }) => {
    const [q, k, v] = inputs.slice(0, 3).map(headsFirst) as [Tensor, Tensor, Tensor];
    const mask = inputs[3];
    let scores = matmul(q, k, { transB: true, alpha: scale }); // [B, N, Lq, Lk]
    if (mask !== undefined) scores = add(scores, mask);
    if (causal) scores = add(scores, causalMask(q.shape[2]!, k.shape[2]!));
    const p = softmax(scores);
    // Behind the result come the parts that the gradient uses too.
    return [headsFirst(matmul(p, v)), p, q, k, v];
  },
};

/** [B, L, N, D] ↔ [B, N, L, D]. */
const headsFirst = (t: Tensor): Tensor => transpose(t, [0, 2, 1, 3]);

/** The unfused definition of an attention node: result, P, and Q, K, V with heads first. */
function attentionParts(node: Node): readonly Tensor[] {
  node.unfused ??= attentionOp.unfused!(node.inputs, node.attrs as AttentionAttrs);
  return node.unfused;
}

/**
 * Scaled dot-product attention: q [B, Lq, N, D], k and v [B, Lk, N, D] → [B, Lq, N, D]. Default scale 1/√D.
 * `mask` [B or 1, N or 1, Lq, Lk] is added to the scores.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: { scale?: number; causal?: boolean; mask?: Tensor } = {},
): Tensor {
  const { scale = 1 / Math.sqrt(q.shape[3]!), causal = false, mask } = options;
  return makeNode(attentionOp, mask === undefined ? [q, k, v] : [q, k, v, mask], { scale, causal })[0]!;
}

type None = Record<string, never>;

const ropeOp: Op<None> = {
  name: 'rope',
  formula: 'with halves (a, b) of the last axis: y = (a·cos − b·sin, b·cos + a·sin)',
  infer: ([x, cos, sin]) => {
    const [, l, , d] = x!.shape;
    const fits = x!.shape.length === 4 && cos!.shape[0] === l && cos!.shape[1] === d! / 2 && sin!.shape[1] === d! / 2;
    assert(fits, `rope of [${x!.shape}] with tables [${cos!.shape}]`);
    return [x!];
  },
  // A rotation: its transpose turns the other way.
  grad: ({ gy, x: [, cos, sin] }) => [rope(gy, cos!, neg(sin!)), undefined, undefined],
  contrib: true,
  onnx: (e, [x, cos, sin], { inputs: [tx] }) => {
    const [b, l, n, d] = tx!.shape as [number, number, number, number];
    const positions = new BigInt64Array(b * l);
    for (let i = 0; i < positions.length; i++) positions[i] = BigInt(i % l);
    const ids = e.constant({ dtype: 'i64', shape: [b, l], data: positions });
    const [flat] = e.node('Reshape', [x!, e.ints([b, l, n * d])]);
    const [y] = e.node(
      'RotaryEmbedding',
      [flat!, ids, cos!, sin!],
      { num_heads: n, rotary_embedding_dim: 0, interleaved: 0 },
      { domain: 'com.microsoft' },
    );
    return e.node('Reshape', [y!, e.ints(tx!.shape)]);
  },
  unfused: ([x, cos, sin]) => {
    const [, l, , d] = x!.shape as [number, number, number, number];
    const a = slice(x!, 3, 0, d / 2);
    const b = slice(x!, 3, d / 2, d / 2);
    const c = reshape(cos!, [1, l, 1, d / 2]);
    const s = reshape(sin!, [1, l, 1, d / 2]);
    return [concat([sub(mul(a, c), mul(b, s)), add(mul(b, c), mul(a, s))], 3)];
  },
};

/** Rotary position embedding, rotate-half pairs (i, i + D/2): x [B, L, N, D], cos and sin [L, D/2]. The tables get no gradient. */
export const rope = (x: Tensor, cos: Tensor, sin: Tensor): Tensor => makeNode(ropeOp, [x, cos, sin], {})[0]!;

/** Records of this file, for documentation and tests. */
export const attentionOps = [attentionOp, ropeOp] as const;
