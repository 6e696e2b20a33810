// Structural similarity (Wang et al. 2004) in its named forms: uniform 7×7 with sample covariance (the tokenizer metric),
// gaussian 11×11 σ 1.5 valid (the classic form), gaussian zero-padded (3D-splatting code), and MS-SSIM. The forms differ in
// the second digit; a figure without its form means nothing.
import { InputError } from '../../base/index.ts';

/** Height, width and channels of an interleaved 8-bit picture. */
export type PictureSize = { readonly height: number; readonly width: number; readonly channels: number };

// Constants of the paper at data range 255.
const C1 = (0.01 * 255) ** 2;
const C2 = (0.03 * 255) ** 2;

/** SSIM from the five local moments; population or sample (co)variances. */
const ssimOf = (ux: number, uy: number, vx: number, vy: number, vxy: number): number =>
  ((2 * ux * uy + C1) * (2 * vxy + C2)) / ((ux * ux + uy * uy + C1) * (vx + vy + C2));

const BOX = 7;
const N = BOX * BOX;

/**
 * SSIM with a uniform 7×7 window and sample covariance (factor 49/48), mean over the map without its 3 px border and over
 * channels: the TokenBench form. Exact integer sums. @returns −1…1
 */
export function ssimUniform(a: Uint8Array, b: Uint8Array, size: PictureSize): number {
  const { height, width, channels } = checkPair(a, b, size, BOX);
  const row = width * channels;
  // Column sums over 7 rows, kept up to date while the window moves down.
  const sums = [0, 1, 2, 3].map(() => new Int32Array(row)) as [Int32Array, Int32Array, Int32Array, Int32Array];
  const [sx, sy, sq, sxy] = sums;
  const addRow = (y: number, sign: 1 | -1): void => {
    const at = y * row;
    for (let i = 0; i < row; i++) {
      const p = a[at + i]!;
      const q = b[at + i]!;
      sx[i] = sx[i]! + sign * p;
      sy[i] = sy[i]! + sign * q;
      // Both squares always appear as a sum.
      sq[i] = sq[i]! + sign * (p * p + q * q);
      sxy[i] = sxy[i]! + sign * p * q;
    }
  };
  for (let y = 0; y < BOX - 1; y++) addRow(y, 1);
  let total = 0;
  const cov = 1 / (N * (N - 1));
  for (let y = 0; y + BOX <= height; y++) {
    addRow(y + BOX - 1, 1);
    for (let c = 0; c < channels; c++) {
      let x1 = 0;
      let y1 = 0;
      let qq = 0;
      let xy = 0;
      let head = c;
      for (let k = 0; k < BOX - 1; k++, head += channels) {
        x1 += sx[head]!;
        y1 += sy[head]!;
        qq += sq[head]!;
        xy += sxy[head]!;
      }
      for (let tail = c; head < row; head += channels, tail += channels) {
        x1 += sx[head]!;
        y1 += sy[head]!;
        qq += sq[head]!;
        xy += sxy[head]!;
        const product = x1 * y1;
        const squares = x1 * x1 + y1 * y1;
        // ux·uy = x1·y1/N²; vxy = (N·xy − x1·y1)/(N(N−1)).
        total +=
          (((2 / (N * N)) * product + C1) * (2 * cov * (N * xy - product) + C2)) /
          (((1 / (N * N)) * squares + C1) * (cov * (N * qq - squares) + C2));
        x1 -= sx[tail]!;
        y1 -= sy[tail]!;
        qq -= sq[tail]!;
        xy -= sxy[tail]!;
      }
    }
    addRow(y, -1);
  }
  return total / ((height - BOX + 1) * (width - BOX + 1) * channels);
}

const RADIUS = 5;

/** The 11 weights of a gaussian with σ 1.5, sum 1. */
export const GAUSSIAN_11: Float64Array = (() => {
  const raw = Array.from({ length: 2 * RADIUS + 1 }, (_, i) => Math.exp(-((i - RADIUS) ** 2) / (2 * 1.5 ** 2)));
  const sum = raw.reduce((s, v) => s + v, 0);
  return Float64Array.from(raw, (v) => v / sum);
})();

/** How a filter sees beyond the border: nothing there (result is smaller), zeros, or the picture mirrored with its edge repeated. */
export type Border = 'valid' | 'zero' | 'mirror';

