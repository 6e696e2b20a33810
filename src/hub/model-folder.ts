// Model folders: `model.json` beside the weights it names. Found by name among the shipped ones or by path; files are
// checked for presence, size and SHA-256 before anything is loaded.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type NdArray, OrreryError, sizeOf } from '../base/index.ts';
import { openSafetensors, type StoredDType, writeFileAtomic, writeSafetensors } from '../formats/index.ts';
import { cachedSha256, sha256OfFile, sha256Steps } from './checksums.ts';
import { PACKAGE_ROOT } from './package-info.ts';
import { type FileRecord, type ModelRecord, parseModelRecord } from './record.ts';

/** A model folder whose record was checked. */
export type ModelFolder = { readonly dir: string; readonly record: ModelRecord };

/** Options of `openModelFolder`. */
export type OpenModelOptions = {
  /**
   * How its files are checked. "cached" (default): presence, size and SHA-256, the sum remembered for unchanged files;
   * "full": computed anew; "size": presence and size only.
   */
  readonly verify?: 'cached' | 'full' | 'size';
};

/** Longest `model.json`, in bytes. */
const MAX_RECORD_BYTES = 16_000_000;

/** The folder of the models that ship with the package. */
export const shippedModels = (): string => join(PACKAGE_ROOT, 'models');

/** Finds a model by name or path and checks that its files are complete and unchanged. */
export function openModelFolder(model: string, { verify = 'cached' }: OpenModelOptions = {}): ModelFolder {
  const folder = readModelFolder(model);
  for (const [path, expected] of filesOf(folder)) {
    checkPresent(path, expected);
    if (verify === 'size') continue;
    checkSum(path, verify === 'full' ? sha256OfFile(path) : cachedSha256(path), expected);
  }
  return folder;
}

/** Finds a model and checks its record only; its files may be missing. */
export function readModelFolder(model: string): ModelFolder {
  const candidates = [join(shippedModels(), model), resolve(model)];
  const dir = candidates.find((c) => existsSync(join(c, 'model.json')));
  if (dir === undefined) {
    throw new OrreryError(
      'model',
      `model ${model}: no model.json in ${candidates.join(' or ')}; see: orrery models list`,
    );
  }
  const path = join(dir, 'model.json');
  const { size } = statSync(path);
  if (size > MAX_RECORD_BYTES) {
    throw new OrreryError('model', `${path} has ${size} bytes, need at most ${MAX_RECORD_BYTES}`);
  }
  return { dir, record: parseModelRecord(readFileSync(path, 'utf8'), path) };
}

/** Yielded while files are hashed. */
export type VerifyEvent = {
  readonly type: 'progress' | 'file';
  readonly file: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
};

/** Hashes every file anew without blocking for long; throws at the first that is missing or altered. */
export async function* verifyModelFolder(model: string, signal?: AbortSignal): AsyncGenerator<VerifyEvent> {
  const folder = readModelFolder(model);
  for (const [path, expected, file] of filesOf(folder)) {
    checkPresent(path, expected);
    const totalBytes = expected.sizeBytes;
    const steps = sha256Steps(path, signal);
    let step = await steps.next();
    for (; !step.done; step = await steps.next()) yield { type: 'progress', file, doneBytes: step.value, totalBytes };
    checkSum(path, step.value, expected);
    yield { type: 'file', file, doneBytes: totalBytes, totalBytes };
  }
}

function filesOf({ dir, record }: ModelFolder): [path: string, expected: FileRecord, name: string][] {
  return Object.entries(record.files).map(([name, expected]) => [join(dir, name), expected, name]);
}

function checkPresent(path: string, { sizeBytes }: FileRecord): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isFile()) {
    throw new OrreryError(
      'model',
      `${path} is missing (${sizeBytes} bytes); restore the model folder from the package`,
    );
  }
  if (found.size !== sizeBytes) {
    throw new OrreryError(
      'model',
      `${path} has ${found.size} bytes, ${sizeBytes} expected; restore the model folder from the package`,
    );
  }
}

