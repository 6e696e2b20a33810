// Noise levels of the samplers: which σ is visited at which step. Descending lists, the last entry is where sampling ends.

import { InputError } from '../base/index.ts';

/** Karras spacing: uniform in σ^(1/ρ). */
export type SigmaRange = {
  /** Smallest and largest σ, 0 < sigmaMin < sigmaMax. */
  readonly sigmaMin: number;
  readonly sigmaMax: number;
  /** Spacing exponent ρ. Default 7. */
  readonly rho?: number;
};

/** Options of `eulerSigmas`. */
export type EulerSchedule = SigmaRange & {
  /** Number of steps (and of network evaluations). */
  readonly steps: number;
  /** What follows the last Karras value: 0, or σ_min again, which makes the last step a no-op. */
  readonly final: 'zero' | 'sigmaMin';
};

/** The public inference scripts of Predict1. Start noise: `eulerStartScale(80)`. */
export const PREDICT1_EULER: EulerSchedule = { steps: 35, sigmaMin: 0.0002, sigmaMax: 80, final: 'zero' };
/** The diffusers pipelines of the same checkpoints: 35 effective steps. Start noise: 80. */
export const DIFFUSERS_EULER: EulerSchedule = { steps: 36, sigmaMin: 0.002, sigmaMax: 80, final: 'sigmaMin' };
/** Predict2 in diffusers: the same step on the σ axis of `flowScalings`. Start noise: 80. */
export const PREDICT2_EULER: EulerSchedule = { steps: 35, sigmaMin: 0.002, sigmaMax: 80, final: 'sigmaMin' };
/** RES samplers of the training tree, the default of Orrery. Start noise: 80. */
export const RES_RANGE = { steps: 35, sigmaMin: 0.002, sigmaMax: 80, rho: 7 } as const;

/** σ_i = (σmax^(1/ρ) + i/(count−1)·(σmin^(1/ρ) − σmax^(1/ρ)))^ρ for i = 0 … count−1, in float64. */
export function karrasSigmas(count: number, { sigmaMin, sigmaMax, rho = 7 }: SigmaRange): Float64Array {
  if (!(Number.isInteger(count) && count >= 1))
    throw new InputError('steps', { got: count, need: 'a whole number from 1' });
  if (!(sigmaMin > 0 && sigmaMin < sigmaMax && Number.isFinite(sigmaMax))) {
    throw new InputError('sigmaMin, sigmaMax', { got: [sigmaMin, sigmaMax], need: '0 < sigmaMin < sigmaMax' });
  }
  if (!(rho > 0)) throw new InputError('rho', { got: rho, need: 'more than 0' });
  const high = sigmaMax ** (1 / rho);
  const low = sigmaMin ** (1 / rho);
  return Float64Array.from(
    { length: count },
    (_, i) => (count === 1 ? high : high + (i / (count - 1)) * (low - high)) ** rho,
  );
}

/** σ of the EDM Euler sampler: `steps` Karras values, then the final one; rounded to float32 as in the reference. */
export function eulerSigmas({ steps, final, ...range }: EulerSchedule): Float64Array {
  const sigmas = karrasSigmas(steps, range);
  const last = final === 'zero' ? 0 : sigmas[steps - 1]!;
  return Float64Array.from([...sigmas, last], Math.fround);
}

/** σ of the RES samplers: steps + 1 values from σmax to σmin. */
export function resSigmas({ steps, ...range }: SigmaRange & { readonly steps: number }): Float64Array {
  if (!(Number.isInteger(steps) && steps >= 1))
    throw new InputError('steps', { got: steps, need: 'a whole number from 1' });
  return karrasSigmas(steps + 1, range);
}

/** Scale of unit noise at the start in the Predict1 scripts: √(σmax² + 1). diffusers and RES use σmax itself. */
export function eulerStartScale(sigmaMax: number): number {
  return Math.sqrt(sigmaMax * sigmaMax + 1);
}

/** σ_aug per chunk of a long video: the first continues exact frames, later ones continue generated frames. */
export function chunkAugmentSigma(chunk: number): number {
  return chunk === 0 ? 0.001 : chunk === 1 ? 0.2 : 0.5;
}
