// Model folders: `model.json` beside the weights it names. Found by name among the shipped ones or by path; files are
// checked for presence, size and SHA-256 before anything is loaded.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OrreryError } from '../base/index.ts';

/** Record of a model folder (`model.json`). */
export type ModelRecord = {
  readonly kind: string;
  readonly name: string;
  readonly parameters: number;
  readonly config: unknown;
  readonly files: Readonly<Record<string, { readonly sizeBytes: number; readonly sha256: string }>>;
};

/** The models that ship with the package; this file lies in src/worlds or dist/src/worlds. */
export function shippedModels(): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, 'package.json')) && dirname(dir) !== dir) dir = dirname(dir);
  return join(dir, 'models');
}

/** Finds a model by name or path and checks that its files are complete and unchanged. */
export function openModelFolder(model: string): { dir: string; record: ModelRecord } {
  const candidates = [join(shippedModels(), model), resolve(model)];
  const dir = candidates.find((c) => existsSync(join(c, 'model.json')));
  if (dir === undefined) {
    throw new OrreryError(
      'model',
      `model ${model}: no model.json in ${candidates.join(' or ')}; see: orrery models list`,
    );
  }
  let record: ModelRecord;
  try {
    record = JSON.parse(readFileSync(join(dir, 'model.json'), 'utf8')) as ModelRecord;
  } catch (cause) {
    throw new OrreryError(
      'model',
      `${join(dir, 'model.json')}: no valid JSON; restore the model folder from the package`,
      { cause },
    );
  }
  for (const [name, expected] of Object.entries(record.files ?? {})) {
    const path = join(dir, name);
    if (!existsSync(path))
      throw new OrreryError(
        'model',
        `${path} is missing (${expected.sizeBytes} bytes); restore the model folder from the package`,
      );
    const size = statSync(path).size;
    if (size !== expected.sizeBytes) {
      throw new OrreryError(
        'model',
        `${path} has ${size} bytes, ${expected.sizeBytes} expected; restore the model folder from the package`,
      );
    }
    const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    if (sha256 !== expected.sha256) {
      throw new OrreryError(
        'model',
        `${path} has been altered: sha256 ${sha256.slice(0, 12)}…, ${expected.sha256.slice(0, 12)}… expected; restore the model folder from the package`,
      );
    }
  }
  return { dir, record };
}
