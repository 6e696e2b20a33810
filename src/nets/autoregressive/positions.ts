// Position tables of the autoregressive models, as numbers: rotary angles over a video grid or a sequence, YaRN, and the
// fixed absolute table. Rounded where the reference rounds: frequencies and angles to float32, the absolute table to bfloat16.
import { f32, InputError, type NdArray } from '../../base/index.ts';
import type { Grid } from '../diffusion/index.ts';
import type { AutoregressiveConfig, YarnConfig } from './config.ts';

type F32Array = NdArray & { readonly data: Float32Array };

const fround = Math.fround;

/** f_i = θ^(−2i/d), i < d/2, as float32 arithmetic gives them. */
export function rotaryFrequencies(d: number, theta: number): Float32Array {
  return Float32Array.from({ length: d / 2 }, (_, i) => 1 / fround(theta ** fround((2 * i) / d)));
}

/** YaRN (Peng et al. 2023): f·((1 − m)/scale + m), m rising from 0 at β_slow to 1 at β_fast turns over the original length. */
export function yarnFrequencies(
  frequencies: Float32Array,
  { scale, betaFast, betaSlow }: YarnConfig,
  original: number,
): Float32Array {
  const high = (2 * Math.PI * betaFast) / original;
  const low = (2 * Math.PI * betaSlow) / original;
  return frequencies.map((f) => {
    const m = Math.min(1, Math.max(0, (f - low) / (high - low)));
    return f * ((1 - m) / scale + m);
  });
}

/** Factor on sines and cosines that goes with YaRN: 0.1·ln(scale) + 1. Only the interleaved version applies it. */
export const yarnMagnitude = (scale: number): number => (scale <= 1 ? 1 : 0.1 * Math.log(scale) + 1);

/** Frequencies of time and of space (rows and columns alike) in a head of width D: D_h = D_w = 2⌊D/6⌋. */
export function videoFrequencies(c: Pick<AutoregressiveConfig, 'headWidth' | 'rotary'>): {
  time: Float32Array;
  space: Float32Array;
} {
  const side = 2 * Math.floor(c.headWidth / 6);
  const time = rotaryFrequencies(c.headWidth - 2 * side, c.rotary.theta);
  const space = rotaryFrequencies(side, c.rotary.theta);
  if (c.rotary.kind !== '3d' || c.rotary.yarn === undefined) return { time, space };
  const { yarn } = c.rotary;
  // Both spatial axes use the original height.
  return {
    time: yarnFrequencies(time, yarn, yarn.original.t),
    space: yarnFrequencies(space, yarn, yarn.original.h),
  };
}

/** Place of sequence position `index` in the grid; undefined: begin token or padding, whose angles are all 0. */
function placeOf(index: number, grid: Grid, hasBeginToken: boolean): { t: number; h: number; w: number } | undefined {
  const i = index - (hasBeginToken ? 1 : 0);
  const perFrame = grid.h * grid.w;
  if (i < 0 || i >= grid.t * perFrame) return undefined;
  return { t: Math.floor(i / perFrame), h: Math.floor((i % perFrame) / grid.w), w: i % grid.w };
}

/**
 * Cosines and sines of the rotary angles of sequence positions.
 * @param positions each from 0 to maxTokens − 1
 * @returns [positions, headWidth/2] each: the angles of the pairs
 */
