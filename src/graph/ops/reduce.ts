// Reductions along axes, softmax, arg-max, top-k, cumulative sum.
import { assert, f32, sizeOf } from '../../base/index.ts';
import type { Op } from '../op.ts';
import { constant, constantF32, makeNode, type Tensor } from '../tensor.ts';
import { cast, div, equal, exp, mul, sub } from './elementwise.ts';
import { scatterElements } from './index-ops.ts';
import { gemm } from './linear.ts';
import { expand, flip, reshape } from './shape.ts';

type ReduceAttrs = { readonly axes: readonly number[]; readonly keepDims: boolean };

const normalAxis = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

function reducedShape(shape: readonly number[], { axes, keepDims }: ReduceAttrs): number[] {
  const out: number[] = [];
  for (const [i, d] of shape.entries()) {
    if (!axes.includes(i)) out.push(d);
    else if (keepDims) out.push(1);
  }
  return out;
}

/** The upstream gradient stretched back over the reduced axes. */
function spread(gy: Tensor, x: Tensor, attrs: ReduceAttrs): Tensor {
  return expand(reshape(gy, reducedShape(x.shape, { ...attrs, keepDims: true })), x.shape);
}

function reduction(name: string, type: string, formula: string, grad: Op<ReduceAttrs>['grad']): Op<ReduceAttrs> {
  return {
    name,
    formula,
    infer: ([x], a) => [{ dtype: x!.dtype, shape: reducedShape(x!.shape, a) }],
    grad,
    onnx: (e, [x], node) => e.node(type, [x!, e.ints(node.attrs.axes)], { keepdims: node.attrs.keepDims ? 1 : 0 }),
  };
}

const sumOp: Op<ReduceAttrs> = reduction('sum', 'ReduceSum', 'y = Σ x over axes', ({ gy, x: [x], attrs }) => [
  spread(gy, x!, attrs),
]);
const meanOp: Op<ReduceAttrs> = reduction(
  'mean',
  'ReduceMean',
  'y = mean of x over axes',
  ({ gy, x: [x], y: [y], attrs }) => [mul(spread(gy, x!, attrs), sizeOf(y!.shape) / sizeOf(x!.shape))],
);
const maxOp: Op<ReduceAttrs> = reduction(
  'max',
  'ReduceMax',
  'y = max of x over axes; ties share the gradient',
  ({ gy, x: [x], y: [y], attrs }) => {
    const hit = cast(equal(x!, spread(y!, x!, attrs)), gy.dtype);
    const count = spread(sum(hit, attrs.axes, attrs.keepDims), x!, attrs);
    return [mul(spread(gy, x!, attrs), div(hit, count))];
  },
);

function reduce(op: Op<ReduceAttrs>, x: Tensor, axes: readonly number[] | undefined, keepDims: boolean): Tensor {
  const rank = x.shape.length;
  const list = (axes ?? x.shape.map((_, i) => i)).map((a) => normalAxis(a, rank)).sort((a, b) => a - b);
  for (const a of list) assert(a >= 0 && a < rank, `${op.name} over axis ${a} of shape [${x.shape}]`);
  if (list.length === 0) return x;
  return makeNode(op, [x], { axes: list, keepDims })[0]!;
}

/** Σ x over `axes` (default all). */
export const sum = (x: Tensor, axes?: readonly number[], keepDims = false): Tensor => reduce(sumOp, x, axes, keepDims);
/** Mean of x over `axes` (default all). */
export const mean = (x: Tensor, axes?: readonly number[], keepDims = false): Tensor =>
  reduce(meanOp, x, axes, keepDims);
/** Largest x over `axes` (default all). */
export const max = (x: Tensor, axes?: readonly number[], keepDims = false): Tensor => reduce(maxOp, x, axes, keepDims);

/** Sums a broadcast gradient back to the shape of its operand. */
export function sumTo(g: Tensor, shape: readonly number[]): Tensor {
  const extra = g.shape.length - shape.length;
  const axes = g.shape.map((d, i) => (i < extra || (shape[i - extra] === 1 && d !== 1) ? i : -1)).filter((i) => i >= 0);
  if (axes.length === 0) return reshape(g, shape);
  const n = shape[shape.length - 1] ?? 1;
  const rows = sizeOf(g.shape) / Math.max(1, sizeOf(shape));
  // Only leading axes summed: a row of ones times a matrix is three times faster than ReduceSum.
  const leading = sizeOf(shape) === n && n > 1 && g.shape[g.shape.length - 1] === n && g.dtype === 'f32';
  if (leading && rows > 8) {
    const ones = constant(f32([1, rows], new Float32Array(rows).fill(1)));
    return reshape(gemm(ones, reshape(g, [rows, n])), shape);
  }
  return reshape(sum(g, axes, true), shape);
}

