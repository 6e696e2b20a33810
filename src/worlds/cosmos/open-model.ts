// Public Cosmos folders as they are published: which parts a model consists of, where they lie, and each part as a component.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { bfloatToF32, f32, halfToF32, type NdArray, OrreryError, sizeOf } from '../../base/index.ts';
import {
  type Checkpoint,
  type CheckpointTensor,
  findCheckpoint,
  openCheckpoint,
  openTextCheckpoint,
  publicAutoregressiveConfig,
  requireFit,
  valueProblem,
} from '../../checkpoints/index.ts';
import { decodeTensor, openFileAccess, openTensors } from '../../formats/index.ts';
import type { WeightSource } from '../../graph/index.ts';
import { cachedSnapshot, hubSettings } from '../../hub/index.ts';
import {
  type AutoregressiveConfig,
  type CosmosTokenizerConfig,
  type GeneralDitConfig,
  type LlamaConfig,
  llamaConfig,
  sentencePieceTokenizer,
  type T5Config,
  type TextTokenizer,
  type TokenizerJson,
  textTokenizer,
  type WanConfig,
} from '../../nets/index.ts';
import type { Component, LatentTable } from './component.ts';

/** The parts of a public model and the folders or files that hold them. */
export type CosmosParts = {
  readonly kind: 'diffusion' | 'autoregressive' | 'tokenizer';
  readonly name: string;
  /** The world model; absent for a tokenizer alone. */
  readonly network?: string;
  /** Its video tokenizer. */
  readonly tokenizer: string;
  /** Text encoder and its tokenizer files; absent when not found: then only ready features can be used. */
  readonly textEncoder?: string;
  readonly textTokenizer?: string;
};

/** Where parts are looked for when they do not lie in the model's folder. */
export type PartPaths = { readonly tokenizer?: string; readonly textEncoder?: string };

/** More than this cannot be written into a graph as values: ONNX files end at 2 GB. */
const MOST_COPIED_BYTES = 1.6e9;

/** True for a path that holds something other than a model folder of this package's own networks. */
export function isCosmosModel(model: string): boolean {
  if (!existsSync(model)) return false;
  const record = join(model, 'model.json');
  if (!existsSync(record)) return true;
  const { kind } = JSON.parse(readFileSync(record, 'utf8')) as { kind?: unknown };
  return typeof kind === 'string' && !kind.startsWith('orrery-');
}

/**
 * Finds the parts of a model.
 * @param path a diffusers pipeline (`model_index.json`), the folder of a model, or a checkpoint file; tokenizer and text encoder are looked for
 *   beside it under their published names, such as `Cosmos-Tokenize1-CV8x8x8-720p` and `google-t5/t5-11b`
 */
export function findCosmosParts(path: string, given: PartPaths = {}): CosmosParts {
  const full = resolve(path);
  const name = basename(full);
  if (existsSync(join(full, 'model_index.json'))) {
    readJson(join(full, 'model_index.json'));
    const part = (folder: string): string => join(full, folder);
    for (const folder of ['transformer', 'vae']) {
      if (!existsSync(part(folder))) {
        throw new OrreryError(
          'model',
          `${full}: no folder ${folder}/, which model_index.json promises; fetch the model again`,
        );
      }
    }
    return {
      kind: 'diffusion',
      name,
      network: part('transformer'),
      tokenizer: given.tokenizer ?? part('vae'),
      ...textParts(
        given.textEncoder ?? (existsSync(part('text_encoder')) ? part('text_encoder') : undefined),
        part('tokenizer'),
      ),
    };
  }
  using checkpoint = openCheckpoint(full);
  const { family } = checkpoint.network;
  if (family === 'cosmos-tokenizer' || family === 'wan-vae') return { kind: 'tokenizer', name, tokenizer: full };
  const isDiscrete = family === 'autoregressive';
  const roots = rootsOf(full);
  const isFlow = checkpoint.network.family === 'general-dit' && checkpoint.network.config.flow !== undefined;
  const tokenizer =
    given.tokenizer ??
    (isFlow
      ? findWan(roots)
      : (findTokenizer(roots, isDiscrete) ?? cached(TOKENIZERS[isDiscrete ? 'discrete' : 'continuous'])));
  if (tokenizer === undefined && isFlow) {
    throw new OrreryError(
      'model',
      `${full}: no Wan autoencoder beside it (looked for ${WAN_PLACES.join(', ')} in ${roots.join(', ')}); fetch the whole model: orrery models get nvidia/Cosmos-Predict2-2B-Video2World`,
    );
  }
  if (tokenizer === undefined) {
    const wanted = isDiscrete ? 'Cosmos-Tokenize1-DV8x16x16-720p' : 'Cosmos-Tokenize1-CV8x8x8-720p';
    throw new OrreryError(
      'model',
      `${full}: no video tokenizer beside it (looked for ${wanted} in ${roots.join(', ')}); fetch it with: orrery models get nvidia/${wanted}`,
    );
  }
  const text =
    given.textEncoder ??
    roots.flatMap((root) => ['google-t5/t5-11b', 't5-11b'].map((n) => join(root, n))).find((p) => existsSync(p)) ??
    cached(['google-t5/t5-11b']);
  return {
    kind: family === 'autoregressive' ? 'autoregressive' : 'diffusion',
    name,
    network: full,
    tokenizer,
    ...textParts(text, text),
  };
}

