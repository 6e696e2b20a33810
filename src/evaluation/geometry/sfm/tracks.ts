// Points followed through a clip: corners, pyramidal Lucas-Kanade from frame to frame, checked by going back (OpenCV's WASM build);
// then every point is compared with its first look, changed by the new viewpoint. In smooth video this is finer than matching
// descriptors anew in every pair, and outlines of round things, which slide, stop looking alike.
import { throwIfAborted } from '../../../base/index.ts';
import type { Frames } from '../../../media/index.ts';
import { openCv, withMats } from '../../../motion/index.ts';
import { alignTemplate, type Placement, type Plane, type Template, templateAt } from './affine-align.ts';
import { evenLuma } from './even-contrast.ts';

/** Name of the tracker of points in tables. */
export const POINT_TRACKER =
  'corners, pyramidal Lucas-Kanade, checked backwards, aligned with their first look under affine change';

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
const WINDOW = 25;
/** Corners this much weaker than the strongest are left alone. */
const QUALITY = 0.01;
/** A point that looks less like its template than this is lost (correlation). */
const ALIKE = 0.9;
/** A patch that has grown or shrunk by more than this (area) gets a new template: too little of the old one is left to compare. */
const MOST_GROWTH = 2;

/** Largest correction of a place by the alignment, enlarged pixels. */
const MOST_CORRECTION = 2;
const UNCHANGED = { a: 1, b: 0, c: 0, d: 1 } as const;

/** Follows corners through all frames. Tracks of fewer than three sights are dropped. @param frames uint8 [T, H, W, 3] */
export async function trackPoints(frames: Frames, options: TrackOptions = {}): Promise<PointTrack[]> {
  const { limit = 400, side = 512, signal } = options;
  const cv = await openCv();
  const [count, height, width] = frames.shape;
  const each = height * width * 3;
  const zoom = Math.max(1, side / Math.max(height, width));
  const spacing = Math.max(5, Math.round((zoom * Math.max(height, width)) / 64));
  return withMats((keep) => {
    type Picture = { readonly plane: Plane; readonly mat: InstanceType<typeof cv.Mat> };
    const pictureAt = (t: number): Picture => {
      const plane = evenLuma(cv, frames.data.subarray(t * each, (t + 1) * each), { height, width }, zoom);
      const mat = new cv.Mat(plane.height, plane.width, cv.CV_8UC1);
      // Rounds, and keeps to 0…255.
      mat.data.set(new Uint8ClampedArray(plane.data));
      return { plane, mat };
    };
    const criteria = new cv.TermCriteria(cv.TermCriteria_COUNT + cv.TermCriteria_EPS, 30, 0.01);
    const window = new cv.Size(WINDOW, WINDOW);
    const [found, gone, status, error] = [new cv.Mat(), new cv.Mat(), new cv.Mat(), new cv.Mat()].map(keep);
    /** Where points of one picture are in another, and whether they were found. */
    const follow = (a: Picture, b: Picture, points: readonly number[]) => {
      const from = cv.matFromArray(points.length / 2, 1, cv.CV_32FC2, points as number[]);
      cv.calcOpticalFlowPyrLK(a.mat, b.mat, from, found!, status!, error!, window, 3, criteria, 0);
      from.delete();
      return { xy: Float32Array.from(found!.data32F), ok: Uint8Array.from(status!.data) };
    };
    /** A point with its last place and the look that it is compared with. */
    type Live = { start: number; xy: number[]; at: Placement; template: Template };
    const done: PointTrack[] = [];
    let live: Live[] = [];
    const finish = (track: Live): void => {
      if (track.xy.length >= 6) done.push({ start: track.start, xy: track.xy });
    };
    const note = (x: number, y: number): [number, number] => [(x + 0.5) / zoom - 0.5, (y + 0.5) / zoom - 0.5];
    const radius = WINDOW >> 1;
    const isNear = (p: number): boolean => p > 1 / MOST_GROWTH && p < MOST_GROWTH;
    /** Aligns a point with a picture; false when it no longer looks like itself. */
    const align = (p: Live, x: number, y: number, now: Plane): boolean => {
      const got = alignTemplate(p.template, now, { ...p.at, x, y });
      if (got === undefined || got.alike < ALIKE) return false;
      const { placement: w } = got;
      if (Math.hypot(w.x - x, w.y - y) > MOST_CORRECTION) return false;
      p.at = w;
      if (isNear(Math.abs(w.a * w.d - w.b * w.c))) return true;
      const template = templateAt(now, w.x, w.y, radius);
      if (template === undefined) return false;
      p.template = template;
      p.at = { ...UNCHANGED, x: w.x, y: w.y };
      return true;
    };
    let before: Picture | undefined;
    try {
      for (let t = 0; t < count; t++) {
        throwIfAborted(signal);
        const now = pictureAt(t);
        if (before !== undefined && live.length > 0) {
          const there = follow(
            before,
            now,
            live.flatMap((p) => [p.at.x, p.at.y]),
          );
          const back = follow(now, before, Array.from(there.xy));
          live = live.filter((p, i) => {
            const [x, y] = [there.xy[2 * i]!, there.xy[2 * i + 1]!];
            const isKept =
              there.ok[i] === 1 &&
              back.ok[i] === 1 &&
              Math.hypot(back.xy[2 * i]! - p.at.x, back.xy[2 * i + 1]! - p.at.y) < RETURN &&
              align(p, x, y, now.plane);
            if (!isKept) finish(p);
            return isKept;
          });
          for (const p of live) p.xy.push(...note(p.at.x, p.at.y));
        }
        before?.mat.delete();
        before = now;
        if (t % RENEW !== 0 || t + 2 >= count || live.length >= limit) continue;
        const mask = new cv.Mat(now.mat.rows, now.mat.cols, cv.CV_8UC1, new cv.Scalar(255));
        for (const { at } of live)
          cv.circle(mask, new cv.Point(Math.round(at.x), Math.round(at.y)), spacing, new cv.Scalar(0), -1);
        cv.goodFeaturesToTrack(now.mat, gone!, limit - live.length, QUALITY, spacing, mask, 7);
        mask.delete();
        for (let i = 0; i < gone!.rows; i++) {
          const [x, y] = [gone!.data32F[2 * i]!, gone!.data32F[2 * i + 1]!];
          const template = templateAt(now.plane, x, y, radius);
          if (template !== undefined) live.push({ start: t, xy: note(x, y), at: { ...UNCHANGED, x, y }, template });
        }
      }
      for (const p of live) finish(p);
    } finally {
      before?.mat.delete();
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
