// The latents cache of a world-model training: windows of every clip, encoded as they are and as they would be if nothing
// new happened after the given frames. Normalised per channel, float16 on disk, whole file in memory.
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { f32ToHalf, halfToF32, InputError, throwIfAborted } from '../base/index.ts';
import { makeFolder } from '../formats/index.ts';
import { cellsOf } from '../nets/orrery/tokenizer.ts';
import { openRuntime } from '../runtime/index.ts';
import {
  CONDITIONS,
  decodeLatents,
  encodeClip,
  expectation,
  type LatentStats,
  type LoadedTokenizer,
  loadTokenizer,
  normalise,
  WINDOW_FRAMES,
} from '../worlds/index.ts';
import { type Clips, cutWindow, loadClips } from './clips.ts';

/** First frames of the windows that are cut from a clip, at most; the last must leave room for a whole window. */
export const STRIDE = 8;

export type LatentCache = {
  readonly stats: LatentStats;
  /** Windows per clip; the first of each clip begins with it. */
  readonly windowsPerClip: number;
  /** Number of windows: window k of clip i is i·windowsPerClip + k. Every second one is mirrored, see `isMirrored`. */
  readonly count: number;
  /** Normalised latents of a window [5·h·w·C]. */
  truth(window: number): Float32Array;
  /** Normalised latents of the frames to make if nothing happened [2·h·w·C]; "one" only for the first window of a clip. */
  base(window: number, condition: 'nine' | 'one'): Float32Array;
};

/** Windows that are cut from a clip. */
export const windowsPerClip = ({ frames }: Pick<Clips, 'frames'>): number =>
  1 + Math.floor((frames - WINDOW_FRAMES) / STRIDE);

/** Whether a window is cached as its mirror image. */
export function isMirrored(clips: Pick<Clips, 'frames' | 'mirrors'>, window: number): boolean {
  const perClip = windowsPerClip(clips);
  return clips.mirrors !== false && (Math.floor(window / perClip) + (window % perClip)) % 2 === 1;
}

/** Where the latents of a data set lie when they were made with it, for one tokenizer: below the data set's folder. */
export function latentsBeside(dataset: string, tokenizerFolder: string): string {
  const { name, files } = JSON.parse(readFileSync(join(tokenizerFolder, 'model.json'), 'utf8')) as {
    name: string;
    files: Record<string, { sha256: string }>;
  };
  return join(dataset, 'latents', `${name}-${files['model.safetensors']!.sha256.slice(0, 12)}`);
}

/** Encodes the training clips of a data set beside it, so that trainings start at once; continues after a stop. */
export async function cacheLatents(
  dataset: string,
  tokenizerFolder: string,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (done: number, total: number) => void } = {},
): Promise<{ readonly dir: string; readonly windows: number }> {
  const clips = loadClips(dataset, 'train', Number.POSITIVE_INFINITY, false);
  if (clips.frames < WINDOW_FRAMES)
    throw new InputError('frames', {
      got: clips.frames,
      need: `at least ${WINDOW_FRAMES}, a window of the world model`,
    });
  const runtime = openRuntime();
  try {
    const tokenizer = await loadTokenizer(runtime, tokenizerFolder, { ...clips, frames: WINDOW_FRAMES });
    const dir = latentsBeside(dataset, tokenizerFolder);
    const { count } = await latentCache(tokenizer, clips, dir, options);
    return { dir, windows: count };
  } finally {
    await runtime.dispose();
  }
}

/** Opens the cache in `folder`, encoding the clips that it lacks. */
export async function latentCache(
  tokenizer: LoadedTokenizer,
  clips: Clips,
  folder: string,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (done: number, total: number) => void } = {},
): Promise<LatentCache> {
  makeFolder(folder);
  const { grid, config } = tokenizer;
  const perFrame = grid.h * grid.w * config.channels;
  const perWindow = cellsOf(grid) * config.channels + 2 * MADE * perFrame;
  const perClip = windowsPerClip(clips);
  const statsFile = join(folder, 'latent-stats.json');
  const stats = existsSync(statsFile)
    ? (JSON.parse(readFileSync(statsFile, 'utf8')) as LatentStats)
    : await measure(tokenizer, clips, perClip);
  if (!existsSync(statsFile)) writeFileSync(statsFile, `${JSON.stringify(stats, null, 1)}\n`);
  const file = join(folder, 'latents.bin');
  const clipBytes = perClip * perWindow * 2;
  // A clip that was cut off by a stop is written again; a whole cache may lie on a disk that cannot be written.
  const done = existsSync(file) ? Math.floor(statSync(file).size / clipBytes) : 0;
  const fd = openSync(file, done < clips.count ? 'a' : 'r');
  try {
    if (done < clips.count) ftruncateSync(fd, done * clipBytes);
    for (let i = done; i < clips.count; i++) {
      throwIfAborted(options.signal);
      for (let k = 0; k < perClip; k++) {
        const z = await encodeWindow(tokenizer, clips, i * perClip + k, perClip);
        for (const part of [z.truth, z.nine, z.one]) writeSync(fd, f32ToHalf(normalise(part, stats)));
      }
      options.onProgress?.(i + 1, clips.count);
    }
  } finally {
    closeSync(fd);
  }
  const values = readStart(file, clips.count * clipBytes);
  const cut = (window: number, from: number, length: number): Float32Array =>
    halfToF32(values.subarray(window * perWindow + from, window * perWindow + from + length));
  const whole = perWindow - 2 * MADE * perFrame;
  return {
    stats,
    windowsPerClip: perClip,
    count: clips.count * perClip,
    truth: (window) => cut(window, 0, whole),
    base: (window, condition) => cut(window, whole + (condition === 'nine' ? 0 : MADE * perFrame), MADE * perFrame),
  };
}

