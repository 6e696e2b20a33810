// Small numeric steps between a picture network's outputs and what a case stores.
import type { NdArray } from '../../../base/index.ts';
import { decodeBoxes, decodeLandmarks } from '../../../nets/index.ts';

/** Decoded boxes, landmarks and scores of one frame, in pixels, for all priors. */
export type FrameBoxes = {
  readonly boxes: Float32Array;
  readonly landmarks: Float32Array;
  readonly scores: Float32Array;
};

/** Cuts frame `i` out of the detector's outputs and decodes it. */
export function boxesOf(
  found: Readonly<Record<string, NdArray>>,
  priors: Float32Array,
  i: number,
  height: number,
  width: number,
): FrameBoxes {
  const n = priors.length / 4;
  const part = (name: string, k: number): Float32Array =>
    (found[name]!.data as Float32Array).subarray(i * n * k, (i + 1) * n * k);
  const conf = part('conf', 2);
  return {
    boxes: decodeBoxes(part('loc', 4), priors, height, width),
    landmarks: decodeLandmarks(part('landms', 10), priors, height, width),
    scores: Float32Array.from({ length: n }, (_, p) => conf[2 * p + 1]!),
  };
}

/** Position of the largest value of each row of a float32 [B, K] array; the first among equals. */
export function argMaxOf(array: NdArray): number[] {
  const [rows, width] = array.shape as [number, number];
  const data = array.data as Float32Array;
  return Array.from({ length: rows }, (_, r) => {
    const row = data.subarray(r * width, (r + 1) * width);
    return row.reduce((best, value, k) => (value > row[best]! ? k : best), 0);
  });
}
