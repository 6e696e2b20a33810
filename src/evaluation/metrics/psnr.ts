// Peak signal-to-noise ratio of 8-bit pictures in its three named forms. They differ: mean of logarithms against logarithm
// of a mean, and where the epsilon stands. Say which one a figure is.
import { InputError } from '../../base/index.ts';

/** 2⁻²³, the float32 step at 1: keeps the two tokenizer forms finite for equal pictures. */
export const EPSILON = 2 ** -23;

/** Mean squared difference of two byte arrays, 0…65025. */
export function meanSquaredError(a: Uint8Array, b: Uint8Array): number {
  checkLengths(a, b);
  // Integer sums are exact: 65025·2³¹ stays far below 2⁵³.
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const d = a[i]! - b[i]!;
    sum += d * d;
  }
  return sum / a.length;
}

/** Mean squared difference per frame; `frames` must divide the length. */
export function meanSquaredErrors(a: Uint8Array, b: Uint8Array, frames: number): Float64Array {
  checkLengths(a, b);
  if (!Number.isInteger(frames) || frames < 1 || a.length % frames !== 0) {
    throw new InputError('frames', { got: frames, need: `a whole number of frames in ${a.length} bytes` });
  }
  const each = a.length / frames;
  return Float64Array.from({ length: frames }, (_, f) =>
    meanSquaredError(a.subarray(f * each, (f + 1) * each), b.subarray(f * each, (f + 1) * each)),
  );
}

/** Form (a), TokenBench, dB: 20·log₁₀(255 / (√mse + 2⁻²³)). Equal pictures: 186.6 dB. Over a whole video pass its one mse. */
export function psnrTokenBench(mse: number): number {
  return 20 * Math.log10(255 / (Math.sqrt(mse) + EPSILON));
}

/** Form (b), the metric of tokenizer training, dB: 10·log₁₀(255² / (mse + 2⁻²³)) per frame. Equal pictures: 117.37 dB. */
export function psnrTraining(mse: number): number {
  return 10 * Math.log10(255 ** 2 / (mse + EPSILON));
}

/** Largest value of form (c) in tables, where equal pictures would be infinite and ruin every mean. */
export const PSNR_CAP = 100;

/** Form (c), per picture, dB: 10·log₁₀(1/mse) on values 0…1; at most `PSNR_CAP`. Used for physics and action tables. */
export function psnrPicture(mse: number): number {
  return mse === 0 ? PSNR_CAP : Math.min(PSNR_CAP, 10 * Math.log10(255 ** 2 / mse));
}

/** Requantises values −1…1 to bytes as tokenizer training does: ⌊(x+1)/2·255 + 0.5⌋ after clamping. */
export function requantise(x: Float32Array): Uint8Array {
  const out = new Uint8Array(x.length);
  for (let i = 0; i < x.length; i++) {
    const v = Math.min(1, Math.max(-1, x[i]!));
    out[i] = Math.floor(((v + 1) / 2) * 255 + 0.5);
  }
  return out;
}

function checkLengths(a: Uint8Array, b: Uint8Array): void {
  if (a.length !== b.length || a.length === 0) {
    throw new InputError('pictures', {
      got: `${a.length} and ${b.length} values`,
      need: 'two pictures of one size with at least one pixel',
      why: 'resize or cut one of them first',
    });
  }
}

/** Mean of numbers; NaN of none. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return values.length === 0 ? Number.NaN : sum / values.length;
}
