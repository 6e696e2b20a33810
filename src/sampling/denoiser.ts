// From a raw network to a denoiser: preconditioning, guidance and Video2World conditioning in one place.

import { assert } from '../base/index.ts';
import { composeCondition, type LatentCondition, replaceDenoised, replaceOutput } from './condition.ts';
import { denoisedFrom, edmScalings, type Scalings, scaled } from './edm.ts';
import { guide } from './guidance.ts';
import type { Denoiser } from './sampler.ts';

/** Which text (and mask) the network sees. */
export type Branch = 'cond' | 'uncond';

/**
 * Evaluates the raw network F for each branch asked for, in that order: one batched run or several, as memory allows.
 * @param input c_in·x, flat [B, C, T, H, W]
 * @param cNoise time input
 */
export type Network = (
  input: Float32Array,
  cNoise: number,
  branches: readonly Branch[],
  step: number,
) => Promise<readonly Float32Array[]>;

/** Options of `guidedDenoiser`. */
export type GuidedDenoiserOptions = {
  /** g of c + g·(c − u). 0 evaluates one branch only. Default 0. */
  readonly guidance?: number;
  /** Default EDM with σ_data ½; `flowScalings` for rectified-flow networks. */
  readonly scalings?: (sigma: number) => Scalings;
  /** Given frames of Video2World. */
  readonly condition?: LatentCondition;
  /**
   * How given frames are put back. "clean" (default): x̂0 = G in each branch. "scripts": as the Predict1 inference scripts do, for equal
   * results; use it with `sampleEuler` and `prepare: scriptsPrepare(condition)`.
   */
  readonly replacement?: 'clean' | 'scripts';
};

/** x̂0 of a raw network. */
export function guidedDenoiser(network: Network, options: GuidedDenoiserOptions = {}): Denoiser {
  const { guidance = 0, scalings = edmScalings, condition, replacement = 'clean' } = options;
  const branches: readonly Branch[] = guidance === 0 ? ['cond'] : ['cond', 'uncond'];
  return async (x, sigma, step) => {
    const scaling = scalings(sigma);
    const xIn = condition ? composeCondition(x, sigma, condition) : x;
    const outputs = await network(scaled(xIn, scaling.cIn), scaling.cNoise, branches, step);
    assert(
      outputs.length === branches.length,
      `the network returned ${outputs.length} branches for ${branches.length}`,
    );
    if (condition && replacement === 'scripts') {
      const output = guidance === 0 ? outputs[0]! : guide(outputs[0]!, outputs[1]!, guidance);
      return denoisedFrom(xIn, replaceOutput(output, xIn, sigma, condition), scaling);
    }
    const clean = outputs.map((output) => {
      const denoised = denoisedFrom(xIn, output, scaling);
      return condition ? replaceDenoised(denoised, sigma, condition) : denoised;
    });
    return guidance === 0 ? clean[0]! : guide(clean[0]!, clean[1]!, guidance);
  };
}

/** `prepare` of `sampleEuler` for the "scripts" replacement: the step itself starts from the composed sample. */
export function scriptsPrepare(condition: LatentCondition): (x: Float64Array, sigma: number) => Float64Array {
  return (x, sigma) => composeCondition(x, sigma, condition);
}
