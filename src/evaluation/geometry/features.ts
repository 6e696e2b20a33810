// Keypoints and matches between pictures: AKAZE from OpenCV, ratio test and mutual check. Learned matchers give other figures;
// every table names this one.

import { lowerMedian, lumaOf, type OpenCv, openCv, type PlaneSize, withMats } from '../../motion/index.ts';
import type { Matches } from './sampson.ts';

/** Name of the matcher in tables. */
export const MATCHER = 'AKAZE, ratio 0.8, mutual, like its neighbours within 2 % of the width, refined by Lucas-Kanade';

/** Largest shift of a match between neighbouring frames, as a share of the longer side: repeated tiles match anywhere else. */
export const REACH = 0.12;

/** Keypoints of a picture: x y flat, binary descriptors [n, bytes]. */
export type Keypoints = {
  readonly count: number;
  readonly points: Float64Array;
  readonly descriptors: Uint8Array;
  readonly bytes: number;
};

export type FeatureOptions = {
  /** Smallest detector response. Default 1e-4: small pictures have few strong corners. */
  readonly threshold?: number;
  /** Most keypoints, the strongest first. Default 2048. */
  readonly limit?: number;
  /** Enlarge small pictures so that their longer side has this many pixels before looking for corners. Default 512. */
  readonly side?: number;
};

/** Finds keypoints. @param picture uint8 RGB [H, W, 3]; points are in its pixels, (0, 0) = centre of the first pixel */
export async function findKeypoints(
  picture: Uint8Array,
  { height, width }: PlaneSize,
  options: FeatureOptions = {},
): Promise<Keypoints> {
  const { threshold = 1e-4, limit = 2048, side = 512 } = options;
  const cv = await openCv();
  return withMats((keep) => {
    const gray = keep(cv.matFromArray(height, width, cv.CV_8UC1, lumaOf(picture) as unknown as number[]));
    const scale = Math.max(1, side / Math.max(height, width));
    const big = keep(new cv.Mat());
    if (scale > 1)
      cv.resize(gray, big, new cv.Size(Math.round(width * scale), Math.round(height * scale)), 0, 0, cv.INTER_CUBIC);
    else gray.copyTo(big);
    const sx = big.cols / width;
    const sy = big.rows / height;
    const akaze = keep(new cv.AKAZE());
    akaze.setThreshold(threshold);
    const found = keep(new cv.KeyPointVector());
    const described = keep(new cv.Mat());
    const none = keep(new cv.Mat());
    akaze.detectAndCompute(big, none, found, described, false);
    const all = Array.from({ length: found.size() }, (_, i) => ({ i, k: found.get(i) }));
    // Equal responses keep the detector's order: the result never depends on a sort's whims.
    all.sort((a, b) => b.k.response - a.k.response || a.i - b.i);
    const kept = all.slice(0, limit);
    const bytes = described.cols;
    const descriptors = new Uint8Array(kept.length * bytes);
    const points = new Float64Array(kept.length * 2);
    for (const [row, { i, k }] of kept.entries()) {
      points[2 * row] = (k.pt.x + 0.5) / sx - 0.5;
      points[2 * row + 1] = (k.pt.y + 0.5) / sy - 0.5;
      descriptors.set(described.data.subarray(i * bytes, (i + 1) * bytes), row * bytes);
    }
    return { count: kept.length, points, descriptors, bytes };
  });
}

/** Number of ones in each byte. */
const ONES = Uint8Array.from({ length: 256 }, (_, b) => b.toString(2).replaceAll('0', '').length);

/** Nearest and second nearest of each row of `a` in `b` by Hamming distance; `reach` limits how far apart points may lie, px. */
function nearest(
  a: Keypoints,
  b: Keypoints,
  reach: number,
): { best: Int32Array; first: Int32Array; second: Int32Array } {
  const best = new Int32Array(a.count).fill(-1);
  const first = new Int32Array(a.count).fill(1 << 20);
  const second = new Int32Array(a.count).fill(1 << 20);
  for (let i = 0; i < a.count; i++) {
    for (let j = 0; j < b.count; j++) {
      if (
        Math.abs(a.points[2 * i]! - b.points[2 * j]!) > reach ||
        Math.abs(a.points[2 * i + 1]! - b.points[2 * j + 1]!) > reach
      )
        continue;
      let d = 0;
      const limit = second[i]!;
      for (let k = 0; k < a.bytes && d < limit; k++)
        d += ONES[a.descriptors[i * a.bytes + k]! ^ b.descriptors[j * b.bytes + k]!]!;
      if (d < first[i]!) [second[i], first[i], best[i]] = [first[i]!, d, j];
      else if (d < second[i]!) second[i] = d;
    }
  }
  return { best, first, second };
}

/** Index pairs that pass the ratio test in both directions and choose each other. @param reach largest shift in pixels */
export function matchPairs(
  a: Keypoints,
  b: Keypoints,
  options: { readonly ratio?: number; readonly reach?: number } = {},
): [number, number][] {
  const { ratio = 0.8, reach = Number.POSITIVE_INFINITY } = options;
  const forth = nearest(a, b, reach);
  const back = nearest(b, a, reach);
  const pairs: [number, number][] = [];
  for (let i = 0; i < a.count; i++) {
    const j = forth.best[i]!;
    if (j < 0 || back.best[j] !== i) continue;
    if (forth.first[i]! >= ratio * forth.second[i]!) continue;
    pairs.push([i, j]);
  }
  return pairs;
}