/** Where the published files of Predict2 have the autoencoder. */
const WAN_PLACES = ['tokenizer/tokenizer.pth', 'tokenizer.pth', 'vae', 'Wan2.1_VAE.pth'] as const;

const findWan = (roots: readonly string[]): string | undefined =>
  roots.flatMap((root) => WAN_PLACES.map((place) => join(root, place))).find((path) => existsSync(path));

/** Names on the hub, newest first. */
const TOKENIZERS = {
  discrete: ['nvidia/Cosmos-Tokenize1-DV8x16x16-720p', 'nvidia/Cosmos-1.0-Tokenizer-DV8x16x16'],
  continuous: ['nvidia/Cosmos-Tokenize1-CV8x8x8-720p', 'nvidia/Cosmos-1.0-Tokenizer-CV8x8x8'],
} as const;

/** The first of these models that is in the cache of the hub. */
function cached(repos: readonly string[]): string | undefined {
  const { cacheDir } = hubSettings();
  return repos.map((repo) => cachedSnapshot(cacheDir, repo)).find((dir) => dir !== undefined);
}

/** The folder of the model and the one above: published scripts keep all models of a run in one folder. */
function rootsOf(full: string): string[] {
  const dir = statSync(full).isFile() ? dirname(full) : full;
  return [...new Set([dir, dirname(dir), dirname(dirname(dir))])];
}

function findTokenizer(roots: readonly string[], isDiscrete: boolean): string | undefined {
  const pattern = isDiscrete ? /^Cosmos-.*Tokeni[sz]e.*-DV\d+x\d+x\d+/ : /^Cosmos-.*Tokeni[sz]e.*-CV\d+x\d+x\d+/;
  for (const root of roots) {
    const found = readdirSync(root, { withFileTypes: true }).find((e) => e.isDirectory() && pattern.test(e.name));
    if (found !== undefined) return join(root, found.name);
  }
  return undefined;
}

function textParts(
  encoder: string | undefined,
  tokenizer: string | undefined,
): Pick<CosmosParts, 'textEncoder' | 'textTokenizer'> {
  if (encoder === undefined || tokenizer === undefined || !existsSync(tokenizer)) return {};
  return { textEncoder: encoder, textTokenizer: tokenizer };
}

/** The tokenizer of a folder. */
export function openTokenizerPart(path: string): {
  component: Component<CosmosTokenizerConfig>;
  latents?: LatentTable;
} {
  using checkpoint = openCheckpoint(path);
  const { network, latents } = checkpoint;
  if (network.family !== 'cosmos-tokenizer') throw wrongFamily(path, network.family, 'a Cosmos tokenizer');
  const component = componentOf(checkpoint, network.config, '');
  return { component, ...(latents === undefined ? {} : { latents }) };
}

/** True for the autoencoder of Predict2. */
export function isWanPart(path: string): boolean {
  using checkpoint = openCheckpoint(path);
  return checkpoint.network.family === 'wan-vae';
}

/** The Wan autoencoder of a folder. */
export function openWanPart(path: string): { component: Component<WanConfig>; latents?: LatentTable } {
  using checkpoint = openCheckpoint(path);
  const { network, latents } = checkpoint;
  if (network.family !== 'wan-vae') throw wrongFamily(path, network.family, 'the Wan autoencoder');
  const component = componentOf(checkpoint, network.config, '');
  return { component, ...(latents === undefined ? {} : { latents }) };
}

/** The diffusion transformer of a folder. */
export function openTransformerPart(path: string): Component<GeneralDitConfig> {
  using checkpoint = openCheckpoint(path);
  const { network } = checkpoint;
  if (network.family !== 'general-dit') throw wrongFamily(path, network.family, 'a diffusion transformer');
  return componentOf(checkpoint, network.config, '');
}