type AxisAttrs = { readonly axis: number };

const softmaxOp: Op<AxisAttrs> = {
  name: 'softmax',
  formula: 'y = eˣ / Σ eˣ along an axis',
  infer: ([x]) => [x!],
  grad: ({ gy, y: [y], attrs }) => [
    mul(y!, sub(gy, sum(mul(gy, y!), [attrs.axis], true))), // x̄ = y(ȳ − Σ ȳ·y)
  ],
  onnx: (e, [x], node) => e.node('Softmax', [x!], { axis: node.attrs.axis }),
};
/** Softmax along `axis` (default last). */
export const softmax = (x: Tensor, axis = -1): Tensor =>
  makeNode(softmaxOp, [x], { axis: normalAxis(axis, x.shape.length) })[0]!;

const logSoftmaxOp: Op<AxisAttrs> = {
  name: 'logSoftmax',
  formula: 'y = x − ln Σ eˣ along an axis',
  infer: ([x]) => [x!],
  grad: ({ gy, y: [y], attrs }) => [sub(gy, mul(exp(y!), sum(gy, [attrs.axis], true)))],
  onnx: (e, [x], node) => e.node('LogSoftmax', [x!], { axis: node.attrs.axis }),
};
/** ln softmax along `axis` (default last). */
export const logSoftmax = (x: Tensor, axis = -1): Tensor =>
  makeNode(logSoftmaxOp, [x], { axis: normalAxis(axis, x.shape.length) })[0]!;

const cumsumOp: Op<AxisAttrs> = {
  name: 'cumsum',
  formula: 'yᵢ = Σ_{j ≤ i} xⱼ along an axis',
  infer: ([x]) => [x!],
  grad: ({ gy, attrs }) => [flip(cumsum(flip(gy, attrs.axis), attrs.axis), attrs.axis)],
  onnx: (e, [x], node) => e.node('CumSum', [x!, e.ints([node.attrs.axis])]),
};
/** Running sum along `axis`. */
export const cumsum = (x: Tensor, axis: number): Tensor =>
  makeNode(cumsumOp, [x], { axis: normalAxis(axis, x.shape.length) })[0]!;

const argMaxOp: Op<AxisAttrs> = {
  name: 'argMax',
  formula: 'y = index of the largest x along an axis (int64, axis removed)',
  infer: ([x], a) => [{ dtype: 'i64', shape: x!.shape.filter((_, i) => i !== a.axis) }],
  grad: null,
  onnx: (e, [x], node) => e.node('ArgMax', [x!], { axis: node.attrs.axis, keepdims: 0 }),
};
/** Index of the largest element along `axis`. */
export const argMax = (x: Tensor, axis = -1): Tensor =>
  makeNode(argMaxOp, [x], { axis: normalAxis(axis, x.shape.length) })[0]!;

type TopKAttrs = { readonly k: number; readonly axis: number };
const topKOp: Op<TopKAttrs> = {
  name: 'topK',
  formula: '(values, indices) of the k largest along an axis, sorted',
  infer: ([x], a) => {
    const shape = x!.shape.map((d, i) => (i === a.axis ? a.k : d));
    return [
      { dtype: x!.dtype, shape },
      { dtype: 'i64', shape },
    ];
  },
  grad: ({ g, x: [x], y: [, indices], attrs }) => [
    g[0] === undefined
      ? undefined
      : scatterElements(constantF32(x!.shape, new Float32Array(sizeOf(x!.shape))), indices!, g[0], attrs.axis),
  ],
  onnx: (e, [x], node) => e.node('TopK', [x!, e.ints([node.attrs.k])], { axis: node.attrs.axis }, { outputs: 2 }),
};
/** The `k` largest elements along `axis` and their indices (int64), in falling order. */
export function topK(x: Tensor, k: number, axis = -1): { values: Tensor; indices: Tensor } {
  const [values, indices] = makeNode(topKOp, [x], { k, axis: normalAxis(axis, x.shape.length) });
  return { values: values!, indices: indices! };
}

/** Records of this file, for documentation and tests. */
export const reduceOps = [sumOp, meanOp, maxOp, softmaxOp, logSoftmaxOp, cumsumOp, argMaxOp, topKOp] as const;
