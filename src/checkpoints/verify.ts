// Is a model what it says? Sums, keys and shapes, values, latent statistics, and whether its tokenizer fits.
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { OrreryError, throwIfAborted } from '../base/index.ts';
import { openTensors, type TensorSource } from '../formats/index.ts';
import { type ModelFolder, openModelFolder, readModelFolder, verifyModelFolder, verifySnapshot } from '../hub/index.ts';
import type { CosmosTokenizerConfig, GeneralDitConfig, WanConfig } from '../nets/index.ts';
import { compareKeys, requireFit, requireValues } from './fit.ts';
import { latentTable, requirePair } from './latents.ts';
import { openCheckpoint, refuseCode } from './open.ts';
import { ownWeights, ownWorld } from './own.ts';
import { isTextEncoder, openTextCheckpoint } from './text-encoder.ts';
import { type CheckpointTensor, isFamily, type Tensors } from './types.ts';

export type VerifyModelEvent =
  | {
      readonly type: 'progress';
      readonly check: 'sum' | 'values';
      readonly item: string;
      readonly done: number;
      readonly total: number;
    }
  /** What the model was recognised as. */
  | { readonly type: 'opened'; readonly family: string }
  | { readonly type: 'passed'; readonly check: string; readonly detail: string };

/** Checks a model at `path`: a folder with `model.json`, a fetched snapshot, or a checkpoint. Throws at the first fault. */
export async function* verifyModel(path: string, signal?: AbortSignal): AsyncGenerator<VerifyModelEvent> {
  if (existsSync(join(path, 'model.json'))) {
    yield* verifyFolder(path, signal);
    return;
  }
  if (/^[0-9a-f]{40}$/.test(basename(path)) && basename(dirname(path)) === 'snapshots') {
    let files = 0;
    let unnamed = 0;
    for await (const { file, doneBytes, totalBytes, isChecked } of verifySnapshot(path, signal)) {
      yield { type: 'progress', check: 'sum', item: file, done: doneBytes, total: totalBytes };
      if (doneBytes === totalBytes) isChecked ? files++ : unnamed++;
    }
    yield {
      type: 'passed',
      check: 'sums',
      detail: `${files} files have the content that their names promise${unnamed > 0 ? `; ${unnamed} have names that promise nothing` : ''}`,
    };
    if (isTextEncoder(path)) {
      yield* verifyText(path, signal);
      return;
    }
    // A snapshot may hold several models: only one that can be told is looked into.
    if (!isSingleModel(path)) return;
  }
  if (isTextEncoder(path)) {
    yield* verifyText(path, signal);
    return;
  }
  using checkpoint = openCheckpoint(path);
  const { network, misfit, expected } = checkpoint;
  yield { type: 'opened', family: network.family };
  requireFit(misfit, {
    path,
    network: `the ${network.family} that its tensors describe`,
    hint: 'Fetch the model again',
  });
  yield {
    type: 'passed',
    check: 'keys',
    detail: `${expected.length} tensors of a ${network.family}, ${checkpoint.layout} layout, all there and of the right shape`,
  };
  const needed = new Map(expected.map(({ key }) => [key, checkpoint.tensors.get(key)!]));
  yield* values(needed, path, signal);
  if (checkpoint.latents !== undefined)
    yield {
      type: 'passed',
      check: 'statistics',
      detail: `latent mean and deviation for ${checkpoint.latents.channels} channels, ${checkpoint.latents.frames} frames`,
    };
}