/** The autoregressive transformer of a folder. What its tensors do not tell is that of the public model of the same depth. */
export function openAutoregressivePart(path: string): Component<AutoregressiveConfig> {
  using checkpoint = openCheckpoint(path);
  const { network } = checkpoint;
  if (network.family !== 'autoregressive') throw wrongFamily(path, network.family, 'an autoregressive transformer');
  const config = publicAutoregressiveConfig(network.config, findCheckpoint(path).config);
  return componentOf(checkpoint, config, 'model.');
}

/** The T5 encoder of a folder with `config.json`, and the tokenizer that goes with it. */
export function openTextPart(
  encoder: string,
  tokenizer: string,
): { component: Component<T5Config>; tokenizer: TextTokenizer } {
  return { component: t5Component(encoder), tokenizer: openTextTokenizer(tokenizer) };
}

/** True for the language model that encodes prompts for Predict2.5. */
export const isReasonEncoder = (encoder: string): boolean =>
  /^qwen2/.test(String(readJson(join(encoder, 'config.json')).model_type));

/** That language model, its tokenizer, and what fills the places behind a prompt. */
export function openReasonPart(
  encoder: string,
  tokenizer: string,
): {
  component: Component<LlamaConfig>;
  tokenizer: TextTokenizer;
  padding: { id: number; side: 'left' | 'right' };
} {
  const json = readJson(join(encoder, 'config.json')) as Readonly<Record<string, unknown>>;
  const inner = (json.text_config ?? {}) as Readonly<Record<string, unknown>>;
  const rope = (inner.rope_parameters ?? json.rope_parameters ?? {}) as { rope_theta?: unknown };
  const config = llamaConfig({ rope_theta: rope.rope_theta, ...json, ...inner, model_type: json.model_type });
  const opened = openTextTokenizer(tokenizer);
  const settings = existsSync(join(tokenizer, 'tokenizer_config.json'))
    ? (readJson(join(tokenizer, 'tokenizer_config.json')) as { pad_token?: unknown; padding_side?: unknown })
    : {};
  const pad = settings.pad_token ?? '<|endoftext|>';
  const name = typeof pad === 'string' ? pad : String((pad as { content?: unknown }).content);
  const id = opened.idOf(name);
  if (id === undefined) {
    throw new OrreryError(
      'model',
      `${tokenizer}: its padding token ${name} is not in tokenizer.json; fetch the files of the text encoder again`,
    );
  }
  const side = settings.padding_side === 'left' ? 'left' : 'right';
  // Names differ with the version of the library that wrote the file.
  const nameOf = (key: string): string | undefined => {
    if (/(^|\.)visual\./.test(key) || /^lm_head\./.test(key)) return undefined;
    return key.replace(/^(model\.language_model|language_model\.model)\./, 'model.');
  };
  return { component: textComponent(encoder, config, nameOf), tokenizer: opened, padding: { id, side } };
}

/** `tokenizer.json`, or `spiece.model` where there is none. */
export function openTextTokenizer(dir: string): TextTokenizer {
  const json = join(dir, 'tokenizer.json');
  const settings = join(dir, 'tokenizer_config.json');
  if (existsSync(json)) return textTokenizer(readJson(json), existsSync(settings) ? readJson(settings) : {});
  const pieces = join(dir, 'spiece.model');
  if (!existsSync(pieces)) {
    throw new OrreryError(
      'model',
      `${dir}: neither tokenizer.json nor spiece.model in it; fetch the files of the text encoder again`,
    );
  }
  return textTokenizer(sentencePieceTokenizer(new Uint8Array(readFileSync(pieces))));
}

function readJson(path: string): TokenizerJson {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  if (text === undefined) throw new OrreryError('model', `${path}: no such file; fetch the model again`);
  try {
    return JSON.parse(text) as TokenizerJson;
  } catch (cause) {
    throw new OrreryError('model', `${path} is not JSON; fetch it again`, { cause });
  }
}

/** The encoder's weights among those of the whole file; every key must fit. */
function t5Component(dir: string): Component<T5Config> {
  using checkpoint = openTextCheckpoint(dir);
  const { path, config, misfit, tensors } = checkpoint;
  requireFit(misfit, { path, network: 'the T5 encoder of config.json', hint: 'Fetch the text encoder again.' });
  refuseZeros(checkpoint);
  return storedComponent(path, config, tensors);
}

