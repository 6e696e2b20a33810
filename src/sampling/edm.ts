// EDM preconditioning (Karras et al. 2022, table 1) and its rectified-flow relative: scalar scalings and denoising in place of x̂0.
// No networks here: a network is a function that the caller passes in.

import { InputError } from '../base/index.ts';

/** Standard deviation that latents are scaled to in the Predict1 family. */
export const SIGMA_DATA = 0.5;

/** The scalars of x̂0 = c_skip·x + c_out·F(c_in·x; c_noise). */
export type Scalings = {
  readonly cSkip: number;
  readonly cOut: number;
  readonly cIn: number;
  /** Time input of the network: ¼·ln σ for EDM, σ/(σ+1) for rectified flow. */
  readonly cNoise: number;
};

/** EDM scalings at noise level σ > 0. */
export function edmScalings(sigma: number, sigmaData = SIGMA_DATA): Scalings {
  if (!(sigma > 0 && sigma < Number.POSITIVE_INFINITY))
    throw new InputError('sigma', { got: sigma, need: 'more than 0' });
  const variance = sigma * sigma + sigmaData * sigmaData;
  return {
    cSkip: (sigmaData * sigmaData) / variance,
    cOut: (sigma * sigmaData) / Math.sqrt(variance),
    cIn: 1 / Math.sqrt(variance),
    cNoise: 0.25 * Math.log(sigma),
  };
}

/** Weight of the squared x̂0 error at σ: (σ² + σd²)/(σ·σd)², the inverse square of c_out. */
export function edmLossWeight(sigma: number, sigmaData = SIGMA_DATA): number {
  return (sigma * sigma + sigmaData * sigmaData) / (sigma * sigmaData) ** 2;
}

/**
 * Rectified-flow scalings on the same σ axis (Predict2): with s = σ/(σ+1), x̂0 = (1−s)·x − s·F((1−s)·x; s).
 * σ_data is 1 there, latents are not rescaled.
 */
export function flowScalings(sigma: number): Scalings {
  const s = sigma / (sigma + 1);
  return { cSkip: 1 - s, cOut: -s, cIn: 1 - s, cNoise: s };
}

/** factor·x as float32: the network input c_in·x. */
export function scaled(x: Float32Array | Float64Array, factor: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let i = 0; i < x.length; i++) out[i] = factor * x[i]!;
  return out;
}

/** x̂0 = c_skip·x + c_out·F, elementwise. */
export function denoisedFrom(
  x: Float32Array | Float64Array,
  output: Float32Array,
  { cSkip, cOut }: Scalings,
): Float32Array {
  const out = new Float32Array(x.length);
  for (let i = 0; i < x.length; i++) out[i] = cSkip * x[i]! + cOut * output[i]!;
  return out;
}

/** F = (x̂0 − c_skip·x)/c_out: the network output that stands for a given x̂0. */
export function outputFrom(
  x: Float32Array | Float64Array,
  denoised: Float32Array,
  { cSkip, cOut }: Scalings,
): Float32Array {
  const out = new Float32Array(x.length);
  for (let i = 0; i < x.length; i++) out[i] = (denoised[i]! - cSkip * x[i]!) / cOut;
  return out;
}
