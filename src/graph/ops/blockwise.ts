// Element-wise functions of long vectors, computed block by block: what lies between the steps of the function stays in
// the processor's cache instead of passing through memory once per step.
import { assert, sizeOf } from '../../base/index.ts';
import type { Op } from '../op.ts';
import { makeNode, type Tensor } from '../tensor.ts';
import { reshape } from './shape.ts';

type BlockwiseAttrs = {
  readonly build: (blocks: readonly Tensor[], shared: readonly Tensor[]) => readonly Tensor[];
  /** Number of inputs that are cut into blocks; the rest is shared. */
  readonly blocks: number;
};

const blockwiseOp: Op<BlockwiseAttrs> = {
  name: 'blockwise',
  formula: 'y[i] = f(x[i], shared) for every row i, f element-wise',
  infer: (inputs, { build, blocks }) => {
    const [rows, width] = inputs[0]!.shape;
    const outputs = build(inputs.slice(0, blocks), inputs.slice(blocks));
    for (const t of [...inputs.slice(0, blocks), ...outputs]) {
      const fits = t.shape.length === 2 && t.shape[0] === rows && t.shape[1] === width;
      assert(fits, `blockwise over [${inputs[0]!.shape}]: a value has the shape [${t.shape}]`);
    }
    return outputs.map(({ dtype, shape }) => ({ dtype, shape }));
  },
  grad: 'unfused',
  onnx: (e, inputs, node) => {
    const { build, blocks } = node.attrs;
    const width = node.inputs[0]!.shape[1]!;
    const body = e.subgraph(
      [
        ...node.inputs.slice(0, blocks).map((t) => ({ type: { dtype: t.dtype, shape: [width] }, outer: undefined })),
        ...node.inputs.slice(blocks).map((t, i) => ({ type: t, outer: inputs[blocks + i]! })),
      ],
      (tensors) => build(tensors.slice(0, blocks), tensors.slice(blocks)),
    );
    return e.node('Scan', inputs.slice(0, blocks), { num_scan_inputs: blocks, body }, { outputs: node.outputs.length });
  },
  unfused: (inputs, { build, blocks }) => build(inputs.slice(0, blocks), inputs.slice(blocks)),
};

/**
 * Applies an element-wise function row by row.
 * @param build the function; must work on tensors of any shape, and read only what it is given
 * @param blocks tensors [rows, width] of one shape; on CPU a width of about 32 000 float32 numbers suits the cache
 * @param shared scalars or [1]
 */
export function blockwise(
  build: (blocks: readonly Tensor[], shared: readonly Tensor[]) => readonly Tensor[],
  blocks: readonly Tensor[],
  shared: readonly Tensor[],
): readonly Tensor[] {
  return makeNode(blockwiseOp, [...blocks, ...shared], { build, blocks: blocks.length });
}

/** Numbers per block: a handful of float32 arrays of this length fit the second-level cache. */
const BLOCK = 32768;

/** Rows and width of `size` numbers: the widest rows that fit a block; a single row where the size has no fitting divisor. */
export function blockShape(size: number): [rows: number, width: number] {
  for (let rows = Math.ceil(size / BLOCK); size / rows >= BLOCK / 8; rows++) {
    if (size % rows === 0) return [rows, size / rows];
  }
  return [1, size];
}

/** Tensors of at least this many numbers are worth cutting: smaller ones stay in the cache by themselves. */
const LONG = 1 << 19;

/** Applies an element-wise function of equally shaped tensors, block by block where that pays. */
export function longElementwise(
  build: (x: readonly Tensor[]) => Tensor,
  tensors: readonly [Tensor, ...Tensor[]],
): Tensor {
  const { shape } = tensors[0];
  const size = sizeOf(shape);
  const [rows, width] = blockShape(size);
  if (size < LONG || rows === 1) return build(tensors);
  const blocks = tensors.map((t) => reshape(t, [rows, width]));
  return reshape(blockwise((x) => [build(x)], blocks, [])[0]!, shape);
}

/** Records of this file, for documentation and tests. */
export const blockwiseOps = [blockwiseOp] as const;