/** The weights that `nameOf` gives a key of the network, among those of the whole file. */
function textComponent<Config>(
  dir: string,
  config: Config,
  nameOf: (key: string) => string | undefined,
): Component<Config> {
  const file = ['model.safetensors.index.json', 'model.safetensors', 'pytorch_model.bin'].find((n) =>
    existsSync(join(dir, n)),
  );
  if (file === undefined) {
    throw new OrreryError(
      'model',
      `${dir}: no model.safetensors, index or pytorch_model.bin in it; fetch the text encoder again`,
    );
  }
  using source = openTensors(join(dir, file));
  const tensors = new Map<string, Stored>();
  for (const [key, info] of source.tensors) {
    const name = nameOf(key);
    if (name === undefined) continue;
    const place = source.placeOf(key);
    tensors.set(name, { ...info, readBytes: () => source.readBytes(key), ...(place === undefined ? {} : { place }) });
  }
  return storedComponent(join(dir, file), config, tensors);
}

const widened = (value: NdArray): NdArray => {
  if (value.dtype === 'bf16') return f32(value.shape, bfloatToF32(value.data as Uint16Array));
  return value.dtype === 'f16' ? f32(value.shape, halfToF32(value.data as Uint16Array)) : value;
};

/**
 * A component of a checkpoint; every key must fit.
 * @param prefix what the network puts before the keys of the checkpoint
 */
function componentOf<Config>(checkpoint: Checkpoint, config: Config, prefix: string): Component<Config> {
  const { path } = checkpoint;
  requireFit(checkpoint.misfit, {
    path,
    network: checkpoint.network.family,
    hint: 'Take the model from its publisher again, or name another one.',
  });
  refuseZeros(checkpoint);
  const keys = checkpoint.expected.map(({ key }) => key);
  return storedComponent(path, config, new Map(keys.map((key) => [`${prefix}${key}`, checkpoint.tensors.get(key)!])));
}

/** Matrices of this many numbers have never only zeros when they were trained. */
const LEAST_CHECKED = 1024;
/** Bytes of a tensor that are looked at first; one of zeros alone is read whole. */
const GLANCE_BYTES = 256;

/**
 * Refuses a large tensor of zeros, which a file has that was cut in copying or saved before its values were there. Costs a glance at each
 * tensor; a weight that is not a number shows in the first evaluation.
 */
function refuseZeros({ path, expected, tensors }: Pick<Checkpoint, 'path' | 'expected' | 'tensors'>): void {
  for (const { key, shape } of expected) {
    const tensor = tensors.get(key)!;
    const { place } = tensor;
    if (shape.length < 2 || sizeOf(shape) < LEAST_CHECKED || place === undefined) continue;
    const file = openFileAccess(place.path);
    let head: Uint8Array;
    try {
      head = file.read(place.offset, Math.min(GLANCE_BYTES, place.length));
    } finally {
      file.close();
    }
    if (head.some((byte) => byte !== 0) || valueProblem(tensor.dtype, tensor.readBytes())?.kind !== 'zero') continue;
    throw new OrreryError(
      'model',
      `${path}: tensor ${key} [${shape}] holds only zeros, need trained values; the file is incomplete: fetch it again, then run: orrery models verify ${path}`,
    );
  }
}

type Stored = Pick<CheckpointTensor, 'dtype' | 'shape' | 'readBytes' | 'place'>;

/** Weights are mapped from their files where they lie in one folder row by row; others are read now. */
function storedComponent<Config>(
  path: string,
  config: Config,
  tensors: ReadonlyMap<string, Stored>,
): Component<Config> {
  const sources = new Map<string, WeightSource>();
  let folder: string | undefined;
  let copied = 0;
  for (const [name, tensor] of tensors) {
    const { dtype, place } = tensor;
    const isMappable = place !== undefined && (dtype === 'f32' || dtype === 'f16' || dtype === 'bf16');
    if (isMappable && (folder ??= dirname(place.path)) === dirname(place.path)) {
      const { offset, length } = place;
      sources.set(name, { kind: 'file', file: basename(place.path), offset, length, dtype });
      continue;
    }
    copied += 4 * sizeOf(tensor.shape);
    if (copied > MOST_COPIED_BYTES) throw tooLarge(path, copied);
    sources.set(name, { kind: 'value', value: widened(decodeTensor(tensor, tensor.readBytes(), name)) });
  }
  return {
    config,
    weights: (name) => {
      const source = sources.get(name);
      if (source === undefined) throw new OrreryError('model', `${path}: no tensor ${name}; it is another network`);
      return source;
    },
    ...(folder === undefined ? {} : { load: { folder } }),
  };
}

const tooLarge = (path: string, bytes: number): OrreryError =>
  new OrreryError(
    'unsupported',
    `${path}: ${(bytes / 1e9).toFixed(1)} GB or more of its weights are put together from pieces and cannot be mapped; convert it first: orrery models convert SRC DST --layout orrery`,
  );

const wrongFamily = (path: string, found: string, need: string): OrreryError =>
  new OrreryError('model', `${path} holds a network of the family ${found}, need ${need}`);
