// Reading and writing by index: embedding rows, element gathers, neighbourhoods.
import { assert, sizeOf } from '../../base/index.ts';
import type { Op } from '../op.ts';
import { constant, constantF32, makeNode, scalar, type Tensor } from '../tensor.ts';
import { sum } from './reduce.ts';
import { concat, expand, reshape, transpose } from './shape.ts';

type AxisAttrs = { readonly axis: number };

const gatherOp: Op<AxisAttrs> = {
  name: 'gather',
  formula: 'y = x[indices] along an axis; the index shape takes the place of the axis',
  infer: ([x, i], { axis }) => {
    assert(i!.dtype === 'i64' || i!.dtype === 'i32', `gather with ${i!.dtype} indices`);
    return [{ dtype: x!.dtype, shape: [...x!.shape.slice(0, axis), ...i!.shape, ...x!.shape.slice(axis + 1)] }];
  },
  grad: ({ gy, x: [x, i], attrs: { axis } }) => {
    // Move the gathered axes to the front, add rows, move back.
    const rows = sizeOf(i!.shape);
    const [lead, tail] = [x!.shape.slice(0, axis), x!.shape.slice(axis + 1)];
    const front = transpose(reshape(gy, [sizeOf(lead), rows, sizeOf(tail)]), [1, 0, 2]);
    const added = scatterRows(
      x!.shape[axis]!,
      reshape(i!, [rows]),
      reshape(front, [rows, sizeOf(lead) * sizeOf(tail)]),
    );
    const back = transpose(reshape(added, [x!.shape[axis]!, sizeOf(lead), sizeOf(tail)]), [1, 0, 2]);
    return [reshape(back, x!.shape), undefined];
  },
  onnx: (e, inputs, node) => e.node('Gather', inputs, { axis: node.attrs.axis }),
};
/** Takes entries of x along `axis` (default 0) by an integer tensor: embedding look-up. */
export const gather = (x: Tensor, indices: Tensor, axis = 0): Tensor =>
  makeNode(gatherOp, [x, indices], { axis: axis < 0 ? axis + x.shape.length : axis })[0]!;

const scatterRowsOp: Op<{ readonly rows: number }> = {
  name: 'scatterRows',
  formula: 'y[r] = Σ of the rows of x whose index is r',
  infer: ([, x], a) => [{ dtype: x!.dtype, shape: [a.rows, x!.shape[1]!] }],
  grad: ({ gy, x: [indices] }) => [undefined, gather(gy, indices!)],
  onnx: (e, [indices, x], node) => {
    const [column] = e.node('Reshape', [indices!, e.ints([node.inputs[0]!.shape[0]!, 1])]);
    const [zeros] = e.node('Expand', [e.scalar(0, node.outputs[0]!), e.ints(node.outputs[0]!.shape)]);
    return e.node('ScatterND', [zeros!, column!, x!], { reduction: 'add' });
  },
};
/** Adds the rows of x [n, C] into a zero matrix [rows, C] at `indices` [n]. */
export const scatterRows = (rows: number, indices: Tensor, x: Tensor): Tensor =>
  makeNode(scatterRowsOp, [indices, x], { rows })[0]!;

const gatherElementsOp: Op<AxisAttrs> = {
  name: 'gatherElements',
  formula: 'y[…i…] = x[…indices[…i…]…] along an axis',
  infer: ([x, i]) => [{ dtype: x!.dtype, shape: i!.shape }],
  grad: ({ gy, x: [x, i], attrs }) => [
    scatterElements(constantF32(x!.shape, new Float32Array(sizeOf(x!.shape))), i!, gy, attrs.axis),
    undefined,
  ],
  onnx: (e, inputs, node) => e.node('GatherElements', inputs, { axis: node.attrs.axis }),
};
/** Picks one element per position along `axis`. */
export const gatherElements = (x: Tensor, indices: Tensor, axis: number): Tensor =>
  makeNode(gatherElementsOp, [x, indices], { axis })[0]!;

