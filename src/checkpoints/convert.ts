// From one layout to another: keys renamed, pieces joined, every value looked at, one tensor in memory at a time. The result
// appears whole or not at all.
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type DType, InputError, OrreryError, sizeOf, throwIfAborted } from '../base/index.ts';
import {
  createSafetensorsWriter,
  decodeTensor,
  diskError,
  STORED_BYTES,
  type StoredDType,
  writeFileAtomic,
  writeTorch,
  writeTorchSteps,
} from '../formats/index.ts';
import { parseModelRecord, sha256OfFile } from '../hub/index.ts';
import { wanOptions } from '../nets/index.ts';
import { requireFit, requireValues } from './fit.ts';
import { bytesOfFloats, floatsOf } from './floats.ts';
import { diffusersTokenizerOptions, tokenizerName } from './keys/cosmos-tokenizer.ts';
import { diffusersDitOptions, ditName } from './keys/general-dit.ts';
import { wanOriginalName } from './keys/wan-vae.ts';
import { type Checkpoint, type OpenCheckpointOptions, openCheckpoint } from './open.ts';
import type { CheckpointTensor, Spelling } from './types.ts';

/** Layouts that can be written. */
export const LAYOUTS = ['original', 'diffusers', 'orrery'] as const;
export type TargetLayout = (typeof LAYOUTS)[number];

/** Options of `convertCheckpoint`. */
export type ConvertOptions = OpenCheckpointOptions & {
  readonly layout: TargetLayout;
  /** Type of the float weights. Default: as stored. */
  readonly dtype?: 'f32' | 'f16' | 'bf16';
  /** Name of the model in its record. Default: from the folder. */
  readonly name?: string;
  /** Licence of the weights, as in the record. */
  readonly licence?: string;
  /** Leave unknown keys out and let matrices of zeros pass. Missing and wrong-shape keys are always errors. Default false. */
  readonly isLenient?: boolean;
  /** Largest safetensors file of the diffusers layout, in bytes. Default 10⁹·10. */
  readonly shardBytes?: number;
  readonly signal?: AbortSignal;
};

export type ConvertEvent =
  | {
      readonly type: 'opened';
      readonly family: string;
      readonly from: string;
      readonly to: TargetLayout;
      readonly parameters: number;
      readonly notes: readonly string[];
      readonly ignored: number;
      readonly dropped: number;
    }
  | { readonly type: 'tensor'; readonly key: string; readonly index: number; readonly total: number }
  | { readonly type: 'completed'; readonly dir: string; readonly files: readonly string[] };

