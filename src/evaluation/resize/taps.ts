// Resampling as sums of taps: for each output position along one axis, which inputs count and how much. The conventions of
// OpenCV, Pillow and PyTorch differ only in these taps and in rounding.

/** Taps of one axis: `count` per output position; `index` and `weight` are flat [size, count]. */
export type Taps = {
  readonly size: number;
  readonly count: number;
  readonly index: Int32Array;
  readonly weight: Float64Array;
};

/** Taps from a rule per output position. */
export function tapsOf(size: number, rule: (o: number) => readonly (readonly [index: number, weight: number])[]): Taps {
  const rows = Array.from({ length: size }, (_, o) => rule(o));
  const count = Math.max(...rows.map((r) => r.length));
  const index = new Int32Array(size * count);
  const weight = new Float64Array(size * count);
  for (const [o, row] of rows.entries()) {
    for (const [k, [i, w]] of row.entries()) {
      index[o * count + k] = i;
      weight[o * count + k] = w;
    }
  }
  return { size, count, index, weight };
}

/** A kernel with its half width. */
export type Kernel = { readonly support: number; readonly at: (x: number) => number };

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

/** Keys' cubic convolution with parameter a. */
export const cubic = (a: number): Kernel => ({
  support: 2,
  at: (x) => {
    const t = Math.abs(x);
    if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? a * (((t - 5) * t + 8) * t - 4) : 0;
  },
});
export const TRIANGLE: Kernel = { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) };
export const BOX: Kernel = { support: 0.5, at: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };
export const lanczos = (lobes: number): Kernel => ({
  support: lobes,
  at: (x) => (Math.abs(x) < lobes ? sinc(x) * sinc(x / lobes) : 0),
});

const clamp = (i: number, size: number): number => Math.min(size - 1, Math.max(0, i));

/** A kernel at its own width, half-pixel centres, borders repeated: OpenCV and PyTorch without antialias. */
export function plainTaps(from: number, to: number, kernel: Kernel): Taps {
  const scale = from / to;
  return tapsOf(to, (o) => {
    const centre = (o + 0.5) * scale - 0.5;
    const first = Math.floor(centre) - kernel.support + 1;
    const taps = Array.from(
      { length: 2 * kernel.support },
      (_, k) => [first + k, kernel.at(centre - first - k)] as const,
    );
    const sum = taps.reduce((s, [, w]) => s + w, 0);
    return taps.map(([i, w]) => [clamp(i, from), w / sum] as const);
  });
}

/** A kernel widened by the scale when shrinking, cut and renormalised at borders: Pillow, and PyTorch with antialias. */
export function wideTaps(from: number, to: number, kernel: Kernel): Taps {
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const support = kernel.support * stretch;
  return tapsOf(to, (o) => {
    const centre = (o + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - support + 0.5));
    const high = Math.min(from, Math.trunc(centre + support + 0.5));
    const taps = Array.from(
      { length: high - low },
      (_, k) => [low + k, kernel.at((low + k - centre + 0.5) / stretch)] as const,
    );
    const sum = taps.reduce((s, [, w]) => s + w, 0);
    return taps.map(([i, w]) => [i, sum === 0 ? 0 : w / sum] as const);
  });
}

/** Size of an interleaved picture. */
export type Size = { readonly height: number; readonly width: number; readonly channels: number };

/** Applies taps across, then down, in double precision: [H, W, C] → [rows.size, columns.size, C]. */
export function applyTaps(
  data: ArrayLike<number>,
  { height, width, channels }: Size,
  columns: Taps,
  rows: Taps,
): Float64Array {
  const across = alongX(data, height, width, channels, columns);
  return alongY(across, columns.size, channels, rows);
}

export function alongX(
  data: ArrayLike<number>,
  height: number,
  width: number,
  channels: number,
  taps: Taps,
): Float64Array {
  const out = new Float64Array(height * taps.size * channels);
  const { size, count, index, weight } = taps;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < size; x++) {
      for (let c = 0; c < channels; c++) {
        let s = 0;
        for (let k = 0; k < count; k++)
          s += weight[x * count + k]! * data[(y * width + index[x * count + k]!) * channels + c]!;
        out[(y * size + x) * channels + c] = s;
      }
    }
  }
  return out;
}

export function alongY(data: ArrayLike<number>, width: number, channels: number, taps: Taps): Float64Array {
  const { size, count, index, weight } = taps;
  const row = width * channels;
  const out = new Float64Array(size * row);
  for (let y = 0; y < size; y++) {
    for (let k = 0; k < count; k++) {
      const w = weight[y * count + k]!;
      if (w === 0) continue;
      const at = index[y * count + k]! * row;
      for (let i = 0; i < row; i++) out[y * row + i] = out[y * row + i]! + w * data[at + i]!;
    }
  }
  return out;
}

export const roundToByte = (x: number): number => Math.min(255, Math.max(0, Math.round(x)));
