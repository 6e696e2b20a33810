// Adapters: low-rank additions as small safetensors files, merged into checkpoints of any origin and taken out again.
// Names are those of public adapter files (`<weight>.lora_A.weight`, `<weight>.lora_B.weight`), so that both kinds are read.
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import {
  type DType,
  f32ToBfloat,
  f32ToHalf,
  InputError,
  type NdArray,
  OrreryError,
  sizeOf,
  throwIfAborted,
  toF32,
} from '../base/index.ts';
import {
  createSafetensorsWriter,
  makeFolder,
  openSafetensors,
  openTensors,
  writeSafetensors,
  writeTorchSteps,
} from '../formats/index.ts';
import { sha256OfFile } from '../hub/index.ts';
import { addProduct } from '../nets/text/lora.ts';
import type { WeightPlan } from './tuning.ts';

/** One low-rank addition: (alpha/rank)·B·A, B [rows, rank], A [rank, columns]; ranks may differ within an adapter. */
export type AdapterPart = {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly rank: number;
  readonly rows: number;
  readonly columns: number;
};

export type Adapter = {
  readonly path: string;
  readonly alpha: number;
  /** By the name of the weight, without ending. */
  readonly parts: ReadonlyMap<string, AdapterPart>;
  /** Weights that the adapter replaces in full, by name. */
  readonly replaced: ReadonlyMap<string, NdArray>;
};

/** What happens to one weight of a model. */
type Change =
  | { readonly kind: 'add'; readonly part: AdapterPart }
  | { readonly kind: 'replace'; readonly value: NdArray };

/**
 * Writes the low-rank factors of a training, and the weights it trained in full, as float32.
 * @param nameOf the name of a weight or factor in the file; undefined leaves it out
 */
export function writeAdapter(
  path: string,
  plan: WeightPlan,
  values: ReadonlyMap<string, Float32Array>,
  base: string,
  nameOf: (key: string) => string | undefined = (key) => key,
): void {
  if (plan.lora === undefined) throw new OrreryError('internal', 'an adapter was asked of a training without LoRA');
  writeSafetensors(
    path,
    plan.trained.flatMap(({ key, shape }) => {
      const name = nameOf(key);
      return name === undefined ? [] : [[name, { dtype: 'f32', shape, data: values.get(key)! }] as const];
    }),
    { rank: String(plan.lora.rank), alpha: String(plan.lora.alpha), base },
  );
}

const FACTOR = /^(?:base_model\.model\.)?(.+)\.lora_(A|B)(?:\.default)?\.weight$/;

/** Reads an adapter file, or the folder of a public one (`adapter_model.safetensors` with `adapter_config.json`). */
export function readAdapter(path: string, alpha?: number): Adapter {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const file = isFolder ? join(path, 'adapter_model.safetensors') : path;
  if (!existsSync(file)) throw new OrreryError('data', `${file}: no such adapter`);
  using source = openSafetensors(file);
  const factors = new Map<string, { a?: NdArray; b?: NdArray }>();
  const replaced = new Map<string, NdArray>();
  for (const name of source.tensors.keys()) {
    const match = FACTOR.exec(name);
    if (match === null) {
      replaced.set(name, source.read(name));
      continue;
    }
    const pair = factors.get(match[1]!) ?? {};
    if (match[2] === 'A') pair.a = source.read(name);
    else pair.b = source.read(name);
    factors.set(match[1]!, pair);
  }
  if (factors.size === 0) {
    throw new OrreryError('data', `${file}: no low-rank factors (names that end in .lora_A.weight and .lora_B.weight)`);
  }
  const parts = new Map<string, AdapterPart>();
  for (const [key, { a, b }] of factors) {
    if (a === undefined || b === undefined) {
      throw new OrreryError('data', `${file}: ${key} has only one of its two factors; write the adapter again`);
    }
    const rank = a.shape[0]!;
    if (b.shape[b.shape.length - 1] !== rank) {
      throw new OrreryError('data', `${file}: the factors of ${key} do not fit: A [${a.shape}], B [${b.shape}]`);
    }
    const [rows, columns] = [sizeOf(b.shape) / rank, sizeOf(a.shape) / rank];
    parts.set(key, { a: numbers(a), b: numbers(b), rank, rows, columns });
  }
  return { path: file, alpha: alpha ?? alphaOf(file, source.metadata), parts, replaced };
}

function alphaOf(file: string, metadata: ReadonlyMap<string, string>): number {
  const value = metadata.get('alpha') ?? publicAlpha(join(dirname(file), 'adapter_config.json'));
  const number = Number(value);
  if (value !== undefined && value !== '' && Number.isFinite(number)) return number;
  throw new InputError('alpha', {
    got: 'nothing',
    need: 'the alpha of the adapter: --alpha, or lora_alpha in adapter_config.json beside it',
    why: 'its file does not say how strong the addition is',
  });
}

