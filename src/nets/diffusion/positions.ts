// Absolute position embeddings that the Cosmos networks add at the start of every block: learned tables or fixed sine-cosine.
import {
  add,
  concat,
  constantF32,
  div,
  expand,
  mean,
  reshape,
  slice,
  sqrt,
  square,
  type Tensor,
} from '../../graph/index.ts';
import type { Weights } from '../orrery/weights.ts';
import type { Grid, RopeRatios } from './rope.ts';

/**
 * Learned: e = T[i] + H[j] + W[k], divided by its root mean square over D (10⁻⁶ is added to the root, not under it).
 * @param max rows of the tables
 * @returns [1, t·h·w, D]
 */
export function learnedPositions(grid: Grid, max: Grid, width: number, weights: Weights): Tensor {
  const table = (axis: keyof Grid): Tensor => {
    const rows = weights(`pos_emb_${axis}`, [max[axis], width], { kind: 'normal', std: 0.02 });
    const shape = [axis === 't' ? grid.t : 1, axis === 'h' ? grid.h : 1, axis === 'w' ? grid.w : 1, width];
    return reshape(slice(rows, 0, 0, grid[axis]), shape); // always cropped from index 0
  };
  const e = add(add(table('t'), table('h')), table('w')); // [t, h, w, D]
  const rms = sqrt(mean(square(e), [3], true));
  return reshape(div(e, add(rms, 1e-6)), [1, grid.t * grid.h * grid.w, width]);
}

/**
 * Fixed: per axis concat(sin(pos·ω), cos(pos·ω)), ω_k = 10000^(−k/(d/2)), pos = index/ratio; not normalised.
 * @returns [1, V·t·h·w, D]; time starts again in each view
 */
export function sineCosinePositions(grid: Grid, width: number, ratios: RopeRatios, views = 1): Tensor {
  const side = 2 * Math.floor(width / 6);
  const axis = (name: keyof Grid, d: number): Tensor => {
    const rows: number[] = [];
    for (let i = 0; i < grid[name]; i++) {
      const angles = Array.from({ length: d / 2 }, (_, k) => (i / ratios[name]) * 10000 ** (-k / (d / 2)));
      rows.push(...angles.map(Math.sin), ...angles.map(Math.cos));
    }
    const shape = [1, name === 't' ? grid.t : 1, name === 'h' ? grid.h : 1, name === 'w' ? grid.w : 1, d];
    return expand(constantF32(shape, rows), [views, grid.t, grid.h, grid.w, d]);
  };
  const e = concat([axis('t', width - 2 * side), axis('h', side), axis('w', side)], 4);
  return reshape(e, [1, views * grid.t * grid.h * grid.w, width]);
}
