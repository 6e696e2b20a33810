// Reads what a video of the table world shows: how many objects, their colours, their shapes, and whether anything moves. It learns
// colours and outlines from simulated frames with known objects; how often it is right on true video stands beside every score.
import type { Frames } from '../../media/index.ts';
import { clustersOf, colourAxes, type PlaneSize, regionsOf } from '../../motion/index.ts';
import { OUTLINE_NUMBERS, outlineOf } from './outline.ts';

/** One object in words. */
export type SeenThing = { readonly color: string; readonly shape: string };

/** What a clip shows, or should show. */
export type Attributes = { readonly things: readonly SeenThing[]; readonly isMoving: boolean };

/** A frame whose objects are known. */
export type LabelledFrame = {
  /** uint8 [H, W, 3]. */
  readonly rgb: Uint8Array;
  /** Body of each pixel. */
  readonly instance: ArrayLike<number>;
  /** The things that count, by body. */
  readonly things: ReadonlyMap<number, SeenThing>;
  readonly size: PlaneSize;
};

export type Probe = {
  /** Cluster centres in colour axes, flat [n, 3]. */
  readonly centres: Float32Array;
  /** Colour of each centre; empty for everything that is no object. */
  readonly names: readonly string[];
  /** Mean and deviation of the outline of every shape. */
  readonly shapes: ReadonlyMap<string, { readonly mean: readonly number[]; readonly deviation: readonly number[] }>;
};

/** Smallest object, pixels of a 128×128 picture. */
const LEAST_AREA = 160;
/** Frames between looks at a clip. */
const EVERY = 4;
/** Share of the pixels of objects that changes by more than noise when something moves. */
const MOVING_SHARE = 0.12;
const CHANGED = 28;

/** Learns colours and outlines. @param frames from other seeds than those that are scored */
export function learnProbe(frames: readonly LabelledFrame[]): Probe {
  const points = new Map<string, [number, number, number][]>([['', []]]);
  const outlines = new Map<string, number[][]>();
  for (const { rgb, instance, things, size } of frames) {
    for (let p = 0; p < size.height * size.width; p += 3) {
      const name = things.get(instance[p]!)?.color ?? '';
      // Everything else is most of every picture: a tenth of it is enough.
      if (name === '' && p % 30 !== 0) continue;
      const list = points.get(name) ?? [];
      if (list.length === 0) points.set(name, list);
      list.push(colourAxes(rgb[3 * p]!, rgb[3 * p + 1]!, rgb[3 * p + 2]!));
    }
    for (const [id, { shape }] of things) {
      const mask = Uint8Array.from({ length: size.height * size.width }, (_, p) => (instance[p] === id ? 1 : 0));
      const [region] = regionsOf(mask, size, scaled(size));
      if (region === undefined) continue;
      const list = outlines.get(shape) ?? [];
      if (list.length === 0) outlines.set(shape, list);
      list.push(outlineOf(region.pixels, size));
    }
  }
  const centres: number[] = [];
  const names: string[] = [];
  for (const [name, list] of points) {
    for (const centre of clustersOf(list, name === '' ? 64 : 10, 16)) {
      centres.push(...centre);
      names.push(name);
    }
  }
  const shapes = new Map([...outlines].map(([shape, list]) => [shape, momentsOf(list)]));
  return { centres: Float32Array.from(centres), names, shapes };
}

const scaled = ({ height, width }: PlaneSize): number => (LEAST_AREA * height * width) / (128 * 128);

function momentsOf(list: readonly number[][]): { mean: number[]; deviation: number[] } {
  const mean = Array.from({ length: OUTLINE_NUMBERS }, (_, k) => list.reduce((s, v) => s + v[k]!, 0) / list.length);
  const deviation = mean.map((m, k) => Math.sqrt(list.reduce((s, v) => s + (v[k]! - m) ** 2, 0) / list.length + 1e-5));
  return { mean, deviation };
}

