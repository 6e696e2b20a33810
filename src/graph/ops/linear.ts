// Matrix products: 2-D with bias (Gemm), batched, linear layers, and products with quantised weights.
import { assert, sizeOf } from '../../base/index.ts';
import type { Op } from '../op.ts';
import { makeNode, type Tensor } from '../tensor.ts';
import { cast, floor, mul, sub } from './elementwise.ts';
import { sumTo } from './reduce.ts';
import { reshape, stack, transpose } from './shape.ts';

type GemmAttrs = { readonly transA: boolean; readonly transB: boolean };

const gemmOp: Op<GemmAttrs> = {
  name: 'gemm',
  formula: 'y = op(a)·op(b) [+ c], a and b matrices, op = optional transpose, c a row that is added to every row',
  infer: ([a, b, c], { transA, transB }) => {
    assert(a!.shape.length === 2 && b!.shape.length === 2, `gemm of [${a!.shape}] and [${b!.shape}]`);
    const [m, k] = transA ? [a!.shape[1]!, a!.shape[0]!] : [a!.shape[0]!, a!.shape[1]!];
    const [k2, n] = transB ? [b!.shape[1]!, b!.shape[0]!] : [b!.shape[0]!, b!.shape[1]!];
    const fits = k === k2 && (c === undefined || (c.shape.length === 1 && c.shape[0] === n));
    assert(
      fits,
      `gemm of [${a!.shape}]${transA ? 'ᵀ' : ''} and [${b!.shape}]${transB ? 'ᵀ' : ''}${c ? ` and [${c.shape}]` : ''}`,
    );
    return [{ dtype: a!.dtype, shape: [m, n] }];
  },
  grad: ({ gy, x: [a, b, c], attrs: { transA, transB } }) => [
    // y = A·B: Ā = Ȳ·Bᵀ, B̄ = Aᵀ·Ȳ, with the transposes moved into the product.
    transA ? gemm(b!, gy, { transA: transB, transB: true }) : gemm(gy, b!, { transB: !transB }),
    transB ? gemm(gy, a!, { transA: true, transB: transA }) : gemm(a!, gy, { transA: !transA }),
    c === undefined ? undefined : sumTo(gy, c.shape),
  ],
  onnx: (e, inputs, node) =>
    e.node('Gemm', inputs, { transA: node.attrs.transA ? 1 : 0, transB: node.attrs.transB ? 1 : 0 }),
};

/** Product of two matrices with optional transposes and an optional row `bias` added to every row. */
export function gemm(
  a: Tensor,
  b: Tensor,
  options: { transA?: boolean; transB?: boolean; bias?: Tensor } = {},
): Tensor {
  const { transA = false, transB = false, bias } = options;
  return makeNode(gemmOp, bias === undefined ? [a, b] : [a, b, bias], { transA, transB })[0]!;
}

/** y = x·Wᵀ + b: x [..., in], W [out, in] (checkpoint layout), b [out] → [..., out]. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const width = x.shape[x.shape.length - 1]!;
  const rows = reshape(x, [sizeOf(x.shape) / width, width]);
  const y = gemm(rows, weight, { transB: true, ...(bias === undefined ? {} : { bias }) });
  return reshape(y, [...x.shape.slice(0, -1), weight.shape[0]!]);
}

type MatmulAttrs = GemmAttrs & { readonly alpha: number };

const matmulOp: Op<MatmulAttrs> = {
  name: 'matmul',
  formula: 'y = α·op(a)·op(b) over the last two axes, leading axes equal or broadcast; op = optional transpose',
  infer: ([a, b], { transA, transB }) => {
    const ra = a!.shape.length;
    const rb = b!.shape.length;
    const [m, k] = transA ? [a!.shape[ra - 1]!, a!.shape[ra - 2]!] : [a!.shape[ra - 2]!, a!.shape[ra - 1]!];
    const [k2, n] = transB ? [b!.shape[rb - 1]!, b!.shape[rb - 2]!] : [b!.shape[rb - 2]!, b!.shape[rb - 1]!];
    const lead: number[] = [];
    const rank = Math.max(ra, rb) - 2;
    for (let i = 0; i < rank; i++) {
      const x = a!.shape[ra - 2 - rank + i] ?? 1;
      const y = b!.shape[rb - 2 - rank + i] ?? 1;
      assert(x === y || x === 1 || y === 1, `matmul of [${a!.shape}] and [${b!.shape}]`);
      lead.push(Math.max(x, y));
    }
    assert(
      k === k2 && ra >= 2 && rb >= 2,
      `matmul of [${a!.shape}]${transA ? 'ᵀ' : ''} and [${b!.shape}]${transB ? 'ᵀ' : ''}`,
    );
    return [{ dtype: a!.dtype, shape: [...lead, m, n] }];
  },
  grad: ({ gy, x: [a, b], attrs: { transA, transB, alpha } }) => [
    sumTo(
      transA ? matmul(b!, gy, { transA: transB, transB: true, alpha }) : matmul(gy, b!, { transB: !transB, alpha }),
      a!.shape,
    ),
    sumTo(
      transB ? matmul(gy, a!, { transA: true, transB: transA, alpha }) : matmul(a!, gy, { transA: !transA, alpha }),
      b!.shape,
    ),
  ],
  contrib: true,
  onnx: (e, inputs, node) => {
    const { transA, transB, alpha } = node.attrs;
    if (!transA && !transB && alpha === 1) return e.node('MatMul', inputs);
    return e.node(
      'FusedMatMul',
      inputs,
      { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: { float: alpha } },
      { domain: 'com.microsoft' },
    );
  },
  unfused: ([a, b], { transA, transB, alpha }) => {
    const swap = (t: Tensor): Tensor => {
      const r = t.shape.length;
      return transpose(t, [...Array.from({ length: r - 2 }, (_, i) => i), r - 1, r - 2]);
    };
    const plain = makeNode(plainMatmulOp, [transA ? swap(a!) : a!, transB ? swap(b!) : b!], {
      transA: false,
      transB: false,
      alpha: 1,
    });
    return [mul(plain[0]!, alpha)];
  },
};
/** The same without transposes, which is ONNX's own MatMul: what `matmul` unfuses to. */
const plainMatmulOp: Op<MatmulAttrs> = {
  name: 'plainMatmul',
  formula: 'y = a·b over the last two axes',
  infer: matmulOp.infer,
  grad: matmulOp.grad,
  onnx: (e, inputs) => e.node('MatMul', inputs),
};

