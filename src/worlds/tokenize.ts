// Compressing and restoring pictures and video of any length: windows of frames, one at a time, flat memory. Neighbouring windows of a video
// tokenizer share one frame: the last of one is the stand-alone first of the next.
import { join } from 'node:path';
import type { NdArray } from '../base/index.ts';
import { makeFolder, writeFileAtomic, writeSafetensors } from '../formats/index.ts';
import { decodeVideo, encodeImage, encodeMp4, type Frames, probe, readFrames } from '../media/index.ts';
import { type Device, openRuntime } from '../runtime/index.ts';
import { openCodec } from './codecs.ts';
import type { WeightForm } from './cosmos/weight-form.ts';

export type TokenizeOptions = {
  /** Folder for `latents.safetensors` and `restored.mp4`, or `restored.png` of a picture. Default `runs/tokenize`. */
  readonly out?: string;
  /** Model name, folder, or a public Cosmos tokenizer of any layout. Default `orrery-tokenizer`. */
  readonly model?: string;
  /** Longest side in pixels after scaling. Default 256. */
  readonly maxSide?: number;
  /** How a public tokenizer's weights are held. Default 'stored'. */
  readonly weights?: WeightForm;
  /** Bytes that a public tokenizer may count on: a run that needs more is refused before it starts. Default: what is free now. */
  readonly memoryBytes?: number;
  readonly device?: Device;
  readonly threads?: number;
  readonly signal?: AbortSignal;
};

export type TokenizeEvent =
  /** Weights are being rounded, once per model and form; counts numbers. */
  | { readonly type: 'weights'; readonly done: number; readonly total: number }
  | {
      readonly type: 'started';
      readonly width: number;
      readonly height: number;
      readonly fps: number;
      readonly frames: number;
    }
  | { readonly type: 'progress'; readonly frames: number; readonly total: number }
  | {
      readonly type: 'completed';
      readonly latents: string;
      /** The restored video or picture. */
      readonly video: string;
      readonly frames: number;
      readonly psnr: number;
      readonly ssim: number;
      /** Raw RGB bytes over stored latent bytes: float16, or code numbers at the bits that their vocabulary needs. */
      readonly compression: number;
    };

/** Bits of a code of 64000. */
const CODE_BITS = 16;

/** Encodes a video to a latent file, restores it, and compares. */
export async function* tokenize(path: string, options: TokenizeOptions = {}): AsyncGenerator<TokenizeEvent> {
  const { out = join('runs', 'tokenize'), model = 'orrery-tokenizer', maxSide = 256, signal } = options;
  await using runtime = openRuntime(options);
  const codec = yield* openCodec(model, runtime, options);
  const info = await probe(path, signal === undefined ? {} : { signal });
  const scale = Math.min(1, maxSide / Math.max(info.width, info.height));
  const isPicture = info.kind === 'image';
  const { sideMultiple: side } = codec;
  const windowFrames = isPicture ? 1 : codec.windowFrames;
  const rounded = (n: number): number => Math.max(side, Math.round((n * scale) / side) * side);
  const [width, height] = [rounded(info.width), rounded(info.height)];
  const fps = info.fps > 0 ? info.fps : 24;
  yield { type: 'started', width, height, fps, frames: info.frames };
  makeFolder(out);

  const score = { squared: 0, pixels: 0, ssim: 0, frames: 0, latentBytes: 0 };
  const progress: TokenizeEvent[] = [];
  const tensors: [string, NdArray][] = [];

  async function* restored(): AsyncGenerator<Frames> {
    for await (const window of windowsOf(path, {
      width,
      height,
      windowFrames,
      shared: codec.shared,
      isPicture,
      ...(signal === undefined ? {} : { signal }),
    })) {
      const latents = await codec.encode(window.padded.slice(), { height, width });
      tensors.push([`latents.${String(tensors.length).padStart(5, '0')}`, latents]);
      score.latentBytes += latents.dtype === 'i32' ? (latents.data.length * CODE_BITS) / 8 : latents.data.length * 2;
      const frames = await codec.decode(latents, { height, width });
      const fresh = compare(window, frames, { width, height, shared: codec.shared }, score);
      progress.push({ type: 'progress', frames: score.frames, total: info.frames });
      yield fresh;
    }
  }
  const video = join(out, isPicture ? 'restored.png' : 'restored.mp4');
  if (isPicture) {
    for await (const frame of restored()) writeFileAtomic(video, await encodeImage(frame));
  } else await encodeMp4(restored(), { path: video, fps, ...(signal === undefined ? {} : { signal }) });
  yield* progress;
  const latentsPath = join(out, 'latents.safetensors');
  const facts = { model: codec.name, fps, frames: score.frames, width, height, ...codec.facts };
  writeSafetensors(latentsPath, tensors, { config: JSON.stringify(facts) });
  yield {
    type: 'completed',
    latents: latentsPath,
    video,
    frames: score.frames,
    psnr: 10 * Math.log10(255 ** 2 / Math.max(1e-9, score.squared / score.pixels)),
    ssim: score.ssim / score.frames,
    compression: (score.frames * width * height * 3) / score.latentBytes,
  };
}

