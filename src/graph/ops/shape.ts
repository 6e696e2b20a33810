// Ops that move elements without changing them: reshape, transpose, expand, slice, concat, split, pad, upsample.
import { assert, sizeOf } from '../../base/index.ts';
import type { Op } from '../op.ts';
import { makeNode, scalar, type Tensor } from '../tensor.ts';
import { sum, sumTo } from './reduce.ts';

type ShapeAttrs = { readonly shape: readonly number[] };

const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);

const reshapeOp: Op<ShapeAttrs> = {
  name: 'reshape',
  formula: 'y = x with another shape, same order of elements',
  infer: ([x], a) => {
    assert(sizeOf(x!.shape) === sizeOf(a.shape), `reshape of [${x!.shape}] to [${a.shape}]`);
    return [{ dtype: x!.dtype, shape: a.shape }];
  },
  grad: ({ gy, x: [x] }) => [reshape(gy, x!.shape)],
  evaluate: ([x], a) => ({ ...x!, shape: a.shape }),
  onnx: (e, [x], node) => e.node('Reshape', [x!, e.ints(node.attrs.shape)]),
};
/** Same elements in another shape; one dimension may be −1. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  const known = shape.reduce((n, d) => (d === -1 ? n : n * d), 1);
  const full = shape.map((d) => (d === -1 ? sizeOf(x.shape) / known : d));
  if (sameShape(full, x.shape)) return x;
  // A reshape of a reshape is one reshape.
  const source = x.node.op === (reshapeOp as unknown) ? x.node.inputs[0]! : x;
  return sameShape(full, source.shape) ? source : makeNode(reshapeOp, [source], { shape: full })[0]!;
}

const transposeOp: Op<{ readonly perm: readonly number[] }> = {
  name: 'transpose',
  formula: 'y[i_perm] = x[i]: axis k of y is axis perm[k] of x',
  infer: ([x], a) => {
    assert(a.perm.length === x!.shape.length, `transpose of [${x!.shape}] by [${a.perm}]`);
    return [{ dtype: x!.dtype, shape: a.perm.map((p) => x!.shape[p]!) }];
  },
  grad: ({ gy, attrs }) => {
    const inverse = new Array<number>(attrs.perm.length);
    for (const [k, p] of attrs.perm.entries()) inverse[p] = k;
    return [transpose(gy, inverse)];
  },
  onnx: (e, inputs, node) => e.node('Transpose', inputs, { perm: node.attrs.perm }),
};
/** Permutes axes: axis k of the result is axis `perm[k]` of x. */
export function transpose(x: Tensor, perm: readonly number[]): Tensor {
  if (perm.every((p, i) => p === i)) return x;
  // Moving only axes of size 1 is a reshape, which costs nothing.
  const moved = perm.filter((p) => x.shape[p] !== 1);
  if (moved.every((p, i) => i === 0 || p > moved[i - 1]!))
    return reshape(
      x,
      perm.map((p) => x.shape[p]!),
    );
  return makeNode(transposeOp, [x], { perm })[0]!;
}

const expandOp: Op<ShapeAttrs> = {
  name: 'expand',
  formula: 'y = x repeated along axes of size 1',
  infer: ([x], a) => {
    const extra = a.shape.length - x!.shape.length;
    const fits = extra >= 0 && x!.shape.every((d, i) => d === 1 || d === a.shape[i + extra]);
    assert(fits, `expand of [${x!.shape}] to [${a.shape}]`);
    return [{ dtype: x!.dtype, shape: a.shape }];
  },
  grad: ({ gy, x: [x] }) => [sumTo(gy, x!.shape)],
  onnx: (e, [x], node) => e.node('Expand', [x!, e.ints(node.attrs.shape)]),
};
/** Broadcasts x to `shape`. */
export const expand = (x: Tensor, shape: readonly number[]): Tensor =>
  sameShape(x.shape, shape) ? x : makeNode(expandOp, [x], { shape })[0]!;

