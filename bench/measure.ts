// How figures are taken and stated: a record per figure, and rates as a fraction of the matrix product measured beside them.
import { f32, type NdArray, randomStream, sizeOf } from '../src/base/index.ts';
import { compile, input, matmul, mean, type Tensor } from '../src/graph/index.ts';
import type { Runtime } from '../src/runtime/index.ts';

/** One figure with its bound. */
export type Figure = {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the figure is compared with. */
  readonly of: string;
  /** Bound that passes: smallest value, or largest where `isCeiling` is set; null: for information. */
  readonly floor: number | null;
  /** True: `floor` is the largest value that passes. */
  readonly isCeiling?: boolean;
  readonly ok: boolean;
};

export function figure(f: Omit<Figure, 'ok'>): Figure {
  const ok = f.floor === null || (f.isCeiling === true ? f.value <= f.floor : f.value >= f.floor);
  return { ...f, ok };
}

/** Numbers that are cheap to make: one random block, repeated. */
export function noise(shape: readonly number[], scale = 1): NdArray & { data: Float32Array } {
  const n = sizeOf(shape);
  const r = randomStream(1, 'bench');
  const block = Float32Array.from({ length: Math.min(n, 65521) }, () => r.uniform(-scale, scale));
  const data = new Float32Array(n);
  for (let at = 0; at < n; at += block.length) data.set(block.subarray(0, Math.min(block.length, n - at)), at);
  return f32(shape, data);
}

/** Values for weights at which activations keep their size. */
export const weightNoise = (shape: readonly number[]): NdArray & { data: Float32Array } =>
  noise(shape, Math.sqrt(3 / Math.max(1, sizeOf(shape.slice(1)))));

export type Rate = {
  /** GFLOP/s of the matrix product right now. */
  measure(): Promise<number>;
  dispose(): Promise<void>;
};

const SIDE = 1024;
const CHAIN = 8;

/** The yardstick: products of 1024×1024 matrices, nothing transferred. */
export async function matrixRate(runtime: Runtime): Promise<Rate> {
  const b = input('b', [SIDE, SIDE]);
  let a: Tensor = input('a', [SIDE, SIDE]);
  for (let i = 0; i < CHAIN; i++) a = matmul(a, b);
  const session = await runtime.load(compile({ y: mean(a) }));
  const feeds = { a: noise([SIDE, SIDE], 0.05), b: noise([SIDE, SIDE], 0.05) };
  await session.run(feeds);
  return {
    async measure() {
      const from = performance.now();
      for (let i = 0; i < 3; i++) await session.run(feeds);
      return (3 * CHAIN * 2 * SIDE ** 3) / (performance.now() - from) / 1e6;
    },
    dispose: () => session.dispose(),
  };
}

export type Timing = {
  /** Seconds of a run, median. */
  readonly seconds: number;
  /** Median over the rounds of (run's GFLOP/s) / (matrix rate before and after it). */
  readonly fraction: number;
  /** GFLOP/s, median. */
  readonly rate: number;
};

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)]!;
};

/** Runs `once` in turn with the yardstick, so that other work on the machine strikes both. */
export async function compare(rate: Rate, flops: number, once: () => Promise<unknown>, rounds = 5): Promise<Timing> {
  await once();
  const seconds: number[] = [];
  const fractions: number[] = [];
  let before = await rate.measure();
  for (let i = 0; i < rounds; i++) {
    const from = performance.now();
    await once();
    const s = (performance.now() - from) / 1000;
    const after = await rate.measure();
    seconds.push(s);
    fractions.push(flops / s / 1e9 / ((before + after) / 2));
    before = after;
  }
  return { seconds: median(seconds), fraction: median(fractions), rate: flops / median(seconds) / 1e9 };
}
