// Carries object masks from their given frames through a video of a static camera: where each object went (block search), then
// which pixel is whose (colours, the known background, nearness to where the object should be). Classical: no learned weights.
// How good it is on ground-truth video is printed beside every score that uses it.
import { InputError, throwIfAborted } from '../../base/index.ts';
import type { Frames } from '../../media/index.ts';
import { nearestColour, type Palette, type PlaneSize, paletteOf } from '../../motion/index.ts';

/** Name of the tracker in tables. */
export const TRACKER = 'orrery colour tracker 1';

export type TrackOptions = {
  /** Label maps of the given frames, in order, ending where tracking starts: 0 = background, 1…n = objects. [H, W] each. */
  readonly given: readonly Uint8Array[];
  /** Number of objects, at most 254. */
  readonly objects: number;
  readonly signal?: AbortSignal;
};

/** Colour distance at which evidence is half way to "does not fit". */
const HALF = 260;
/** Cost per pixel of distance from where an object should be, and of depth inside it for the background. */
const OUTSIDE = 0.11;
const INSIDE = 0.09;
/** Colour distance of a shadow that takes all light. */
const SHADOW = 160;
/** Cost per unlike neighbour of eight. */
const UNLIKE = 0.06;
/** Largest change of an object's motion from one frame to the next, pixels at 128 px width. */
const REACH = 12;
/** Farthest that a pixel may lie from where its object should be. */
const FAR = 9;

const softened = (d: number): number => d / (d + HALF);

type Track = {
  readonly palette: Palette;
  /** Pixels of the last full sight of the object, and how far it has moved since. */
  shape: Int32Array;
  velocity: readonly [number, number];
};

/**
 * Label maps of all frames, the given ones first.
 * @param frames uint8 [T, H, W, 3]
 */
export function trackMasks(frames: Frames, options: TrackOptions): Uint8Array[] {
  const { given, objects, signal } = options;
  const [count, height, width] = frames.shape;
  const size = { height, width };
  if (given.length === 0 || given.length > count || given.some((g) => g.length !== height * width)) {
    throw new InputError('given masks', {
      got: `${given.length} maps of ${given[0]?.length ?? 0} pixels`,
      need: `1 to ${count} maps of ${height * width} pixels`,
    });
  }
  const each = height * width * 3;
  const frame = (t: number): Uint8Array => frames.data.subarray(t * each, (t + 1) * each);
  const ground = backgroundOf(given.map((labels, t) => ({ labels, picture: frame(t) })));
  const tracks = Array.from({ length: objects }, (_, k) => startTrack(k + 1, given, frame, ground, size));
  const out = [...given];
  for (let t = given.length; t < count; t++) {
    throwIfAborted(signal);
    const labels = segment(frame(t), frame(t - 1), out[t - 1]!, tracks, ground, size);
    learn(ground, frame(t), labels);
    out.push(labels);
  }
  return out;
}

type Ground = {
  /** What stands at a pixel when nothing covers it. */
  readonly plate: Uint8Array;
  /** 1 where that has been seen. */
  readonly known: Uint8Array;
  readonly palette: Palette;
};

function backgroundOf(views: readonly { readonly labels: Uint8Array; readonly picture: Uint8Array }[]): Ground {
  const last = views[views.length - 1]!;
  const plate = last.picture.slice();
  const known = new Uint8Array(last.labels.length);
  // The latest sight counts: shadows move.
  for (const { labels, picture } of views) {
    for (let p = 0; p < labels.length; p++) {
      if (labels[p] !== 0) continue;
      known[p] = 1;
      plate.set(picture.subarray(3 * p, 3 * p + 3), 3 * p);
    }
  }
  const free = Array.from(known.keys()).filter((p) => known[p] === 1);
  return { plate, known, palette: paletteOf(plate, free, 16) };
}

function learn({ plate, known }: Ground, picture: Uint8Array, labels: Uint8Array): void {
  for (let p = 0; p < labels.length; p++) {
    if (labels[p] !== 0 || known[p] === 1) continue;
    known[p] = 1;
    plate.set(picture.subarray(3 * p, 3 * p + 3), 3 * p);
  }
}

