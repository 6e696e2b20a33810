// Scores of predicted table-world clips against the truth: PSNR gain, motion IoU, and objects that are there, whole, in place.
// All arrays are uint8: clips [T, H, W, 3], instance maps [T, H, W] (body ids).
import { clustersOf, colourAxes } from '../motion/index.ts';

export type ClipSize = { readonly frames: number; readonly height: number; readonly width: number };

/** A pixel counts as changed when its largest channel difference is above this (of 255). */
const CHANGED = 24;

const psnrOf = (squared: number, n: number): number => 10 * Math.log10(255 ** 2 / Math.max(0.25, squared / n));

/** PSNR over frames from…to (end excluded). */
export function psnr(a: Uint8Array, b: Uint8Array, size: ClipSize, from: number, to: number): number {
  const each = size.height * size.width * 3;
  let squared = 0;
  for (let i = from * each; i < to * each; i++) squared += (a[i]! - b[i]!) ** 2;
  return psnrOf(squared, (to - from) * each);
}

/** Overlap of the pixels that changed since the last given frame, in prediction and truth, over frames from…to. */
export function motionIoU(
  truth: Uint8Array,
  got: Uint8Array,
  size: ClipSize,
  given: number,
  to: number,
): { both: number; any: number } {
  const each = size.height * size.width * 3;
  const anchor = (given - 1) * each;
  let both = 0;
  let any = 0;
  for (let f = given; f < to; f++) {
    for (let p = 0; p < each; p += 3) {
      let t = 0;
      let g = 0;
      for (let k = 0; k < 3; k++) {
        t = Math.max(t, Math.abs(truth[f * each + p + k]! - truth[anchor + p + k]!));
        g = Math.max(g, Math.abs(got[f * each + p + k]! - truth[anchor + p + k]!));
      }
      const a = t > CHANGED;
      const b = g > CHANGED;
      if (a && b) both++;
      if (a || b) any++;
    }
  }
  return { both, any };
}

/** Share of pixels of all frames after the given ones that differ from the true last given frame. */
export function changedShare(truth: Uint8Array, got: Uint8Array, size: ClipSize, given: number): number {
  const each = size.height * size.width * 3;
  const anchor = (given - 1) * each;
  let changed = 0;
  for (let f = given; f < size.frames; f++) {
    for (let p = 0; p < each; p += 3) {
      const far = (k: number): boolean => Math.abs(got[f * each + p + k]! - truth[anchor + p + k]!) > CHANGED;
      if (far(0) || far(1) || far(2)) changed++;
    }
  }
  return changed / ((size.frames - given) * size.height * size.width);
}

type Palette = { readonly colors: Float32Array; readonly owner: Int32Array };

/** Typical colours of each body, and of everything else, from the given frames: a few cluster centres each. */
export function paletteOf(
  clip: Uint8Array,
  instance: Uint8Array,
  size: ClipSize,
  ids: readonly number[],
  given: number,
): Palette {
  const pixels = size.height * size.width;
  const colors: number[] = [];
  const owner: number[] = [];
  for (const id of [...ids, 0]) {
    const points: [number, number, number][] = [];
    for (let i = 0; i < given * pixels; i += 5) {
      const own = ids.includes(instance[i]!) ? instance[i]! : 0;
      if (own === id) points.push(colourAxes(clip[i * 3]!, clip[i * 3 + 1]!, clip[i * 3 + 2]!));
    }
    if (points.length === 0) continue;
    for (const centre of clustersOf(points, id === 0 ? 16 : 6, 8)) {
      colors.push(...centre);
      owner.push(id);
    }
  }
  return { colors: Float32Array.from(colors), owner: Int32Array.from(owner) };
}

export type ObjectScore = {
  readonly id: number;
  /** Pixels in the truth, in this frame. */
  readonly truthArea: number;
  /** Pixels of its colour near its true place in the prediction, over the true pixels. */
  readonly areaRatio: number;
  /** Distance of the centres over the object's diameter. */
  readonly offset: number;
  /** Distance that the true centre moved since the last given frame, over the diameter. */
  readonly moved: number;
};

type Blob = { area: number; x: number; y: number };