/** Batched product over the last two axes, times `alpha`. */
export function matmul(
  a: Tensor,
  b: Tensor,
  options: { transA?: boolean; transB?: boolean; alpha?: number } = {},
): Tensor {
  const { transA = false, transB = false, alpha = 1 } = options;
  const op = !transA && !transB && alpha === 1 ? plainMatmulOp : matmulOp;
  return makeNode(op, [a, b], { transA, transB, alpha })[0]!;
}

type QuantAttrs = {
  readonly bits: 4 | 8;
  readonly blockSize: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** Type in which the products are taken: 'i8' rounds the rows of x to 8 bits per block first. */
  readonly products: 'f32' | 'i8';
};

const quantizedLinearOp: Op<QuantAttrs> = {
  name: 'quantizedLinear',
  formula: 'y = x·Wᵀ, W[n, k] = scale[n, ⌊k/block⌋]·(q[n, k] − 2^(bits−1)), q unsigned `bits` bits packed low first',
  infer: ([x], a) => {
    assert(
      x!.shape[x!.shape.length - 1] === a.inFeatures,
      `quantizedLinear of [${x!.shape}] with ${a.inFeatures} inputs`,
    );
    return [{ dtype: x!.dtype, shape: [...x!.shape.slice(0, -1), a.outFeatures] }];
  },
  // LoRA runs beside quantised weights: x needs a gradient, which takes the dequantised matrix.
  grad: 'unfused',
  contrib: true,
  onnx: (e, inputs, { attrs: a }) =>
    e.node(
      'MatMulNBits',
      inputs,
      {
        K: a.inFeatures,
        N: a.outFeatures,
        bits: a.bits,
        block_size: a.blockSize,
        ...(a.products === 'i8' ? { accuracy_level: 4 } : {}),
      },
      { domain: 'com.microsoft' },
    ),
  unfused: ([x, packed, scales], { bits }) => [linear(x!, fromBlocks(packed!, scales!, bits))],
};
/**
 * Linear layer with block-quantised weights.
 * @param packed u8 [out, in/block, block·bits/8]
 * @param scales f32 [out, in/block]
 * @param options `products` 'i8': on the CPU two to five times faster with 4 bits, and the only fast way with 8; costs about half a
 *   percent of accuracy. Default 'f32'
 */
export function quantizedLinear(
  x: Tensor,
  packed: Tensor,
  scales: Tensor,
  options: { bits: 4 | 8; products?: 'f32' | 'i8' },
): Tensor {
  const { bits, products = 'f32' } = options;
  const [outFeatures, blocks, bytes] = packed.shape as [number, number, number];
  const blockSize = (bytes * 8) / bits;
  const attrs = { bits, blockSize, inFeatures: blocks * blockSize, outFeatures, products };
  return makeNode(quantizedLinearOp, [x, packed, scales], attrs)[0]!;
}

/**
 * The matrix [out, in] that blocks stand for.
 * @param packed u8 [out, in/block, block·bits/8]
 * @param scales f32 [out, in/block]
 */
export function fromBlocks(packed: Tensor, scales: Tensor, bits: 4 | 8): Tensor {
  const [rows, blocks, bytes] = packed.shape as [number, number, number];
  const blockSize = (bytes * 8) / bits;
  let q = cast(packed, scales.dtype); // [out, blocks, bytes]
  if (bits === 4) {
    const high = floor(mul(q, 1 / 16));
    q = stack([sub(q, mul(high, 16)), high], 3); // low nibble first
  }
  const centred = sub(reshape(q, [rows, blocks, blockSize]), 2 ** (bits - 1));
  const weight = mul(centred, reshape(scales, [rows, blocks, 1]));
  return reshape(weight, [rows, blocks * blockSize]);
}

/** Records of this file, for documentation and tests. */
export const linearOps = [gemmOp, matmulOp, plainMatmulOp, quantizedLinearOp] as const;