/** One channel as doubles. */
function plane(data: ArrayLike<number>, size: PictureSize, channel: number): Float64Array {
  const out = new Float64Array(size.height * size.width);
  for (let i = 0; i < out.length; i++) out[i] = data[i * size.channels + channel]!;
  return out;
}

type Plane = { readonly data: Float64Array; readonly height: number; readonly width: number };

/** Separable convolution with a symmetric kernel. */
export function blur(source: Plane, kernel: Float64Array, border: Border): Plane {
  const r = (kernel.length - 1) / 2;
  const { height, width } = source;
  const w = border === 'valid' ? width - 2 * r : width;
  const h = border === 'valid' ? height - 2 * r : height;
  const shift = border === 'valid' ? r : 0;
  const across = new Float64Array(height * w);
  const columns = indices(w, shift, r, width, border);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < w; x++) {
      let s = 0;
      for (let k = 0; k < kernel.length; k++) {
        const i = columns[x * kernel.length + k]!;
        if (i >= 0) s += kernel[k]! * source.data[y * width + i]!;
      }
      across[y * w + x] = s;
    }
  }
  const out = new Float64Array(h * w);
  const rows = indices(h, shift, r, height, border);
  for (let y = 0; y < h; y++) {
    for (let k = 0; k < kernel.length; k++) {
      const i = rows[y * kernel.length + k]!;
      if (i < 0) continue;
      const weight = kernel[k]!;
      for (let x = 0; x < w; x++) out[y * w + x] = out[y * w + x]! + weight * across[i * w + x]!;
    }
  }
  return { data: out, height: h, width: w };
}

/** Source index of every tap; −1 reads zero. */
function indices(count: number, shift: number, r: number, size: number, border: Border): Int32Array {
  const out = new Int32Array(count * (2 * r + 1));
  for (let o = 0; o < count; o++) {
    for (let k = -r; k <= r; k++) {
      let i = o + shift + k;
      if (i < 0 || i >= size) {
        if (border === 'zero') i = -1;
        else {
          // d c b a | a b c d | d c b a, also for kernels wider than the picture.
          const period = 2 * size;
          const m = ((i % period) + period) % period;
          i = m < size ? m : period - 1 - m;
        }
      }
      out[o * (2 * r + 1) + k + r] = i;
    }
  }
  return out;
}

/** SSIM and contrast-structure maps of one channel from filtered moments. @param covariance 1, or n/(n−1) for samples */
function maps(
  x: Plane,
  y: Plane,
  kernel: Float64Array,
  border: Border,
  covariance = 1,
): { ssim: Float64Array; cs: Float64Array; width: number; height: number } {
  const product = (p: Plane, q: Plane): Plane => ({ ...p, data: p.data.map((v, i) => v * q.data[i]!) });
  const ux = blur(x, kernel, border);
  const uy = blur(y, kernel, border).data;
  const xx = blur(product(x, x), kernel, border).data;
  const yy = blur(product(y, y), kernel, border).data;
  const xy = blur(product(x, y), kernel, border).data;
  const ssim = new Float64Array(uy.length);
  const cs = new Float64Array(uy.length);
  for (let i = 0; i < uy.length; i++) {
    const mx = ux.data[i]!;
    const my = uy[i]!;
    const vx = covariance * (xx[i]! - mx * mx);
    const vy = covariance * (yy[i]! - my * my);
    const vxy = covariance * (xy[i]! - mx * my);
    ssim[i] = ssimOf(mx, my, vx, vy, vxy);
    cs[i] = (2 * vxy + C2) / (vx + vy + C2);
  }
  return { ssim, cs, width: ux.width, height: ux.height };
}

/** Named SSIM forms that give a map. */
export type SsimForm = 'uniform7' | 'gauss11';

