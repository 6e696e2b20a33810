// Tables of the rotary position embedding at full model size.
import { f32, InputError, type NdArray } from '../../../base/index.ts';
import { constantF32, cos, input, rope, sin, slice, type Tensor } from '../../../graph/index.ts';
import { ropeAngles, ropeSplit } from '../../../nets/index.ts';
import { inputOf, numberOf, type ParityCase } from '../case.ts';
import { runOnce } from '../engine.ts';
import type { CaseKind } from './kind.ts';

const triple = (c: ParityCase, name: string): { t: number; h: number; w: number } => {
  const value = c.options[name];
  if (!Array.isArray(value) || value.length !== 3) {
    throw new InputError(`${c.name}: option ${name}`, { got: value, need: 'three numbers, t, h, w' }, 'data');
  }
  const [t, h, w] = value as [number, number, number];
  return { t, h, w };
};

export const ropeTable: CaseKind = {
  name: 'rotary tables',
  matches: (c) =>
    c.options.head_dim !== undefined && c.options.ratios_thw !== undefined && c.options.grid_thw !== undefined,
  async run(c, runtime) {
    const width = numberOf(c, 'head_dim');
    const ratios = triple(c, 'ratios_thw');
    const grid = triple(c, 'grid_thw');
    const d = ropeSplit(width);
    const baseFps = numberOf(c, 'base_fps', 24);
    const fps = (value: number): Tensor => constantF32([1], [(value * 24) / baseFps]);
    const outputs: Record<string, Tensor> = {
      angles_h: slice(ropeAngles({ t: 1, h: grid.h, w: 1 }, width, ratios), 1, d.t / 2, d.h / 2),
      angles_w: slice(ropeAngles({ t: 1, h: 1, w: grid.w }, width, ratios), 1, (d.t + d.h) / 2, d.w / 2),
      all: ropeAngles(grid, width, ratios, { fps: fps(numberOf(c, 'fps_of_last_tables', 24)) }), // [t·h·w, d/2]
    };
    for (const name of c.outputs.keys()) {
      const rate = /^angles_t_fps([0-9.]+)$/.exec(name)?.[1];
      if (rate === undefined) continue;
      outputs[name] = slice(
        ropeAngles({ t: grid.t, h: 1, w: 1 }, width, ratios, { fps: fps(Number(rate)) }),
        1,
        0,
        d.t / 2,
      );
    }
    outputs.cos = cos(outputs.all!);
    outputs.sin = sin(outputs.all!);
    const found = await runOnce(runtime, outputs, {});
    const {
      all,
      cos: cosines,
      sin: sines,
      ...out
    } = found as Record<string, NdArray> & { all: NdArray; cos: NdArray; sin: NdArray };

    const total = (a: NdArray): number => (a.data as Float32Array).reduce((s, v) => s + v, 0);
    out.sum_cos_sin = f32([2], [2 * total(cosines), 2 * total(sines)]); // both halves of a head carry the same angles
    for (const name of c.outputs.keys()) {
      const corner = /^(cos|sin)_last_(\d+)x(\d+)x(\d+)$/.exec(name);
      if (corner === null) continue;
      const size = { t: Number(corner[2]), h: Number(corner[3]), w: Number(corner[4]) };
      const half = lastCorner(corner[1] === 'cos' ? cosines : sines, grid, size, width / 2);
      out[name] = doubled(half);
      if (corner[1] !== 'cos') continue;
      const q = [...c.inputs.keys()].find((n) => n.startsWith('q_'));
      if (q === undefined) continue;
      out.rotated_q = await rotate(c, q, half, lastCorner(sines, grid, size, width / 2), runtime);
    }
    return out;
  },
};

type Size = { readonly t: number; readonly h: number; readonly w: number };

/** Rows of the last t×h×w tokens of the grid. */
function lastCorner(table: NdArray, grid: Size, size: Size, width: number): NdArray {
  const data = table.data as Float32Array;
  const out = new Float32Array(size.t * size.h * size.w * width);
  let at = 0;
  for (let t = grid.t - size.t; t < grid.t; t++) {
    for (let h = grid.h - size.h; h < grid.h; h++) {
      for (let w = grid.w - size.w; w < grid.w; w++) {
        const row = ((t * grid.h + h) * grid.w + w) * width;
        out.set(data.subarray(row, row + width), at);
        at += width;
      }
    }
  }
  return f32([out.length / width, width], out);
}

/** [L, d/2] → [L, d] with both halves equal. */
function doubled(half: NdArray): NdArray {
  const [rows, width] = half.shape as [number, number];
  const data = new Float32Array(rows * width * 2);
  for (let i = 0; i < rows; i++) {
    const row = (half.data as Float32Array).subarray(i * width, (i + 1) * width);
    data.set(row, 2 * i * width);
    data.set(row, (2 * i + 1) * width);
  }
  return f32([rows, 2 * width], data);
}

/** q [L, heads, d] turned by the tables [L, d/2]. */
async function rotate(
  c: ParityCase,
  name: string,
  cosines: NdArray,
  sines: NdArray,
  runtime: Parameters<CaseKind['run']>[1],
): Promise<NdArray> {
  const q = inputOf(c, name);
  const x = input('q', [1, ...q.shape]);
  const turned = rope(x, input('cos', cosines.shape), input('sin', sines.shape));
  const feeds = { q: f32([1, ...q.shape], q.data), cos: cosines, sin: sines };
  const { y } = await runOnce(runtime, { y: turned }, feeds);
  return f32(q.shape, y!.data as Float32Array);
}
