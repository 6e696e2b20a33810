// What a public model needs before it is opened: bytes in memory and on disk for each form of its weights, counted from its architecture.
import { sizeOf } from '../../base/index.ts';
import { BLOCK, blockBytes } from '../../formats/index.ts';
import {
  blockWeights,
  cutStages,
  isParam,
  type Node,
  onlyGathered,
  planMemory,
  type TensorType,
  topologicalOrder,
} from '../../graph/index.ts';
import { STAGE_BYTES } from '../../runtime/index.ts';
import type { Outputs } from './networks.ts';
import type { WeightForm } from './weight-form.ts';

/** Node and ONNX Runtime with the code of this package, before a network is built. */
const BASE_BYTES = 145e6;
/** A node of the graph: here, as ONNX, and in the session that runs it. */
const NODE_BYTES = 13e3;
/** Kernels for blocks keep, beside the numbers in their own order, three float32 per block: scale, sum, and the scale where it is mapped. */
const KERNEL_BLOCK_BYTES = 12;

export type Need = {
  readonly weights: WeightForm;
  readonly offload: boolean;
  /** Weights on disk in this form; made once and kept in the cache for 8 and 4 bits. */
  readonly diskBytes: number;
  /** Weights in memory while the network runs, with what is widened for a moment. */
  readonly weightBytes: number;
  /** Intermediate values, inputs, results and constants. */
  readonly activationBytes: number;
  /** Node, ONNX Runtime and the graph itself. */
  readonly programBytes: number;
  /** Everything together. */
  readonly peakBytes: number;
};

export type NeedOptions = {
  readonly weights: WeightForm;
  readonly offload?: boolean;
  /** Bytes of a stored number. Default 2: float16 or bfloat16. */
  readonly storedWidth?: 2 | 4;
  /** Intermediate values counted elsewhere, such as on fewer blocks of the same size. Default: counted on `outputs`. */
  readonly activationBytes?: number;
};

/** Counts the need of one network. @param outputs the network at the size at which it will run */
export function networkNeed(outputs: Outputs, options: NeedOptions): Need {
  const { weights, offload = false, storedWidth = 2 } = options;
  const order = topologicalOrder(Object.values(outputs));
  const blocked = new Set(blockWeights(Object.values(outputs), BLOCK).map(({ name }) => name));
  const kernels = convolved(order);
  const bits = weights === '8bit' ? 8 : 4;
  const isBlocked = (name: string): boolean => weights !== 'stored' && blocked.has(name);
  const bytesOf = (name: string, { shape }: TensorType): number =>
    isBlocked(name) ? blockBytes(sizeOf(shape), { bits, blockSize: BLOCK }) : storedWidth * sizeOf(shape);
  const heldBytesOf = (name: string, type: TensorType): number => {
    if (!isBlocked(name)) return bytesOf(name, type);
    // A convolution has no kernel for blocks: it gets its numbers back when it is loaded.
    if (kernels.has(name)) return 4 * sizeOf(type.shape);
    return sizeOf(type.shape) * (bits / 8 + KERNEL_BLOCK_BYTES / BLOCK);
  };
  // Tables are read by rows where they lie.
  const tables = onlyGathered(Object.values(outputs));
  const types = new Map<string, TensorType>();
  /** Float32 forms that exist for a moment: one is used while the next is widened. */
  const wide: number[] = [0, 0];
  for (const node of order) {
    if (!isParam(node) || types.has(node.attrs.name)) continue;
    const { name, shape, dtype } = node.attrs;
    types.set(name, { shape, dtype });
    if (storedWidth === 2 && !isBlocked(name) && shape.length >= 2 && !tables.has(name)) wide.push(4 * sizeOf(shape));
  }
  const diskBytes = sum(types, bytesOf);
  const widest = wide
    .sort((a, b) => b - a)
    .slice(0, 2)
    .reduce((a, b) => a + b, 0);
  const held = offload
    ? Math.max(
        ...cutStages(outputs, { maxBytes: STAGE_BYTES, weightBytes: bytesOf }).map((s) => sum(s.weights, heldBytesOf)),
      )
    : sum(types, heldBytesOf);
  const activationBytes = options.activationBytes ?? activationsOf(outputs);
  const weightBytes = held + widest;
  const programBytes = BASE_BYTES + NODE_BYTES * order.length;
  return {
    weights,
    offload,
    diskBytes,
    weightBytes,
    activationBytes,
    programBytes,
    peakBytes: programBytes + weightBytes + activationBytes,
  };
}

/** Weights that a convolution multiplies by. */
function convolved(order: readonly Node[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { op, inputs } of order) {
    const from = op.name === 'conv' ? inputs[1]!.node : undefined;
    if (from !== undefined && isParam(from)) names.add(from.attrs.name);
  }
  return names;
}

const sum = (weights: ReadonlyMap<string, TensorType>, bytesOf: (name: string, type: TensorType) => number): number =>
  [...weights].reduce((n, [name, type]) => n + bytesOf(name, type), 0);

/** Intermediate values, inputs, results and constants of a run. */
export function activationsOf(outputs: Outputs): number {
  const { activationBytes, constantBytes, inputBytes, outputBytes } = planMemory(outputs);
  return activationBytes + constantBytes + inputBytes + outputBytes;
}
