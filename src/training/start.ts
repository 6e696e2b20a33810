// Where the numbers of a training come from at its beginning: declared start values, better ones of the task, a model folder.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { halfToF32, InputError, OrreryError, randomStream, sizeOf } from '../base/index.ts';
import { makeFolder, openSafetensors } from '../formats/index.ts';
import type { CompileOptions } from '../graph/index.ts';
import { openModelFolder } from '../hub/index.ts';
import type { Init, WeightSpec } from '../nets/orrery/weights.ts';
import type { Component, LatentStats } from '../worlds/index.ts';
import type { CheckpointRecord, StartModel } from './checkpoint.ts';
import { parameterCount } from './optimizer.ts';
import type { OwnRecipe } from './recipe.ts';

/** Flat start vector from the declared start values; `better` replaces some of them. */
export function startVector(
  specs: readonly WeightSpec[],
  seed: number,
  better: Pick<ReadonlyMap<string, Float32Array>, 'get'>,
): Float32Array {
  const flat = new Float32Array(parameterCount(specs));
  let at = 0;
  for (const { key, shape, init } of specs) {
    const n = sizeOf(shape);
    const given = better.get(key);
    if (given !== undefined) {
      if (given.length !== n)
        throw new OrreryError('internal', `start value of ${key}: ${given.length} numbers for [${shape}]`);
      flat.set(given, at);
    } else fill(flat.subarray(at, at + n), shape, init, seed, key);
    at += n;
  }
  return flat;
}

function fill(out: Float32Array, shape: readonly number[], init: Init, seed: number, key: string): void {
  if (init.kind === 'zeros') return;
  if (init.kind === 'constant') {
    out.fill(init.value);
    return;
  }
  const random = randomStream(seed, `weight ${key}`);
  if (init.kind === 'normal') {
    for (let i = 0; i < out.length; i++) out[i] = init.std * random.normal();
    return;
  }
  // Xavier: fan in and out include the kernel places of a convolution.
  const place = sizeOf(shape.slice(2));
  const bound = Math.sqrt(6 / (((shape[1] ?? 1) + shape[0]!) * place));
  for (let i = 0; i < out.length; i++) out[i] = random.uniform(-bound, bound);
}

/** Weights to start from, with what identifies them. */
export type StartWeights = StartModel & {
  /** Numbers by key; a public checkpoint reads them when they are asked for. */
  readonly values: Pick<ReadonlyMap<string, Float32Array>, 'get' | 'has' | 'keys'>;
  /** Numbers of each weight, without reading them; where absent, `values` is asked. */
  readonly sizes?: ReadonlyMap<string, number>;
  /** Where the weights lie, for models that are too large to be copied: frozen ones are read from there. */
  readonly source?: Pick<Component<unknown>, 'weights' | 'load'>;
};

/** Options of `compile` for graphs that read frozen weights from the files of their start model, wide only while they are used. */
export const mappedWeights = (source: StartWeights['source']): Pick<CompileOptions, 'weights' | 'widen'> =>
  source === undefined ? {} : { weights: source.weights, widen: 'use' };

/**
 * The weights of a model folder as float32. A file of this project has one `model.safetensors`.
 * @param model name of a shipped model, or path of a folder
 */
export function weightsOfModel(model: string): StartWeights {
  const { dir, record } = openModelFolder(model);
  using file = openSafetensors(join(dir, 'model.safetensors'));
  const values = new Map<string, Float32Array>();
  const hash = createHash('sha256');
  for (const name of file.tensors.keys()) {
    const { dtype, data } = file.read(name);
    if (dtype !== 'f16' && dtype !== 'f32') {
      throw new OrreryError('unsupported', `${dir}: weight ${name} is ${dtype}; training starts from f16 or f32`);
    }
    const numbers = dtype === 'f16' ? halfToF32(data as Uint16Array) : (data as Float32Array);
    values.set(name, numbers);
    hash.update(name).update(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
  }
  return { name: record.name, sha256: hash.digest('hex'), values };
}

/**
 * The start weights of a recipe. A world model goes on with the vocabulary and the latent statistics of its start model, which are
 * written into the run's folder: with others the same weights would mean something else.
 */
export function startFrom(recipe: OwnRecipe, folder: string): StartWeights {
  const start = weightsOfModel(recipe.from!);
  const { record } = openModelFolder(recipe.from!);
  if (record.kind !== recipe.model.kind) {
    throw new InputError('from', {
      got: `${recipe.from}, a ${record.kind}`,
      need: `a model folder of kind ${recipe.model.kind}`,
    });
  }
  if (recipe.kind !== 'world') return start;
  const config = record.config as { vocabulary: readonly string[]; stats: LatentStats };
  makeFolder(folder);
  for (const [name, value] of [
    ['vocabulary.json', config.vocabulary],
    ['latent-stats.json', config.stats],
  ] as const) {
    const path = join(folder, name);
    const text = `${JSON.stringify(value, null, 1)}\n`;
    if (!existsSync(path)) writeFileSync(path, text);
    else if (JSON.stringify(JSON.parse(readFileSync(path, 'utf8'))) !== JSON.stringify(value)) {
      throw new OrreryError('data', `${path} is not that of ${recipe.from}; use another folder for this recipe`);
    }
  }
  return start;
}

/** Checks that what the start model has of a network's weights has their sizes. */
export function requireSameShapes(specs: readonly WeightSpec[], start: StartWeights): void {
  for (const { key, shape } of specs) {
    const given = start.sizes?.get(key) ?? start.values.get(key)?.length;
    if (given !== undefined && given !== sizeOf(shape)) {
      throw new OrreryError(
        'data',
        `the recipe's ${key} is [${shape}], ${sizeOf(shape)} numbers; that of ${start.name} has ${given}. Give the recipe the sizes of ${start.name} (see its model.json)`,
      );
    }
  }
  const shared = specs.filter((s) => start.values.has(s.key));
  if (shared.length === 0) {
    throw new OrreryError('data', `${start.name} has none of the recipe's weights: it is another kind of network`);
  }
}

/** What a run's record says of its start model. */
export const startRecord = (from: StartWeights | undefined): Pick<CheckpointRecord, 'from'> =>
  from === undefined ? {} : { from: { name: from.name, sha256: from.sha256 } };

/** A run goes on only from the start model that it began with: frozen weights are part of its state. */
export function requireSameStart(folder: string, began: StartModel | undefined, now: StartModel | undefined): void {
  if (began?.sha256 === now?.sha256) return;
  const name = (m: StartModel | undefined): string =>
    m === undefined ? 'nothing' : `${m.name} (${m.sha256.slice(0, 12)}…)`;
  throw new OrreryError(
    'data',
    `${folder}: this run began from ${name(began)}, the recipe now starts from ${name(now)}; use another folder or the old start model`,
  );
}
