// Temporal Sampson error of a clip: does one rigid scene explain each pair of neighbouring frames?

import { throwIfAborted } from '../../base/index.ts';
import type { Frames } from '../../media/index.ts';
import { agreeingMatches, findKeypoints, matchesFrom, matchPairs, REACH, refineMatches } from './features.ts';
import { ransacFundamental } from './fundamental.ts';
import { aggregatePairs, canvasScale, type PairError, pairError, sampsonPixels } from './sampson.ts';

export type SampsonResult = {
  /** Mean over pairs of mean errors, pixels on the 960×540 canvas, all matches counted; NaN without any pair. */
  readonly mean: number;
  readonly median: number;
  /** The same with the unrefitted minimal model, as plain RANSAC of OpenCV gives. */
  readonly minimal: number;
  /** Pairs with a model, of `total`. */
  readonly pairs: number;
  readonly total: number;
  /** Mean number of matches per pair. */
  readonly matches: number;
  /** Mean shift of the matches, pixels of the frame: little motion lowers the error by itself. */
  readonly motion: number;
  readonly perPair: readonly (number | null)[];
};

/** Errors over neighbouring frames. @param step distance of the frames of a pair, default 1 */
export async function temporalSampson(
  frames: Frames,
  options: { readonly step?: number; readonly seed?: number; readonly signal?: AbortSignal } = {},
): Promise<SampsonResult> {
  const { step = 1, seed = 1, signal } = options;
  const [count, height, width] = frames.shape;
  const each = height * width * 3;
  const scale = canvasScale(width, height);
  const reach = REACH * step * Math.max(width, height);
  const none: PairError = { mean: -1, median: -1, keep80: -1 };
  const refitted: PairError[] = [];
  const minimal: PairError[] = [];
  let matches = 0;
  let shift = 0;
  let total = 0;
  let before = count > step ? await findKeypoints(frames.data.subarray(0, each), { height, width }) : undefined;
  for (let t = step; t < count; t += step) {
    throwIfAborted(signal);
    const [first, second] = [t - step, t].map((i) => frames.data.subarray(i * each, (i + 1) * each));
    const now = await findKeypoints(second!, { height, width });
    const found = matchesFrom(before!, now, matchPairs(before!, now, { reach }));
    const matched = agreeingMatches(found, { height, width });
    const m = await refineMatches(first!, second!, matched, { height, width });
    total++;
    matches += m.count;
    for (let i = 0; i < m.count; i++) shift += Math.hypot(m.a[2 * i]! - m.b[2 * i]!, m.a[2 * i + 1]! - m.b[2 * i + 1]!);
    // The threshold of 3 px is meant on the canvas.
    const options = { seed: seed + t, threshold: 3 / scale, maxIterations: 2000 };
    const fit = ransacFundamental(m, options);
    const plain = ransacFundamental(m, { ...options, confidence: 0.99, maxIterations: 1000, refits: 0 });
    const px = (f: Float64Array): PairError => pairError(sampsonPixels(f, m).map((v) => v * scale));
    refitted.push(fit === undefined ? none : px(fit.f));
    minimal.push(plain === undefined ? none : px(plain.f));
    before = now;
  }
  const all = aggregatePairs(refitted);
  return {
    mean: all.mean,
    median: all.median,
    minimal: aggregatePairs(minimal).mean,
    pairs: all.pairs,
    total,
    matches: total === 0 ? 0 : matches / total,
    motion: matches === 0 ? 0 : shift / matches,
    perPair: refitted.map((p) => (p.mean < 0 ? null : p.mean)),
  };
}
