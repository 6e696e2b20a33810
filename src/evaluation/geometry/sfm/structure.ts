// Structure from motion for short clips of one still scene: camera track and points from the video alone. Points are tracked, a
// pair of frames with wide parallax starts (five-point, all good hypotheses are tried), the other frames are placed by their
// points, everything is adjusted together. Success: at least 90 % of the frames placed with a mean reprojection error below 2 px.
import { throwIfAborted } from '../../../base/index.ts';
import type { Frames } from '../../../media/index.ts';
import { lowerMedian } from '../../../motion/index.ts';
import { invertRigid, mul3, transpose3 } from '../small.ts';
import { adjust, type Scene3, type Sight, sightError, type View } from './bundle.ts';
import { depthsOf, type RayPairs, relativePoses, type TwoView } from './five-point.ts';
import { lengthOf, type PointTrack, sightOf, trackPoints } from './tracks.ts';

export type StructureOptions = {
  /** Focal length in pixels when it is known; otherwise it is found with everything else, starting from 1.2 × the longer side. */
  readonly focal?: number;
  /** Principal point in pixels, (0, 0) = corner of the picture. Default: its middle. */
  readonly centre?: readonly [number, number];
  readonly seed?: number;
  readonly signal?: AbortSignal;
};

/** Pose of a frame, camera-to-world, 4×4 row-major; scale and origin are free. */
export type Structure = {
  /** One pose per frame; null where the frame could not be placed. */
  readonly poses: readonly (Float64Array | null)[];
  /** Share of frames with a pose. */
  readonly registered: number;
  /** Mean distance of sights from their projected points, pixels; NaN without any. */
  readonly reprojection: number;
  readonly points: number;
  /** Where they are, x y z flat, in the frame of the poses. */
  readonly cloud: Float64Array;
  readonly focal: number;
  /** Principal point with (0, 0) in the middle of the first pixel. */
  readonly centre: readonly [number, number];
  readonly isSuccess: boolean;
  /** Why there is no success. */
  readonly why?: string;
};

const LEAST_REGISTERED = 0.9;
const MOST_REPROJECTION = 2;
/** Fewest points that the two first frames share. */
const LEAST_SHARED = 20;
/** Fewest points that place a frame. */
const LEAST_POINTS = 12;
/** Sights farther than this from their point are wrong, pixels. */
const OUTLIER = 2;
/** No sight nearer than this is called wrong, pixels. */
const LEAST_OUTLIER = 0.4;
/** Way of the fastest fifth of the points between the two first frames below which nothing can be told, share of the longer side. */
const LEAST_MOTION = 0.004;
const MOST_POINTS = 350;
/** Residual from which errors count linearly once most outliers are gone, pixels. */
const FINE = 0.3;
/** Smallest angle under which a new point is seen, rad. */
const LEAST_ANGLE = 0.006;

/** Recovers the cameras of a clip. @param frames uint8 [T, H, W, 3] of one scene that does not move */
export async function structureFromMotion(frames: Frames, options: StructureOptions = {}): Promise<Structure> {
  const { signal, seed = 1 } = options;
  const [count, height, width] = frames.shape;
  const centre = options.centre ?? [width / 2, height / 2];
  // Track points have (0, 0) in the middle of the first pixel, intrinsics at its corner.
  const middle = [centre[0] - 0.5, centre[1] - 0.5] as const;
  const none = (why: string): Structure => ({
    poses: new Array<null>(count).fill(null),
    registered: 0,
    reprojection: Number.NaN,
    points: 0,
    cloud: new Float64Array(0),
    focal: options.focal ?? Number.NaN,
    centre: middle,
    isSuccess: false,
    why,
  });
  if (count < 3) return none(`${count} frames: three are needed`);
  const tracks = await trackPoints(frames, signal === undefined ? {} : { signal });
  if (tracks.length < LEAST_POINTS) return none(`only ${tracks.length} points could be followed`);
  const long = Math.max(height, width);
  const focals = options.focal === undefined ? [1.2 * long, 0.75 * long, 2 * long] : [options.focal];
  let best: Attempt | undefined;
  let why = 'no pair of frames shares enough points';
  for (const focal of focals) {
    const shared = { tracks, count, focal, centre: middle, refinesFocal: options.focal === undefined, seed };
    for (const pair of pairsOf(tracks, count)) {
      throwIfAborted(signal);
      const motion = motionOf(tracks, pair) / long;
      if (motion < LEAST_MOTION) {
        why = `points move by ${(100 * motion).toFixed(2)} % of the picture: the camera stands still or only turns a little`;
        continue;
      }
      for (const start of startsOf(pair, shared)) {
        const got = reconstruct(pair, start, shared);
        if (got !== undefined && (best === undefined || isBetter(got, best))) best = got;
      }
      if (best?.structure.isSuccess === true && best.misfit < GOOD) return best.structure;
    }
    if (best?.structure.isSuccess === true) return best.structure;
  }
  return best?.structure ?? none(why);
}