/** Latent frames that the network makes at once. */
const MADE = CONDITIONS.nine.madeLatents;

function readStart(file: string, sizeBytes: number): Uint16Array {
  const values = new Uint16Array(sizeBytes / 2);
  const fd = openSync(file, 'r');
  try {
    const bytes = new Uint8Array(values.buffer);
    for (let at = 0; at < sizeBytes; ) at += readSync(fd, bytes, at, Math.min(1 << 28, sizeBytes - at), at);
  } finally {
    closeSync(fd);
  }
  return values;
}

/** Latents of a window and the bases of both conditions; "one" is zero for all but the first window of a clip. */
async function encodeWindow(
  tokenizer: LoadedTokenizer,
  clips: Clips,
  window: number,
  windowsPerClip: number,
): Promise<{ truth: Float32Array; nine: Float32Array; one: Float32Array }> {
  const size = { height: clips.height, width: clips.width, frames: WINDOW_FRAMES };
  const frames = new Uint8Array(size.frames * size.height * size.width * 3);
  const k = window % windowsPerClip;
  const mirror = isMirrored(clips, window);
  cutWindow(
    clips,
    Math.floor(window / windowsPerClip),
    { t: k * STRIDE, y: 0, x: 0, frames: size.frames, size: clips.height, mirror },
    frames,
    0,
  );
  const { grid, config } = tokenizer;
  const perFrame = grid.h * grid.w * config.channels;
  const expected = async (condition: 'nine' | 'one'): Promise<Float32Array> => {
    const { frames: given, latents } = CONDITIONS[condition];
    const known = frames.slice(0, given * size.height * size.width * 3);
    const z = await encodeClip(tokenizer, await expectation(known, size));
    return z.slice(latents * perFrame, (latents + MADE) * perFrame);
  };
  const truth = await encodeClip(tokenizer, frames);
  return {
    truth,
    nine: await expected('nine'),
    one: k === 0 ? await expected('one') : new Float32Array(MADE * perFrame),
  };
}

/** Channel statistics and residual scales from the first windows of up to 48 clips. */
async function measure(tokenizer: LoadedTokenizer, clips: Clips, windowsPerClip: number): Promise<LatentStats> {
  const c = tokenizer.config.channels;
  const perFrame = tokenizer.grid.h * tokenizer.grid.w * c;
  const all: Awaited<ReturnType<typeof encodeWindow>>[] = [];
  for (let i = 0; i < Math.min(48, clips.count); i++) {
    all.push(await encodeWindow(tokenizer, clips, i * windowsPerClip, windowsPerClip));
  }
  const length = all[0]!.truth.length;
  const mean = new Float64Array(c);
  const square = new Float64Array(c);
  for (const { truth } of all) {
    for (let i = 0; i < length; i++) {
      mean[i % c]! += truth[i]!;
      square[i % c]! += truth[i]! ** 2;
    }
  }
  const n = (all.length * length) / c;
  const std = Array.from(mean, (m, k) => Math.sqrt(Math.max(1e-6, square[k]! / n - (m / n) ** 2)));
  const scaleOf = (condition: 'nine' | 'one'): number => {
    const from = CONDITIONS[condition].latents * perFrame;
    let sum = 0;
    for (const z of all) {
      for (const [i, held] of z[condition].entries()) sum += ((z.truth[from + i]! - held) / std[i % c]!) ** 2;
    }
    return 1 / Math.sqrt(sum / (all.length * MADE * perFrame));
  };
  return {
    mean: Array.from(mean, (m) => m / n),
    std,
    residualScale: { nine: scaleOf('nine'), one: scaleOf('one'), none: 1 },
    pixelWeight: await pixelWeights(tokenizer, all[0]!.truth, std),
  };
}

/** How much one deviation of each channel changes the decoded pixels: mean squared change, mean 1 over the channels. */
async function pixelWeights(tokenizer: LoadedTokenizer, z: Float32Array, std: readonly number[]): Promise<number[]> {
  const plain = (await decodeLatents(tokenizer, z.slice())).slice();
  const changes: number[] = [];
  for (const [k, deviation] of std.entries()) {
    const moved = z.map((v, i) => (i % std.length === k ? v + 0.5 * deviation : v));
    const out = await decodeLatents(tokenizer, moved);
    changes.push(out.reduce((sum, v, i) => sum + (v - plain[i]!) ** 2, 0));
  }
  const mean = changes.reduce((a, b) => a + b, 0) / changes.length;
  return changes.map((v) => v / mean);
}