function blobs(instance: Uint8Array, at: number, size: ClipSize, ids: readonly number[]): Map<number, Blob> {
  const found = new Map<number, Blob>(ids.map((id) => [id, { area: 0, x: 0, y: 0 }]));
  for (let i = 0; i < size.height * size.width; i++) {
    const blob = found.get(instance[at + i]!);
    if (blob === undefined) continue;
    blob.area++;
    blob.x += i % size.width;
    blob.y += Math.floor(i / size.width);
  }
  for (const b of found.values()) {
    b.x /= Math.max(1, b.area);
    b.y /= Math.max(1, b.area);
  }
  return found;
}

/**
 * Compares the objects of one predicted frame with the truth. Pixels take the body whose typical colour is nearest; bodies
 * of nearly the same colour share their pixels by the nearest true centre.
 */
export function scoreObjects(
  got: Uint8Array,
  instance: Uint8Array,
  palette: Palette,
  size: ClipSize,
  ids: readonly number[],
  frame: number,
  given: number,
): ObjectScore[] {
  const pixels = size.height * size.width;
  const truth = blobs(instance, frame * pixels, size, ids);
  const before = blobs(instance, (given - 1) * pixels, size, ids);
  const alike = sameColor(palette, ids);
  const own = new Map<number, Blob>(ids.map((id) => [id, { area: 0, x: 0, y: 0 }]));
  const { colors, owner } = palette;
  for (let i = 0; i < pixels; i++) {
    const p = (frame * pixels + i) * 3;
    const [l, u, v] = colourAxes(got[p]!, got[p + 1]!, got[p + 2]!);
    let best = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let c = 0; c < owner.length; c++) {
      const d = (l - colors[c * 3]!) ** 2 + (u - colors[c * 3 + 1]!) ** 2 + (v - colors[c * 3 + 2]!) ** 2;
      if (d < least) {
        least = d;
        best = owner[c]!;
      }
    }
    if (best === 0) continue;
    const x = i % size.width;
    const y = Math.floor(i / size.width);
    let mine = best;
    let nearest = Number.POSITIVE_INFINITY;
    for (const id of alike.get(best)!) {
      const t = truth.get(id)!;
      if (t.area === 0) continue;
      const d = (t.x - x) ** 2 + (t.y - y) ** 2;
      if (d < nearest) {
        nearest = d;
        mine = id;
      }
    }
    const blob = own.get(mine)!;
    blob.area++;
    blob.x += x;
    blob.y += y;
  }
  const scores: ObjectScore[] = [];
  for (const id of ids) {
    const t = truth.get(id)!;
    const b = before.get(id)!;
    if (t.area < 60) continue; // nearly hidden or out of view
    const o = own.get(id)!;
    const diameter = 2 * Math.sqrt(Math.max(t.area, b.area) / Math.PI);
    const offset = o.area === 0 ? 9 : Math.hypot(o.x / o.area - t.x, o.y / o.area - t.y) / diameter;
    const moved = b.area === 0 ? 9 : Math.hypot(t.x - b.x, t.y - b.y) / diameter;
    scores.push({ id, truthArea: t.area, areaRatio: o.area / t.area, offset, moved });
  }
  return scores;
}

/** For each body the bodies of nearly the same colour, itself included. */
function sameColor(palette: Palette, ids: readonly number[]): Map<number, number[]> {
  const means = new Map(
    ids.map((id) => {
      const sum = [0, 0, 0, 0];
      for (let c = 0; c < palette.owner.length; c++) {
        if (palette.owner[c] !== id) continue;
        for (let a = 0; a < 3; a++) sum[a]! += palette.colors[c * 3 + a]!;
        sum[3]! += 1;
      }
      return [id, sum.slice(0, 3).map((v) => v / Math.max(1, sum[3]!))] as const;
    }),
  );
  return new Map(
    ids.map((id) => {
      const a = means.get(id)!;
      return [
        id,
        ids.filter(
          (other) => Math.hypot(...means.get(other)!.map((v, k) => (k === 0 ? (v - a[k]!) * 0.5 : v - a[k]!))) < 18,
        ),
      ];
    }),
  );
}
