// What the parts of this folder pass around: the tensors of a checkpoint under the keys of its network.
import { OrreryError } from '../base/index.ts';
import type { TensorInfo, TensorPlace } from '../formats/index.ts';

/** Kinds of networks that public checkpoints hold. */
export type Family = 'cosmos-tokenizer' | 'wan-vae' | 'general-dit' | 'autoregressive';

/** Whether a model record is of such a kind. */
export const isFamily = (kind: string): kind is Family =>
  kind === 'cosmos-tokenizer' || kind === 'wan-vae' || kind === 'general-dit' || kind === 'autoregressive';

/** A tensor whose values are read, and put together from its pieces, when asked for. */
export type CheckpointTensor = TensorInfo & {
  /** Little-endian values, row by row. */
  readonly readBytes: () => Uint8Array;
  /** Where the same bytes lie in a file; absent when the tensor is put together from pieces. */
  readonly place?: TensorPlace;
};

/** Tensors by key. */
export type Tensors = ReadonlyMap<string, CheckpointTensor>;

/** Key and shape of a weight that a network needs. */
export type Expected = { readonly key: string; readonly shape: readonly number[] };

/** How a file spells the keys of a network. */
export type Spelling = {
  readonly family: Family;
  /** `original`: the public code of that network; others are named after their library. */
  readonly layout: 'original' | 'predict2' | 'diffusers' | 'transformer-engine' | 'nemo' | 'fused-qkv';
  /** What stands before every key. */
  readonly prefix: string;
};

/** Mean and deviation of latents per channel and latent frame, channel by channel. */
export type LatentTable = {
  readonly channels: number;
  readonly frames: number;
  /** [channels · frames] */
  readonly mean: readonly number[];
  readonly std: readonly number[];
};

/** First match of a pattern among keys; the group before the marker is the prefix. */
export function prefixOf(keys: Iterable<string>, marker: string): string | undefined {
  const pattern = new RegExp(`^(.*?)${marker}`);
  for (const key of keys) {
    const match = pattern.exec(key);
    if (match !== null && (match[1] === '' || match[1]!.endsWith('.'))) return match[1];
  }
  return undefined;
}

/**
 * One more than the highest number that a pattern's first group takes; 0 without a match.
 * @param limit more than any network of the family has: a file that claims more would only cost time and memory
 */
export function countOf(keys: Iterable<string>, pattern: RegExp, limit: number): number {
  let count = 0;
  for (const key of keys) {
    const match = pattern.exec(key);
    if (match === null) continue;
    count = Math.max(count, Number(match[1]) + 1);
    if (count > limit) {
      throw new OrreryError(
        'model',
        `key ${key} would make ${count} parts, need at most ${limit}; the file is damaged`,
      );
    }
  }
  return count;
}