/** Matches around a match that it is compared with, and how far it may differ from their median shift, share of the longer side. */
const NEIGHBOURS = 8;
const MOST_UNLIKE = 0.02;

/** Matches whose shift is like that of the matches around them: repeated tiles match anywhere else. */
export function agreeingMatches(matches: Matches, { height, width }: PlaneSize): Matches {
  const { count, a, b } = matches;
  if (count <= NEIGHBOURS) return matches;
  const limit = MOST_UNLIKE * Math.max(height, width);
  const kept = Array.from({ length: count }, (_, i) => i).filter((i) => {
    const near = nearestTo(a, i);
    const usual = [0, 1].map((k) => lowerMedian(near.map((j) => b[2 * j + k]! - a[2 * j + k]!)));
    return Math.hypot(b[2 * i]! - a[2 * i]! - usual[0]!, b[2 * i + 1]! - a[2 * i + 1]! - usual[1]!) <= limit;
  });
  const pick = (v: Float64Array): Float64Array => Float64Array.from(kept.flatMap((i) => [v[2 * i]!, v[2 * i + 1]!]));
  return { count: kept.length, a: pick(a), b: pick(b) };
}

/** Indices of the points nearest to point i, itself left out. */
function nearestTo(points: Float64Array, i: number): number[] {
  const best: number[] = [];
  const distances: number[] = [];
  for (let j = 0; j < points.length / 2; j++) {
    if (j === i) continue;
    const d = (points[2 * i]! - points[2 * j]!) ** 2 + (points[2 * i + 1]! - points[2 * j + 1]!) ** 2;
    if (best.length === NEIGHBOURS && d >= distances[NEIGHBOURS - 1]!) continue;
    let at = best.length;
    while (at > 0 && distances[at - 1]! > d) at--;
    best.splice(at, 0, j);
    distances.splice(at, 0, d);
    best.length = distances.length = Math.min(NEIGHBOURS, best.length);
  }
  return best;
}

/** Matches of two pictures as points. */
export function matchesFrom(a: Keypoints, b: Keypoints, pairs: readonly (readonly [number, number])[]): Matches {
  return {
    count: pairs.length,
    a: Float64Array.from(pairs.flatMap(([i]) => [a.points[2 * i]!, a.points[2 * i + 1]!])),
    b: Float64Array.from(pairs.flatMap(([, j]) => [b.points[2 * j]!, b.points[2 * j + 1]!])),
  };
}

/** Largest correction of a match, pixels of the enlarged picture. */
const MOST_CORRECTION = 3;
/**
 * Deviation of the blur before points are followed, pixels of the video: noise that sticks to the screen (soft shadows, blocks of
 * a codec) must not hold points.
 */
export const POINT_BLUR = 0.8;

/** Luma of a picture, `zoom` times as large and blurred. The caller frees it. */
export function smoothLuma(cv: OpenCv, rgb: Uint8Array, { height, width }: PlaneSize, zoom: number) {
  const gray = cv.matFromArray(height, width, cv.CV_8UC1, lumaOf(rgb) as unknown as number[]);
  const big = new cv.Mat();
  cv.resize(gray, big, new cv.Size(Math.round(width * zoom), Math.round(height * zoom)), 0, 0, cv.INTER_CUBIC);
  cv.GaussianBlur(big, big, new cv.Size(0, 0), POINT_BLUR * zoom);
  gray.delete();
  return big;
}

/**
 * Moves the second point of each match to where the patch around the first one fits best (Lucas-Kanade from the match itself).
 * Descriptors place a match within about a quarter of a pixel, which a small picture magnifies on the 960×540 canvas.
 * @param a and b uint8 RGB [H, W, 3]
 */
export async function refineMatches(
  a: Uint8Array,
  b: Uint8Array,
  matches: Matches,
  { height, width }: PlaneSize,
  { side = 512 }: { readonly side?: number } = {},
): Promise<Matches> {
  if (matches.count === 0) return matches;
  const cv = await openCv();
  return withMats((keep) => {
    const zoom = Math.max(1, side / Math.max(height, width));
    const [from, to] = [a, b].map((rgb) => keep(smoothLuma(cv, rgb, { height, width }, zoom)));
    const enlarged = (points: Float64Array) =>
      keep(
        cv.matFromArray(
          matches.count,
          1,
          cv.CV_32FC2,
          Array.from(points, (v) => (v + 0.5) * zoom - 0.5),
        ),
      );
    const [start, end] = [enlarged(matches.a), enlarged(matches.b)];
    const guess = Float32Array.from(end.data32F);
    const [status, error] = [keep(new cv.Mat()), keep(new cv.Mat())];
    const criteria = new cv.TermCriteria(cv.TermCriteria_COUNT + cv.TermCriteria_EPS, 30, 0.01);
    const window = new cv.Size(15, 15);
    cv.calcOpticalFlowPyrLK(from!, to!, start, end, status, error, window, 0, criteria, cv.OPTFLOW_USE_INITIAL_FLOW);
    const refined = matches.b.slice();
    for (let i = 0; i < matches.count; i++) {
      const [x, y] = [end.data32F[2 * i]!, end.data32F[2 * i + 1]!];
      if (status.data[i] !== 1 || Math.hypot(x - guess[2 * i]!, y - guess[2 * i + 1]!) > MOST_CORRECTION) continue;
      refined[2 * i] = (x + 0.5) / zoom - 0.5;
      refined[2 * i + 1] = (y + 0.5) / zoom - 0.5;
    }
    return { count: matches.count, a: matches.a, b: refined };
  });
}