/** Objects of one picture. @param rgb uint8 [H, W, 3] */
export function readFrame(probe: Probe, rgb: Uint8Array, size: PlaneSize): SeenThing[] {
  const { centres, names } = probe;
  const { height, width } = size;
  const colors = [...new Set(names.filter((n) => n !== ''))];
  const masks = new Map(colors.map((c) => [c, new Uint8Array(height * width)]));
  for (let p = 0; p < height * width; p++) {
    const [l, u, v] = colourAxes(rgb[3 * p]!, rgb[3 * p + 1]!, rgb[3 * p + 2]!);
    let least = Number.POSITIVE_INFINITY;
    let best = 0;
    for (let c = 0; c < names.length; c++) {
      const d = (l - centres[3 * c]!) ** 2 + (u - centres[3 * c + 1]!) ** 2 + (v - centres[3 * c + 2]!) ** 2;
      if (d < least) [least, best] = [d, c];
    }
    const mask = masks.get(names[best]!);
    if (mask !== undefined) mask[p] = 1;
  }
  const found: SeenThing[] = [];
  for (const [color, mask] of masks) {
    for (const { pixels } of regionsOf(mask, size, scaled(size))) {
      if (!isObject(pixels, size)) continue;
      found.push({ color, shape: shapeOf(probe, pixels, size) });
    }
  }
  return found;
}

/** Haze at the horizon and rims of light are thin or lie flat along the upper border. */
function isObject(pixels: Int32Array, { width }: PlaneSize): boolean {
  let [left, right, top, bottom, atTop] = [width, 0, Number.POSITIVE_INFINITY, 0, 0];
  for (const p of pixels) {
    const [x, y] = [p % width, Math.floor(p / width)];
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
    if (y === 0) atTop++;
  }
  const filled = pixels.length / ((right - left + 1) * (bottom - top + 1));
  return filled >= 0.5 && atTop < 0.6 * (right - left + 1);
}

function shapeOf({ shapes }: Probe, pixels: Int32Array, size: PlaneSize): string {
  const outline = outlineOf(pixels, size);
  let best = '';
  let least = Number.POSITIVE_INFINITY;
  for (const [shape, { mean, deviation }] of shapes) {
    // Gaussian likelihood with independent numbers.
    const cost = outline.reduce(
      (s, v, k) => s + ((v - mean[k]!) / deviation[k]!) ** 2 + 2 * Math.log(deviation[k]!),
      0,
    );
    if (cost < least) [least, best] = [cost, shape];
  }
  return best;
}

const wordsOf = (things: readonly SeenThing[]): string =>
  things
    .map((t) => `${t.color} ${t.shape}`)
    .sort()
    .join(', ');

/** What a clip shows: the objects that most of its frames agree on, and whether they move. */
export function readClip(probe: Probe, clip: Frames): Attributes {
  const [count, height, width] = clip.shape;
  const each = height * width * 3;
  const size = { height, width };
  const votes = new Map<string, { n: number; things: SeenThing[] }>();
  for (let t = 0; t < count; t += EVERY) {
    const things = readFrame(probe, clip.data.subarray(t * each, (t + 1) * each), size);
    const key = wordsOf(things);
    votes.set(key, { n: (votes.get(key)?.n ?? 0) + 1, things });
  }
  const most = [...votes.values()].reduce((a, b) => (b.n > a.n ? b : a));
  return { things: most.things, isMoving: isMoving(clip) };
}

/** Whether the first and a later frame differ in more than a few pixels' worth of objects. */
function isMoving({ shape: [count, height, width], data }: Frames): boolean {
  const each = height * width * 3;
  const least = MOVING_SHARE * scaled({ height, width });
  for (let t = EVERY; t < count; t += EVERY) {
    let changed = 0;
    for (let p = 0; p < each; p += 3) {
      const q = t * each + p;
      const d =
        Math.abs(data[p]! - data[q]!) + Math.abs(data[p + 1]! - data[q + 1]!) + Math.abs(data[p + 2]! - data[q + 2]!);
      if (d > 3 * CHANGED) changed++;
    }
    if (changed > least) return true;
  }
  return false;
}

/** Which attributes agree, 1 or 0 each. */
export function agreement(seen: Attributes, wanted: Attributes): Readonly<Record<string, number>> {
  const same = (of: (t: SeenThing) => string): number =>
    seen.things.map(of).sort().join() === wanted.things.map(of).sort().join() ? 1 : 0;
  const count = seen.things.length === wanted.things.length ? 1 : 0;
  const color = same((t) => t.color);
  const shape = same((t) => t.shape);
  const motion = seen.isMoving === wanted.isMoving ? 1 : 0;
  const things = same((t) => `${t.color} ${t.shape}`);
  return { count, color, shape, motion, all: things * motion };
}