/** Misfit of a reconstruction that needs no second try, pixels. */
const GOOD = 0.5;

/** Nearly flat scenes have two explanations of two frames. All frames tell them apart, when every point is asked. */
function isBetter(a: Attempt, b: Attempt): boolean {
  const gap = a.structure.registered - b.structure.registered;
  return Math.abs(gap) > 0.05 ? gap > 0 : a.misfit < b.misfit;
}

/** A reconstruction, and the mean error over the sights of all tracks, each at most `OUTLIER`. */
type Attempt = { readonly structure: Structure; readonly misfit: number };

/** How badly the cameras explain all tracks, those without a point of their own included. */
function misfitOf(state: State): number {
  const { scene, tracks, placed } = state;
  const points = scene.points.slice();
  const all: State = { scene: { ...scene, points }, tracks, placed, known: new Set() };
  addPoints(all, { leastAngle: 0, worst: Number.POSITIVE_INFINITY });
  const sights = sightsOf(all);
  adjust(all.scene, sights, { fixed: placed, iterations: 8, huber: FINE });
  let sum = 0;
  let n = 0;
  for (const s of sights) sum += Math.min(OUTLIER, sightError(all.scene, s));
  for (const [i, track] of tracks.entries()) {
    for (const f of placed) {
      if (sightOf(track, f) === undefined) continue;
      n++;
      if (!all.known.has(i)) sum += OUTLIER;
    }
  }
  return n === 0 ? OUTLIER : sum / n;
}

type Pair = readonly [number, number];
type Shared = {
  readonly tracks: readonly PointTrack[];
  readonly count: number;
  readonly focal: number;
  readonly centre: readonly [number, number];
  readonly refinesFocal: boolean;
  readonly seed: number;
};

const inBoth = (tracks: readonly PointTrack[], [a, b]: Pair): PointTrack[] =>
  tracks.filter((t) => t.start <= a && t.start + lengthOf(t) > b);

/** Pairs to start from, widest first, as long as many points are seen in both. */
function pairsOf(tracks: readonly PointTrack[], count: number): Pair[] {
  const last = count - 1;
  const spans = [1, 0.75, 0.5, 0.33].map((s) => Math.max(1, Math.round(s * last)));
  const pairs = [...new Set(spans)].flatMap((span): Pair[] => {
    const middle = Math.floor((last - span) / 2);
    return middle === 0 ? [[0, span]] : [[middle, middle + span]];
  });
  return pairs.filter((p) => inBoth(tracks, p).length >= LEAST_SHARED).slice(0, 3);
}

function motionOf(tracks: readonly PointTrack[], pair: Pair): number {
  const ways = inBoth(tracks, pair).map((t) => {
    const [p, q] = [sightOf(t, pair[0])!, sightOf(t, pair[1])!];
    return Math.hypot(p[0] - q[0], p[1] - q[1]);
  });
  ways.sort((p, q) => p - q);
  return ways.length === 0 ? 0 : ways[Math.floor(0.8 * ways.length)]!;
}

function startsOf(pair: Pair, { tracks, focal, centre, seed }: Shared): TwoView[] {
  const seen = inBoth(tracks, pair);
  const rays = (frame: number): Float64Array =>
    Float64Array.from(seen.flatMap((t) => sightOf(t, frame)!.map((v, k) => (v - centre[k]!) / focal)));
  const pairs: RayPairs = { count: seen.length, a: rays(pair[0]), b: rays(pair[1]) };
  return relativePoses(pairs, { threshold: 1 / focal, seed: seed + pair[1] });
}

