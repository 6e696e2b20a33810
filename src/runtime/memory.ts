// Refusal before work: what a run needs against what this machine has.
import { totalmem } from 'node:os';
import { OrreryError } from '../base/index.ts';
import { type MemoryPlan, planMemory, type Tensor } from '../graph/index.ts';

/** Scratch memory of ONNX Runtime, its code and Node's own, on top of the counted values. */
const OVERHEAD_BYTES = 200e6;
/** Counted values × this: fragmentation and packed copies of weights. */
const SLACK = 1.25;

export type MemoryNeed = {
  /** What is to be run, such as `33 frames at 128×128`. */
  readonly what: string;
  /** A setting that needs less, such as `--frames 17`. */
  readonly cheaper: string;
  /** Bytes that may be used. Default: what the system says is available. */
  readonly availableBytes?: number;
};

/** Bytes that this process can still get: the system's free and reclaimable memory, or the rest of its container's limit. */
export function availableMemory(): number {
  return typeof process.availableMemory === 'function' ? process.availableMemory() : totalmem() / 2;
}

/** Bytes that a run of `outputs` needs at most, with scratch space. */
export function estimateMemory(outputs: Readonly<Record<string, Tensor>>): MemoryPlan & { readonly needBytes: number } {
  const plan = planMemory(outputs);
  return { ...plan, needBytes: Math.ceil(plan.totalBytes * SLACK + OVERHEAD_BYTES) };
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** Throws a `memory` error when a run of `outputs` would not fit. Call it before weights are read. */
export function requireMemory(outputs: Readonly<Record<string, Tensor>>, need: MemoryNeed): void {
  const { what, cheaper, availableBytes = availableMemory() } = need;
  const { needBytes, weightBytes, activationBytes } = estimateMemory(outputs);
  if (needBytes <= availableBytes) return;
  throw new OrreryError(
    'memory',
    `${what} needs about ${gigabytes(needBytes)} (weights ${gigabytes(weightBytes)}, activations ${gigabytes(activationBytes)}), ` +
      `but ${gigabytes(availableBytes)} are available; use ${cheaper}`,
    { details: { needBytes, availableBytes } },
  );
}
