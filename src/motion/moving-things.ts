// Cutting moving things out of the last of some frames: where flow says that something moves, colours say what it is.

import { nearestColour, type Palette, paletteOf } from './colours.ts';
import { type PlaneSize, sampleAt } from './flow.ts';
import { lowerMedian } from './median.ts';
import { morph } from './motion-mask.ts';
import { fillHoles, regionsOf } from './regions.ts';

/** Smallest moving thing, pixels. */
const SMALLEST = 12;
/** Difference of 255 from which a pixel shows something else. */
const DIFFERENT = 18;
/** Pixels around a region that show its background. */
const MARGIN = 5;
const STILL = 0.3;

export type Thing = {
  /** 1 where the thing is, [H, W]. */
  readonly mask: Uint8Array;
  /** Pixels per frame, right and down. */
  readonly velocity: readonly [number, number];
};

type Scene = {
  /** uint8 RGB [H, W, 3]. */
  readonly last: Uint8Array;
  readonly previous: Uint8Array;
  /** All given frames before the last one; none for a moving camera. */
  readonly earlier: readonly Uint8Array[];
  /** Motion to the next frame, float [H, W, 2], and what of it is not the camera's. */
  readonly flow: Float32Array;
  readonly residual: Float32Array;
  readonly size: PlaneSize;
};

/**
 * The moving things of the last frame and the picture without them. Flow is smooth and spreads over the edge of a thing, so
 * inside a region of flow a pixel belongs to the thing when its colour is nearer to pixels that nothing earlier explains than to
 * the surroundings.
 */
export function movingThings(scene: Scene): { readonly things: Thing[]; readonly plate: Uint8Array } {
  const { last, earlier, residual, size } = scene;
  const moving = new Uint8Array(size.height * size.width);
  for (let p = 0; p < moving.length; p++) {
    moving[p] = Math.hypot(residual[2 * p]!, residual[2 * p + 1]!) > STILL ? 1 : 0;
  }
  const plate = last.slice();
  const unknown = new Uint8Array(moving.length);
  const things: Thing[] = [];
  for (const { pixels } of regionsOf(moving, size, SMALLEST)) {
    const found = cutOut(scene, pixels, moving);
    if (found === undefined) continue;
    const { mask, background } = found;
    for (const p of regionPixels(mask)) {
      const seen = earlier.find((e) => difference(e, last, p) > DIFFERENT && isBackground(e, p, background));
      if (seen === undefined) unknown[p] = 1;
      else for (let c = 0; c < 3; c++) plate[3 * p + c] = seen[3 * p + c]!;
    }
    things.push({ mask, velocity: velocityOf(scene, mask) });
  }
  // A rim of half-covered pixels would smear the thing's colour into the hole.
  fillIn(plate, morph(unknown, size, Math.max, 1), size);
  return { things, plate };
}

const regionPixels = (mask: Uint8Array): number[] => Array.from(mask.keys()).filter((p) => mask[p] === 1);

type Ground = { readonly thing: Palette; readonly ground: Palette };

const isBackground = (picture: Uint8Array, p: number, { thing, ground }: Ground): boolean =>
  nearestColour(ground, picture, p) < nearestColour(thing, picture, p);

function cutOut(
  { last, earlier, size }: Scene,
  pixels: Int32Array,
  moving: Uint8Array,
): { mask: Uint8Array; background: Ground } | undefined {
  const inside = new Uint8Array(moving.length);
  for (const p of pixels) inside[p] = 1;
  const solid = fillHoles(inside, size);
  const around = morph(solid, size, Math.max, MARGIN);
  const area = regionPixels(solid);
  // Nothing earlier explains these pixels: they are the thing for sure.
  const sure = area.filter((p) => earlier.every((e) => difference(e, last, p) > DIFFERENT));
  if (earlier.length === 0) return { mask: solid, background: grounds(last, area, around, moving) };
  if (sure.length < SMALLEST / 2) return undefined;
  const background = grounds(last, sure, around, moving);
  const raw = new Uint8Array(moving.length);
  for (const p of area) raw[p] = isBackground(last, p, background) ? 0 : 1;
  for (const p of sure) raw[p] = 1;
  const isSure = new Set(sure);
  const mask = new Uint8Array(moving.length);
  for (const part of regionsOf(raw, size, SMALLEST / 2)) {
    if (part.pixels.some((p) => isSure.has(p))) for (const p of part.pixels) mask[p] = 1;
  }
  return { mask: fillHoles(mask, size), background };
}

function grounds(picture: Uint8Array, thing: readonly number[], around: Uint8Array, moving: Uint8Array): Ground {
  const ring: number[] = [];
  for (let p = 0; p < around.length; p++) if (around[p] === 1 && moving[p] === 0) ring.push(p);
  return { thing: paletteOf(picture, thing, 5), ground: paletteOf(picture, ring, 8) };
}

/** Median flow on the thing, then the shift within a pixel of it that fits the previous frame best. */
function velocityOf({ last, previous, flow, size }: Scene, mask: Uint8Array): readonly [number, number] {
  const pixels = regionPixels(mask);
  const lengths = Float64Array.from(pixels, (p) => Math.hypot(flow[2 * p]!, flow[2 * p + 1]!));
  // The faster half: the flow of an edge fades into the background's.
  const middle = lowerMedian(lengths);
  const core = pixels.filter((_, i) => lengths[i]! >= middle);
  const start = ([0, 1] as const).map((k) => lowerMedian(core.map((p) => flow[2 * p + k]!))) as [number, number];
  let best = start;
  let least = Number.POSITIVE_INFINITY;
  const step = Math.max(1, Math.floor(pixels.length / 400));
  for (let dy = -1; dy <= 1; dy += 0.25) {
    for (let dx = -1; dx <= 1; dx += 0.25) {
      let cost = 0;
      for (let i = 0; i < pixels.length; i += step) {
        const p = pixels[i]!;
        const x = (p % size.width) - start[0] - dx;
        const y = Math.floor(p / size.width) - start[1] - dy;
        for (let c = 0; c < 3; c++) cost += Math.abs(last[3 * p + c]! - sampleAt(previous, size, 3, x, y, c));
      }
      if (cost < least) [least, best] = [cost, [start[0] + dx, start[1] + dy]];
    }
  }
  return best;
}

function difference(a: Uint8Array, b: Uint8Array, p: number): number {
  let most = 0;
  for (let c = 0; c < 3; c++) most = Math.max(most, Math.abs(a[3 * p + c]! - b[3 * p + c]!));
  return most;
}

/** Replaces unknown pixels ring by ring with the mean of known neighbours. */
export function fillIn(picture: Uint8Array, unknown: Uint8Array, { height, width }: PlaneSize): void {
  const left = unknown.slice();
  for (let any = true; any; ) {
    any = false;
    const ring: [number, number, number, number][] = [];
    for (let p = 0; p < left.length; p++) {
      if (left[p] === 0) continue;
      const x = p % width;
      const y = Math.floor(p / width);
      const sum = [0, 0, 0];
      let count = 0;
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
          if (left[v * width + u] === 1) continue;
          for (let c = 0; c < 3; c++) sum[c]! += picture[3 * (v * width + u) + c]!;
          count++;
        }
      }
      if (count > 0) ring.push([p, sum[0]! / count, sum[1]! / count, sum[2]! / count]);
    }
    for (const [p, r, g, b] of ring) {
      picture.set([r, g, b], 3 * p);
      left[p] = 0;
      any = true;
    }
  }
}
