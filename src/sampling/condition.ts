// Video2World conditioning at the sampler (Predict1): which latent frames are given, how they enter the network input at a noise level
// of their own, and how they are put back into the prediction.

import { assert, InputError, type RandomStream } from '../base/index.ts';
import { edmScalings, type Scalings, SIGMA_DATA } from './edm.ts';

/** Given latent frames of one sample or batch. */
export type LatentCondition = {
  /** [B, C, T, H, W]; with several views T counts all of them, view after view. */
  readonly shape: readonly number[];
  /** G: encoded condition, already times σ_data. Frames that are not given may hold anything finite. */
  readonly latent: Float32Array;
  /** ε: unit normal, one draw for all steps. */
  readonly noise: Float32Array;
  /** I: 1 for given frames, length T. */
  readonly indicator: readonly number[];
  /** σ_aug: noise level at which the given frames are shown. 0.001 in inference. */
  readonly sigmaAug: number;
  /** Default 0.5. */
  readonly sigmaData?: number;
};

/** I with the first `count` of T frames given, in each of V views that lie one after the other. */
export function firstFrames(frames: number, count: number, views = 1): number[] {
  if (!(Number.isInteger(frames / views) && frames >= views)) {
    throw new InputError('frames', { got: frames, need: `a multiple of the ${views} views` });
  }
  const perView = frames / views;
  if (!(Number.isInteger(count) && count >= 0 && count <= perView)) {
    throw new InputError('condition frames', { got: count, need: `a whole number from 0 to ${perView}` });
  }
  return Array.from({ length: frames }, (_, t) => (t % perView < count ? 1 : 0));
}

/** Training: the first n frames with n uniform in [min, max]; one draw per batch. Defaults 0 and 4. */
export function firstRandomFrames(
  frames: number,
  random: RandomStream,
  { min = 0, max = 4, views = 1 }: { readonly min?: number; readonly max?: number; readonly views?: number } = {},
): number[] {
  return firstFrames(frames, random.integer(min, Math.min(max, frames / views)), views);
}

/** Training: every frame by itself with probability `rate`. Default ½. */
export function randomFrames(frames: number, random: RandomStream, rate = 0.5): number[] {
  return Array.from({ length: frames }, () => (random.uniform() < rate ? 1 : 0));
}

/** Latent frames that n input frames fill: 1 + (n − 1)/8. The public checkpoints know 1 and 9 input frames. */
export function conditionLatentFrames(inputFrames: number, timeCompression = 8): number {
  const count = 1 + (inputFrames - 1) / timeCompression;
  if (!(Number.isInteger(count) && count >= 1)) {
    throw new InputError('input frames', { got: inputFrames, need: `1 + ${timeCompression}k, e.g. 1 or 9` });
  }
  return count;
}

/** I at noise level σ: all zero once σ ≤ σ_aug; then the given frames are denoised like the others. The mask channel stays. */
export function indicatorAt({ indicator, sigmaAug }: LatentCondition, sigma: number): readonly number[] {
  return sigmaAug >= sigma ? indicator.map(() => 0) : indicator;
}

/** The condition mask channel [B, 1, T, H, W]: I broadcast, or zeros when the condition is dropped. */
export function conditionMask(shape: readonly number[], indicator: readonly number[], isDropped = false): Float32Array {
  const [B, , T, H, W] = shape as [number, number, number, number, number];
  const mask = new Float32Array(B * T * H * W);
  if (!isDropped) fillFrames([B, 1, T, H, W], indicator, (i) => (mask[i] = 1));
  return mask;
}

/**
 * x_in = I·(G + σ_aug·ε)·c_in(σ_aug)/c_in(σ) + (1 − I)·x.
 * After the network's c_in(σ) the given frames stand at c_in(σ_aug)·(G + σ_aug·ε), whatever σ is.
 */
export function composeCondition<X extends Float32Array | Float64Array>(
  x: X,
  sigma: number,
  condition: LatentCondition,
): X {
  const { shape, latent, noise, sigmaAug, sigmaData = SIGMA_DATA } = condition;
  checkSizes(x, condition);
  const ratio = edmScalings(sigmaAug, sigmaData).cIn / edmScalings(sigma, sigmaData).cIn;
  const out = x.slice() as X;
  fillFrames(shape, indicatorAt(condition, sigma), (i) => {
    out[i] = (latent[i]! + sigmaAug * noise[i]!) * ratio;
  });
  return out;
}

/** Clean replacement: x̂0 ← I·G + (1 − I)·x̂0, for each guidance branch before guidance. */
export function replaceDenoised(denoised: Float32Array, sigma: number, condition: LatentCondition): Float32Array {
  checkSizes(denoised, condition);
  const out = denoised.slice();
  fillFrames(condition.shape, indicatorAt(condition, sigma), (i) => {
    out[i] = condition.latent[i]!;
  });
  return out;
}

/**
 * Replacement of the Predict1 scripts, on the guided network output: F ← G/c_out − c_skip·x_in in the given frames.
 * It decodes to G + c_skip·(1 − c_out)·x_in, not to G: only for reproducing their results.
 */
export function replaceOutput(
  output: Float32Array,
  xIn: Float32Array | Float64Array,
  sigma: number,
  condition: LatentCondition,
): Float32Array {
  checkSizes(output, condition);
  const { cOut, cSkip }: Scalings = edmScalings(sigma, condition.sigmaData);
  const out = output.slice();
  fillFrames(condition.shape, indicatorAt(condition, sigma), (i) => {
    out[i] = condition.latent[i]! / cOut - cSkip * xIn[i]!;
  });
  return out;
}

/** Calls `visit` with every flat index of [B, C, T, H, W] that lies in a marked frame. */
function fillFrames(shape: readonly number[], indicator: readonly number[], visit: (index: number) => void): void {
  const [B, C, T, H, W] = shape as [number, number, number, number, number];
  assert(
    shape.length === 5 && indicator.length === T,
    `indicator has ${indicator.length} frames, shape ${shape.join()}`,
  );
  const area = H * W;
  for (let plane = 0; plane < B * C * T; plane++) {
    if (!indicator[plane % T]) continue;
    for (let i = plane * area; i < (plane + 1) * area; i++) visit(i);
  }
}

function checkSizes(x: Float32Array | Float64Array, { shape, latent, noise }: LatentCondition): void {
  const need = shape.reduce((a, b) => a * b, 1);
  assert(
    x.length === need && latent.length === need && noise.length === need,
    `condition of shape ${shape.join()} meets arrays of ${x.length}, ${latent.length}, ${noise.length}`,
  );
}