const pixelsOf = (labels: Uint8Array, k: number): Int32Array => {
  const out: number[] = [];
  for (let p = 0; p < labels.length; p++) if (labels[p] === k) out.push(p);
  return Int32Array.from(out);
};

function startTrack(
  k: number,
  given: readonly Uint8Array[],
  frame: (t: number) => Uint8Array,
  ground: Ground,
  size: PlaneSize,
): Track {
  const last = given.length - 1;
  const shape = pixelsOf(given[last]!, k);
  // Inner pixels only: edges are mixed with what lies behind.
  const inner = shape.filter((p) => [1, -1, size.width, -size.width].every((d) => given[last]![p + d] === k));
  const centre = (t: number): readonly [number, number] | undefined => centreOf(pixelsOf(given[t]!, k), size);
  const [now, before] = [centre(last), last > 0 ? centre(last - 1) : undefined];
  const velocity =
    now === undefined || before === undefined ? ([0, 0] as const) : ([now[0] - before[0], now[1] - before[1]] as const);
  // Thin parts have no inside; their pixels count where the background could not look like that.
  const picture = frame(last);
  const isInner = new Set(inner);
  const edge = shape.filter((p) => !isInner.has(p) && softened(nearestColour(ground.palette, picture, p)) > 0.4);
  const centres = [...paletteOf(picture, inner, 8).centres, ...paletteOf(picture, edge, 4).centres];
  const palette = centres.length === 0 ? paletteOf(picture, shape, 8) : { centres: Float64Array.from(centres) };
  return { palette, shape, velocity };
}

function centreOf(pixels: Int32Array, { width }: PlaneSize): readonly [number, number] | undefined {
  if (pixels.length === 0) return undefined;
  let x = 0;
  let y = 0;
  for (const p of pixels) {
    x += p % width;
    y += Math.floor(p / width);
  }
  return [x / pixels.length, y / pixels.length];
}

/** What one frame looks like, asked pixel by pixel and remembered. */
type Look = {
  /** How badly a pixel fits the background. */
  ground(p: number): number;
  /** How badly it fits the colours of object k (from 0). */
  object(k: number, p: number): number;
};

function lookAt(picture: Uint8Array, ground: Ground, tracks: readonly Track[]): Look {
  const grounds = new Float32Array(picture.length / 3).fill(-1);
  const objects = tracks.map(() => new Float32Array(picture.length / 3).fill(-1));
  return {
    ground(p) {
      if (grounds[p]! < 0) grounds[p] = groundCost(ground, picture, p);
      return grounds[p]!;
    },
    object(k, p) {
      const costs = objects[k]!;
      if (costs[p]! < 0) costs[p] = softened(nearestColour(tracks[k]!.palette, picture, p));
      return costs[p]!;
    },
  };
}

/** How badly a pixel looks like the background that is known there; shadows darken without changing colour. */
function groundCost({ plate, known, palette }: Ground, picture: Uint8Array, p: number): number {
  if (known[p] === 0) return softened(nearestColour(palette, picture, p)) + 0.12;
  const [r, g, b] = [picture[3 * p]!, picture[3 * p + 1]!, picture[3 * p + 2]!];
  const [u, v, w] = [plate[3 * p]!, plate[3 * p + 1]!, plate[3 * p + 2]!];
  const s = Math.min(1.2, Math.max(0.35, (r * u + g * v + b * w) / (u * u + v * v + w * w + 1)));
  const d = ((r - s * u) ** 2 + (g - s * v) ** 2 + (b - s * w) ** 2) / 2 + SHADOW * (1 - s) ** 2;
  return softened(d);
}

/** One frame's work. */
type Step = {
  readonly now: Uint8Array;
  readonly before: Uint8Array;
  readonly look: Look;
  readonly ground: Ground;
  readonly size: PlaneSize;
};

