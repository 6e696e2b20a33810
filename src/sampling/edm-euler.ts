// EDM Euler sampler (Karras et al. 2022, algorithm 2 without the correction step): what the Predict1 inference scripts use.

import { InputError } from '../base/index.ts';
import { addNoise, callDenoiser, type Denoiser, type SamplerOptions, type SamplerStep } from './sampler.ts';

/** Options of `sampleEuler`. */
export type EulerOptions = SamplerOptions & {
  /** Descending noise levels, one more than steps; see `eulerSigmas`. */
  readonly sigmas: Float64Array;
  /**
   * Rewrites the sample before each step; the step then starts from the rewritten one.
   * The scripts' Video2World loop writes the condition frames into the sample this way.
   */
  readonly prepare?: (x: Float64Array, sigma: number, step: number) => Float64Array;
};

/**
 * x ← x + (x − x̂0)/σ_i·(σ_{i+1} − σ_i), state in float64.
 * @param start unit noise times the start scale
 */
export async function* sampleEuler(
  denoise: Denoiser,
  start: Float32Array | Float64Array,
  options: EulerOptions,
): AsyncGenerator<SamplerStep, void, void> {
  const { sigmas, churn = {}, prepare, resume, signal } = options;
  checkDescending(sigmas);
  const total = sigmas.length - 1;
  let x: Float64Array = Float64Array.from(resume?.x ?? start);
  for (let i = resume?.step ?? 0; i < total; i++) {
    let sigma = sigmas[i]!;
    const next = sigmas[i + 1]!;
    if (prepare) x = prepare(x, sigma, i);
    // Algorithm 2, lines 4 to 6; the reference counts the sigmas without the last one.
    const inRange = sigma >= (churn.sigmaLow ?? 0) && sigma <= (churn.sigmaHigh ?? Number.POSITIVE_INFINITY);
    const gamma = inRange ? Math.min((churn.amount ?? 0) / total, Math.SQRT2 - 1) : 0;
    if (gamma > 0) {
      const raised = sigma * (1 + gamma);
      x = addNoise(x, sigma, raised, i, options);
      sigma = raised;
    }
    const denoised = await callDenoiser(denoise, x, sigma, i, signal);
    const ratio = (next - sigma) / sigma;
    x = x.map((v, k) => v + (v - denoised[k]!) * ratio);
    yield { step: i + 1, total, sigma, sigmaNext: next, x, denoised };
  }
}

function checkDescending(sigmas: Float64Array): void {
  const isGood = sigmas.length >= 2 && sigmas.every((s, i) => s >= 0 && (i === 0 || s <= sigmas[i - 1]!));
  if (!isGood || !(sigmas[sigmas.length - 2]! > 0)) {
    throw new InputError('sigmas', {
      got: [...sigmas],
      need: 'two or more descending values, all but the last above 0',
    });
  }
}
