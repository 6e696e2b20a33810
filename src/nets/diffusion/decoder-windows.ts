// The diffusion decoder sees a fixed number of latent frames: a longer code video is cut into overlapping windows, and the decoded
// windows are blended. Numbers only.
import { InputError, type NdArray, sizeOf } from '../../base/index.ts';

export type WindowOptions = {
  /** Latent frames of a window. Default 8. */
  readonly window?: number;
  /** Latent frames that neighbours share. Default 2. */
  readonly overlap?: number;
};

/** Which frames of the code video a window holds; mirrored frames fill up a short one. */
export type CodeWindow = {
  readonly start: number;
  /** Source frame of each place. */
  readonly frames: readonly number[];
  /** Places that hold frames of their own; the rest are mirrored. */
  readonly count: number;
};

/** Most windows of one video. */
const MAX_WINDOWS = 99;

/**
 * Windows that start at 0, step, 2·step, … with step = window − overlap, while new frames are left. A short last one is completed by
 * mirroring without repeating the edge: 5 frames give 0 1 2 3 4 3 2 1. Fewer frames than a mirror needs swing back and forth.
 * @param total latent frames of the code video
 */
export function codeWindows(total: number, { window = 8, overlap = 2 }: WindowOptions = {}): CodeWindow[] {
  if (!(Number.isInteger(overlap) && overlap >= 0 && overlap < window)) {
    throw new InputError('overlap', { got: overlap, need: `a whole number from 0 to ${window - 1}` });
  }
  if (!(Number.isInteger(total) && total >= 1)) {
    throw new InputError('latent frames', { got: total, need: 'a whole number from 1' });
  }
  const windows: CodeWindow[] = [];
  for (let start = 0; start === 0 || start < total - overlap; start += window - overlap) {
    const count = Math.min(window, total - start);
    windows.push({ start, frames: Array.from({ length: window }, (_, i) => start + mirrored(i, count)), count });
  }
  if (windows.length > MAX_WINDOWS) {
    const most = window + (MAX_WINDOWS - 1) * (window - overlap);
    throw new InputError('latent frames', { got: total, need: `at most ${most}, which make ${MAX_WINDOWS} windows` });
  }
  return windows;
}

/** Place i of a sequence of `count` that is reflected at both ends: 0 … n−1, n−2 … 1, 0, 1 … */
function mirrored(i: number, count: number): number {
  if (count === 1) return 0;
  const period = 2 * (count - 1);
  const at = i % period;
  return at < count ? at : period - at;
}

/**
 * Joins decoded windows [B, C, T, H, W] along time. Neighbours share `overlap` frames, which pass linearly from one to the other.
 * "literal" weights 0 and 1 at the ends of the overlap, as the reference has it: with 2 frames a hard switch. "smooth" weights
 * (i + 1)/(overlap + 1), so that every shared frame is a mixture.
 */
export function blendWindows(
  videos: readonly NdArray[],
  overlap: number,
  weights: 'smooth' | 'literal' = 'smooth',
): NdArray & { readonly data: Float32Array } {
  const first = videos[0];
  if (first === undefined) throw new InputError('windows', { got: 'none', need: 'one or more' });
  const [b, c, , h, w] = first.shape as [number, number, number, number, number];
  for (const v of videos) {
    const fits = v.dtype === 'f32' && v.shape.length === 5 && v.shape.every((d, i) => i === 2 || d === first.shape[i]);
    if (!fits || v.shape[2]! < overlap) {
      throw new InputError('window', {
        got: `${v.dtype} [${v.shape}]`,
        need: `float32 [${b}, ${c}, ${overlap} or more, ${h}, ${w}]`,
      });
    }
  }
  const total = videos.reduce((n, v) => n + v.shape[2]!, 0) - overlap * (videos.length - 1);
  const area = h * w;
  const shape = [b, c, total, h, w];
  const data = new Float32Array(sizeOf(shape));
  const shareOfNew = (i: number): number => {
    if (weights === 'smooth') return (i + 1) / (overlap + 1);
    return overlap === 1 ? 0 : i / (overlap - 1);
  };
  let start = 0;
  for (const [k, video] of videos.entries()) {
    const frames = video.shape[2]!;
    const source = video.data as Float32Array;
    for (let plane = 0; plane < b * c; plane++) {
      for (let t = 0; t < frames; t++) {
        const from = (plane * frames + t) * area;
        const to = (plane * total + start + t) * area;
        const share = k > 0 && t < overlap ? shareOfNew(t) : 1;
        for (let i = 0; i < area; i++) data[to + i] = share * source[from + i]! + (1 - share) * data[to + i]!;
      }
    }
    start += frames - overlap;
  }
  return { dtype: 'f32', shape, data };
}