/** The shift at which the object's pixels look most like they did, searched around its last motion. */
function shiftOf(
  track: Track,
  k: number,
  pixels: Int32Array,
  { now, before, look, ground, size: { height, width } }: Step,
): readonly [number, number] {
  const step = Math.max(1, Math.floor(pixels.length / 70));
  const count = Math.ceil(pixels.length / step);
  const costAt = (dx: number, dy: number, limit: number): number => {
    // Among equals the steady motion.
    let cost = 0.002 * count * Math.hypot(dx - track.velocity[0], dy - track.velocity[1]);
    for (let i = 0; i < pixels.length; i += step) {
      const p = pixels[i]!;
      const x = (p % width) + dx;
      const y = Math.floor(p / width) + dy;
      if (cost > limit * count) return Number.POSITIVE_INFINITY;
      if (x < 0 || y < 0 || x >= width || y >= height) {
        cost += 0.6;
        continue;
      }
      const q = y * width + x;
      let d = 0;
      for (let c = 0; c < 3; c++) d += (now[3 * q + c]! - before[3 * p + c]!) ** 2;
      // A turning pattern changes pixels but not the palette.
      cost += Math.min(softened(d / 2), look.object(k, q) + 0.15);
      // Where the known background shows, the object is not.
      if (ground.known[q] === 1) cost += 0.35 * (1 - look.ground(q));
    }
    return cost / count;
  };
  const reach = Math.round((REACH * Math.max(width, height)) / 128);
  let best: readonly [number, number] = [0, 0];
  let least = costAt(0, 0, Number.POSITIVE_INFINITY);
  const consider = (dx: number, dy: number): void => {
    const cost = costAt(dx, dy, least);
    if (cost < least) [least, best] = [cost, [dx, dy]];
  };
  // Still things are settled at once.
  if (least < 0.06 && Math.hypot(...track.velocity) < 0.5) {
    for (const [dx, dy] of [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ] as const)
      consider(dx, dy);
    return best;
  }
  const [vx, vy] = [Math.round(track.velocity[0]), Math.round(track.velocity[1])];
  for (let dy = -reach; dy <= reach; dy += 2) for (let dx = -reach; dx <= reach; dx += 2) consider(vx + dx, vy + dy);
  const [cx, cy] = best;
  for (let dy = -1; dy <= 1; dy++) for (let dx = -1; dx <= 1; dx++) consider(cx + dx, cy + dy);
  return best;
}

/** Chamfer distance to a set of pixels, up to `limit`. */
function distanceTo(inside: Uint8Array, { height, width }: PlaneSize, limit: number): Float32Array {
  const d = Float32Array.from(inside, (v) => (v === 1 ? 0 : limit));
  const relax = (p: number, q: number, w: number): void => {
    if (d[q]! + w < d[p]!) d[p] = d[q]! + w;
  };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const p = y * width + x;
      if (x > 0) relax(p, p - 1, 1);
      if (y > 0) relax(p, p - width, 1);
      if (x > 0 && y > 0) relax(p, p - width - 1, 1.4);
      if (x < width - 1 && y > 0) relax(p, p - width + 1, 1.4);
    }
  }
  for (let y = height - 1; y >= 0; y--) {
    for (let x = width - 1; x >= 0; x--) {
      const p = y * width + x;
      if (x < width - 1) relax(p, p + 1, 1);
      if (y < height - 1) relax(p, p + width, 1);
      if (x < width - 1 && y < height - 1) relax(p, p + width + 1, 1.4);
      if (x > 0 && y < height - 1) relax(p, p + width - 1, 1.4);
    }
  }
  return d;
}

