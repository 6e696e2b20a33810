// Our own frames to pictures: PNG, WebP, JPEG, and resizing. The pixels are ours, so sharp runs in this process, off the
// event loop. Reading image files from outside is elsewhere (read-image.ts).
import sharp, { type Sharp } from 'sharp';
import { assert, InputError, OrreryError } from '../base/index.ts';
import { outputSize, placeInto } from './geometry.ts';
import type { Fit, Frames } from './types.ts';

/** Options of `encodeImage`. */
export type ImageEncodeOptions = {
  /** Default `png` (lossless). */
  readonly format?: 'png' | 'webp' | 'jpeg';
  /** Which frame, from 0. Default 0. */
  readonly index?: number;
  /** Width or height to scale to; a missing side follows the aspect ratio. Default: the frame's size. */
  readonly width?: number;
  readonly height?: number;
  /** 1…100 for webp and jpeg. Default 80. */
  readonly quality?: number;
};

/** Encodes one frame as a picture file in memory. No metadata is written; the same frame gives the same bytes. */
export async function encodeImage(frames: Frames, options: ImageEncodeOptions = {}): Promise<Uint8Array> {
  const { format = 'png', index = 0, quality = 80 } = options;
  const [count] = frames.shape;
  if (!Number.isInteger(index) || index < 0 || index >= count)
    throw new InputError('index', { got: index, need: `0…${count - 1}` });
  if (!Number.isInteger(quality) || quality < 1 || quality > 100)
    throw new InputError('quality', { got: quality, need: 'a whole number 1…100' });
  const size = outputSize({ width: frames.shape[2], height: frames.shape[1] }, options);
  const image = scaled(frames, index, size.width, size.height);
  const bytes = await (format === 'png'
    ? image.png({ compressionLevel: 9 })
    : format === 'webp'
      ? image.webp({ quality })
      : image.jpeg({ quality, chromaSubsampling: '4:4:4' })
  ).toBuffer();
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Options of `resizeFrames`. */
export type ResizeOptions = {
  /** Wanted size in pixels; a missing side follows the aspect ratio. */
  readonly width?: number;
  readonly height?: number;
  /** Default `crop`. Matters only when both sides are given. */
  readonly fit?: Fit;
};

/** Resizes frames with a bicubic filter, antialiased when shrinking. Values stay sRGB-like uint8. */
export async function resizeFrames(frames: Frames, options: ResizeOptions): Promise<Frames> {
  const [count, fromHeight, fromWidth] = frames.shape;
  const { width, height } = outputSize({ width: fromWidth, height: fromHeight }, options);
  if (width === fromWidth && height === fromHeight) return { ...frames, data: frames.data.slice() };
  const fit = options.fit ?? 'crop';
  const place = placeInto({ width: fromWidth, height: fromHeight }, { width, height }, fit);
  const data = new Uint8Array(count * height * width * 3);
  for (let i = 0; i < count; i++) {
    const raw = await scaled(frames, i, place.scaledWidth, place.scaledHeight).raw().toBuffer();
    const target = data.subarray(i * height * width * 3, (i + 1) * height * width * 3);
    placeRows(
      raw,
      place.scaledWidth,
      place.scaledHeight,
      target,
      width,
      height,
      fit === 'pad' ? -1 : 1,
      place.x,
      place.y,
    );
  }
  return { dtype: 'u8', shape: [count, height, width, 3], data };
}

/** Copies the rows of one picture into another; `direction` 1 cuts at (x, y) of the source, -1 pastes at (x, y) of the target. */
function placeRows(
  source: Uint8Array,
  sourceWidth: number,
  sourceHeight: number,
  target: Uint8Array,
  width: number,
  height: number,
  direction: 1 | -1,
  x: number,
  y: number,
): void {
  const rowBytes = Math.min(sourceWidth, width) * 3;
  for (let row = 0; row < Math.min(sourceHeight, height); row++) {
    const from = direction === 1 ? ((row + y) * sourceWidth + x) * 3 : row * sourceWidth * 3;
    const to = direction === 1 ? row * width * 3 : ((row + y) * width + x) * 3;
    target.set(source.subarray(from, from + rowBytes), to);
  }
}

function scaled(frames: Frames, index: number, width: number, height: number): Sharp {
  const [, fromHeight, fromWidth, channels] = frames.shape;
  assert(channels === 3, `frames have ${channels} channels`);
  const frameBytes = fromHeight * fromWidth * 3;
  if (frames.data.length < (index + 1) * frameBytes)
    throw new OrreryError('input', `frames: got ${frames.data.length} bytes, need ${frames.shape.join('×')} of uint8`);
  const view = frames.data.subarray(index * frameBytes, (index + 1) * frameBytes);
  const image = sharp(view, { raw: { width: fromWidth, height: fromHeight, channels: 3 } });
  return width === fromWidth && height === fromHeight
    ? image
    : image.resize(width, height, { fit: 'fill', kernel: 'cubic' });
}