function checkSum(path: string, sha256: string, expected: FileRecord): void {
  if (sha256 === expected.sha256) return;
  throw new OrreryError(
    'model',
    `${path} has been altered: sha256 ${sha256.slice(0, 12)}…, ${expected.sha256.slice(0, 12)}… expected; restore the model folder from the package`,
    { details: { path, found: sha256, expected: expected.sha256 } },
  );
}

/** One line of a model list. */
export type ModelSummary = {
  readonly name: string;
  readonly dir: string;
  readonly kind: string;
  readonly parameters: number;
  /** Bytes of all files together. */
  readonly sizeBytes: number;
  readonly licence: string;
  /** Why it cannot be used; absent when it is whole. */
  readonly problem?: string;
};

/** Every model folder directly below `root` (default: the shipped ones), by name; damaged ones are listed with their problem. */
export function listModels(root: string = shippedModels(), options: OpenModelOptions = {}): ModelSummary[] {
  if (!existsSync(root)) return [];
  const names = readdirSync(root).filter((name) => existsSync(join(root, name, 'model.json')));
  return names.sort().map((name) => {
    const dir = join(root, name);
    let summary: ModelSummary = { name, dir, kind: 'unknown', parameters: 0, sizeBytes: 0, licence: 'unknown' };
    try {
      const { kind, parameters, licence = 'unknown', files } = readModelFolder(dir).record;
      const sizeBytes = Object.values(files).reduce((sum, file) => sum + file.sizeBytes, 0);
      summary = { name, dir, kind, parameters, sizeBytes, licence };
      openModelFolder(dir, options);
      return summary;
    } catch (error) {
      if (!(error instanceof OrreryError)) throw error;
      return { ...summary, problem: error.message };
    }
  });
}

/** What `inspectModel` finds. */
export type ModelReport = ModelFolder & {
  /** Tensors of all safetensors files, in the order of their bytes. */
  readonly tensors: readonly {
    readonly file: string;
    readonly name: string;
    readonly dtype: StoredDType;
    readonly shape: readonly number[];
  }[];
  /** Elements of all tensors, counted. */
  readonly parameters: number;
  /** Elements by type, such as { f16: 1249296 }. */
  readonly byType: Readonly<Record<string, number>>;
};

/** Record and tensors of a model. Reads headers, no values; checks presence and size of files. */
export function inspectModel(model: string): ModelReport {
  const folder = openModelFolder(model, { verify: 'size' });
  const tensors = Object.keys(folder.record.files)
    .filter((file) => file.endsWith('.safetensors'))
    .flatMap((file) => {
      using opened = openSafetensors(join(folder.dir, file));
      return [...opened.tensors].map(([name, { dtype, shape }]) => ({ file, name, dtype, shape }));
    });
  const byType: Record<string, number> = {};
  for (const { dtype, shape } of tensors) byType[dtype] = (byType[dtype] ?? 0) + sizeOf(shape);
  return { ...folder, tensors, parameters: Object.values(byType).reduce((a, b) => a + b, 0), byType };
}

/** What a new model says about itself; files, sizes and sums are added when it is written. */
export type ModelDescription = Omit<ModelRecord, 'files' | 'parameters' | 'version'> & {
  /** Text of the model card, `README.md`: data, recipe, scores, limits. */
  readonly card?: string;
};

/**
 * Writes `model.safetensors`, the card and, last, `model.json`. Each file appears whole or not at all; a folder that was left
 * between two of them does not pass `openModelFolder`.
 */
export function writeModelFolder(
  dir: string,
  { card, ...description }: ModelDescription,
  tensors: Iterable<readonly [string, NdArray]>,
): ModelRecord {
  const list = [...tensors];
  const path = join(dir, 'model.safetensors');
  writeSafetensors(path, list, { kind: description.kind, name: description.name });
  if (card !== undefined) writeFileAtomic(join(dir, 'README.md'), card);
  const parameters = list.reduce((n, [, { shape }]) => n + sizeOf(shape), 0);
  const files = { 'model.safetensors': { sizeBytes: statSync(path).size, sha256: sha256OfFile(path) } };
  const record = { version: 1, ...description, parameters, files };
  const text = `${JSON.stringify(record, null, 2)}\n`;
  const checked = parseModelRecord(text, join(dir, 'model.json'));
  writeFileAtomic(join(dir, 'model.json'), text);
  return checked;
}