function segment(
  now: Uint8Array,
  before: Uint8Array,
  last: Uint8Array,
  tracks: readonly Track[],
  ground: Ground,
  size: PlaneSize,
): Uint8Array {
  const { height, width } = size;
  const pixels = height * width;
  const look = lookAt(now, ground, tracks);
  const step: Step = { now, before, look, ground, size };
  const expected = tracks.map((track, k) => {
    const own = pixelsOf(last, k + 1);
    // A hidden object is looked for with its last full shape.
    const seen = own.length >= 0.4 * track.shape.length ? own : track.shape;
    const [dx, dy] = seen.length === 0 ? ([0, 0] as const) : shiftOf(track, k, seen, step);
    const inside = new Uint8Array(pixels);
    for (const p of seen) {
      const x = (p % width) + dx;
      const y = Math.floor(p / width) + dy;
      if (x >= 0 && y >= 0 && x < width && y < height) inside[y * width + x] = 1;
    }
    return { inside, moved: Int32Array.from(inside.keys()).filter((p) => inside[p] === 1), shift: [dx, dy] as const };
  });
  const labels = new Uint8Array(pixels);
  const near = expected.map((e) => (e.moved.length === 0 ? undefined : distanceTo(e.inside, size, FAR + 1)));
  const any = new Uint8Array(pixels);
  for (const e of expected) for (const p of e.moved) any[p] = 1;
  const depth = distanceTo(
    any.map((v) => 1 - v),
    size,
    5,
  );
  // Costs only where an object may be; everything else is background.
  const costs: Costs = [];
  for (let p = 0; p < pixels; p++) {
    let c: Float32Array | undefined;
    for (const [k, d] of near.entries()) {
      if (d === undefined || d[p]! > FAR) continue;
      c ??= new Float32Array(tracks.length + 1).fill(9);
      c[k + 1] = look.object(k, p) + OUTSIDE * d[p]!;
    }
    if (c === undefined) continue;
    c[0] = look.ground(p) + INSIDE * depth[p]!;
    costs.push([p, c]);
    labels[p] = lowest(c);
  }
  for (let round = 0; round < 3; round++) smooth(labels, costs, size);
  for (const [k, track] of tracks.entries()) {
    const own = keepNearParts(labels, k + 1, expected[k]!.inside, size);
    const [a, b] = [centreOf(own, size), centreOf(pixelsOf(last, k + 1), size)];
    if (a !== undefined && b !== undefined && own.length >= 0.4 * track.shape.length) {
      track.velocity = [a[0] - b[0], a[1] - b[1]];
      track.shape = own;
    } else if (own.length < 0.4 * track.shape.length) {
      track.shape = expected[k]!.moved.length > 0 ? expected[k]!.moved : track.shape;
    }
  }
  return labels;
}

/** Costs of every label at the pixels in question. */
type Costs = [pixel: number, costs: Float32Array][];

const lowest = (c: Float32Array): number => {
  let best = 0;
  for (let k = 1; k < c.length; k++) if (c[k]! < c[best]!) best = k;
  return best;
};

/** One round of iterated conditional modes: each pixel takes the label of least cost given its neighbours. */
function smooth(labels: Uint8Array, costs: Costs, { height, width }: PlaneSize): void {
  const around = new Float32Array(256);
  for (const [p, c] of costs) {
    const x = p % width;
    const y = Math.floor(p / width);
    around.fill(0, 0, c.length);
    let total = 0;
    for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
      for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
        if (u === x && v === y) continue;
        around[labels[v * width + u]!]!++;
        total++;
      }
    }
    let best = labels[p]!;
    let least = Number.POSITIVE_INFINITY;
    for (let k = 0; k < c.length; k++) {
      const e = c[k]! + UNLIKE * (total - around[k]!);
      if (e < least) [least, best] = [e, k];
    }
    labels[p] = best;
  }
}

/** Drops parts of a label that do not touch where the object should be; returns what is left. */
function keepNearParts(labels: Uint8Array, k: number, inside: Uint8Array, { height, width }: PlaneSize): Int32Array {
  const kept: number[] = [];
  const seen = new Uint8Array(labels.length);
  for (let start = 0; start < labels.length; start++) {
    if (labels[start] !== k || seen[start] === 1) continue;
    const part = [start];
    seen[start] = 1;
    let touches = false;
    for (let i = 0; i < part.length; i++) {
      const p = part[i]!;
      touches ||= inside[p] === 1;
      const x = p % width;
      for (const q of [x > 0 ? p - 1 : -1, x < width - 1 ? p + 1 : -1, p - width, p + width]) {
        if (q < 0 || q >= height * width || labels[q] !== k || seen[q] === 1) continue;
        seen[q] = 1;
        part.push(q);
      }
    }
    if (touches) kept.push(...part);
    else for (const p of part) labels[p] = 0;
  }
  return Int32Array.from(kept);
}
