// Procedural albedo in part coordinates, filtered over the pixel's footprint instead of supersampled: patterns are
// integrated over a box as wide as the pixel, noise octaves fade out when they get finer than it.

import { hash32, randomStream } from '../../base/index.ts';
import type { Material, Scene } from '../scene.ts';

/** Float64 values per material: color 3, color2 3, scale, specular, gloss. */
export const MATERIAL_STRIDE = 9;

const TEXTURE_CODES: Readonly<Record<Material['texture'], number>> = {
  flat: 0,
  checker: 1,
  stripes: 2,
  fbm: 3,
  wood: 4,
  tiles: 5,
  road: 6,
};

/** All materials of a scene, flat. */
export type MaterialTable = {
  readonly index: ReadonlyMap<string, number>;
  /** [materials, MATERIAL_STRIDE] */
  readonly data: Float64Array;
  readonly texture: Uint8Array;
};

/** Flattens the materials of a scene in the order of its record. */
export function materialTable(scene: Scene): MaterialTable {
  const entries = Object.entries(scene.materials);
  const data = new Float64Array(entries.length * MATERIAL_STRIDE);
  const texture = new Uint8Array(entries.length);
  entries.forEach(([, m], i) => {
    data.set([...m.color, ...m.color2, m.scale, m.specular, m.gloss], i * MATERIAL_STRIDE);
    texture[i] = TEXTURE_CODES[m.texture];
  });
  return { index: new Map(entries.map(([name], i) => [name, i])), data, texture };
}

const NOISE2_SIDE = 128;
const NOISE3_SIDE = 32;
const NOISE2 = noiseTable(NOISE2_SIDE ** 2, 'plane');
const NOISE3 = noiseTable(NOISE3_SIDE ** 3, 'solid');

function noiseTable(length: number, label: string): Float32Array {
  const random = randomStream(hash32('texture noise'), label);
  return Float32Array.from({ length }, () => random.uniform(-1, 1));
}

/** Value noise in −1…1 with quintic-free smoothstep interpolation; the lattice repeats every 128 cells. */
function noise2(x: number, y: number): number {
  const fx = Math.floor(x);
  const fy = Math.floor(y);
  let u = x - fx;
  let v = y - fy;
  u = u * u * (3 - 2 * u);
  v = v * v * (3 - 2 * v);
  const x0 = fx & 127;
  const x1 = (x0 + 1) & 127;
  const y0 = (fy & 127) << 7;
  const y1 = ((fy + 1) & 127) << 7;
  const a = NOISE2[y0 | x0]!;
  const b = NOISE2[y0 | x1]!;
  const c = NOISE2[y1 | x0]!;
  const d = NOISE2[y1 | x1]!;
  const top = a + (b - a) * u;
  return top + (c + (d - c) * u - top) * v;
}

/** The same in space; the lattice repeats every 32 cells. */
function noise3(x: number, y: number, z: number): number {
  const fx = Math.floor(x);
  const fy = Math.floor(y);
  const fz = Math.floor(z);
  let u = x - fx;
  let v = y - fy;
  let w = z - fz;
  u = u * u * (3 - 2 * u);
  v = v * v * (3 - 2 * v);
  w = w * w * (3 - 2 * w);
  const x0 = fx & 31;
  const x1 = (x0 + 1) & 31;
  const y0 = (fy & 31) << 5;
  const y1 = ((fy + 1) & 31) << 5;
  const z0 = (fz & 31) << 10;
  const z1 = ((fz + 1) & 31) << 10;
  const a = NOISE3[z0 | y0 | x0]!;
  const c = NOISE3[z0 | y1 | x0]!;
  const e = NOISE3[z1 | y0 | x0]!;
  const g = NOISE3[z1 | y1 | x0]!;
  const ab = a + (NOISE3[z0 | y0 | x1]! - a) * u;
  const cd = c + (NOISE3[z0 | y1 | x1]! - c) * u;
  const ef = e + (NOISE3[z1 | y0 | x1]! - e) * u;
  const gh = g + (NOISE3[z1 | y1 | x1]! - g) * u;
  const low = ab + (cd - ab) * v;
  return low + (ef + (gh - ef) * v - low) * w;
}

