// Points followed through a clip: corners, pyramidal Lucas-Kanade from frame to frame, checked by going back (OpenCV's WASM build).
// In smooth video this is finer than matching descriptors anew in every pair.
import { throwIfAborted } from '../../../base/index.ts';
import type { Frames } from '../../../media/index.ts';
import { openCv, withMats } from '../../../motion/index.ts';
import { smoothLuma } from '../features.ts';

/** Name of the tracker of points in tables. */
export const POINT_TRACKER = 'corners, pyramidal Lucas-Kanade, checked backwards';

/** One scene point in consecutive frames; x y flat, in pixels, (0, 0) = centre of the first pixel. */
export type PointTrack = { readonly start: number; readonly xy: readonly number[] };

export type TrackOptions = {
  /** Most points alive at a time. Default 400. */
  readonly limit?: number;
  /** Pictures are enlarged until their longer side has this many pixels. Default 512. */
  readonly side?: number;
  readonly signal?: AbortSignal;
};

/** New corners are looked for this often, in frames. */
const RENEW = 3;
/** Largest distance between a point and its way there and back, enlarged pixels. */
const RETURN = 0.6;
const WINDOW = 17;
/** Every so many frames a point is compared with its look that long ago: the small errors of single steps do not add up. */
const ANCHOR = 8;

/** Follows corners through all frames. Tracks of fewer than three sights are dropped. @param frames uint8 [T, H, W, 3] */
export async function trackPoints(frames: Frames, options: TrackOptions = {}): Promise<PointTrack[]> {
  const { limit = 400, side = 512, signal } = options;
  const cv = await openCv();
  const [count, height, width] = frames.shape;
  const each = height * width * 3;
  const zoom = Math.max(1, side / Math.max(height, width));
  const spacing = Math.max(5, Math.round((zoom * Math.max(height, width)) / 64));
  return withMats((keep) => {
    type Picture = InstanceType<typeof cv.Mat>;
    const pictureAt = (t: number): Picture =>
      smoothLuma(cv, frames.data.subarray(t * each, (t + 1) * each), { height, width }, zoom);
    const criteria = new cv.TermCriteria(cv.TermCriteria_COUNT + cv.TermCriteria_EPS, 30, 0.01);
    const window = new cv.Size(WINDOW, WINDOW);
    const [found, gone, status, error] = [new cv.Mat(), new cv.Mat(), new cv.Mat(), new cv.Mat()].map(keep);
    /** Where points of one picture are in another; undefined where they were lost. */
    const follow = (a: Picture, b: Picture, points: readonly number[], guess?: readonly number[]) => {
      const from = cv.matFromArray(points.length / 2, 1, cv.CV_32FC2, points as number[]);
      const to = guess === undefined ? found! : cv.matFromArray(guess.length / 2, 1, cv.CV_32FC2, guess as number[]);
      const [levels, flags] = guess === undefined ? [3, 0] : [0, cv.OPTFLOW_USE_INITIAL_FLOW];
      cv.calcOpticalFlowPyrLK(a, b, from, to, status!, error!, window, levels, criteria, flags);
      const out = { xy: Float32Array.from(to.data32F), ok: Uint8Array.from(status!.data) };
      if (guess !== undefined) to.delete();
      from.delete();
      return out;
    };
    /** A point with its last place, and its place in the picture that it is compared with. */
    type Live = { start: number; xy: number[]; x: number; y: number; anchor: { t: number; x: number; y: number } };
    const done: PointTrack[] = [];
    let live: Live[] = [];
    const finish = (track: Live): void => {
      if (track.xy.length >= 6) done.push({ start: track.start, xy: track.xy });
    };
    const note = (x: number, y: number): [number, number] => [(x + 0.5) / zoom - 0.5, (y + 0.5) / zoom - 0.5];
    const pictures = new Map([[0, pictureAt(0)]]);
    /** Corrects live points against their anchors; those that changed too much stay where they are and get a new anchor. */
    const correct = (t: number): void => {
      for (const anchor of new Set(live.map((p) => p.anchor.t))) {
        if (anchor >= t - 1) continue;
        const own = live.filter((p) => p.anchor.t === anchor);
        const { xy, ok } = follow(
          pictures.get(anchor)!,
          pictures.get(t)!,
          own.flatMap((p) => [p.anchor.x, p.anchor.y]),
          own.flatMap((p) => [p.x, p.y]),
        );
        for (const [i, p] of own.entries()) {
          const [x, y] = [xy[2 * i]!, xy[2 * i + 1]!];
          if (ok[i] === 1 && Math.hypot(x - p.x, y - p.y) < RETURN) [p.x, p.y] = [x, y];
          if (t - anchor >= ANCHOR) p.anchor = { t, x: p.x, y: p.y };
        }
      }
      const oldest = Math.min(t, ...live.map((p) => p.anchor.t));
      for (const [k, picture] of pictures) {
        if (k >= oldest || k === t) continue;
        picture.delete();
        pictures.delete(k);
      }
    };
    try {
      for (let t = 0; t < count; t++) {
        throwIfAborted(signal);
        if (t > 0) {
          const before = pictures.get(t - 1)!;
          const now = pictureAt(t);
          pictures.set(t, now);
          if (live.length > 0) {
            const there = follow(
              before,
              now,
              live.flatMap((p) => [p.x, p.y]),
            );
            const back = follow(now, before, Array.from(there.xy));
            live = live.filter((p, i) => {
              const [x, y] = [there.xy[2 * i]!, there.xy[2 * i + 1]!];
              const isKept =
                there.ok[i] === 1 &&
                back.ok[i] === 1 &&
                Math.hypot(back.xy[2 * i]! - p.x, back.xy[2 * i + 1]! - p.y) < RETURN &&
                x >= 2 &&
                y >= 2 &&
                x < now.cols - 2 &&
                y < now.rows - 2;
              if (!isKept) {
                finish(p);
                return false;
              }
              [p.x, p.y] = [x, y];
              return true;
            });
            correct(t);
            for (const p of live) p.xy.push(...note(p.x, p.y));
          }
        }
        if (t % RENEW !== 0 || t + 2 >= count || live.length >= limit) continue;
        const now = pictures.get(t)!;
        const mask = new cv.Mat(now.rows, now.cols, cv.CV_8UC1, new cv.Scalar(255));
        for (const p of live)
          cv.circle(mask, new cv.Point(Math.round(p.x), Math.round(p.y)), spacing, new cv.Scalar(0), -1);
        cv.goodFeaturesToTrack(now, gone!, limit - live.length, 0.005, spacing, mask, 7);
        mask.delete();
        for (let i = 0; i < gone!.rows; i++) {
          const [x, y] = [gone!.data32F[2 * i]!, gone!.data32F[2 * i + 1]!];
          live.push({ start: t, xy: note(x, y), x, y, anchor: { t, x, y } });
        }
      }
      for (const p of live) finish(p);
    } finally {
      for (const picture of pictures.values()) picture.delete();
    }
    return done;
  });
}

/** Sights of a track. */
export const lengthOf = (track: PointTrack): number => track.xy.length / 2;

/** Where a track is in a frame; undefined outside its life. */
export function sightOf({ start, xy }: PointTrack, frame: number): readonly [number, number] | undefined {
  const i = frame - start;
  return i < 0 || 2 * i >= xy.length ? undefined : [xy[2 * i]!, xy[2 * i + 1]!];
}
