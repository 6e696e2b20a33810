// What a graph costs before it is run: multiply-adds, and memory by counting which values live at the same time.
// An own count of the graph as written; the runtime's scratch buffers are not in it.
import { DTYPE_BYTES, sizeOf } from '../base/index.ts';
import { type CompileOptions, optimise } from './compile.ts';
import { isInput, isLeaf, isParam, type Node, type Tensor, type TensorType, topologicalOrder } from './tensor.ts';

/** Memory of one run, all in bytes. */
export type MemoryPlan = {
  /** Weights, in the type they are computed with. */
  readonly weightBytes: number;
  /** Constants written into the graph. */
  readonly constantBytes: number;
  /** Values fed at every run, optimizer state included. */
  readonly inputBytes: number;
  /** Results. */
  readonly outputBytes: number;
  /** Largest sum of intermediate values alive at one time, results not counted. */
  readonly activationBytes: number;
  /** Everything together. */
  readonly totalBytes: number;
};

export const bytesOf = (t: TensorType): number => sizeOf(t.shape) * DTYPE_BYTES[t.dtype];

/** Ops whose result is the memory of the first input under another shape. */
const VIEWS = new Set(['reshape', 'stopGradient']);
/** Ops that may write over an input of the same size which nobody reads later. */
const IN_PLACE = new Set(
  'add sub mul div pow maximum minimum neg abs exp log sqrt reciprocal sin cos tanh erf sigmoid silu gelu relu softplus where softmax'.split(
    ' ',
  ),
);

/** Counts the memory of a run of `outputs` in the order in which they are written to ONNX. */
export function planMemory(
  outputs: Readonly<Record<string, Tensor>>,
  options: Pick<CompileOptions, 'standard'> = {},
): MemoryPlan {
  const { standard = false } = options;
  const results = optimise(Object.values(outputs), { standard });
  const order = topologicalOrder(results);

  // A view shares the memory of its source.
  const root = new Map<Tensor, Tensor>();
  const rootOf = (t: Tensor): Tensor => root.get(t) ?? t;
  for (const node of order) if (VIEWS.has(node.op.name)) root.set(node.outputs[0]!, rootOf(node.inputs[0]!));

  const lastUse = new Map<Tensor, number>();
  for (const [i, node] of order.entries()) for (const t of node.inputs) lastUse.set(rootOf(t), i);
  const kept = new Set(results.map(rootOf));

  const sums = { weightBytes: 0, constantBytes: 0, inputBytes: 0 };
  let live = 0;
  let peak = 0;
  for (const [i, node] of order.entries()) {
    if (isLeaf(node)) {
      const bytes = bytesOf(node.outputs[0]!);
      if (isParam(node)) sums.weightBytes += bytes;
      else if (isInput(node)) sums.inputBytes += bytes;
      else sums.constantBytes += bytes;
      continue;
    }
    if (VIEWS.has(node.op.name)) {
      live -= released(node.inputs, i);
      continue;
    }
    const made = node.outputs.filter((t) => lastUse.has(t) && !kept.has(t)).reduce((n, t) => n + bytesOf(t), 0);
    const freed = released(node.inputs, i);
    const reused = IN_PLACE.has(node.op.name) && freed >= made ? made : 0;
    peak = Math.max(peak, live + made - reused);
    live += made - freed;
  }

  /** Bytes of the intermediate values among `inputs` that nobody needs after step `i`. */
  function released(inputs: readonly Tensor[], i: number): number {
    const dead = new Set(inputs.map(rootOf).filter((t) => lastUse.get(t) === i && !isLeaf(t.node) && !kept.has(t)));
    return [...dead].reduce((n, t) => n + bytesOf(t), 0);
  }

  const outputBytes = [...kept].filter((t) => !isLeaf(t.node)).reduce((n, t) => n + bytesOf(t), 0);
  const { weightBytes, constantBytes, inputBytes } = sums;
  const totalBytes = weightBytes + constantBytes + inputBytes + outputBytes + peak;
  return { ...sums, outputBytes, activationBytes: peak, totalBytes };
}

const product = (shape: readonly number[]): number => sizeOf(shape);

/** Floating-point operations of one node's products (a multiply-add is two); 0 for everything that is not a product. */
function flopsOf(node: Node): number {
  const out = node.outputs[0]!;
  const [a, b, c] = node.inputs;
  switch (node.op.name) {
    case 'gemm': {
      const { transA } = node.attrs as { transA: boolean };
      return 2 * product(out.shape) * a!.shape[transA ? 0 : 1]!;
    }
    case 'matmul':
    case 'plainMatmul': {
      const { transA } = node.attrs as { transA: boolean };
      return 2 * product(out.shape) * a!.shape[a!.shape.length - (transA ? 2 : 1)]!;
    }
    case 'quantizedLinear':
      return 2 * product(out.shape) * a!.shape[a!.shape.length - 1]!;
    case 'conv':
      return 2 * product(out.shape) * product(b!.shape.slice(1));
    case 'convTranspose':
      return 2 * product(a!.shape) * product(b!.shape.slice(1));
    case 'attention': {
      const [batch, queries, heads, width] = a!.shape as [number, number, number, number];
      return 2 * batch * heads * queries * b!.shape[1]! * (width + c!.shape[3]!);
    }
    default:
      return 0;
  }
}

/** Floating-point operations of all matrix products, convolutions and attentions of a run; element-wise work is not counted. */
export function countFlops(outputs: Readonly<Record<string, Tensor>>): number {
  const results = optimise(Object.values(outputs), { standard: false });
  return topologicalOrder(results).reduce((n, node) => n + flopsOf(node), 0);
}
