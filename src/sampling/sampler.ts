// What all samplers share: the denoiser they call, the record they yield after each step, churn, and checks.

import { assert, OrreryError, throwIfAborted } from '../base/index.ts';

/**
 * Predicts the clean sample x̂0 from x = x0 + σ·ε.
 * @param x flat sample, float32 copy of the sampler's float64 state
 * @param sigma noise level of x
 * @param step index of the step that asks, from 0; solvers of order 2 and 3 ask several times per step
 * @returns x̂0, a fresh array: the sampler keeps it for the next step
 */
export type Denoiser = (x: Float32Array, sigma: number, step: number) => Promise<Float32Array>;

/** What it takes to go on with an interrupted run: any yielded step will do. */
export type SamplerState = {
  /** Steps done. */
  readonly step: number;
  /** σ at which `denoised` was predicted (raised by churn, if any). */
  readonly sigma: number;
  /** The sample after the step. */
  readonly x: Float64Array;
  /** x̂0 predicted at the start of the step: a preview, and the memory of the multistep solver. */
  readonly denoised: Float32Array;
};

/** Yielded after every step. The last one holds the finished sample in `x`. */
export type SamplerStep = SamplerState & {
  /** Number of steps in all, the closing clean step included. */
  readonly total: number;
  /** Noise level of `x`; 0 when clean. */
  readonly sigmaNext: number;
};

/** Stochastic sampling: before a step, noise is added that lifts σ by a factor. Defaults: off. */
export type Churn = {
  /** Total amount, spread over all steps. Default 0. */
  readonly amount?: number;
  /** Only where sigmaLow ≤ σ ≤ sigmaHigh (RES: strictly between). Defaults 0 and ∞. */
  readonly sigmaLow?: number;
  readonly sigmaHigh?: number;
  /** Factor on the added noise. Default 1. */
  readonly noiseScale?: number;
};

/** Fresh unit normal numbers for churn. Must depend on `step` only, so that a resumed run gets the same ones. */
export type NoiseSource = (step: number, count: number) => Float32Array | Float64Array;

/** Options that every sampler takes. */
export type SamplerOptions = {
  readonly churn?: Churn;
  /** Needed when churn is on. */
  readonly noise?: NoiseSource;
  /** Goes on after this step instead of starting. */
  readonly resume?: SamplerState;
  readonly signal?: AbortSignal;
};

/** Calls the denoiser and refuses a result that would spoil the whole sample. */
export async function callDenoiser(
  denoise: Denoiser,
  x: Float64Array,
  sigma: number,
  step: number,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  throwIfAborted(signal);
  const denoised = await denoise(Float32Array.from(x), sigma, step);
  throwIfAborted(signal);
  assert(denoised.length === x.length, `the denoiser returned ${denoised.length} values for ${x.length}`);
  for (let i = 0; i < denoised.length; i++) {
    if (!Number.isFinite(denoised[i])) {
      throw new OrreryError(
        'model',
        `the network returned ${denoised[i]} at step ${step + 1} (sigma ${sigma}, element ${i}); use precision float32, or check the weights with "orrery models verify"`,
      );
    }
  }
  return denoised;
}

/** x + √(σ̂² − σ²)·scale·N: lifts the noise level of x from σ to σ̂. */
export function addNoise(
  x: Float64Array,
  sigma: number,
  raised: number,
  step: number,
  { churn, noise }: SamplerOptions,
): Float64Array {
  assert(noise !== undefined, 'churn needs a noise source');
  const normal = noise(step, x.length);
  const scale = Math.sqrt(raised * raised - sigma * sigma) * (churn?.noiseScale ?? 1);
  return x.map((v, i) => v + scale * normal[i]!);
}

/** Runs a sampler to its end and returns the finished sample. */
export async function finalSample(steps: AsyncIterable<SamplerStep>): Promise<Float32Array> {
  let last: SamplerStep | undefined;
  for await (const step of steps) last = step;
  assert(last !== undefined, 'a sampler yielded no step');
  return Float32Array.from(last.x);
}