/** Grows a reconstruction from two posed frames. */
function reconstruct(pair: Pair, start: TwoView, shared: Shared): Attempt | undefined {
  const { count, centre, refinesFocal } = shared;
  const tracks = chosen(shared.tracks);
  const views: View[] = Array.from({ length: count }, () => ({ rotation: IDENTITY, translation: new Float64Array(3) }));
  views[pair[1]] = { rotation: start.rotation, translation: start.translation };
  const scene: Scene3 = { views, points: new Float64Array(tracks.length * 3), focal: shared.focal, centre };
  const placed = new Set<number>(pair);
  const known = new Set<number>();
  const state: State = { scene, tracks, placed, known };
  addPoints(state);
  if (known.size < LEAST_POINTS) return undefined;
  const fixed = new Set([pair[0]]);
  adjust(scene, sightsOf(state), { fixed, iterations: 12 });
  dropOutliers(state);
  // Neighbours of placed frames first: their pose is a good guess.
  const order = Array.from({ length: count }, (_, f) => f)
    .filter((f) => !placed.has(f))
    .sort((a, b) => distanceTo(pair, a) - distanceTo(pair, b) || a - b);
  let sinceAdjusted = 0;
  for (const frame of order) {
    if (!place(state, frame)) continue;
    addPoints(state);
    if (++sinceAdjusted >= 8) {
      adjust(scene, sightsOf(state), { fixed, iterations: 4 });
      dropOutliers(state);
      sinceAdjusted = 0;
    }
  }
  for (let round = 0; round < 2; round++) {
    adjust(scene, sightsOf(state), { fixed, iterations: 12, refinesFocal, huber: round === 0 ? 1 : FINE });
    dropOutliers(state);
    addPoints(state);
    for (const frame of order) if (!placed.has(frame)) place(state, frame);
  }
  adjust(scene, sightsOf(state), { fixed, iterations: 20, refinesFocal, huber: FINE });
  dropOutliers(state);
  return { structure: summaryOf(state, count), misfit: misfitOf(state) };
}

const IDENTITY = Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1);

/** Distance of a frame from the span of the pair: frames inside come first, by their distance to an end. */
const distanceTo = ([a, b]: Pair, f: number): number =>
  f < a ? 1000 + a - f : f > b ? 1000 + f - b : Math.min(f - a, b - f);

/** The longest tracks. */
function chosen(tracks: readonly PointTrack[]): PointTrack[] {
  return [...tracks].sort((a, b) => lengthOf(b) - lengthOf(a) || a.start - b.start).slice(0, MOST_POINTS);
}

type State = {
  readonly scene: Scene3;
  readonly tracks: readonly PointTrack[];
  readonly placed: Set<number>;
  /** Tracks with a point. */
  readonly known: Set<number>;
};

function sightsOf({ tracks, placed, known }: State, only?: number): Sight[] {
  const out: Sight[] = [];
  for (const point of known) {
    const track = tracks[point]!;
    for (const view of only === undefined ? placed : [only]) {
      const at = sightOf(track, view);
      if (at !== undefined) out.push({ view, point, x: at[0], y: at[1] });
    }
  }
  return out;
}

/** Gives a point to every track that placed frames see under a wide enough angle and agree on. */
function addPoints(
  state: State,
  { leastAngle = LEAST_ANGLE, worst = OUTLIER }: { readonly leastAngle?: number; readonly worst?: number } = {},
): void {
  const { scene, tracks, placed, known } = state;
  const { views, focal, centre } = scene;
  for (const [point, track] of tracks.entries()) {
    if (known.has(point)) continue;
    const seen = [...placed].filter((f) => sightOf(track, f) !== undefined).sort((a, b) => a - b);
    if (seen.length < 2) continue;
    const [a, b] = [seen[0]!, seen[seen.length - 1]!];
    const [p, q] = [sightOf(track, a)!, sightOf(track, b)!];
    const ray = (s: readonly [number, number]): Float64Array =>
      Float64Array.of((s[0] - centre[0]) / focal, (s[1] - centre[1]) / focal);
    const [va, vb] = [views[a]!, views[b]!];
    const relative = between(va, vb);
    const [z] = depthsOf(relative, { count: 1, a: ray(p), b: ray(q) }, 0);
    if (!(z > 0)) continue;
    const inA = [ray(p)[0]! * z, ray(p)[1]! * z, z].map((v, k) => v - va.translation[k]!);
    const r = va.rotation;
    for (let k = 0; k < 3; k++)
      scene.points[3 * point + k] = r[k]! * inA[0]! + r[3 + k]! * inA[1]! + r[6 + k]! * inA[2]!;
    if (angleAt(scene, point, va, vb) < leastAngle) continue;
    const errors = seen.map((view) =>
      sightError(scene, { view, point, x: sightOf(track, view)![0], y: sightOf(track, view)![1] }),
    );
    if (lowerMedian(errors) < worst && Math.max(...errors) < 3 * worst) known.add(point);
  }
}