type Window = { readonly padded: Uint8Array; readonly count: number; readonly isFirst: boolean };
type WindowOptions = {
  readonly width: number;
  readonly height: number;
  readonly windowFrames: number;
  readonly shared: 0 | 1;
  readonly isPicture: boolean;
  readonly signal?: AbortSignal;
};

/** Windows that overlap by one frame; the last one is filled up by repeating its last frame. */
async function* windowsOf(path: string, o: WindowOptions): AsyncGenerator<Window> {
  const each = o.width * o.height * 3;
  let held = new Uint8Array(o.windowFrames * each);
  let count = 0;
  let isFirst = true;
  const size = {
    width: o.width,
    height: o.height,
    fit: 'crop',
    ...(o.signal === undefined ? {} : { signal: o.signal }),
  } as const;
  if (o.isPicture) {
    const { data } = await readFrames(path, size);
    yield { padded: new Uint8Array(data), count: 1, isFirst: true };
    return;
  }
  const batches = decodeVideo(path, size);
  for await (const batch of batches) {
    for (let i = 0; i < batch.shape[0]; i++) {
      held.set(batch.data.subarray(i * each, (i + 1) * each), count * each);
      count++;
      if (count < o.windowFrames) continue;
      yield { padded: held, count, isFirst };
      const next = new Uint8Array(o.windowFrames * each);
      if (o.shared === 1) next.set(held.subarray((count - 1) * each));
      held = next;
      count = o.shared;
      isFirst = false;
    }
  }
  if (count > (isFirst ? 0 : o.shared)) {
    for (let f = count; f < o.windowFrames; f++) held.copyWithin(f * each, (count - 1) * each, count * each);
    yield { padded: held, count, isFirst };
  }
}

type Score = { squared: number; pixels: number; ssim: number; frames: number; latentBytes: number };

/** Adds the new frames of a window to the score and returns them. */
function compare(
  window: Window,
  restored: Uint8Array,
  { width, height, shared }: { readonly width: number; readonly height: number; readonly shared: number },
  score: Score,
): Frames {
  const each = width * height * 3;
  const from = window.isFirst ? 0 : shared;
  for (let f = from; f < window.count; f++) {
    const a = window.padded.subarray(f * each, (f + 1) * each);
    const b = restored.subarray(f * each, (f + 1) * each);
    for (let i = 0; i < each; i++) score.squared += (a[i]! - b[i]!) ** 2;
    score.pixels += each;
    score.ssim += ssimOf(a, b, width, height);
    score.frames++;
  }
  const count = window.count - from;
  return { dtype: 'u8', shape: [count, height, width, 3], data: restored.slice(from * each, window.count * each) };
}

/** Structural similarity of two frames' luma, 8×8 windows every 4 pixels (Wang et al. 2004, uniform windows). */
function ssimOf(a: Uint8Array, b: Uint8Array, width: number, height: number): number {
  const luma = (x: Uint8Array, i: number): number => 0.299 * x[i * 3]! + 0.587 * x[i * 3 + 1]! + 0.114 * x[i * 3 + 2]!;
  const [c1, c2] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2];
  let total = 0;
  let n = 0;
  for (let y = 0; y + 8 <= height; y += 4) {
    for (let x = 0; x + 8 <= width; x += 4) {
      let [sa, sb, saa, sbb, sab] = [0, 0, 0, 0, 0];
      for (let dy = 0; dy < 8; dy++) {
        for (let dx = 0; dx < 8; dx++) {
          const i = (y + dy) * width + x + dx;
          const [va, vb] = [luma(a, i), luma(b, i)];
          sa += va;
          sb += vb;
          saa += va * va;
          sbb += vb * vb;
          sab += va * vb;
        }
      }
      const [ma, mb] = [sa / 64, sb / 64];
      const [va, vb, cov] = [saa / 64 - ma * ma, sbb / 64 - mb * mb, sab / 64 - ma * mb];
      total += ((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
      n++;
    }
  }
  return total / n;
}
