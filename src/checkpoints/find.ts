// From a path to the files of one checkpoint: a file, the folder of a component, a set of tensor-parallel pieces, a pair of
// TorchScript archives.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { OrreryError } from '../base/index.ts';

/** Files that make one checkpoint together. */
export type CheckpointFiles = {
  /** The path that was named. */
  readonly path: string;
  readonly dir: string;
  /** `parts`: joined key by key; `ranks`: tensor-parallel pieces in the order of their ranks. */
  readonly kind: 'parts' | 'ranks';
  readonly files: readonly string[];
  /** `config.json` beside the weights, where there is one. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** `mean_std.pt` beside the weights. */
  readonly statistics?: string;
};

const WEIGHTS = /\.(safetensors|pt|pth|ckpt|bin|jit)$/;
const RANK = /^(.*)_mp_(\d+)\.(pt|safetensors)$/;
const MAX_CONFIG_BYTES = 16_000_000;

/** Finds the files; refuses folders that hold several models, adapters, whole pipelines or nothing. */
export function findCheckpoint(path: string): CheckpointFiles {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw new OrreryError(
      'model',
      `${path}: no such file or folder; name a checkpoint file, its folder, or fetch one with: orrery models get`,
    );
  }
  if (stat.isFile()) return withSides(path, dirname(path), pickFile(path));
  return withSides(path, path, pickFiles(path, readdirSync(path).sort()));
}

type Picked = Pick<CheckpointFiles, 'kind' | 'files'>;

function pickFile(path: string): Picked {
  const rank = RANK.exec(basename(path));
  if (rank === null) return { kind: 'parts', files: [path] };
  const dir = dirname(path);
  const siblings = readdirSync(dir).filter((name) => RANK.exec(name)?.[1] === rank[1]);
  return ranks(dir, siblings, path);
}

function pickFiles(dir: string, names: readonly string[]): Picked {
  const whole = (name: string): Picked => ({ kind: 'parts', files: [join(dir, name)] });
  if (names.includes('adapter_config.json') || names.includes('adapter_model.safetensors')) throw adapter(dir);
  if (names.includes('model_index.json')) {
    const parts = names.filter((name) => existsSync(join(dir, name, 'config.json')) || WEIGHTS.test(name));
    throw new OrreryError(
      'model',
      `${dir} is a pipeline of several models; name one of them: ${parts.map((p) => join(dir, p)).join(', ')}`,
    );
  }
  if (names.includes('.metadata') || names.some((name) => name.endsWith('.distcp'))) {
    throw new OrreryError(
      'model',
      `${dir} is a sharded training checkpoint (.distcp), which only its trainer can join; export it there to one model.pt or to safetensors`,
    );
  }
  const indexes = names.filter((name) => name.endsWith('.safetensors.index.json'));
  if (indexes.length === 1) return whole(indexes[0]!);
  const pieces = names.filter((name) => RANK.test(name));
  if (pieces.length > 0) return ranks(dir, pieces, dir);
  const weights = names.filter(
    (name) => WEIGHTS.test(name) && !/^(image_)?mean_std\.pt$|^aux_vars\.pt$|_optim\.pt$/.test(name),
  );
  const shards = weights.filter((name) => /-\d{5}-of-\d{5}\.safetensors$/.test(name));
  if (shards.length > 0 && shards.length === weights.length) {
    throw new OrreryError(
      'model',
      `${dir}: ${shards.length} parts of a set without its index (${shards[0]!.replace(/-\d{5}-of-\d{5}\.safetensors$/, '.safetensors.index.json')}); fetch the index`,
    );
  }
  for (const name of ['model.safetensors', 'diffusion_pytorch_model.safetensors', 'model.pt', 'autoencoder.jit']) {
    if (weights.includes(name)) return whole(name);
  }
  const [encoder, decoder] = ['encoder', 'decoder'].map((end) =>
    weights.filter((name) => new RegExp(`(^|[._])${end.slice(0, 3)}(oder)?\\.jit$`).test(name)),
  );
  if (encoder!.length === 1 && decoder!.length === 1)
    return { kind: 'parts', files: [...encoder!, ...decoder!].map((name) => join(dir, name)) };
  if (encoder!.length + decoder!.length === 1 && weights.length === 1) {
    const there = encoder!.length === 1;
    throw new OrreryError(
      'model',
      `${dir} has ${weights[0]} but no ${there ? 'decoder' : 'encoder'}.jit, need both halves of the tokenizer; fetch the other one`,
    );
  }
  if (weights.length === 1) return whole(weights[0]!);
  if (weights.length === 0) {
    throw new OrreryError(
      'model',
      `${dir}: no weights in it (${names.slice(0, 5).join(', ') || 'it is empty'}), need .safetensors, .pt or .jit files; name the folder that has them`,
    );
  }
  throw new OrreryError(
    'model',
    `${dir} holds ${weights.length} checkpoints (${weights.slice(0, 4).join(', ')}${weights.length > 4 ? ', …' : ''}); name one of them`,
  );
}

function ranks(dir: string, names: readonly string[], path: string): Picked {
  const byRank = new Map(names.map((name) => [Number(RANK.exec(name)![2]), name]));
  const highest = Math.max(...byRank.keys());
  const lost = Array.from({ length: highest + 1 }, (_, i) => i).filter((i) => !byRank.has(i));
  const stems = new Set(names.map((name) => RANK.exec(name)![1]));
  if (stems.size > 1)
    throw new OrreryError(
      'model',
      `${path} holds pieces of ${stems.size} models (${[...stems].join(', ')}); name one piece of the model you mean`,
    );
  if (lost.length > 0) {
    const pattern = names[0]!.replace(/_mp_\d+/, '_mp_N');
    throw new OrreryError(
      'model',
      `${path}: pieces ${lost.join(', ')} of ${highest + 1} or more are missing (${pattern}); a model cut for several GPUs needs all of them`,
    );
  }
  return { kind: 'ranks', files: [...byRank].sort(([a], [b]) => a - b).map(([, name]) => join(dir, name)) };
}

function withSides(path: string, dir: string, picked: Picked): CheckpointFiles {
  const config = join(dir, 'config.json');
  const statistics = join(dir, 'mean_std.pt');
  return {
    path,
    dir,
    ...picked,
    ...(existsSync(config) ? { config: readConfig(config) } : {}),
    ...(existsSync(statistics) ? { statistics } : {}),
  };
}

/** A JSON object in a file. */
export function readConfig(path: string): Readonly<Record<string, unknown>> {
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined) throw new OrreryError('model', `${path}: no such file`);
  if (size > MAX_CONFIG_BYTES)
    throw new OrreryError('model', `${path} has ${size} bytes, need at most ${MAX_CONFIG_BYTES}`);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new OrreryError('model', `${path} is not JSON; fetch it again`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new OrreryError('model', `${path} holds no JSON object; fetch it again`);
  }
  return value as Record<string, unknown>;
}

/** The error for adapters. */
export function adapter(path: string, keys?: { readonly count: number; readonly example: string }): OrreryError {
  const found =
    keys === undefined
      ? 'an adapter (adapter_config.json)'
      : `an adapter: ${keys.count} of its keys are like ${keys.example}`;
  return new OrreryError(
    'model',
    `${path} is ${found}, need a whole model: a LoRA changes a base model and runs only with it; merge it into the base model where it was trained, or name the base model`,
  );
}