/** Converts `source` into the new folder `target`. */
export async function* convertCheckpoint(
  source: string,
  target: string,
  options: ConvertOptions,
): AsyncGenerator<ConvertEvent> {
  if (existsSync(target) && !(statSync(target).isDirectory() && readdirSync(target).length === 0)) {
    throw new InputError('target', {
      got: target,
      need: 'a folder that does not exist yet or is empty',
      why: 'nothing is overwritten',
    });
  }
  using checkpoint = openCheckpoint(source, options);
  const { network, expected, misfit, tensors } = checkpoint;
  requireFit(misfit, {
    path: checkpoint.path,
    network: `the ${network.family} that its tensors describe`,
    hint:
      misfit.missing.length > 0
        ? 'Fetch the missing files, or pass --config if the architecture was read wrongly'
        : 'Pass --lenient to leave unknown keys out, or --config if the architecture was read wrongly',
    allowExtra: options.isLenient === true,
  });
  const parameters = expected.reduce((n, { shape }) => n + sizeOf(shape), 0);
  const { notes, ignored } = checkpoint;
  const dropped = misfit.extra.length;
  yield {
    type: 'opened',
    family: network.family,
    from: checkpoint.layout,
    to: options.layout,
    parameters,
    notes,
    ignored: ignored.length,
    dropped,
  };

  const list = expected.map(({ key }) => ({ key, tensor: retyped(tensors.get(key)!, options.dtype) }));
  const temporary = join(dirname(resolve(target)), `.${basename(target)}.${process.pid}.partial`);
  rmSync(temporary, { recursive: true, force: true });
  try {
    let index = 0;
    const read = (key: string, tensor: CheckpointTensor): Uint8Array => {
      throwIfAborted(options.signal);
      const bytes = tensor.readBytes();
      requireValues(key, tensor.dtype, tensor.shape, bytes, checkpoint.path, options.isLenient === true);
      index++;
      return bytes;
    };
    for (const step of writeLayout(temporary, checkpoint, list, read, {
      ...options,
      name: options.name ?? nameOf(target),
      parameters,
    })) {
      if (step !== undefined) yield { type: 'tensor', key: step, index, total: list.length };
      // The event loop runs between tensors, so that Ctrl-C arrives.
      await new Promise((next) => setImmediate(next));
      throwIfAborted(options.signal);
    }
    try {
      if (existsSync(target)) rmSync(target, { recursive: true });
      renameSync(temporary, target);
    } catch (error) {
      throw diskError(error, 'write', target);
    }
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
  yield { type: 'completed', dir: target, files: readdirSync(target).sort() };
}

type Listed = { readonly key: string; readonly tensor: CheckpointTensor };
type Read = (key: string, tensor: CheckpointTensor) => Uint8Array;
type WriteOptions = ConvertOptions & { readonly name: string; readonly parameters: number };

function* writeLayout(
  dir: string,
  checkpoint: Checkpoint,
  list: readonly Listed[],
  read: Read,
  options: WriteOptions,
): Generator<string | undefined> {
  switch (options.layout) {
    case 'orrery':
      yield* writeOrrery(dir, checkpoint, list, read, options);
      break;
    case 'diffusers':
      yield* writeDiffusers(dir, checkpoint, list, read, options);
      break;
    case 'original':
      yield* writeOriginal(dir, checkpoint, list, read);
  }
}

function* writeFile(
  path: string,
  list: readonly (Listed & { readonly name: string })[],
  read: Read,
  metadata: Record<string, string>,
): Generator<string> {
  const writer = createSafetensorsWriter(
    path,
    list.map(({ name, tensor }) => ({ name, dtype: storable(tensor.dtype, name), shape: tensor.shape })),
    metadata,
  );
  try {
    for (const { key, name, tensor } of list) {
      writer.write(name, decodeTensor(tensor, read(key, tensor), name));
      yield key;
    }
  } catch (error) {
    writer.abort();
    throw error;
  }
  writer.close();
}

function* writeOrrery(
  dir: string,
  checkpoint: Checkpoint,
  list: readonly Listed[],
  read: Read,
  options: WriteOptions,
): Generator<string | undefined> {
  const { network, latents, layout } = checkpoint;
  const file = join(dir, 'model.safetensors');
  yield* writeFile(
    file,
    list.map((one) => ({ ...one, name: one.key })),
    read,
    { kind: network.family, name: options.name },
  );
  const record = {
    version: 1,
    kind: network.family,
    name: options.name,
    parameters: options.parameters,
    config: network.config,
    ...(options.licence === undefined ? {} : { licence: options.licence }),
    training: { convertedFrom: { name: basename(checkpoint.path), layout, notes: checkpoint.notes } },
    ...(latents === undefined ? {} : { latents }),
    files: { 'model.safetensors': { sizeBytes: statSync(file).size, sha256: sha256OfFile(file) } },
  };
  const text = `${JSON.stringify(record, null, 2)}\n`;
  parseModelRecord(text, join(dir, 'model.json'));
  writeFileAtomic(join(dir, 'README.md'), cardOf(checkpoint, options));
  writeFileAtomic(join(dir, 'model.json'), text);
  yield undefined;
}

function* writeDiffusers(
  dir: string,
  checkpoint: Checkpoint,
  list: readonly Listed[],
  read: Read,
  options: WriteOptions,
): Generator<string | undefined> {
  const { network, latents } = checkpoint;
  if (network.family === 'autoregressive') {
    throw new OrreryError(
      'unsupported',
      'diffusers has no class for autoregressive transformers; write --layout original or orrery',
    );
  }
  const config =
    network.family === 'cosmos-tokenizer'
      ? diffusersTokenizerOptions(network.config, latents)
      : network.family === 'wan-vae'
        ? wanOptions(network.config, wanStatistics(checkpoint))
        : diffusersDitOptions(network.config);
  const named = list.map((one) => ({
    ...one,
    name:
      network.family === 'cosmos-tokenizer'
        ? tokenizerName(one.key, 'diffusers', network.config)
        : network.family === 'wan-vae'
          ? one.key
          : ditName(one.key, 'diffusers'),
  }));
  const parts = shards(named, options.shardBytes ?? 1e10);
  const nameOfPart = (i: number): string =>
    parts.length === 1
      ? 'diffusion_pytorch_model.safetensors'
      : `diffusion_pytorch_model-${String(i + 1).padStart(5, '0')}-of-${String(parts.length).padStart(5, '0')}.safetensors`;
  const map: Record<string, string> = {};
  for (const [i, part] of parts.entries()) {
    yield* writeFile(join(dir, nameOfPart(i)), part, read, { format: 'pt' });
    for (const { name } of part) map[name] = nameOfPart(i);
  }
  if (parts.length > 1) {
    const total = named.reduce((n, { tensor }) => n + bytesIn(tensor), 0);
    writeFileAtomic(
      join(dir, 'diffusion_pytorch_model.safetensors.index.json'),
      `${JSON.stringify({ metadata: { total_size: total }, weight_map: map }, null, 2)}\n`,
    );
  }
  writeFileAtomic(join(dir, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  yield undefined;
}

function* writeOriginal(
  dir: string,
  checkpoint: Checkpoint,
  list: readonly Listed[],
  read: Read,
): Generator<string | undefined> {
  const { network, latents } = checkpoint;
  const [prefix, root] =
    network.family === 'general-dit'
      ? ['net.', undefined]
      : network.family === 'autoregressive'
        ? ['model.', undefined]
        : network.family === 'wan-vae'
          ? ['', undefined]
          : ['network.', 'model'];
  const layout = network.family === 'general-dit' ? originalLayout(checkpoint) : 'original';
  const entries = list.map(({ key, tensor }) => ({
    name: `${prefix}${network.family === 'general-dit' ? ditName(key, layout) : network.family === 'wan-vae' ? wanOriginalName(key, network.config) : key}`,
    dtype: tensor.dtype,
    shape: tensor.shape,
    readBytes: () => read(key, tensor),
  }));
  yield* writeTorchSteps(join(dir, 'model.pt'), entries, {
    root: 'model',
    ...(root === undefined ? {} : { wrap: root }),
  });
  if (latents === undefined) return;
  const table = (values: readonly number[]) => ({
    dtype: 'f32' as const,
    shape: [values.length],
    readBytes: () => bytesOfFloats('f32', Float32Array.from(values)),
  });
  writeTorch(
    join(dir, 'mean_std.pt'),
    [
      { name: '0', ...table(latents.mean) },
      { name: '1', ...table(latents.std) },
    ],
    { root: 'mean_std', asTuple: true },
  );
}

/** Predict2 and 2.5 have keys of their own. Their networks have no position table but a norm of the time embedding. */
function originalLayout({ network, layout }: Checkpoint): Spelling['layout'] {
  if (layout === 'predict2' || network.family !== 'general-dit') return 'predict2';
  const { config } = network;
  const isPlain =
    config.extraPositions === 'none' &&
    config.views === undefined &&
    config.adalnRank !== undefined &&
    config.subBlocks.join() === 'fa,ca,mlp';
  return isPlain && layout !== 'original' ? 'predict2' : 'original';
}

/** Statistics go into the config of diffusers, which the pipelines read. */
function wanStatistics({ latents, path }: Checkpoint): { mean: readonly number[]; std: readonly number[] } {
  if (latents !== undefined) return latents;
  throw new OrreryError(
    'model',
    `${path}: no latent statistics, which a diffusers config needs; write --layout original or orrery`,
  );
}

function shards<T extends { readonly tensor: CheckpointTensor }>(list: readonly T[], limit: number): T[][] {
  const parts: T[][] = [[]];
  let bytes = 0;
  for (const one of list) {
    const size = bytesIn(one.tensor);
    if (bytes + size > limit && parts.at(-1)!.length > 0) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(one);
    bytes += size;
  }
  return parts;
}

const bytesIn = ({ dtype, shape }: CheckpointTensor): number => sizeOf(shape) * STORED_BYTES[dtype];

const isFloat = (dtype: StoredDType): boolean =>
  dtype === 'f32' || dtype === 'f16' || dtype === 'bf16' || dtype === 'f64';

function retyped(tensor: CheckpointTensor, dtype: 'f32' | 'f16' | 'bf16' | undefined): CheckpointTensor {
  // safetensors of this package hold no f64.
  const to = dtype ?? (tensor.dtype === 'f64' ? 'f32' : tensor.dtype);
  if (to === tensor.dtype || !isFloat(tensor.dtype)) return tensor;
  return {
    dtype: to,
    shape: tensor.shape,
    readBytes: () => bytesOfFloats(to, floatsOf(tensor.dtype, tensor.readBytes(), 'weight')),
  };
}

function storable(dtype: StoredDType, name: string): DType {
  if (dtype === 'f32' || dtype === 'f16' || dtype === 'bf16') return dtype;
  throw new OrreryError('model', `tensor ${name} is ${dtype}, need a float type: the network has no ${dtype} weights`);
}

const nameOf = (target: string): string =>
  basename(resolve(target))
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64) || 'model';

function cardOf(checkpoint: Checkpoint, { name, licence, parameters }: WriteOptions): string {
  const { network, notes, layout } = checkpoint;
  return [
    `# ${name}`,
    '',
    `A ${network.family} of ${parameters.toLocaleString('en')} parameters, converted from the ${layout} layout. No value was changed unless a type was asked for.`,
    '',
    `Licence of the weights: ${licence ?? 'that of their publisher; it was not stated when they were converted'}.`,
    ...(notes.length === 0 ? [] : ['', 'Notes of the conversion:', '', ...notes.map((note) => `- ${note}`)]),
    '',
  ].join('\n');
}