/** `lora_alpha` of a public configuration; forms that scale by another rule are refused, they would merge with another strength. */
function publicAlpha(path: string): number | undefined {
  if (!existsSync(path)) return undefined;
  let config: { lora_alpha?: number; use_rslora?: boolean; use_dora?: boolean; alpha_pattern?: object };
  try {
    config = JSON.parse(readFileSync(path, 'utf8')) as typeof config;
  } catch (cause) {
    throw new OrreryError('data', `${path}: not JSON; fetch it again`, { cause });
  }
  const other = [
    ...(config.use_rslora === true ? ['use_rslora'] : []),
    ...(config.use_dora === true ? ['use_dora'] : []),
    ...(Object.keys(config.alpha_pattern ?? {}).length > 0 ? ['alpha_pattern'] : []),
  ];
  if (other.length > 0) {
    throw new OrreryError(
      'unsupported',
      `${path}: ${other.join(', ')}; only plain LoRA, alpha/rank·B·A, can be merged`,
    );
  }
  return config.lora_alpha;
}

function numbers(array: NdArray): Float32Array {
  if (array.dtype === 'f32' || array.dtype === 'f16' || array.dtype === 'bf16') return toF32(array);
  throw new OrreryError('unsupported', `a factor is ${array.dtype}; need f32, f16 or bf16`);
}

export type MergeEvent =
  | { readonly type: 'weight'; readonly name: string; readonly index: number; readonly total: number }
  | { readonly type: 'completed'; readonly dir: string; readonly merged: number; readonly maxChange: number };

/**
 * Writes a copy of a model folder with the adapter's additions in its weights (`sign` 1), or with them taken out again (`sign` −1:
 * exact up to the rounding of the weights' type). Any folder of safetensors files will do, of this package or public: weights are found
 * by the end of their names. Nothing appears under `target` before all of it is written.
 */
export async function* mergeAdapter(
  model: string,
  adapter: Adapter,
  target: string,
  { sign = 1, signal }: { readonly sign?: 1 | -1; readonly signal?: AbortSignal } = {},
): AsyncGenerator<MergeEvent> {
  if (existsSync(target)) {
    throw new InputError('target', { got: target, need: 'a new folder', why: 'there is something already' });
  }
  if (adapter.replaced.size > 0 && sign === -1) {
    throw new OrreryError(
      'unsupported',
      `${adapter.path} also holds ${adapter.replaced.size} weights in full (${[...adapter.replaced.keys()][0]}, …): what was there before is not in it and cannot be put back; take the model that it was merged into`,
    );
  }
  const files = filesOf(model);
  const places = placesOf(model, files, adapter);
  const half = `${target}.partial`;
  rmSync(half, { recursive: true, force: true });
  makeFolder(half);
  let maxChange = 0;
  let index = 0;
  try {
    for (const file of files) {
      throwIfAborted(signal);
      const to = join(half, relative(model, file));
      makeFolder(dirname(to));
      const own = places.get(file);
      if (own === undefined) {
        copyFileSync(file, to);
        continue;
      }
      const total = adapter.parts.size + adapter.replaced.size;
      const changed = (name: string, array: NdArray): NdArray => {
        const change = own.get(name)!;
        const made =
          change.kind === 'add'
            ? added(array, change.part, (sign * adapter.alpha) / change.part.rank)
            : replacedBy(array, change.value);
        maxChange = Math.max(maxChange, made.largest);
        return made.changed;
      };
      const steps = file.endsWith('.safetensors')
        ? rewriteSafetensors(file, to, own, changed, signal)
        : rewriteTorch(file, to, own, changed, signal);
      for (const name of steps) yield { type: 'weight', name, index: ++index, total };
    }
    updateRecord(half, adapter, sign);
    renameSync(half, target);
  } catch (error) {
    rmSync(half, { recursive: true, force: true });
    throw error;
  }
  yield { type: 'completed', dir: target, merged: index, maxChange };
}

type Changed = (name: string, array: NdArray) => NdArray;

/** A copy of a file with the changed weights in it; yields their names. */
function* rewriteSafetensors(
  file: string,
  to: string,
  own: ReadonlyMap<string, Change>,
  changed: Changed,
  signal: AbortSignal | undefined,
): Generator<string> {
  using source = openSafetensors(file);
  const specs = [...source.tensors].map(([name, { dtype, shape }]) => ({ name, dtype: dtype as DType, shape }));
  const writer = createSafetensorsWriter(to, specs, source.metadata);
  try {
    for (const { name } of specs) {
      throwIfAborted(signal);
      const array = source.read(name);
      writer.write(name, own.has(name) ? changed(name, array) : array);
      if (own.has(name)) yield name;
    }
    writer.close();
  } catch (error) {
    writer.abort();
    throw error;
  }
}

/** The same of a torch file, which becomes a flat dictionary of its tensors: what else is in it is no weight. */
function* rewriteTorch(
  file: string,
  to: string,
  own: ReadonlyMap<string, Change>,
  changed: Changed,
  signal: AbortSignal | undefined,
): Generator<string> {
  using source = openTensors(file);
  const list = [...source.tensors].map(([name, { dtype, shape }]) => ({
    name,
    dtype,
    shape,
    readBytes: () => {
      if (!own.has(name)) return source.readBytes(name);
      const { data } = changed(name, source.read(name));
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    },
  }));
  for (const name of writeTorchSteps(to, list)) {
    throwIfAborted(signal);
    if (own.has(name)) yield name;
  }
}