/** The uncropped SSIM map, mirrored borders: float64 [H, W, C]. */
export function ssimMap(a: Uint8Array, b: Uint8Array, size: PictureSize, form: SsimForm): Float64Array {
  checkPair(a, b, size, form === 'uniform7' ? BOX : 2 * RADIUS + 1);
  const { height, width, channels } = size;
  const out = new Float64Array(height * width * channels);
  const kernel = form === 'uniform7' ? new Float64Array(BOX).fill(1 / BOX) : GAUSSIAN_11;
  const covariance = form === 'uniform7' ? N / (N - 1) : 1;
  for (let c = 0; c < channels; c++) {
    const x = { data: plane(a, size, c), height, width };
    const y = { data: plane(b, size, c), height, width };
    const { ssim } = maps(x, y, kernel, 'mirror', covariance);
    for (let i = 0; i < ssim.length; i++) out[i * channels + c] = ssim[i]!;
  }
  return out;
}

/**
 * SSIM with a gaussian 11×11 window, σ 1.5, population covariance, mean over channels.
 * @param border `valid`: the classic form (equal to cropping 5 px); `zero`: the form of 3D-splatting training code
 */
export function ssimGaussian(
  a: Uint8Array,
  b: Uint8Array,
  size: PictureSize,
  border: 'valid' | 'zero' = 'valid',
): number {
  checkPair(a, b, size, 2 * RADIUS + 1);
  const { height, width, channels } = size;
  let total = 0;
  for (let c = 0; c < channels; c++) {
    const x = { data: plane(a, size, c), height, width };
    const y = { data: plane(b, size, c), height, width };
    const { ssim } = maps(x, y, GAUSSIAN_11, border);
    total += average(ssim);
  }
  return total / channels;
}

/** Weights of the five scales (Wang, Simoncelli and Bovik 2003). */
export const MS_SSIM_WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333] as const;

export type MsSsim = {
  readonly value: number;
  /** Per channel. */
  readonly channels: readonly number[];
  /** [scale][channel] mean SSIM and mean contrast-structure. */
  readonly levels: readonly { readonly ssim: readonly number[]; readonly cs: readonly number[] }[];
};

/** MS-SSIM over five scales, gaussian valid windows, 2×2 mean pooling (odd sides get one zero line in front). Sides > 160. */
export function msSsim(a: Uint8Array, b: Uint8Array, size: PictureSize): MsSsim {
  checkPair(a, b, size, 161);
  const levels = MS_SSIM_WEIGHTS.map(() => ({ ssim: [] as number[], cs: [] as number[] }));
  const channels: number[] = [];
  for (let c = 0; c < size.channels; c++) {
    let x: Plane = { data: plane(a, size, c), height: size.height, width: size.width };
    let y: Plane = { data: plane(b, size, c), height: size.height, width: size.width };
    let value = 1;
    for (const [s, weight] of MS_SSIM_WEIGHTS.entries()) {
      const { ssim, cs } = maps(x, y, GAUSSIAN_11, 'valid');
      const last = s === MS_SSIM_WEIGHTS.length - 1;
      levels[s]!.ssim.push(average(ssim));
      levels[s]!.cs.push(average(cs));
      value *= Math.max(0, average(last ? ssim : cs)) ** weight;
      if (!last) [x, y] = [halve(x), halve(y)];
    }
    channels.push(value);
  }
  return { value: average(channels), channels, levels };
}

/** 2×2 means; an odd side is padded by one zero line before the first, the divisor stays 4. */
function halve(p: Plane): Plane {
  const top = p.height % 2;
  const left = p.width % 2;
  const height = (p.height + top) / 2;
  const width = (p.width + left) / 2;
  const data = new Float64Array(height * width);
  const at = (y: number, x: number): number => (y < 0 || x < 0 ? 0 : p.data[y * p.width + x]!);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const v = 2 * y - top;
      const u = 2 * x - left;
      data[y * width + x] = (at(v, u) + at(v, u + 1) + at(v + 1, u) + at(v + 1, u + 1)) / 4;
    }
  }
  return { data, height, width };
}

function average(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

function checkPair(a: Uint8Array, b: Uint8Array, size: PictureSize, side: number): PictureSize {
  const { height, width, channels } = size;
  if (a.length !== b.length || a.length !== height * width * channels) {
    throw new InputError('pictures', {
      got: `${a.length} and ${b.length} values`,
      need: `${height}×${width}×${channels} values each`,
    });
  }
  if (height < side || width < side) {
    throw new InputError('picture size', {
      got: `${width}×${height}`,
      need: `sides of at least ${side} pixels`,
      why: 'the window of this metric must fit',
    });
  }
  return size;
}
