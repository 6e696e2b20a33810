// Picture resizing in the convention of Pillow: kernels widened by the scale when shrinking, two passes over bytes with
// 22-bit fixed-point weights. Bit-exact.
import { BOX, cubic, type Kernel, lanczos, type Size, type Taps, TRIANGLE, tapsOf, wideTaps } from './taps.ts';

export const PILLOW_FILTERS = ['nearest', 'box', 'bilinear', 'bicubic', 'lanczos'] as const;
export type PillowFilter = (typeof PILLOW_FILTERS)[number];

const KERNELS: Readonly<Record<Exclude<PillowFilter, 'nearest'>, Kernel>> = {
  box: BOX,
  bilinear: TRIANGLE,
  bicubic: cubic(-0.5),
  lanczos: lanczos(3),
};

const ONE = 2 ** 22;

/** Resizes bytes: uint8 [H, W, C] → [height, width, C]. */
export function resizePillow(
  data: Uint8Array,
  size: Size,
  to: { readonly height: number; readonly width: number },
  filter: PillowFilter,
): Uint8Array {
  const { height, width, channels } = size;
  if (filter === 'nearest') {
    const nearest = (from: number, count: number): Taps =>
      tapsOf(count, (o) => [[Math.min(from - 1, Math.floor(((o + 0.5) * from) / count)), 1]]);
    const across = pass(
      data,
      { height, channels, row: width * channels, step: channels },
      nearest(width, to.width),
      true,
    );
    return pass(
      across,
      { height, channels, row: to.width * channels, step: channels },
      nearest(height, to.height),
      false,
    );
  }
  const kernel = KERNELS[filter];
  // A side that keeps its size is not touched.
  const across =
    to.width === width
      ? data
      : pass(
          data,
          { height, channels, row: width * channels, step: channels },
          wideTaps(width, to.width, kernel),
          true,
        );
  return to.height === height
    ? Uint8Array.from(across)
    : pass(
        across,
        { height, channels, row: to.width * channels, step: channels },
        wideTaps(height, to.height, kernel),
        false,
      );
}

type Layout = { readonly height: number; readonly channels: number; readonly row: number; readonly step: number };

/** One pass, across or down. Sums stay below 2⁵³, so doubles hold the integers. */
function pass(data: Uint8Array, layout: Layout, taps: Taps, isAcross: boolean): Uint8Array {
  const { height, channels, row } = layout;
  const { size, count, index } = taps;
  const fixed = taps.weight.map((w) => Math.trunc(w * ONE + (w < 0 ? -0.5 : 0.5)));
  const clip = (sum: number): number => Math.min(255, Math.max(0, Math.floor((sum + ONE / 2) / ONE)));
  if (isAcross) {
    const out = new Uint8Array(height * size * channels);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < size; x++) {
        for (let c = 0; c < channels; c++) {
          let s = 0;
          for (let k = 0; k < count; k++)
            s += fixed[x * count + k]! * data[y * row + index[x * count + k]! * channels + c]!;
          out[(y * size + x) * channels + c] = clip(s);
        }
      }
    }
    return out;
  }
  const out = new Uint8Array(size * row);
  for (let y = 0; y < size; y++) {
    for (let i = 0; i < row; i++) {
      let s = 0;
      for (let k = 0; k < count; k++) s += fixed[y * count + k]! * data[index[y * count + k]! * row + i]!;
      out[y * row + i] = clip(s);
    }
  }
  return out;
}