const scatterElementsOp: Op<AxisAttrs> = {
  name: 'scatterElements',
  formula: 'y = x, with updates added at indices along an axis',
  infer: ([x]) => [x!],
  grad: ({ gy, x: [, i], attrs }) => [gy, undefined, gatherElements(gy, i!, attrs.axis)],
  onnx: (e, inputs, node) => e.node('ScatterElements', inputs, { axis: node.attrs.axis, reduction: 'add' }),
};
/** Adds `updates` into x at `indices` along `axis`. */
export const scatterElements = (x: Tensor, indices: Tensor, updates: Tensor, axis: number): Tensor =>
  makeNode(scatterElementsOp, [x, indices, updates], { axis })[0]!;

/**
 * A neighbourhood table: row m of the result is the concatenation of `width` rows of the source, `index[m·width + j]` each,
 * −1 = a row of zeros. `sources` = number of source rows.
 */
export type Neighbourhood = { readonly index: Int32Array; readonly width: number; readonly sources: number };

/** The inverted table: for every source row the places that used it, padded with −1. */
function inverted(table: Neighbourhood): Neighbourhood {
  const users: number[][] = Array.from({ length: table.sources }, () => []);
  for (let place = 0; place < table.index.length; place++) {
    const source = table.index[place]!;
    if (source >= 0) users[source]!.push(place);
  }
  const width = Math.max(1, ...users.map((u) => u.length));
  const index = new Int32Array(table.sources * width).fill(-1);
  for (const [s, u] of users.entries()) index.set(u, s * width);
  return { index, width, sources: table.index.length };
}

/** The table with −1 replaced by the number of the appended zero row; int32 halves the model bytes. */
function withZeroRow(table: Neighbourhood): Tensor {
  const data = table.index.map((i) => (i < 0 ? table.sources : i));
  return constant({ dtype: 'i32', shape: [data.length / table.width, table.width], data });
}

const gatherRowsOp: Op<{ readonly table: Neighbourhood }> = {
  name: 'gatherRows',
  formula:
    'y[b, m] = concat_j x[b, table[m, j]] ("im2row": convolution over any token grid is this and a matrix product)',
  infer: ([x], { table }) => {
    assert(
      x!.shape.length === 3 && x!.shape[1] === table.sources,
      `gatherRows of [${x!.shape}] with ${table.sources} sources`,
    );
    return [{ dtype: x!.dtype, shape: [x!.shape[0]!, table.index.length / table.width, table.width * x!.shape[2]!] }];
  },
  grad: ({ gy, x: [x], attrs: { table } }) => {
    // Each source row sums what its users got: the same gather with the inverted table.
    const [b, , c] = x!.shape as [number, number, number];
    const back = inverted(table);
    const places = reshape(gy, [b, table.index.length, c]);
    const picked = gatherRows(places, back);
    return [sum(reshape(picked, [b, table.sources, back.width, c]), [2])];
  },
  onnx: () => {
    throw new Error('gatherRows is written through its unfused definition');
  },
  contrib: true,
  unfused: ([x], { table }) => {
    const [b, , c] = x!.shape as [number, number, number];
    const hasHoles = table.index.includes(-1);
    const padded = hasHoles ? concat([x!, expand(scalar(0, x!), [b, 1, c])], 1) : x!;
    const rows = gather(padded, reshape(withZeroRow(table), [table.index.length]), 1); // [b, M·K, c]
    return [reshape(rows, [b, table.index.length / table.width, table.width * c])];
  },
};
/** Concatenated neighbour rows: x [B, sources, C] → [B, M, width·C]. */
export const gatherRows = (x: Tensor, table: Neighbourhood): Tensor => makeNode(gatherRowsOp, [x], { table })[0]!;

const oneHotOp: Op<{ readonly depth: number }> = {
  name: 'oneHot',
  formula: 'y[…, k] = (indices[…] = k), float32',
  infer: ([i], a) => [{ dtype: 'f32', shape: [...i!.shape, a.depth] }],
  grad: null,
  onnx: (e, [i], node) =>
    e.node('OneHot', [
      i!,
      e.ints([node.attrs.depth]),
      e.constant({ dtype: 'f32', shape: [2], data: Float32Array.of(0, 1) }),
    ]),
};
/** One-hot rows of integer indices. */
export const oneHot = (indices: Tensor, depth: number): Tensor => makeNode(oneHotOp, [indices], { depth })[0]!;

/** Records of this file, for documentation and tests. */
export const indexOps = [gatherOp, scatterRowsOp, gatherElementsOp, scatterElementsOp, gatherRowsOp, oneHotOp] as const;