function isSingleModel(path: string): boolean {
  try {
    using _ = openCheckpoint(path);
    return true;
  } catch (error) {
    if (error instanceof OrreryError && /is a pipeline of|checkpoints \(|no weights in it/.test(error.message))
      return false;
    throw error;
  }
}

/** A T5 encoder: its decoder, where the file has one, is not used and not looked at. */
async function* verifyText(path: string, signal: AbortSignal | undefined): AsyncGenerator<VerifyModelEvent> {
  using checkpoint = openTextCheckpoint(path);
  yield { type: 'opened', family: 't5-encoder' };
  requireFit(checkpoint.misfit, {
    path,
    network: 'the T5 encoder of config.json',
    hint: 'Fetch the text encoder again',
  });
  yield {
    type: 'passed',
    check: 'keys',
    detail: `${checkpoint.expected.length} tensors of a T5 encoder, all there and of the right shape`,
  };
  yield* values(checkpoint.tensors, checkpoint.path, signal);
}

async function* verifyFolder(path: string, signal: AbortSignal | undefined): AsyncGenerator<VerifyModelEvent> {
  const folder = readModelFolder(path);
  const { record } = folder;
  yield { type: 'opened', family: record.kind };
  for await (const { file, doneBytes, totalBytes } of verifyModelFolder(path, signal)) {
    yield { type: 'progress', check: 'sum', item: file, done: doneBytes, total: totalBytes };
  }
  yield { type: 'passed', check: 'sums', detail: `${Object.keys(record.files).length} files as model.json states` };
  const own = ownWeights(record);
  if (own === undefined && !isFamily(record.kind)) {
    // A small network of another part: its own code checks the keys when it opens it.
    for (const file of Object.keys(record.files).filter((name) => name.endsWith('.safetensors'))) {
      using source = openTensors(join(folder.dir, file));
      yield* values(tensorsOf(source), join(folder.dir, file), signal, true);
    }
  } else if (own === undefined) {
    // The others are public networks in this package's layout.
    using checkpoint = openCheckpoint(path);
    requireFit(checkpoint.misfit, {
      path,
      network: `the ${record.kind} of model.json`,
      hint: 'Convert the model again',
    });
    yield {
      type: 'passed',
      check: 'keys',
      detail: `${checkpoint.expected.length} tensors, all there and of the right shape`,
    };
    yield* values(checkpoint.tensors, path, signal);
  } else {
    const file = join(folder.dir, 'model.safetensors');
    using source = openTensors(file);
    const tensors = tensorsOf(source);
    requireFit(compareKeys(tensors, own), {
      path: file,
      network: `the ${record.kind} of model.json`,
      hint: 'Restore the model folder from the package',
    });
    yield { type: 'passed', check: 'keys', detail: `${own.length} tensors, all there and of the right shape` };
    yield* values(tensors, file, signal, true);
  }
  const pair = requireTokenizer(folder);
  if (pair !== undefined) yield { type: 'passed', check: 'tokenizer', detail: pair };
}

/** All tensors of a file. */
export function tensorsOf(source: TensorSource): Tensors {
  refuseCode(source);
  return new Map(
    [...source.tensors].map(([key, info]): [string, CheckpointTensor] => [
      key,
      { ...info, readBytes: () => source.readBytes(key) },
    ]),
  );
}

async function* values(
  tensors: Tensors,
  path: string,
  signal: AbortSignal | undefined,
  allowZero = false,
): AsyncGenerator<VerifyModelEvent> {
  let done = 0;
  for (const [key, tensor] of tensors) {
    throwIfAborted(signal);
    requireValues(key, tensor.dtype, tensor.shape, tensor.readBytes(), path, allowZero);
    yield { type: 'progress', check: 'values', item: key, done: ++done, total: tensors.size };
    await new Promise((next) => setImmediate(next));
  }
  yield {
    type: 'passed',
    check: 'values',
    detail: `${done} tensors without NaN or infinite values${allowZero ? '' : ', no matrix of zeros'}`,
  };
}

/** Checks that the tokenizer that a world model names fits it. @returns what was checked; undefined when it names none */
export function requireTokenizer({ dir, record }: ModelFolder): string | undefined {
  const named = record.tokenizer ?? (record.config as { tokenizer?: unknown } | undefined)?.tokenizer;
  if (typeof named !== 'string') return undefined;
  const beside = join(dirname(dir), named);
  const tokenizer = openModelFolder(existsSync(join(beside, 'model.json')) ? beside : named, { verify: 'size' }).record;
  const [kind, channels] = latentsOf(tokenizer.kind, tokenizer.config, tokenizer.name, record.name);
  if (record.kind === 'orrery-nano') {
    const world = ownWorld(record);
    requirePair(
      { name: record.name, latentChannels: world.channels },
      { name: tokenizer.name, kind, latentChannels: channels, isDiscrete: false },
    );
    const { stats } = record.config as { stats?: { mean?: unknown; std?: unknown } };
    if (stats !== undefined) latentTable(stats.mean, stats.std, channels, join(dir, 'model.json'));
  } else if (record.kind === 'general-dit') {
    const { outChannels } = record.config as GeneralDitConfig;
    requirePair(
      { name: record.name, latentChannels: outChannels },
      { name: tokenizer.name, kind, latentChannels: channels, isDiscrete: kind.startsWith('D') },
    );
  } else return undefined;
  return `${tokenizer.name} makes the ${channels} latent channels that ${record.name} needs`;
}

function latentsOf(kind: string, config: unknown, name: string, user: string): [kind: string, channels: number] {
  if (kind === 'orrery-tokenizer') return [kind, (config as { channels: number }).channels];
  if (kind === 'cosmos-tokenizer')
    return [(config as CosmosTokenizerConfig).kind, (config as CosmosTokenizerConfig).latentChannels];
  if (kind === 'wan-vae') return ['CV', (config as WanConfig).latentChannels];
  throw new OrreryError('model', `${user} names ${name} as its tokenizer, which is a ${kind}; need a tokenizer`);
}