const isTorch = (path: string): boolean => /\.(pt|pth|ckpt|bin)$/.test(path) && !/mean_std\.pt$|_optim\.pt$/.test(path);

function filesOf(dir: string): string[] {
  if (statSync(dir, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new InputError('model', { got: dir, need: 'a model folder, or a folder of safetensors files' });
  }
  // Fetched models are links into a cache: what they point to counts.
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile())
    .sort();
}

/** For each file the changes of its weights. Every change must find exactly one weight of its size. */
function placesOf(model: string, files: readonly string[], adapter: Adapter): Map<string, Map<string, Change>> {
  const all: {
    readonly file: string;
    readonly name: string;
    readonly shape: readonly number[];
    readonly dtype: string;
  }[] = [];
  for (const file of files.filter((f) => f.endsWith('.safetensors') || isTorch(f))) {
    using source = file.endsWith('.safetensors') ? openSafetensors(file) : openTensors(file);
    for (const [name, { shape, dtype }] of source.tensors) all.push({ file, name, shape, dtype });
  }
  if (all.length === 0) {
    throw new OrreryError('unsupported', `${model} has no safetensors or torch file; name the folder of a model`);
  }
  const places = new Map<string, Map<string, Change>>();
  const changes: [string, Change][] = [
    ...[...adapter.parts].map(([key, part]): [string, Change] => [key, { kind: 'add', part }]),
    ...[...adapter.replaced].map(([key, value]): [string, Change] => [key, { kind: 'replace', value }]),
  ];
  for (const [key, change] of changes) {
    const exact = all.filter(({ name }) => name === key || name === `${key}.weight`);
    const found = exact.length > 0 ? exact : all.filter(({ name }) => isNamed(name, key));
    const where = `adapter ${basename(adapter.path)}: ${key}`;
    if (found.length !== 1) {
      const what = found.length === 0 ? 'no weight' : `${found.length} weights (${found[0]!.name}, ${found[1]!.name})`;
      throw new OrreryError('data', `${where}: ${model} has ${what} of this name; it was made for another model`);
    }
    const [{ file, name, shape, dtype }] = found as [(typeof all)[number]];
    const need = change.kind === 'add' ? [change.part.rows, change.part.columns] : change.value.shape;
    if (shape[0] !== need[0] || sizeOf(shape) !== sizeOf(need)) {
      throw new OrreryError(
        'data',
        `${where} is ${need.join('×')}, ${name} is [${shape}]; it was made for another model`,
      );
    }
    if (dtype !== 'f32' && dtype !== 'f16' && dtype !== 'bf16') {
      throw new OrreryError('unsupported', `${name} is ${dtype}; additions need f32, f16 or bf16 weights`);
    }
    const own = places.get(file) ?? new Map<string, Change>();
    own.set(name, change);
    places.set(file, own);
  }
  return places;
}

/** Whether a weight is the one of an adapter key but for a prefix on either side and `.weight` at the end. */
function isNamed(name: string, key: string): boolean {
  return [key, `${key}.weight`].some((k) => name.endsWith(`.${k}`) || k.endsWith(`.${name}`));
}

function added(array: NdArray, part: AdapterPart, factor: number): { changed: NdArray; largest: number } {
  const before = toF32(array);
  const sum = before.slice();
  addProduct(sum, part.b, part.a, part.rank, [part.rows, part.columns], factor);
  const largest = sum.reduce((most, v, i) => Math.max(most, Math.abs(v - before[i]!)), 0);
  const data = array.dtype === 'f32' ? sum : array.dtype === 'f16' ? f32ToHalf(sum) : f32ToBfloat(sum);
  return { changed: { dtype: array.dtype, shape: array.shape, data }, largest };
}

/** Values of another type become those of the weight. */
function replacedBy(array: NdArray, value: NdArray): { changed: NdArray; largest: number } {
  const [before, after] = [toF32(array), toF32(value)];
  const largest = after.reduce((most, v, i) => Math.max(most, Math.abs(v - before[i]!)), 0);
  const data = array.dtype === 'f32' ? after.slice() : array.dtype === 'f16' ? f32ToHalf(after) : f32ToBfloat(after);
  return { changed: { dtype: array.dtype, shape: array.shape, data }, largest };
}

/** A folder of this package lists its files with checksums: those of the changed ones are written anew. */
function updateRecord(dir: string, adapter: Adapter, sign: 1 | -1): void {
  const path = join(dir, 'model.json');
  if (!existsSync(path)) return;
  const record = JSON.parse(readFileSync(path, 'utf8')) as { files?: Record<string, unknown>; adapters?: string[] };
  for (const name of Object.keys(record.files ?? {})) {
    const file = join(dir, name);
    record.files![name] = { sizeBytes: statSync(file).size, sha256: sha256OfFile(file) };
  }
  record.adapters = [...(record.adapters ?? []), `${sign === 1 ? '+' : '-'}${basename(adapter.path)}`];
  // Scores were measured without the adapter.
  writeFileSync(path, `${JSON.stringify({ ...record, scores: null }, null, 2)}\n`);
}
