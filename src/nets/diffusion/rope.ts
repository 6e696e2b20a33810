// Three-dimensional rotary position embedding of the Cosmos networks: time, height and width turn separate parts of a head.
import { concat, constantF32, cos, div, expand, mul, reshape, sin, slice, type Tensor } from '../../graph/index.ts';

/** A token grid: frames, rows, columns. */
export type Grid = { readonly t: number; readonly h: number; readonly w: number };

/** Stretch factors of the three axes (NTK). */
export type RopeRatios = { readonly t: number; readonly h: number; readonly w: number };

/** Positions of time are counted at this rate. */
export const BASE_FPS = 24;

/** Head width of each axis: d_h = d_w = 2⌊d/6⌋, the rest is time. */
export function ropeSplit(headWidth: number): Grid {
  const side = 2 * Math.floor(headWidth / 6);
  return { t: headWidth - 2 * side, h: side, w: side };
}

/** θ^(−2k/d), k = 0 … d/2 − 1, with θ = 10000·ratio^(d/(d−2)). */
export function ropeFrequencies(d: number, ratio: number): number[] {
  const theta = 10000 * ratio ** (d / (d - 2));
  return Array.from({ length: d / 2 }, (_, k) => theta ** ((-2 * k) / d));
}

/** Angles position × frequency of one axis, [count, d/2], float64 row by row. */
export function axisAngles(count: number, d: number, ratio: number, step = 1): number[] {
  const frequencies = ropeFrequencies(d, ratio);
  return Array.from({ length: count }, (_, i) => frequencies.map((f) => i * step * f)).flat();
}

/**
 * Angles of all tokens [L, d/2] in the order t, h, w; the other half of a head has the same ones.
 * @param fps [B]: frame rate; the first entry counts, time positions are index·24/fps. Absent: plain indices.
 * @param views the grid repeats this many times; time starts again in each view
 */
export function ropeAngles(
  grid: Grid,
  headWidth: number,
  ratios: RopeRatios,
  options: { fps?: Tensor | undefined; views?: number } = {},
): Tensor {
  const { fps, views = 1 } = options;
  const d = ropeSplit(headWidth);
  const axis = (name: keyof Grid): Tensor => {
    const shape = [1, name === 't' ? grid.t : 1, name === 'h' ? grid.h : 1, name === 'w' ? grid.w : 1, d[name] / 2];
    return constantF32(shape, axisAngles(grid[name], d[name], ratios[name]));
  };
  const perFrame = axis('t');
  const t = fps === undefined ? perFrame : mul(perFrame, div(BASE_FPS, reshape(slice(fps, 0, 0, 1), [1, 1, 1, 1, 1])));
  const wide = (part: Tensor, width: number): Tensor => expand(part, [views, grid.t, grid.h, grid.w, width / 2]);
  const all = concat([wide(t, d.t), wide(axis('h'), d.h), wide(axis('w'), d.w)], 4); // [V, t, h, w, d/2]
  return reshape(all, [views * grid.t * grid.h * grid.w, headWidth / 2]);
}

/** Cosine and sine tables [L, d/2] for `rope`. */
export type RopeTables = { readonly cos: Tensor; readonly sin: Tensor };
export const ropeTables = (angles: Tensor): RopeTables => ({ cos: cos(angles), sin: sin(angles) });
