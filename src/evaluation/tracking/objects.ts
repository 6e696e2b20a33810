// What label maps say about objects: overlap with the truth, and conservation checks that need no truth.
import type { Frames } from '../../media/index.ts';
import { type Overlap, summariseIou } from '../metrics/masks.ts';

/** Fewest pixels of an object at the last given frame for it to count, at 128×128; grows with the picture. */
export const LEAST_START = 40;
/** Frames in which less of an object than this is visible in truth are left out: one edge pixel would decide. */
export const LEAST_VISIBLE = 12;

export const scaledArea = (least: number, width: number, height: number): number =>
  Math.round((least * width * height) / (128 * 128));

/** Instance maps (body ids) → label maps of the bodies that count: 0 background, 1…n. */
export function labelMaps(
  instance: ArrayLike<number>,
  frames: number,
  pixels: number,
  ids: readonly number[],
): Uint8Array[] {
  const labelOf = new Map(ids.map((id, k) => [id, k + 1]));
  return Array.from({ length: frames }, (_, t) =>
    Uint8Array.from({ length: pixels }, (_, p) => labelOf.get(instance[t * pixels + p]!) ?? 0),
  );
}

export type IouResult = {
  /** Mean over objects and frames; null when nothing is visible. */
  readonly mean: number | null;
  /** Mean over objects per frame. */
  readonly series: readonly (number | null)[];
};

/** IoU of tracked masks against the truth over the frames from…end. A vanished object scores 0 while the truth still shows it. */
export function objectIou(
  truth: readonly Uint8Array[],
  tracked: readonly Uint8Array[],
  options: { readonly objects: number; readonly from: number; readonly leastVisible: number },
): IouResult {
  const { objects, from, leastVisible } = options;
  const rows: Overlap[][] = Array.from({ length: objects }, () => []);
  const series: (number | null)[] = [];
  for (let t = from; t < truth.length; t++) {
    const a = truth[t]!;
    const b = tracked[t]!;
    const both = new Float64Array(objects + 1);
    const inA = new Float64Array(objects + 1);
    const inB = new Float64Array(objects + 1);
    for (let p = 0; p < a.length; p++) {
      inA[a[p]!]!++;
      inB[b[p]!]!++;
      if (a[p] === b[p]) both[a[p]!]!++;
    }
    let sum = 0;
    let n = 0;
    for (let k = 1; k <= objects; k++) {
      if (inA[k]! < leastVisible) continue;
      const overlap = { intersection: both[k]!, union: inA[k]! + inB[k]! - both[k]! };
      rows[k - 1]!.push(overlap);
      sum += overlap.intersection / overlap.union;
      n++;
    }
    series.push(n === 0 ? null : sum / n);
  }
  const { meanDefined } = summariseIou(rows);
  return { mean: Number.isNaN(meanDefined) ? null : meanDefined, series };
}

/** Conservation without a reference, from tracked masks alone. The same numbers of the true video are their floor. */
export type Conservation = {
  /** Share of (object, frame) in which at least 0.4 of its starting area is there, objects at the picture's edge left out: 1 = all persist. */
  readonly permanence: number | null;
  /** Mean |ln(area / starting area)| of what is there: 0 = sizes never change. */
  readonly sizeChange: number | null;
  /** Mean share of an object's starting shape, moved to where it is, that another object covers. */
  readonly overlap: number | null;
  /** Mean of the largest rise of ½v² + gh over its lowest value before, J/kg, with pixels taken as metres at the object's distance. */
  readonly energyRise: number | null;
};

type Sight = { readonly area: number; readonly x: number; readonly y: number; readonly isAtEdge: boolean };

/**
 * @param metresPerPixel per object, at its distance when tracking starts
 */