type SliceAttrs = {
  readonly axes: readonly number[];
  readonly starts: readonly number[];
  readonly sizes: readonly number[];
  readonly steps: readonly number[];
};
const sliceOp: Op<SliceAttrs> = {
  name: 'slice',
  formula: 'y[i] = x[start + i·step] along axes; steps may be negative',
  infer: ([x], a) => {
    const shape = [...x!.shape];
    for (const [k, axis] of a.axes.entries()) {
      const last = a.starts[k]! + (a.sizes[k]! - 1) * a.steps[k]!;
      const inside =
        a.sizes[k]! >= 0 &&
        (a.sizes[k] === 0 || (a.starts[k]! >= 0 && a.starts[k]! < shape[axis]! && last >= 0 && last < shape[axis]!));
      assert(
        inside,
        `slice of [${x!.shape}] on axis ${axis}: start ${a.starts[k]}, size ${a.sizes[k]}, step ${a.steps[k]}`,
      );
      shape[axis] = a.sizes[k]!;
    }
    return [{ dtype: x!.dtype, shape }];
  },
  grad: ({ gy, x: [x], attrs }) => [unslice(gy, x!.shape, attrs)],
  onnx: (e, [x], { attrs: a }) => {
    // An end below 0 means "before the first element": ONNX wants a very negative number for it.
    const ends = a.starts.map((s, k) => s + a.sizes[k]! * a.steps[k]!).map((end) => (end < 0 ? -(2 ** 31) : end));
    return e.node('Slice', [x!, e.ints(a.starts), e.ints(ends), e.ints(a.axes), e.ints(a.steps)]);
  },
};
/** The gradient of a slice: zeros with g at the sliced places. */
function unslice(g: Tensor, shape: readonly number[], a: SliceAttrs): Tensor {
  let out = g;
  const before = shape.map(() => 0);
  const after = shape.map(() => 0);
  for (const [k, axis] of a.axes.entries()) {
    let start = a.starts[k]!;
    let step = a.steps[k]!;
    if (step < 0) {
      out = flip(out, axis);
      start += (a.sizes[k]! - 1) * step;
      step = -step;
    }
    if (step > 1) {
      // Spread by inserting step−1 zeros after each element, then cut to the last one.
      const s = out.shape;
      const spread = pad(reshape(out, [...s.slice(0, axis + 1), 1, ...s.slice(axis + 1)]), {
        before: [...s.map(() => 0), 0],
        after: [...s.slice(0, axis + 1).map(() => 0), step - 1, ...s.slice(axis + 1).map(() => 0)],
      });
      out = slice(
        reshape(spread, [...s.slice(0, axis), s[axis]! * step, ...s.slice(axis + 1)]),
        axis,
        0,
        (s[axis]! - 1) * step + 1,
      );
    }
    before[axis] = start;
    after[axis] = shape[axis]! - start - out.shape[axis]!;
  }
  return pad(out, { before, after });
}

/** `size` elements along `axis` from `start`, every `step`-th. */
export function slice(x: Tensor, axis: number, start: number, size: number, step = 1): Tensor {
  const k = axis < 0 ? axis + x.shape.length : axis;
  if (start === 0 && size === x.shape[k] && step === 1) return x;
  return makeNode(sliceOp, [x], { axes: [k], starts: [start], sizes: [size], steps: [step] })[0]!;
}
/** Slices several axes at once. */
export function sliceMany(
  x: Tensor,
  axes: readonly number[],
  starts: readonly number[],
  sizes: readonly number[],
  steps: readonly number[] = axes.map(() => 1),
): Tensor {
  return makeNode(sliceOp, [x], { axes, starts, sizes, steps })[0]!;
}
/** Reverses one axis. */
export const flip = (x: Tensor, axis: number): Tensor =>
  x.shape[axis] === 1 ? x : slice(x, axis, x.shape[axis]! - 1, x.shape[axis]!, -1);

const concatOp: Op<{ readonly axis: number }> = {
  name: 'concat',
  formula: 'y = inputs one after the other along an axis',
  infer: (xs, { axis }) => {
    const shape = [...xs[0]!.shape];
    shape[axis] = 0;
    for (const x of xs) {
      const fits =
        x.shape.length === shape.length &&
        x.shape.every((d, i) => i === axis || d === shape[i]) &&
        x.dtype === xs[0]!.dtype;
      assert(fits, `concat of [${xs.map((t) => `${t.dtype} [${t.shape}]`).join(', ')}] on axis ${axis}`);
      shape[axis] += x.shape[axis]!;
    }
    return [{ dtype: xs[0]!.dtype, shape }];
  },
  grad: ({ gy, x: xs, attrs: { axis } }) =>
    split(
      gy,
      xs.map((x) => x.shape[axis]!),
      axis,
    ),
  onnx: (e, inputs, node) => e.node('Concat', inputs, { axis: node.attrs.axis }),
};
/** Joins tensors along `axis`. */
export function concat(xs: readonly Tensor[], axis: number): Tensor {
  assert(xs.length > 0, 'concat of nothing');
  if (xs.length === 1) return xs[0]!;
  return makeNode(concatOp, xs, { axis: axis < 0 ? axis + xs[0]!.shape.length : axis })[0]!;
}

