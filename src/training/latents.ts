// The latents cache of a world-model training: every clip and its mirror image, encoded as it is and as it would be if
// nothing happened after the given frames. Normalised per channel, float16 on disk, whole file in memory.
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { f32ToHalf, halfToF32, throwIfAborted } from '../base/index.ts';
import { cellsOf } from '../nets/orrery/tokenizer.ts';
import { encodeClip, type LatentStats, type LoadedTokenizer, normalise, repeatLast } from '../worlds/index.ts';
import { type Clips, cutWindow } from './clips.ts';

/** What is stored for each clip: its own latents, and the bases for 9 and for 1 given frame. */
export const VARIANTS = ['true', 'nine', 'one'] as const;

export type LatentCache = {
  readonly stats: LatentStats;
  /** Records: clip i plain at 2i, mirrored at 2i + 1. */
  readonly count: number;
  /** Normalised latents [L·C]. */
  read(record: number, variant: (typeof VARIANTS)[number]): Float32Array;
};

/** Opens the cache in `folder`, encoding the clips that it lacks. */
export async function latentCache(
  tokenizer: LoadedTokenizer,
  clips: Clips,
  folder: string,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (done: number, total: number) => void } = {},
): Promise<LatentCache> {
  mkdirSync(folder, { recursive: true });
  const length = cellsOf(tokenizer.grid) * tokenizer.config.channels;
  const statsFile = join(folder, 'latent-stats.json');
  const stats = existsSync(statsFile)
    ? (JSON.parse(readFileSync(statsFile, 'utf8')) as LatentStats)
    : await measure(tokenizer, clips, length);
  if (!existsSync(statsFile)) writeFileSync(statsFile, `${JSON.stringify(stats, null, 1)}\n`);
  const file = join(folder, `latents-${clips.count}.bin`);
  if (!existsSync(file)) {
    const fd = openSync(`${file}.tmp`, 'w');
    try {
      for (let i = 0; i < clips.count; i++) {
        throwIfAborted(options.signal);
        for (const mirror of [false, true]) {
          for (const z of await variants(tokenizer, clips, i, mirror)) writeSync(fd, f32ToHalf(normalise(z, stats)));
        }
        options.onProgress?.(i + 1, clips.count);
      }
    } finally {
      closeSync(fd);
    }
    renameSync(`${file}.tmp`, file);
  }
  const parts = readWhole(file);
  return {
    stats,
    count: clips.count * 2,
    read(record, variant) {
      const at = (record * VARIANTS.length + VARIANTS.indexOf(variant)) * length;
      return halfToF32(parts.subarray(at, at + length));
    },
  };
}

function readWhole(file: string): Uint16Array {
  const bytes = readFileSync(file);
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
}

async function variants(
  tokenizer: LoadedTokenizer,
  clips: Clips,
  clip: number,
  mirror: boolean,
): Promise<Float32Array[]> {
  const frames = new Uint8Array(clips.frames * clips.height * clips.width * 3);
  cutWindow(clips, clip, { t: 0, y: 0, x: 0, frames: clips.frames, size: clips.height, mirror }, frames, 0);
  const held = (given: number): Uint8Array => repeatLast(frames, clips, given);
  return [
    await encodeClip(tokenizer, frames),
    await encodeClip(tokenizer, held(9)),
    await encodeClip(tokenizer, held(1)),
  ];
}

/** Channel statistics and residual scales from up to 48 clips. */
async function measure(tokenizer: LoadedTokenizer, clips: Clips, length: number): Promise<LatentStats> {
  const c = tokenizer.config.channels;
  const all: Float32Array[][] = [];
  for (let i = 0; i < Math.min(48, clips.count); i++) all.push(await variants(tokenizer, clips, i, i % 2 === 1));
  const mean = new Float64Array(c);
  const square = new Float64Array(c);
  for (const [z] of all) {
    for (let i = 0; i < length; i++) {
      mean[i % c]! += z![i]!;
      square[i % c]! += z![i]! ** 2;
    }
  }
  const n = (all.length * length) / c;
  const std = Array.from(mean, (m, k) => Math.sqrt(Math.max(1e-6, square[k]! / n - (m / n) ** 2)));
  const perFrame = tokenizer.grid.h * tokenizer.grid.w * c;
  const scaleOf = (variant: number, givenLatents: number): number => {
    let sum = 0;
    let count = 0;
    for (const z of all) {
      for (let i = givenLatents * perFrame; i < length; i++) {
        sum += ((z[0]![i]! - z[variant]![i]!) / std[i % c]!) ** 2;
        count++;
      }
    }
    return 1 / Math.sqrt(sum / count);
  };
  return {
    mean: Array.from(mean, (m) => m / n),
    std,
    residualScale: { nine: scaleOf(1, 3), one: scaleOf(2, 1), none: 1 },
  };
}
