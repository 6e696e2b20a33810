// Opens a checkpoint of any layout: its tensors under the keys of the network, its architecture, its latent statistics.
// Nothing is loaded yet and nothing is ever run.
import { OrreryError, show } from '../base/index.ts';
import { openTensors, type TensorSource, type TorchFile } from '../formats/index.ts';
import { readModelFolder } from '../hub/index.ts';
import {
  type CosmosTokenizerConfig,
  cosmosTokenizerConfig,
  diffusersDitConfig,
  diffusersTokenizerConfig,
  type GeneralDitConfig,
  generalDitConfig,
  isUnusedTokenizerKey,
  WAN_2_1_LATENTS,
  type WanConfig,
  wanConfig,
} from '../nets/index.ts';
import { adapter, type CheckpointFiles, findCheckpoint } from './find.ts';
import { compareKeys, type Misfit } from './fit.ts';
import { floatsOf } from './floats.ts';
import {
  type AutoregressiveOptions,
  autoregressiveOptionsOf,
  autoregressiveWeights,
  fromLayout,
  isUnusedAutoregressiveKey,
  joinPieces,
  recogniseAutoregressive,
} from './keys/autoregressive.ts';
import { recogniseTokenizer, tokenizerConfigOf, tokenizerName, tokenizerWeights } from './keys/cosmos-tokenizer.ts';
import { ditConfigOf, ditName, ditWeights, fromPredict2, isUnusedDitKey, recogniseDit } from './keys/general-dit.ts';
import { recogniseWan, wanConfigOf, wanOriginalName, wanWeights } from './keys/wan-vae.ts';
import { latentTable } from './latents.ts';
import type { CheckpointTensor, Expected, LatentTable, Spelling, Tensors } from './types.ts';

/** A network that was recognised, with its architecture. */
export type Network =
  | { readonly family: 'cosmos-tokenizer'; readonly config: CosmosTokenizerConfig }
  | { readonly family: 'wan-vae'; readonly config: WanConfig }
  | { readonly family: 'general-dit'; readonly config: GeneralDitConfig }
  | { readonly family: 'autoregressive'; readonly config: AutoregressiveOptions };

/** An open checkpoint. */
export type Checkpoint = Disposable & {
  readonly path: string;
  readonly layout: Spelling['layout'] | 'orrery';
  readonly network: Network;
  /** Tensors under the keys of the network; those that the network does not have are among them. */
  readonly tensors: Tensors;
  readonly expected: readonly Expected[];
  readonly misfit: Misfit;
  /** Keys that were left out: buffers, states of the optimizer, copies of weights. */
  readonly ignored: readonly string[];
  readonly latents?: LatentTable;
  /** Assumptions and choices worth telling. */
  readonly notes: readonly string[];
  close(): void;
};

/** Options of `openCheckpoint`. */
export type OpenCheckpointOptions = {
  /** Options of the architecture under their public names; read off the tensors and `config.json` when absent. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Which copy of post-trained weights: the running average (default where there is one) or the last step. */
  readonly weights?: 'average' | 'last';
};