type SplitAttrs = { readonly axis: number; readonly sizes: readonly number[] };
const splitOp: Op<SplitAttrs> = {
  name: 'split',
  formula: 'y₀, y₁, … = consecutive parts of x along an axis',
  infer: ([x], a) => {
    const total = a.sizes.reduce((s, d) => s + d, 0);
    assert(total === x!.shape[a.axis], `split of [${x!.shape}] on axis ${a.axis} into [${a.sizes}]`);
    return a.sizes.map((size) => ({ dtype: x!.dtype, shape: x!.shape.map((d, i) => (i === a.axis ? size : d)) }));
  },
  grad: ({ g, y, attrs }) => [
    concat(
      y.map((t, i) => g[i] ?? expand(scalar(0, t), t.shape)),
      attrs.axis,
    ),
  ],
  onnx: (e, [x], node) =>
    e.node('Split', [x!, e.ints(node.attrs.sizes)], { axis: node.attrs.axis }, { outputs: node.attrs.sizes.length }),
};
/** Cuts x along `axis` into parts of the given sizes. */
export function split(x: Tensor, sizes: readonly number[], axis: number): readonly Tensor[] {
  if (sizes.length === 1) return [x];
  return makeNode(splitOp, [x], { sizes, axis: axis < 0 ? axis + x.shape.length : axis });
}
/** Cuts x along `axis` into `n` equal parts. */
export function chunk(x: Tensor, n: number, axis: number): readonly Tensor[] {
  const k = axis < 0 ? axis + x.shape.length : axis;
  return split(x, new Array<number>(n).fill(x.shape[k]! / n), k);
}

type PadAttrs = { readonly before: readonly number[]; readonly after: readonly number[]; readonly value: number };
const padOp: Op<PadAttrs> = {
  name: 'pad',
  formula: 'y = x with constant borders; negative amounts are not allowed',
  infer: ([x], a) => [{ dtype: x!.dtype, shape: x!.shape.map((d, i) => d + a.before[i]! + a.after[i]!) }],
  grad: ({ gy, x: [x], attrs }) => [
    sliceMany(
      gy,
      x!.shape.map((_, i) => i),
      attrs.before,
      x!.shape,
    ),
  ],
  onnx: (e, [x], node) => {
    const { before, after, value } = node.attrs;
    return e.node('Pad', [x!, e.ints([...before, ...after]), e.scalar(value, node.outputs[0]!)]);
  },
};
/** Adds borders of a constant value (default 0): `before[i]` and `after[i]` elements on axis i. */
export function pad(
  x: Tensor,
  options: { before: readonly number[]; after: readonly number[]; value?: number },
): Tensor {
  const { before, after, value = 0 } = options;
  if (before.every((n) => n === 0) && after.every((n) => n === 0)) return x;
  return makeNode(padOp, [x], { before, after, value })[0]!;
}
/** Repeats the border element: `before` copies of the first and `after` copies of the last along `axis`. */
export function padEdge(x: Tensor, axis: number, before: number, after: number): Tensor {
  const first = slice(x, axis, 0, 1);
  const last = slice(x, axis, x.shape[axis]! - 1, 1);
  const parts = [...new Array<Tensor>(before).fill(first), x, ...new Array<Tensor>(after).fill(last)];
  return concat(parts, axis);
}
/** Mirrors without repeating the border element (PyTorch "reflect"). */
export function padReflect(x: Tensor, axis: number, before: number, after: number): Tensor {
  const n = x.shape[axis]!;
  assert(before < n && after < n, `reflect padding ${before}, ${after} of an axis of ${n}`);
  const parts: Tensor[] = [];
  if (before > 0) parts.push(slice(x, axis, before, before, -1));
  parts.push(x);
  if (after > 0) parts.push(slice(x, axis, n - 2, after, -1));
  return concat(parts, axis);
}

const repeatOp: Op<{ readonly axis: number; readonly times: number }> = {
  name: 'repeat',
  formula: 'y[i] = x[⌊i / times⌋] along an axis (nearest up-sampling)',
  infer: ([x], a) => [{ dtype: x!.dtype, shape: x!.shape.map((d, i) => (i === a.axis ? d * a.times : d)) }],
  grad: ({ gy, x: [x], attrs: { axis, times } }) => {
    const s = x!.shape;
    const grouped = reshape(gy, [...s.slice(0, axis + 1), times, ...s.slice(axis + 1)]);
    return [sum(grouped, [axis + 1])];
  },
  onnx: (e, [x], node) => {
    const { axis, times } = node.attrs;
    const s = node.inputs[0]!.shape;
    const [wide] = e.node('Reshape', [x!, e.ints([...s.slice(0, axis + 1), 1, ...s.slice(axis + 1)])]);
    const [many] = e.node('Expand', [wide!, e.ints([...s.slice(0, axis + 1), times, ...s.slice(axis + 1)])]);
    return e.node('Reshape', [many!, e.ints(node.outputs[0]!.shape)]);
  },
};
/** Repeats every element `times` times along `axis`. */
export const repeat = (x: Tensor, axis: number, times: number): Tensor =>
  times === 1 ? x : makeNode(repeatOp, [x], { axis: axis < 0 ? axis + x.shape.length : axis, times })[0]!;

/** Stacks tensors of one shape along a new axis. */
export function stack(xs: readonly Tensor[], axis: number): Tensor {
  return concat(
    xs.map((x) => reshape(x, [...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)])),
    axis,
  );
}

/** Records of this file, for documentation and tests. */
export const shapeOps = [reshapeOp, transposeOp, expandOp, sliceOp, concatOp, splitOp, padOp, repeatOp] as const;
