// What a public model needs before it is opened: bytes in memory and on disk for each form of its weights, counted from its architecture.
import { sizeOf } from '../../base/index.ts';
import { BLOCK, blockBytes } from '../../formats/index.ts';
import {
  blockWeights,
  cutStages,
  isParam,
  onlyGathered,
  planMemory,
  type TensorType,
  topologicalOrder,
} from '../../graph/index.ts';
import { STAGE_BYTES } from '../../runtime/index.ts';
import type { Outputs } from './networks.ts';
import type { WeightForm } from './weight-form.ts';

/** Node and ONNX Runtime with the code of this package, before a network is loaded. */
const BASE_BYTES = 190e6;
/** Weights in blocks are packed in the kernels' order while parts of the file are still mapped: measured with 4 bits on the 7B shape. */
const PACKED = 1.5;

export type Need = {
  readonly weights: WeightForm;
  readonly offload: boolean;
  /** Weights on disk in this form; made once and kept in the cache for 8 and 4 bits. */
  readonly diskBytes: number;
  /** Weights in memory while the network runs, with what is widened for a moment. */
  readonly weightBytes: number;
  /** Intermediate values, inputs, results and constants. */
  readonly activationBytes: number;
  /** Everything together, the program itself too. */
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
  const blocked = new Set(blockWeights(Object.values(outputs), BLOCK).map(({ name }) => name));
  const bytesOf = (name: string, { shape }: TensorType): number => {
    if (weights === 'stored' || !blocked.has(name)) return storedWidth * sizeOf(shape);
    return blockBytes(sizeOf(shape), { bits: weights === '8bit' ? 8 : 4, blockSize: BLOCK });
  };
  // Tables are read by rows where they lie.
  const tables = onlyGathered(Object.values(outputs));
  const sizes = new Map<string, number>();
  /** Float32 forms that exist for a moment: one is used while the next is widened. */
  const wide: number[] = [0, 0];
  for (const node of topologicalOrder(Object.values(outputs))) {
    if (!isParam(node) || sizes.has(node.attrs.name)) continue;
    const { name, shape, dtype } = node.attrs;
    sizes.set(name, bytesOf(name, { shape, dtype }));
    if (storedWidth === 2 && (weights === 'stored' || !blocked.has(name)) && shape.length >= 2 && !tables.has(name)) {
      wide.push(4 * sizeOf(shape));
    }
  }
  const diskBytes = [...sizes.values()].reduce((a, b) => a + b, 0);
  const widest = wide
    .sort((a, b) => b - a)
    .slice(0, 2)
    .reduce((a, b) => a + b, 0);
  const held = offload
    ? Math.max(
        ...cutStages(outputs, { maxBytes: STAGE_BYTES, weightBytes: bytesOf }).map((s) => sum(s.weights, bytesOf)),
      )
    : diskBytes;
  const activationBytes = options.activationBytes ?? activationsOf(outputs);
  const weightBytes = held * (weights === 'stored' ? 1 : PACKED) + widest;
  return {
    weights,
    offload,
    diskBytes,
    weightBytes,
    activationBytes,
    peakBytes: BASE_BYTES + weightBytes + activationBytes,
  };
}

const sum = (weights: ReadonlyMap<string, TensorType>, bytesOf: (name: string, type: TensorType) => number): number =>
  [...weights].reduce((n, [name, type]) => n + bytesOf(name, type), 0);

/** Intermediate values, inputs, results and constants of a run. */
export function activationsOf(outputs: Outputs): number {
  const { activationBytes, constantBytes, inputBytes, outputBytes } = planMemory(outputs);
  return activationBytes + constantBytes + inputBytes + outputBytes;
}