export function conservation(
  tracked: readonly Uint8Array[],
  options: {
    readonly objects: number;
    /** First frame that counts; the frame before it is where tracking started. */
    readonly from: number;
    readonly width: number;
    readonly fps: number;
    readonly gravity: number;
    readonly metresPerPixel: readonly number[];
  },
): Conservation {
  const { objects, from, width, fps, gravity, metresPerPixel } = options;
  const height = tracked[0]!.length / width;
  const sights = tracked.slice(from - 1).map((labels) => sightsOf(labels, objects, width, height));
  const there: number[] = [];
  const changes: number[] = [];
  const overlaps: number[] = [];
  const rises: number[] = [];
  for (let k = 0; k < objects; k++) {
    const start = sights[0]![k]!;
    if (start.area === 0) continue;
    const shape: number[] = [];
    for (let p = 0; p < tracked[from - 1]!.length; p++) if (tracked[from - 1]![p] === k + 1) shape.push(p);
    const energies: number[] = [];
    for (let i = 1; i < sights.length; i++) {
      const now = sights[i]![k]!;
      if (now.isAtEdge) {
        energies.push(Number.NaN);
        continue;
      }
      there.push(now.area >= 0.4 * start.area ? 1 : 0);
      if (now.area === 0) {
        energies.push(Number.NaN);
        continue;
      }
      changes.push(Math.abs(Math.log(now.area / start.area)));
      const [dx, dy] = [Math.round(now.x - start.x), Math.round(now.y - start.y)];
      let covered = 0;
      for (const p of shape) {
        const x = (p % width) + dx;
        const y = Math.floor(p / width) + dy;
        if (x < 0 || y < 0 || x >= width || y >= height) continue;
        const other = tracked[from - 1 + i]![y * width + x]!;
        if (other !== 0 && other !== k + 1) covered++;
      }
      overlaps.push(covered / shape.length);
      const before = sights[i - 1]![k]!;
      const m = metresPerPixel[k]!;
      const v = before.area === 0 ? Number.NaN : Math.hypot(now.x - before.x, now.y - before.y) * m * fps;
      energies.push(v * v * 0.5 - gravity * (now.y + before.y) * 0.5 * m);
    }
    const rise = largestRise(energies);
    if (rise !== undefined) rises.push(rise);
  }
  const mean = (v: readonly number[]): number | null =>
    v.length === 0 ? null : v.reduce((s, x) => s + x, 0) / v.length;
  return { permanence: mean(there), sizeChange: mean(changes), overlap: mean(overlaps), energyRise: mean(rises) };
}

/** Largest rise above the lowest value before, of medians of three (one frame's noise is no energy). */
function largestRise(energies: readonly number[]): number | undefined {
  const smooth: number[] = [];
  for (let i = 1; i + 1 < energies.length; i++) {
    const three = energies.slice(i - 1, i + 2);
    if (three.some(Number.isNaN)) continue;
    smooth.push([...three].sort((a, b) => a - b)[1]!);
  }
  if (smooth.length < 2) return undefined;
  let low = smooth[0]!;
  let rise = 0;
  for (const e of smooth) {
    low = Math.min(low, e);
    rise = Math.max(rise, e - low);
  }
  return rise;
}

function sightsOf(labels: Uint8Array, objects: number, width: number, height: number): Sight[] {
  const area = new Float64Array(objects + 1);
  const x = new Float64Array(objects + 1);
  const y = new Float64Array(objects + 1);
  const edge = new Uint8Array(objects + 1);
  for (let p = 0; p < labels.length; p++) {
    const k = labels[p]!;
    if (k === 0) continue;
    const [u, v] = [p % width, Math.floor(p / width)];
    area[k]!++;
    x[k]! += u;
    y[k]! += v;
    if (u === 0 || v === 0 || u === width - 1 || v === height - 1) edge[k] = 1;
  }
  return Array.from({ length: objects }, (_, i) => {
    const n = Math.max(1, area[i + 1]!);
    return { area: area[i + 1]!, x: x[i + 1]! / n, y: y[i + 1]! / n, isAtEdge: edge[i + 1] === 1 };
  });
}

/** Frames `from…` of a clip. */
export function tailOf(clip: Frames, from: number): Frames {
  const [count, height, width] = clip.shape;
  return { dtype: 'u8', shape: [count - from, height, width, 3], data: clip.data.subarray(from * height * width * 3) };
}