export function rotaryRows(
  c: Pick<AutoregressiveConfig, 'headWidth' | 'rotary' | 'latent' | 'hasBeginToken' | 'maxTokens'>,
  positions: readonly number[],
): { cos: F32Array; sin: F32Array } {
  const half = c.headWidth / 2;
  const cos = f32([positions.length, half]);
  const sin = f32([positions.length, half]);
  const write = (row: number, angles: ArrayLike<number>, magnitude: number): void => {
    for (let i = 0; i < half; i++) {
      cos.data[row * half + i] = Math.cos(angles[i]!) * magnitude;
      sin.data[row * half + i] = Math.sin(angles[i]!) * magnitude;
    }
  };
  checkPositions(c, positions);
  const { rotary } = c;
  if (rotary.kind === '1d') {
    const plain = rotaryFrequencies(c.headWidth, rotary.theta);
    const frequencies = rotary.yarn === undefined ? plain : yarnFrequencies(plain, rotary.yarn, rotary.yarn.original);
    const magnitude = rotary.isInterleaved && rotary.yarn !== undefined ? yarnMagnitude(rotary.yarn.scale) : 1;
    for (const [row, p] of positions.entries()) {
      write(
        row,
        Array.from(frequencies, (f) => fround(p * f)),
        magnitude,
      );
    }
    return { cos, sin };
  }
  const grid = gridOrThrow(c);
  const { time, space } = videoFrequencies(c);
  const magnitude = rotary.isInterleaved && rotary.yarn !== undefined ? yarnMagnitude(rotary.yarn.scale) : 1;
  const none = new Float32Array(half);
  for (const [row, p] of positions.entries()) {
    const place = placeOf(p, grid, c.hasBeginToken);
    if (place === undefined) {
      write(row, none, magnitude);
      continue;
    }
    const part = (frequencies: Float32Array, at: number): number[] => Array.from(frequencies, (f) => fround(at * f));
    write(row, [...part(time, place.t), ...part(space, place.h), ...part(space, place.w)], magnitude);
  }
  return { cos, sin };
}

/**
 * Rows of the fixed absolute table: concat(time, height, width), each concat(sin(p·ω), cos(p·ω)) with ω_i = 10000^(−i/(d/2)).
 * @param rounding "bf16" (default): as the models use it in every precision; "f32": before that rounding
 * @returns [positions, width]
 */
export function absoluteRows(
  c: Pick<AutoregressiveConfig, 'width' | 'latent' | 'hasBeginToken' | 'maxTokens'>,
  positions: readonly number[],
  rounding: 'bf16' | 'f32' = 'bf16',
): F32Array {
  checkPositions(c, positions);
  const grid = gridOrThrow(c);
  const side = 2 * Math.floor(c.width / 6);
  const widths = { t: c.width - 2 * side, h: side, w: side };
  const out = f32([positions.length, c.width]);
  const tables = {
    t: axisTable(grid.t, widths.t, rounding),
    h: axisTable(grid.h, widths.h, rounding),
    w: axisTable(grid.w, widths.w, rounding),
  };
  for (const [row, p] of positions.entries()) {
    const place = placeOf(p, grid, c.hasBeginToken);
    if (place === undefined) continue;
    let at = row * c.width;
    for (const axis of ['t', 'h', 'w'] as const) {
      const d = widths[axis];
      out.data.set(tables[axis].subarray(place[axis] * d, (place[axis] + 1) * d), at);
      at += d;
    }
  }
  return out;
}

function axisTable(count: number, d: number, rounding: 'bf16' | 'f32'): Float32Array {
  const table = new Float32Array(count * d);
  for (let p = 0; p < count; p++) {
    for (let i = 0; i < d / 2; i++) {
      const angle = p * (1 / 10000 ** (i / (d / 2)));
      table[p * d + i] = Math.sin(angle);
      table[p * d + d / 2 + i] = Math.cos(angle);
    }
  }
  if (rounding === 'bf16') roundToBfloat16(table);
  return table;
}

/** Rounds float32 numbers to the nearest bfloat16, ties to even, in place. */
function roundToBfloat16(values: Float32Array): void {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) {
    const w = words[i]!;
    words[i] = ((w + 0x7fff + ((w >>> 16) & 1)) & 0xffff0000) >>> 0;
  }
}

function gridOrThrow(c: Pick<AutoregressiveConfig, 'latent'>): Grid {
  if (c.latent === undefined) {
    throw new InputError('video_latent_shape', { got: undefined, need: 'frames, rows and columns of the token grid' });
  }
  return c.latent;
}

function checkPositions(c: Pick<AutoregressiveConfig, 'maxTokens'>, positions: readonly number[]): void {
  const wrong = positions.find((p) => !(Number.isInteger(p) && p >= 0 && p < c.maxTokens));
  if (wrong !== undefined) {
    throw new InputError('position', { got: wrong, need: `a whole number from 0 to ${c.maxTokens - 1}` });
  }
}

/** The positions `from`, `from` + 1, … */
export const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