/** How much of a detail with `cells` cells per pixel is left: all below 0.35, nothing above 1. */
function keep(cells: number): number {
  return cells < 0.35 ? 1 : cells > 1 ? 0 : (1 - cells) / 0.65;
}

/** A square wave of period 2 (+1 on even cells, −1 on odd ones), averaged over [x − w/2, x + w/2]. */
function squareWave(x: number, w: number): number {
  const width = Math.max(w, 1e-4);
  return (triangle(x + 0.5 * width) - triangle(x - 0.5 * width)) / width;
}

/** Integral of the square wave. */
function triangle(x: number): number {
  const f = x - 2 * Math.floor(x * 0.5);
  return f < 1 ? f : 2 - f;
}

/** Share of [x − w/2, x + w/2] that lies within `half` of an integer line. */
function lineCover(x: number, w: number, half: number): number {
  const width = Math.max(w, 1e-4);
  return (lineIntegral(x + 0.5 * width, half) - lineIntegral(x - 0.5 * width, half)) / width;
}

function lineIntegral(x: number, half: number): number {
  const cell = Math.floor(x + 0.5);
  const f = x - cell;
  return cell * 2 * half + (f < -half ? 0 : f > half ? 2 * half : f + half);
}

/** Share of the footprint (centre y, width w) inside [from, to]. */
function bandCover(y: number, w: number, from: number, to: number): number {
  const half = 0.5 * Math.max(w, 1e-4);
  const low = Math.max(y - half, from);
  const high = Math.min(y + half, to);
  return high > low ? (high - low) / (2 * half) : 0;
}

/**
 * Albedo at a point.
 * @param m offset of the material's row
 * @param x,y,z point in the part's frame, metres
 * @param wx,wy,wz footprint of the pixel along the part's axes, metres
 * @param flat true on planes, where two coordinates are enough
 * @param out receives linear RGB at 0…2
 */
