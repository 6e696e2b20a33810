// Runs in the media process: reads image files with sharp. The EXIF turn is applied, then all metadata (EXIF, GPS) is
// dropped; transparency is laid on white; grey becomes three equal channels; every colour profile becomes sRGB.
import sharp from 'sharp';
import { MAX_SIDE, placeInto } from './geometry.ts';
import type { ImageFacts, ImageJob } from './jobs.ts';
import { WorkFailure } from './work-failure.ts';

// EXIF orientation 1…8 as mirror (left-right, first) and clockwise turn.
const TURNS = [
  [0, false],
  [0, false],
  [0, true],
  [180, false],
  [180, true],
  [270, true],
  [90, false],
  [90, true],
  [270, false],
] as const;

/** Facts of an image file, from its header. */
export async function imageFacts(path: string): Promise<ImageFacts> {
  const facts = await attempt(() => sharp(path, LIMITS).metadata());
  const [rotation, isMirrored] = TURNS[facts.orientation ?? 1] ?? TURNS[1];
  const isTurned = rotation === 90 || rotation === 270;
  if (facts.width > MAX_SIDE || facts.height > MAX_SIDE)
    throw new WorkFailure('file', `${facts.width}x${facts.height} pixels`);
  return {
    width: isTurned ? facts.height : facts.width,
    height: isTurned ? facts.width : facts.height,
    codedWidth: facts.width,
    codedHeight: facts.height,
    rotation,
    isMirrored,
    pixelFormat: `${facts.space}${facts.hasAlpha ? 'a' : ''} ${facts.depth}`,
  };
}

/** Pixels of an image file, uint8 RGB `[H, W, 3]`. */
export async function imagePixels(path: string, job: ImageJob): Promise<Uint8Array> {
  const facts = await imageFacts(path);
  const width = job.width ?? facts.width;
  const height = job.height ?? facts.height;
  const place = placeInto(facts, { width, height }, job.fit);
  // Order inside sharp: turn by EXIF, resize (in linear alpha), then flatten; each as its own pipeline where order matters.
  let pipeline = sharp(path, LIMITS).autoOrient().flatten({ background: '#ffffff' }).toColourspace('srgb');
  if (place.scaledWidth !== facts.width || place.scaledHeight !== facts.height)
    pipeline = pipeline.resize(place.scaledWidth, place.scaledHeight, {
      fit: 'fill',
      kernel: 'cubic',
      fastShrinkOnLoad: false,
    });
  const { data, info } = await attempt(() => pipeline.removeAlpha().raw().toBuffer({ resolveWithObject: true }));
  const rgb = toThreeChannels(data, info.channels);
  if (job.fit === 'stretch' || (place.scaledWidth === width && place.scaledHeight === height)) return rgb;
  return cutOrPad(rgb, place, { width, height }, job.fit);
}

const LIMITS = { limitInputPixels: MAX_SIDE * MAX_SIDE, failOn: 'error', pages: 1 } as const;

async function attempt<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const text = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    if (/pixel limit/i.test(text)) throw new WorkFailure('file', `more than ${MAX_SIDE}x${MAX_SIDE} pixels`);
    throw new WorkFailure('file', `a damaged or unsupported image (${text.trim()})`);
  }
}

function toThreeChannels(data: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return data;
  const count = data.byteLength / channels;
  const rgb = new Uint8Array(count * 3);
  for (let i = 0; i < count; i++) {
    const value = data[i * channels]!;
    rgb[3 * i] = value;
    rgb[3 * i + 1] = channels < 3 ? value : data[i * channels + 1]!;
    rgb[3 * i + 2] = channels < 3 ? value : data[i * channels + 2]!;
  }
  return rgb;
}

function cutOrPad(
  rgb: Uint8Array,
  place: { scaledWidth: number; x: number; y: number; scaledHeight: number },
  to: { width: number; height: number },
  fit: 'crop' | 'pad',
): Uint8Array {
  const out = new Uint8Array(to.width * to.height * 3);
  const rows = Math.min(place.scaledHeight, to.height);
  const rowBytes = Math.min(place.scaledWidth, to.width) * 3;
  for (let row = 0; row < rows; row++) {
    const [from, at] = fit === 'crop' ? [row + place.y, row] : [row, row + place.y];
    const fromByte = from * place.scaledWidth * 3 + (fit === 'crop' ? place.x * 3 : 0);
    out.set(rgb.subarray(fromByte, fromByte + rowBytes), at * to.width * 3 + (fit === 'pad' ? place.x * 3 : 0));
  }
  return out;
}
