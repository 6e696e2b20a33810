// Tokenizing long clips piece by piece inside one graph: plain chunks, and windows that overlap (Predict1 training code).
// The first frame of each chunk counts as a first frame, so other cuts give other latents.
import { InputError } from '../../base/index.ts';
import { concat, pad, reshape, slice, type Tensor, transpose } from '../../graph/index.ts';

/** Encoder or decoder of one chunk, latent statistics included. */
export type ChunkCoder = (x: Tensor) => Tensor;

/** Folds equal pieces of `size` frames into the batch, codes them together and joins the results in time. [B, C, T, H, W]. */
export function codeChunks(x: Tensor, size: number, code: ChunkCoder): Tensor {
  const [b, c, t, h, w] = x.shape as [number, number, number, number, number];
  if (t % size !== 0) throw new InputError('frames', { got: t, need: `a multiple of the chunk length ${size}` });
  const n = t / size;
  const folded = reshape(transpose(reshape(x, [b, c, n, size, h, w]), [0, 2, 1, 3, 4, 5]), [b * n, c, size, h, w]);
  const y = code(folded);
  const [, channels, length, height, width] = y.shape as [number, number, number, number, number];
  const unfolded = transpose(reshape(y, [b, n, channels, length, height, width]), [0, 2, 1, 3, 4, 5]);
  return reshape(unfolded, [b, channels, n * length, height, width]);
}

/** Overlapping windows, in pixel frames. */
export type Windows = {
  /** Frames of a window and of the overlap; the overlap is 1 plus a multiple of the temporal compression. */
  readonly window: number;
  readonly overlap: number;
  readonly timeCompression: number;
};

const latentFrames = (frames: number, by: number): number => (frames - 1) / by + 1;

/** Encodes windows that start at i·(window − overlap); all of the first, only the new latents of the others. */
export function encodeWindows(
  video: Tensor,
  { window, overlap, timeCompression }: Windows,
  encode: ChunkCoder,
): Tensor {
  const step = window - overlap;
  const frames = video.shape[2]!;
  if (frames < window || (frames - window) % step !== 0) {
    throw new InputError('frames', { got: frames, need: `${window} + k·${step}` });
  }
  const known = latentFrames(overlap, timeCompression);
  const parts: Tensor[] = [];
  for (let start = 0; start + window <= frames; start += step) {
    const z = encode(slice(video, 2, start, window));
    parts.push(start === 0 ? z : slice(z, 2, known, z.shape[2]! - known));
  }
  return concat(parts, 2);
}

/**
 * Decodes what `encodeWindows` made. Later windows start from one re-encoded frame of the window before, and their overlap is dropped.
 * Latents are padded with zeros to whole windows; the frames that come from the padding stay.
 */
export function decodeWindows(
  latent: Tensor,
  { window, overlap, timeCompression }: Windows,
  { encode, decode }: { encode: ChunkCoder; decode: ChunkCoder },
): Tensor {
  const size = latentFrames(window, timeCompression);
  const known = latentFrames(overlap, timeCompression);
  const step = size - known;
  const count = Math.max(0, Math.ceil((latent.shape[2]! - size) / step)); // windows after the first
  const z = pad(latent, { before: [0, 0, 0, 0, 0], after: [0, 0, size + count * step - latent.shape[2]!, 0, 0] });
  let last = decode(slice(z, 2, 0, size));
  const parts = [last];
  for (let i = 0; i < count; i++) {
    const first = encode(slice(last, 2, last.shape[2]! - overlap, 1)); // one "first-frame" latent
    last = decode(concat([first, slice(z, 2, size + i * step - known + 1, size - 1)], 2));
    parts.push(slice(last, 2, overlap, last.shape[2]! - overlap));
  }
  return concat(parts, 2);
}
