// Picture resizing in the conventions of PyTorch: half-pixel centres (align_corners false), with or without antialias.
import { applyTaps, cubic, plainTaps, type Size, type Taps, TRIANGLE, tapsOf, wideTaps } from './taps.ts';

export const TORCH_FILTERS = ['bilinear', 'bicubic', 'bilinear_aa', 'bicubic_aa', 'area'] as const;
export type TorchFilter = (typeof TORCH_FILTERS)[number];

/** Resizes values: [H, W, C] → [height, width, C]. */
export function resizeTorch(
  data: ArrayLike<number>,
  size: Size,
  to: { readonly height: number; readonly width: number },
  filter: TorchFilter,
): Float64Array {
  const axis = (from: number, count: number): Taps => {
    switch (filter) {
      case 'bilinear':
        return plainTaps(from, count, TRIANGLE);
      case 'bicubic':
        return plainTaps(from, count, cubic(-0.75));
      case 'bilinear_aa':
        return wideTaps(from, count, TRIANGLE);
      case 'bicubic_aa':
        return wideTaps(from, count, cubic(-0.5));
      case 'area':
        return adaptiveMean(from, count);
    }
  };
  return applyTaps(data, size, axis(size.width, to.width), axis(size.height, to.height));
}

/** Mean of inputs ⌊o·from/to⌋ … ⌈(o+1)·from/to⌉. */
const adaptiveMean = (from: number, to: number): Taps =>
  tapsOf(to, (o) => {
    const low = Math.floor((o * from) / to);
    const high = Math.ceil(((o + 1) * from) / to);
    return Array.from({ length: high - low }, (_, k) => [low + k, 1 / (high - low)] as const);
  });