/** Pose of view b seen from view a: x_b = R x_a + t. */
function between(a: View, b: View): TwoView {
  const rotation = mul3(b.rotation, transpose3(a.rotation));
  const t = a.translation;
  const translation = b.translation.map(
    (v, i) => v - (rotation[3 * i]! * t[0]! + rotation[3 * i + 1]! * t[1]! + rotation[3 * i + 2]! * t[2]!),
  );
  return { rotation, translation };
}

const eyeOf = ({ rotation: r, translation: t }: View): number[] =>
  [0, 1, 2].map((k) => -(r[k]! * t[0]! + r[3 + k]! * t[1]! + r[6 + k]! * t[2]!));

function angleAt({ points }: Scene3, point: number, a: View, b: View): number {
  const [p, q] = [eyeOf(a), eyeOf(b)].map((e) => e.map((v, k) => v - points[3 * point + k]!)) as [number[], number[]];
  const dot = p.reduce((s, v, k) => s + v * q[k]!, 0);
  return Math.acos(Math.min(1, dot / (Math.hypot(...p) * Math.hypot(...q))));
}

/** Places a frame from the points it sees, starting at the nearest placed frame; false when they do not agree. */
function place(state: State, frame: number): boolean {
  const { scene, placed } = state;
  const near = [...placed].sort((a, b) => Math.abs(a - frame) - Math.abs(b - frame) || a - b)[0]!;
  const before = scene.views[near]!;
  scene.views[frame] = { rotation: before.rotation.slice(), translation: before.translation.slice() };
  const sights = sightsOf(state, frame);
  if (sights.length < LEAST_POINTS) return false;
  const fixed = new Set(placed);
  adjust(scene, sights, { fixed, fixesPoints: true, iterations: 25, huber: 2 });
  const close = sights.filter((s) => sightError(scene, s) < OUTLIER).length;
  if (close < LEAST_POINTS || close < 0.5 * sights.length) return false;
  placed.add(frame);
  return true;
}

/** Points whose sights disagree, or that lie behind a camera, are forgotten: outlines of round things are no points of the scene. */
function dropOutliers(state: State): void {
  const { scene, known } = state;
  const sights = sightsOf(state);
  if (sights.length === 0) return;
  const usual = lowerMedian(sights.map((s) => sightError(scene, s)));
  const most = Math.min(OUTLIER, Math.max(LEAST_OUTLIER, 5 * usual));
  for (const s of sights) if (sightError(scene, s) > most) known.delete(s.point);
}

function summaryOf(state: State, count: number): Structure {
  const { scene, placed, known } = state;
  const sights = sightsOf(state);
  const reprojection = sights.reduce((s, v) => s + sightError(scene, v), 0) / sights.length;
  const registered = placed.size / count;
  const poses = scene.views.map((view, f) => (placed.has(f) ? cameraToWorld(view) : null));
  const isSuccess = registered >= LEAST_REGISTERED && reprojection < MOST_REPROJECTION && known.size >= LEAST_POINTS;
  const why =
    registered < LEAST_REGISTERED
      ? `only ${placed.size} of ${count} frames could be placed`
      : `mean reprojection error ${reprojection.toFixed(2)} px with ${known.size} points`;
  return {
    poses,
    registered,
    reprojection,
    points: known.size,
    cloud: Float64Array.from([...known].flatMap((i) => Array.from(scene.points.subarray(3 * i, 3 * i + 3)))),
    focal: scene.focal,
    centre: scene.centre,
    isSuccess,
    ...(isSuccess ? {} : { why }),
  };
}

const cameraToWorld = ({ rotation: r, translation: t }: View): Float64Array =>
  invertRigid([...r.subarray(0, 3), t[0]!, ...r.subarray(3, 6), t[1]!, ...r.subarray(6), t[2]!, 0, 0, 0, 1]);
