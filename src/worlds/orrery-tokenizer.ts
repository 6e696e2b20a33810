// Running orrery-tokenizer: a model folder in, sessions out; latent statistics and the small conversions around it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DType, type NdArray, OrreryError } from '../base/index.ts';
import { openSafetensors } from '../formats/index.ts';
import { compile, input, type WeightSource } from '../graph/index.ts';
import { constantVelocity } from '../motion/index.ts';
import { cellsOf, decode, encode, type Grid, gridOf, type OrreryTokenizerConfig } from '../nets/orrery/tokenizer.ts';
import { namedWeights } from '../nets/orrery/weights.ts';
import type { Runtime, Session } from '../runtime/index.ts';

/** Weights by reference into `model.safetensors` of a model folder. */
export function weightsOf(folder: string): (name: string) => WeightSource {
  const file = openSafetensors(join(folder, 'model.safetensors'));
  return (name) => {
    const entry = file.tensors.get(name);
    if (entry === undefined)
      throw new OrreryError(
        'model',
        `${folder}: model.safetensors has no tensor ${name}; restore the folder or export the model again`,
      );
    return {
      kind: 'file',
      file: 'model.safetensors',
      offset: entry.offset,
      length: entry.length,
      dtype: entry.dtype as DType,
    };
  };
}

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
  const weights = weightsOf(folder);
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
  return (await tokenizer.encoder.run(feeds)).latents!.data as Float32Array;
}

/** Latents [L·C] → float frames −1…1. */
export async function decodeLatents(tokenizer: LoadedTokenizer, latents: Float32Array): Promise<Float32Array> {
  const { shape } = tokenizer.decoder.graph.inputs[0]!;
  const feeds: Record<string, NdArray> = { latents: { dtype: 'f32', shape, data: latents } };
  return (await tokenizer.decoder.run(feeds)).frames!.data as Float32Array;
}

export type LatentStats = {
  /** Mean and deviation per channel. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Factor that gives the residual unit deviation, by given frames 9, 1 and 0. */
  readonly residualScale: { readonly nine: number; readonly one: number; readonly none: number };
  /** How much each channel changes the decoded pixels, mean 1: squared change by one deviation. Used in training only. */
  readonly pixelWeight: readonly number[];
};

/** The given frames, then the last one held. */
export function repeatLast(
  clip: Uint8Array,
  size: { readonly frames: number; readonly height: number; readonly width: number },
  given: number,
): Uint8Array {
  const each = size.height * size.width * 3;
  // Not `clip.slice()`: on a Buffer that is a view.
  const out = Uint8Array.from(clip);
  const last = clip.subarray((given - 1) * each, given * each);
  for (let f = given; f < size.frames; f++) out.set(last, f * each);
  return out;
}

/**
 * What follows the given frames if nothing new happens, uint8 [T, H, W, 3] for `size.frames`: with nine given frames all that
 * moves goes on as it moves (Newton's first law, by optical flow), with one it stands still.
 */
export async function expectation(
  given: Uint8Array,
  size: { readonly frames: number; readonly height: number; readonly width: number },
): Promise<Uint8Array> {
  const { frames, height, width } = size;
  const count = given.length / (height * width * 3);
  const clip = { dtype: 'u8', shape: [count, height, width, 3], data: given } as const;
  return (await constantVelocity(clip, count, frames)).data;
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

/** Values −1…1 to bytes. */
export function toBytes(values: Float32Array): Uint8Array {
  const out = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = Math.max(0, Math.min(255, Math.round((values[i]! + 1) * 127.5)));
  return out;
}
