// Picture resizing in the conventions of OpenCV: half-pixel centres, no antialias except `area`.
import { applyTaps, cubic, lanczos, plainTaps, roundToByte, type Size, type Taps, TRIANGLE, tapsOf } from './taps.ts';

export const OPENCV_FILTERS = ['nearest', 'linear', 'cubic', 'area', 'lanczos4'] as const;
export type OpenCvFilter = (typeof OPENCV_FILTERS)[number];

/** Resizes as float values: [H, W, C] → [height, width, C]; bytes keep their scale 0…255. */
export function resizeOpenCv(
  data: ArrayLike<number>,
  size: Size,
  to: { readonly height: number; readonly width: number },
  filter: OpenCvFilter,
): Float64Array {
  const shrinks = size.width >= to.width && size.height >= to.height;
  const axis = (from: number, count: number): Taps => taps(from, count, filter, shrinks);
  return applyTaps(data, size, axis(size.width, to.width), axis(size.height, to.height));
}

/** Resizes bytes, rounded as OpenCV does within 1. */
export function resizeOpenCvBytes(
  data: Uint8Array,
  size: Size,
  to: { readonly height: number; readonly width: number },
  filter: OpenCvFilter,
): Uint8Array {
  const isPair = filter === 'area' && size.width === 2 * to.width && size.height === 2 * to.height;
  // Whole ratios: 2×2 rounds halves up, all others to even.
  const isWhole = filter === 'area' && size.width % to.width === 0 && size.height % to.height === 0;
  const round = isWhole && !isPair ? halfEven : roundToByte;
  return Uint8Array.from(resizeOpenCv(data, size, to, filter), round);
}

const halfEven = (x: number): number => {
  // The sum is a multiple of 1/area; the float noise of the means must not decide about halves.
  const v = Math.round(x * 2 ** 20) / 2 ** 20;
  const low = Math.floor(v);
  const rest = v - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
};

function taps(from: number, to: number, filter: OpenCvFilter, shrinks: boolean): Taps {
  switch (filter) {
    case 'nearest':
      return tapsOf(to, (o) => [[Math.min(from - 1, Math.floor((o * from) / to)), 1]]);
    case 'linear':
      return plainTaps(from, to, TRIANGLE);
    case 'cubic':
      return plainTaps(from, to, cubic(-0.75));
    case 'lanczos4':
      return plainTaps(from, to, lanczos(4));
    case 'area':
      return shrinks ? coverage(from, to) : areaEnlarged(from, to);
  }
}

/** Each output pixel is the mean of the input that it covers. */
function coverage(from: number, to: number): Taps {
  const scale = from / to;
  return tapsOf(to, (o) => {
    const low = o * scale;
    const high = (o + 1) * scale;
    const out: [number, number][] = [];
    for (let i = Math.floor(low + 1e-9); i < high - 1e-9 && i < from; i++) {
      out.push([i, (Math.min(high, i + 1) - Math.max(low, i)) / scale]);
    }
    return out;
  });
}

/** `area` when a side grows: linear between neighbours, with coordinates of its own. */
function areaEnlarged(from: number, to: number): Taps {
  const scale = from / to;
  return tapsOf(to, (o) => {
    const i = Math.floor(o * scale);
    const raw = o + 1 - (i + 1) / scale;
    const f = raw <= 0 ? 0 : raw - Math.floor(raw);
    return [
      [Math.min(i, from - 1), 1 - f],
      [Math.min(i + 1, from - 1), f],
    ];
  });
}