export function albedo(
  table: MaterialTable,
  material: number,
  x: number,
  y: number,
  z: number,
  wx: number,
  wy: number,
  wz: number,
  flat: boolean,
  out: Float64Array,
): void {
  const data = table.data;
  const m = material * MATERIAL_STRIDE;
  const s = data[m + 6]!;
  // Share of color2 (`mix`) and brightness (`gain`); the road sets its colours itself.
  let mix = 0;
  let gain = 1;
  switch (table.texture[material]) {
    case 1: {
      // The odd offsets keep cell borders off the faces of boxes.
      let wave = squareWave(x * s + 0.37, wx * s) * squareWave(y * s + 0.37, wy * s);
      if (!flat) wave *= squareWave(z * s + 0.37, wz * s);
      mix = 0.5 - 0.5 * wave;
      break;
    }
    case 2: {
      const u = (x + 0.6 * y + 0.3 * z) * s;
      mix = 0.5 - 0.5 * squareWave(u, (wx + 0.6 * wy + 0.3 * wz) * s);
      break;
    }
    case 3: {
      const w = Math.max(wx, wy) * s;
      let sum = 0;
      let amplitude = 0.5;
      let f = s;
      for (let octave = 0; octave < 4; octave++) {
        const k = keep((w * f) / s);
        if (k === 0) break;
        const shift = octave * 17.3;
        const n = flat
          ? noise2(x * f + shift, y * f - shift)
          : noise3(x * f + shift, y * f - shift, z * f + 0.5 * shift);
        sum += k * amplitude * n;
        amplitude *= 0.5;
        f *= 2.03;
      }
      mix = 0.4 + 0.75 * sum;
      mix = mix < 0 ? 0 : Math.min(mix, 1);
      break;
    }
    case 4: {
      if (flat) {
        // Boards along x, each with its own tone and grain.
        const board = y * s * 1.6;
        const row = Math.floor(board);
        const wBoard = wy * s * 1.6;
        const clear = keep(wBoard * 0.7);
        const end = x * s * 0.22 + 0.618 * row;
        const id = Math.floor(end) * 7 + row * 13;
        const tone = NOISE2[(id * 2654435 + 97) & 16383]!;
        const grain =
          keep(wy * s * 14) * noise2(x * s * 0.9 + tone * 40, y * s * 14) * 0.6 +
          keep(wy * s * 40) * noise2(x * s * 2.1 - tone * 60, y * s * 40) * 0.4;
        mix = 0.45 + 0.28 * clear * tone + 0.32 * grain;
        mix = mix < 0 ? 0 : Math.min(mix, 1);
        const seam = lineCover(board, wBoard, 0.02) + lineCover(end, wx * s * 0.22, 0.0035);
        gain = 1 - 0.55 * Math.min(seam, 1);
      } else {
        // Rings around an axis a little off the part's own, bent by noise.
        const bend = 0.35 * noise3(x * s * 0.5, y * s * 0.9, z * s * 0.9 + 5);
        const v = y * s * 0.5 + 0.7;
        const u = z * s * 0.5 - 0.4;
        const ring = 3.1 * Math.sqrt(u * u + v * v) + bend;
        const w = (wx > wy ? Math.max(wx, wz) : Math.max(wy, wz)) * s;
        const f = ring - Math.floor(ring);
        const saw = f < 0.75 ? f / 0.75 : (1 - f) / 0.25;
        mix = 0.2 + 0.6 * (0.5 + (saw - 0.5) * keep(w * 1.6));
        mix += 0.12 * keep(w * 6) * noise3(x * s, y * s * 6, z * s * 6);
        mix = mix < 0 ? 0 : Math.min(mix, 1);
      }
      break;
    }
    case 5: {
      const u = x * s;
      const v = y * s;
      const a = lineCover(u, wx * s, 0.018);
      const b = lineCover(v, wy * s, 0.018);
      const grout = a + b - a * b;
      const clear = keep(Math.max(wx, wy) * s * 0.8);
      const cell = Math.floor(u + 1e-9) * 127 + Math.floor(v + 1e-9) * 311;
      const tone = NOISE2[(cell * 40503 + 11) & 16383]!;
      const stain = noise2(u * 0.9 + 9, v * 0.9) * 0.5 + keep(wx * s * 7) * noise2(u * 7, v * 7) * 0.25;
      gain = 1 + clear * 0.07 * tone + 0.07 * stain;
      mix = grout;
      break;
    }
    case 6:
      road(data, m, x, y, wx, wy, out);
      return;
    default:
      break;
  }
  out[0] = gain * (data[m]! + (data[m + 3]! - data[m]!) * mix);
  out[1] = gain * (data[m + 1]! + (data[m + 4]! - data[m + 1]!) * mix);
  out[2] = gain * (data[m + 2]! + (data[m + 5]! - data[m + 2]!) * mix);
}

/**
 * A road along x with its centre at y = 0: two lanes per direction 3.5 m wide, edge lines at ±7 m, a double yellow
 * line, dashes 3 m on and 6 m off, pavement to ±9 m, then grass. `color` = asphalt, `color2` = paint.
 */
function road(data: Float64Array, m: number, x: number, y: number, wx: number, wy: number, out: Float64Array): void {
  const side = y < 0 ? -y : y;
  const paved = bandCover(side, wy, -1, 7.4);
  const kerb = bandCover(side, wy, 7.4, 9);
  const grass = 1 - paved - kerb;
  const fine = 1 + 0.16 * keep(wy * 9) * noise2(x * 9, y * 9) + 0.1 * noise2(x * 0.31, y * 0.9);
  const turf = 1 + 0.3 * keep(wy * 3) * noise2(x * 3, y * 3) + 0.25 * noise2(x * 0.17, y * 0.17);
  const dash = lineCover(x / 9 + 0.5, wx / 9, 1 / 6);
  const white = bandCover(side, wy, 6.92, 7.08) + dash * bandCover(side, wy, 3.42, 3.58);
  const yellow = bandCover(side, wy, 0.09, 0.21);
  for (let k = 0; k < 3; k++) {
    const asphalt = data[m + k]! * fine;
    const paint = data[m + 3 + k]!;
    const gold = paint * (k === 0 ? 0.95 : k === 1 ? 0.68 : 0.12);
    const lane = asphalt + (paint - asphalt) * white;
    out[k] =
      paved * (lane + (gold - lane) * yellow) +
      kerb * (0.36 - 0.02 * k) * fine +
      grass * (k === 0 ? 0.13 : k === 1 ? 0.24 : 0.07) * turf;
  }
}
