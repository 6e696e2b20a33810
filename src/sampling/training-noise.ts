// Scalars of training: noise levels, moving-average rates, learning-rate multipliers. Pure functions of the iteration or of a uniform number.

import { InputError } from '../base/index.ts';

/** Distribution of the training σ: multiplier·exp(N(mean, std²)). */
export type SigmaDistribution = {
  /** Mean and standard deviation of ln σ. Defaults 0 and 1. */
  readonly mean?: number;
  readonly std?: number;
  /** Factor on σ: √(latent frames) for video batches when the recipe asks for it, else 1. Default 1. */
  readonly multiplier?: number;
};

/** σ_aug of condition frames: the class default, and the recipe of the 7B Video2World model. */
export const AUGMENT_SIGMA: SigmaDistribution = { mean: 0, std: 1, multiplier: 4 };
export const AUGMENT_SIGMA_7B: SigmaDistribution = { mean: -3, std: 2, multiplier: 1 };

/** σ from a uniform number 0 < u < 1: multiplier·exp(mean + std·Φ⁻¹(u)). */
export function sigmaFromUniform(u: number, { mean = 0, std = 1, multiplier = 1 }: SigmaDistribution = {}): number {
  return multiplier * Math.exp(mean + std * normalQuantile(u));
}

/** Φ⁻¹(p), the standard normal quantile, relative error about 1e-16 (Wichura 1988, algorithm AS 241, PPND16). */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new InputError('p', { got: p, need: 'a number between 0 and 1, ends excluded' });
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    return (q * polynomial(CENTRE, r)) / polynomial(CENTRE_BELOW, r);
  }
  const r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  const size =
    r <= 5
      ? polynomial(MIDDLE, r - 1.6) / polynomial(MIDDLE_BELOW, r - 1.6)
      : polynomial(TAIL, r - 5) / polynomial(TAIL_BELOW, r - 5);
  return q < 0 ? -size : size;
}

function polynomial(coefficients: readonly number[], x: number): number {
  let sum = 0;
  for (let i = coefficients.length - 1; i >= 0; i--) sum = sum * x + coefficients[i]!;
  return sum;
}

const CENTRE = [
  3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946, 45921.95393154987, 67265.7709270087,
  33430.57558358813, 2509.0809287301227,
];
const CENTRE_BELOW = [
  1, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597, 39307.89580009271, 28729.085735721943,
  5226.495278852854,
];
const MIDDLE = [
  1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045, 1.2704582524523684, 0.2417807251774506,
  0.022723844989269184, 0.0007745450142783414,
];
const MIDDLE_BELOW = [
  1, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008, 0.015198666563616457,
  0.0005475938084995345, 1.0507500716444169e-9,
];
const TAIL = [
  6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487, 0.026532189526576124,
  0.0012426609473880784, 2.7115555687434876e-5, 2.0103343992922881e-7,
];
const TAIL_BELOW = [
  1, 0.599832206555888, 0.1369298809227358, 0.014875361290850615, 0.0007868691311456133, 1.8463183175100548e-5,
  1.421511758316446e-7, 2.0442631033899397e-15,
];

/**
 * Exponent γ of a power-function moving average with relative width s (Karras et al. 2024, "Analyzing and improving the training dynamics
 * of diffusion models"): largest root of γ³ + 7γ² + (16 − s⁻²)γ + (12 − s⁻²).
 * @param width s, between 0 and 1/√12 ≈ 0.2887
 */
export function powerEmaExponent(width: number): number {
  if (!(width > 0 && width < 1 / Math.sqrt(12))) {
    throw new InputError('ema width', { got: width, need: 'more than 0 and less than 0.288, e.g. 0.1' });
  }
  const inverse = 1 / (width * width);
  // Newton from 1/s, which lies above the largest root on a convex stretch: it descends without overshooting.
  let g = 1 / width;
  for (let i = 0; i < 100; i++) {
    const value = ((g + 7) * g + 16 - inverse) * g + 12 - inverse;
    const slope = (3 * g + 14) * g + 16 - inverse;
    const next = g - value / slope;
    if (Math.abs(next - g) <= 1e-15 * Math.abs(g)) return next;
    g = next;
  }
  return g;
}

/** β = (1 − 1/(i+1))^(γ+1) at iteration i = 0, 1, …: average ← β·average + (1−β)·weights, after the optimizer step. */
export function powerEmaBeta(iteration: number, exponent: number): number {
  return (1 - 1 / (iteration + 1)) ** (exponent + 1);
}

/** One cycle of a learning-rate schedule. */
export type LearningRateCycle = {
  /** Curve after warm-up. */
  readonly shape: 'linear' | 'cosine';
  /** Iterations of linear warm-up from `start` to `max`. */
  readonly warmUp: number;
  /** Iterations of the cycle, warm-up included; may be Infinity for shape "linear" with max = min. */
  readonly length: number;
  /** Multipliers of the base rate. Defaults 1e-6, 1, 1 (constant after warm-up). */
  readonly start?: number;
  readonly max?: number;
  readonly min?: number;
};

/** The Predict1 post-training recipes: 2500 iterations of warm-up, then constant. */
export const CONSTANT_AFTER_WARM_UP: LearningRateCycle = {
  shape: 'linear',
  warmUp: 2500,
  length: Number.POSITIVE_INFINITY,
};

/** Learning-rate multiplier at iteration n of one cycle. Past its end a linear cycle stays at `min`, a cosine cycle too. */
export function learningRateMultiplier(iteration: number, cycle: LearningRateCycle): number {
  const { shape, warmUp, length, start = 1e-6, max = 1, min = 1 } = cycle;
  if (iteration < warmUp) return start + ((max - start) * iteration) / warmUp;
  const done = length === warmUp ? 1 : Math.min(1, (iteration - warmUp) / (length - warmUp));
  if (shape === 'cosine') return min + 0.5 * (max - min) * (1 + Math.cos(Math.PI * done));
  return min + (max - min) * (1 - done);
}

/** The multiplier of cycles that follow each other; after the last one its end value stays. */
export function cyclicMultiplier(iteration: number, cycles: readonly LearningRateCycle[]): number {
  let begin = 0;
  for (const [i, cycle] of cycles.entries()) {
    if (i === cycles.length - 1 || iteration < begin + cycle.length)
      return learningRateMultiplier(iteration - begin, cycle);
    begin += cycle.length;
  }
  throw new InputError('cycles', { got: cycles, need: 'at least one cycle' });
}