/** Opens a checkpoint file or folder; also a model folder of this package that holds one of these networks. */
export function openCheckpoint(path: string, options: OpenCheckpointOptions = {}): Checkpoint {
  const folder = tryModelFolder(path);
  const files = findCheckpoint(folder?.dir ?? path);
  const sources: TensorSource[] = [];
  const close = (): void => {
    for (const source of sources) source.close();
  };
  try {
    for (const file of files.files) {
      sources.push(openTensors(file));
      refuseCode(sources.at(-1)!);
    }
    return { ...recognise(files, sources, options, folder), close, [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}

type Folder = ReturnType<typeof readModelFolder>;

function tryModelFolder(path: string): Folder | undefined {
  try {
    return readModelFolder(path);
  } catch (error) {
    // A record that is there and wrong must be told; only its absence means another layout.
    if (error instanceof OrreryError && /no model\.json in/.test(error.message)) return undefined;
    throw error;
  }
}

/** A file with code in it is not trusted with numbers either. */
export function refuseCode(source: TensorSource): void {
  const { code = [] } = source as Partial<TorchFile>;
  if (code.length === 0) return;
  throw new OrreryError(
    'model',
    `${source.path} holds calls of ${code.slice(0, 3).map(show).join(', ')}, need plain tensors: it may be an attack; nothing of it was run and it is not used. Take the model from its publisher, as safetensors`,
    {
      details: { code },
    },
  );
}

function recognise(
  files: CheckpointFiles,
  sources: readonly TensorSource[],
  options: OpenCheckpointOptions,
  folder: Folder | undefined,
): Omit<Checkpoint, 'close' | typeof Symbol.dispose> {
  const { path } = files;
  const notes: string[] = [];
  const pieces = sources.map((source) => chooseCopies(source, options.weights ?? 'average', notes));
  const spelling = spellingOf(pieces[0]!, path);
  const ignored: string[] = [];
  const stripped = pieces.map((piece) => strip(piece, spelling, ignored));
  const joined = files.kind === 'ranks' ? joinRanks(stripped) : mergeParts(stripped, files);
  if (files.kind === 'ranks') notes.push(`${files.files.length} tensor-parallel pieces joined`);
  const given = options.config ?? (folder === undefined ? usableConfig(files.config, spelling) : undefined);
  const stored = folder?.record.config as { network?: unknown } | undefined;

  const { network, tensors, expected } = described(path, () =>
    spelling.family === 'cosmos-tokenizer'
      ? openTokenizer(joined, spelling, given, stored as CosmosTokenizerConfig | undefined, path)
      : spelling.family === 'wan-vae'
        ? openWan(joined, spelling, given, stored as WanConfig | undefined, path)
        : spelling.family === 'general-dit'
          ? openDit(joined, spelling, given, stored as GeneralDitConfig | undefined, path, notes)
          : openAutoregressive(joined, spelling, given, stored as AutoregressiveOptions | undefined, path, notes),
  );
  const isUnused = UNUSED[spelling.family];
  const needed = new Set(expected.map(({ key }) => key));
  const used = new Map([...tensors].filter(([key]) => needed.has(key) || !isUnused(key)));
  ignored.push(...[...tensors.keys()].filter((key) => !used.has(key)));
  const latents = latentsOf(files, given ?? files.config, folder, network);
  return {
    path,
    layout: folder === undefined ? spelling.layout : 'orrery',
    network,
    tensors: used,
    expected,
    misfit: compareKeys(used, expected),
    ignored,
    notes,
    ...(latents === undefined ? {} : { latents }),
  };
}

const UNUSED: Readonly<Record<Spelling['family'], (key: string) => boolean>> = {
  'cosmos-tokenizer': isUnusedTokenizerKey,
  'wan-vae': () => false,
  'general-dit': isUnusedDitKey,
  autoregressive: isUnusedAutoregressiveKey,
};

/** Post-trained files keep a running average beside the last weights, its names with "-" in place of ".". */
function chooseCopies(
  source: TensorSource,
  choice: 'average' | 'last',
  notes: string[],
): Map<string, CheckpointTensor> {
  const regular = new Map<string, CheckpointTensor>();
  const average = new Map<string, CheckpointTensor>();
  for (const [key, info] of source.tensors) {
    const place = source.placeOf(key);
    const tensor: CheckpointTensor = {
      ...info,
      readBytes: () => source.readBytes(key),
      ...(place === undefined ? {} : { place }),
    };
    const copy = /(?:^|\.)((?:net|network|model)-[A-Za-z0-9_-]+)$/.exec(key);
    if (copy === null) regular.set(key, tensor);
    else average.set(copy[1]!.replaceAll('-', '.'), tensor);
  }
  if (average.size === 0) return regular;
  if (choice === 'last' && recogniseAny([...regular.keys()]) !== undefined) {
    notes.push('the weights of the last step are used, not their running average');
    return regular;
  }
  notes.push('the running average of the weights is used; --weights last takes the last step');
  return average;
}

const recogniseAny = (keys: readonly string[]): Spelling | undefined =>
  recogniseWan(keys) ?? recogniseTokenizer(keys) ?? recogniseDit(keys) ?? recogniseAutoregressive(keys);

function spellingOf(tensors: Tensors, path: string): Spelling {
  const keys = [...tensors.keys()];
  const lora = keys.filter((key) => /(^|[._])lora_?(A|B|up|down|alpha|magnitude_vector)\b|\.lora\.|^lora_/i.test(key));
  if (lora.length > 0 && lora.length >= keys.length / 4) throw adapter(path, { count: lora.length, example: lora[0]! });
  const found = recogniseAny(keys);
  if (found !== undefined) return found;
  if (keys.length === 0) throw new OrreryError('model', `${path} holds no tensors; name the file with the weights`);
  const half = keys.some((key) => /(^|\.)(post_)?quant_conv\./.test(key))
    ? 'half a tokenizer'
    : 'no network that is known here';
  throw new OrreryError(
    'model',
    `${path} holds ${half}: ${keys.length} tensors such as ${keys.slice(0, 3).map(show).join(', ')}; need a Cosmos tokenizer, the Wan autoencoder of Predict2, a Predict1 or Predict2 diffusion transformer, or a Predict1 autoregressive one, in the layout of its publisher or of diffusers`,
  );
}

const TRAINING_STATE = /^(optimizer|optim|scheduler|grad_scaler|trainer|iteration|callbacks|dataloader|loss|ema)(\.|$)/;

/** Takes the prefix off; what lies outside it is training state or stays and is reported. */
function strip(tensors: Tensors, { prefix, family }: Spelling, ignored: string[]): Map<string, CheckpointTensor> {
  const out = new Map<string, CheckpointTensor>();
  for (const [key, tensor] of tensors) {
    if (key.startsWith(prefix)) out.set(key.slice(prefix.length), tensor);
    else if (
      TRAINING_STATE.test(key) ||
      (family === 'general-dit' && /(^|\.)logvar\./.test(key)) ||
      key.endsWith('_extra_state')
    )
      ignored.push(key);
    else out.set(key, tensor);
  }
  return out;
}

function mergeParts(parts: readonly Tensors[], files: CheckpointFiles): Tensors {
  const out = new Map<string, CheckpointTensor>();
  for (const [i, part] of parts.entries()) {
    for (const [key, tensor] of part) {
      if (out.has(key))
        throw new OrreryError(
          'model',
          `${files.files[i]}: tensor ${show(key)} is also in ${files.files[0]}; the files are of two models`,
        );
      out.set(key, tensor);
    }
  }
  return out;
}

function joinRanks(parts: readonly Tensors[]): Tensors {
  return joinPieces(parts.map((part) => new Map([...part].filter(([key]) => !isUnusedAutoregressiveKey(key)))));
}

/** A `config.json` that describes the network; those of the first tokenizer release hold only a class name. */
function usableConfig(
  config: Readonly<Record<string, unknown>> | undefined,
  spelling: Spelling,
): Readonly<Record<string, unknown>> | undefined {
  if (config === undefined) return undefined;
  const marks = {
    'cosmos-tokenizer': ['encoder_block_out_channels', 'channels_mult'],
    'wan-vae': ['z_dim', 'base_dim'],
    'general-dit': ['num_attention_heads', 'model_channels'],
    autoregressive: ['n_layers'],
  };
  return marks[spelling.family].some((name) => name in config) ? config : undefined;
}

/** Numbers from a file go into the building of a network; what cannot be built is the file's fault, not a bug. */
function described(path: string, open: () => Opened): Opened {
  try {
    return open();
  } catch (error) {
    const isSaid = error instanceof OrreryError && error.code !== 'internal';
    if (isSaid) throw error;
    const reason = (error as Error).message.replace(/^internal error: |; please report this$/g, '');
    throw new OrreryError(
      'model',
      `${path}: its shapes and options do not make a network (${reason}); it is damaged or of another kind: fetch it again, or pass --config`,
      { cause: error },
    );
  }
}

/** Refuses counts that would only take time. */
function requireModest(counts: Readonly<Record<string, readonly [count: number, limit: number]>>, path: string): void {
  for (const [name, [count, limit]] of Object.entries(counts)) {
    if (Number.isInteger(count) && count >= 1 && count <= limit) continue;
    throw new OrreryError(
      'model',
      `${path}: ${name} is ${count}, need a whole number from 1 to ${limit}; correct the config`,
    );
  }
}

type Opened = { readonly network: Network; readonly tensors: Tensors; readonly expected: readonly Expected[] };
type Given = Readonly<Record<string, unknown>> | undefined;

/** Names in the file → keys of the network, by naming every weight that the network has. */
function renamed(
  tensors: Tensors,
  expected: readonly Expected[],
  nameOf: (key: string) => string,
): Map<string, CheckpointTensor> {
  const back = new Map(expected.map(({ key }) => [nameOf(key), key]));
  return new Map([...tensors].map(([name, tensor]) => [back.get(name) ?? name, tensor]));
}

function openTokenizer(
  tensors: Tensors,
  { layout }: Spelling,
  given: Given,
  stored: CosmosTokenizerConfig | undefined,
  path: string,
): Opened {
  if (layout === 'diffusers' && given === undefined) {
    throw new OrreryError(
      'model',
      `${path} has the keys of diffusers but no config.json beside it, which tells the compression; name the folder vae/ with both, or pass --config`,
    );
  }
  const config =
    stored ??
    (given === undefined
      ? tokenizerConfigOf(tensors, path)
      : 'encoder_block_out_channels' in given
        ? diffusersTokenizerConfig(given)
        : cosmosTokenizerConfig(given));
  requireModest({ levels: [config.channelsMult.length, 8], 'blocks per level': [config.resBlocks, 16] }, path);
  const expected = tokenizerWeights(config);
  return {
    network: { family: 'cosmos-tokenizer', config },
    expected,
    tensors: renamed(tensors, expected, (key) => tokenizerName(key, layout, config)),
  };
}

function openWan(
  tensors: Tensors,
  spelling: Spelling,
  given: Given,
  stored: WanConfig | undefined,
  path: string,
): Opened {
  const config = stored ?? (given === undefined ? wanConfigOf(tensors, spelling, path) : wanConfig(given));
  requireModest({ levels: [config.factors.length, 8], 'blocks per level': [config.resBlocks, 16] }, path);
  const expected = wanWeights(config);
  const named =
    spelling.layout === 'original' ? renamed(tensors, expected, (key) => wanOriginalName(key, config)) : tensors;
  return { network: { family: 'wan-vae', config }, expected, tensors: named };
}

function openDit(
  tensors: Tensors,
  spelling: Spelling,
  given: Given,
  stored: GeneralDitConfig | undefined,
  path: string,
  notes: string[],
): Opened {
  const { layout } = spelling;
  if (layout === 'diffusers' && given === undefined && stored === undefined) {
    throw new OrreryError(
      'model',
      `${path} has the keys of diffusers but no config.json beside it, which tells its sizes; name the folder transformer/ with both, or pass --config`,
    );
  }
  const keyed =
    layout === 'predict2' ? new Map([...tensors].map(([key, tensor]) => [fromPredict2(key), tensor])) : tensors;
  const config =
    stored ??
    (given === undefined
      ? ditConfigOf(keyed, spelling, path, notes)
      : 'num_attention_heads' in given
        ? diffusersDitConfig(given)
        : generalDitConfig(given));
  requireModest(
    {
      blocks: [config.blocks, 200],
      heads: [config.heads, 1000],
      'sub-blocks': [config.subBlocks.length, 8],
      views: [config.views?.count ?? 1, 64],
    },
    path,
  );
  const expected = ditWeights(config);
  const named = layout === 'diffusers' ? renamed(keyed, expected, (key) => ditName(key, layout)) : keyed;
  return { network: { family: 'general-dit', config }, expected, tensors: named };
}

function openAutoregressive(
  tensors: Tensors,
  { layout }: Spelling,
  given: Given,
  stored: AutoregressiveOptions | undefined,
  path: string,
  notes: string[],
): Opened {
  const count = (name: string): number | undefined =>
    typeof given?.[name] === 'number' ? (given[name] as number) : undefined;
  const [heads, keyValueHeads] = [count('n_heads'), count('n_kv_heads') ?? count('n_heads')];
  const keyed = fromLayout(
    tensors,
    layout,
    heads === undefined || keyValueHeads === undefined ? undefined : { heads, keyValueHeads },
  );
  const read = autoregressiveOptionsOf(keyed, path);
  if (layout === 'transformer-engine')
    notes.push('rotary positions of the second version ("v2") are assumed, whose rows need no reordering');
  // Options win where they are given; what the file tells anyway is checked against them.
  const known = Object.keys(read) as (keyof AutoregressiveOptions)[];
  const config =
    stored ??
    ({
      ...read,
      ...Object.fromEntries(known.flatMap((name) => (given?.[name] === undefined ? [] : [[name, given[name]]]))),
    } as AutoregressiveOptions);
  requireModest(
    {
      n_layers: [config.n_layers, 200],
      n_heads: [config.n_heads, 1000],
      n_kv_heads: [config.n_kv_heads, 1000],
      insert_cross_attn_every_k_layers: [config.insert_cross_attn_every_k_layers, 200],
    },
    path,
  );
  return { network: { family: 'autoregressive', config }, expected: autoregressiveWeights(config), tensors: keyed };
}

function latentsOf(
  files: CheckpointFiles,
  config: Given,
  folder: Folder | undefined,
  network: Network,
): LatentTable | undefined {
  if (network.family !== 'cosmos-tokenizer' && network.family !== 'wan-vae') return undefined;
  const channels = network.config.latentChannels;
  const stored = (folder?.record as { latents?: { mean: unknown; std: unknown } } | undefined)?.latents;
  if (stored !== undefined) return latentTable(stored.mean, stored.std, channels, `${folder!.dir}/model.json`);
  if (config?.latents_mean !== undefined && config.latents_mean !== null) {
    return latentTable(config.latents_mean, config.latents_std, channels, `${files.dir}/config.json`);
  }
  if (files.statistics === undefined) {
    // The statistics of the published autoencoder are part of its code.
    const { mean, std } = WAN_2_1_LATENTS;
    const isPublished = network.family === 'wan-vae' && channels === mean.length;
    return isPublished ? latentTable(mean.slice(), std.slice(), channels, 'the published statistics') : undefined;
  }
  using file = openTensors(files.statistics);
  refuseCode(file);
  const keys = [...file.tensors.keys()];
  if (keys.length !== 2)
    throw new OrreryError(
      'model',
      `${files.statistics} holds ${keys.length} tensors, need two: mean and deviation of the latents`,
    );
  const numbers = keys.map((key) => Array.from(toNumbers(file, key)));
  return latentTable(numbers[0], numbers[1], channels, files.statistics);
}

function toNumbers(file: TensorSource, key: string): Float32Array {
  const { dtype } = file.tensors.get(key)!;
  return floatsOf(dtype, file.readBytes(key), `${file.path}: ${key}`);
}
