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
import { f32ToHalf, halfToF32, type NdArray, throwIfAborted } from '../base/index.ts';
import { openSafetensors } from '../formats/index.ts';
import { compile, input } from '../graph/index.ts';
import { cellsOf, decode, encode, type Grid, gridOf, type OrreryTokenizerConfig } from '../nets/orrery/tokenizer.ts';
import { namedWeights } from '../nets/orrery/weights.ts';
import type { Runtime, Session } from '../runtime/index.ts';
import { type Clips, cutWindow } from './clips.ts';
import { repeatLast } from './world-scores.ts';

/** A tokenizer read from its model folder. */
export type LoadedTokenizer = {
  readonly config: OrreryTokenizerConfig;
  readonly grid: Grid;
  readonly encoder: Session;
  readonly decoder: Session;
};

/** Loads the tokenizer of `folder` for videos of one size, one at a time. */
export async function loadTokenizer(
  runtime: Runtime,
  folder: string,
  size: { frames: number; height: number; width: number },
): Promise<LoadedTokenizer> {
  const { config } = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8')) as { config: OrreryTokenizerConfig };
  const file = openSafetensors(join(folder, 'model.safetensors'));
  const weights = (name: string) => {
    const entry = file.tensors.get(name)!;
    return {
      kind: 'file',
      file: 'model.safetensors',
      offset: entry.offset,
      length: entry.length,
      dtype: 'f16',
    } as const;
  };
  const { frames, height, width } = size;
  const grid = gridOf(config, frames, height, width);
  const x = input('frames', [1, frames, height, width, 3], 'u8');
  const z = input('latents', [1, cellsOf(grid), config.channels]);
  const encoder = await runtime.load(
    compile({ latents: encode(x, config, namedWeights) }, { weights, name: 'encoder' }),
    { folder },
  );
  const decoder = await runtime.load(
    compile({ frames: decode(z, config, grid, namedWeights) }, { weights, name: 'decoder' }),
    { folder },
  );
  return { config, grid, encoder, decoder };
}

export async function encodeClip(tokenizer: LoadedTokenizer, frames: Uint8Array): Promise<Float32Array> {
  const { shape } = tokenizer.encoder.graph.inputs[0]!;
  const feeds: Record<string, NdArray> = { frames: { dtype: 'u8', shape, data: frames } };
  return (await tokenizer.encoder.run(feeds))['latents']!.data as Float32Array;
}

/** Latents [L·C] → float frames −1…1. */
export async function decodeLatents(tokenizer: LoadedTokenizer, latents: Float32Array): Promise<Float32Array> {
  const { shape } = tokenizer.decoder.graph.inputs[0]!;
  const feeds: Record<string, NdArray> = { latents: { dtype: 'f32', shape, data: latents } };
  return (await tokenizer.decoder.run(feeds))['frames']!.data as Float32Array;
}

export type LatentStats = {
  /** Mean and deviation per channel. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Factor that gives the residual unit deviation, by given frames 9, 1 and 0. */
  readonly residualScale: { readonly nine: number; readonly one: number; readonly none: number };
};

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
  runtime: Runtime,
  tokenizer: LoadedTokenizer,
  clips: Clips,
  folder: string,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (done: number, total: number) => void } = {},
): Promise<LatentCache> {
  void runtime;
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

/** (z − mean)/std per channel. */
export function normalise(z: Float32Array, stats: LatentStats): Float32Array {
  const c = stats.mean.length;
  const out = new Float32Array(z.length);
  for (let i = 0; i < z.length; i++) out[i] = (z[i]! - stats.mean[i % c]!) / stats.std[i % c]!;
  return out;
}

/** z·std + mean per channel. */
export function denormalise(z: Float32Array, stats: LatentStats): Float32Array {
  const c = stats.mean.length;
  const out = new Float32Array(z.length);
  for (let i = 0; i < z.length; i++) out[i] = z[i]! * stats.std[i % c]! + stats.mean[i % c]!;
  return out;
}
