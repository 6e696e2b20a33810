// Reads weight files of public guard models: safetensors, sharded safetensors, torch archives; nothing in them is run.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type NdArray, OrreryError } from '../base/index.ts';
import { openTensors } from '../formats/index.ts';

/** All tensors of a file by key; a torch archive may hold them under `model` or `state_dict`. */
export function* readTensors(path: string): Generator<[string, NdArray]> {
  using file = openTensors(path);
  const keys = [...file.tensors.keys()];
  const wrapper = ['model.', 'state_dict.'].find(
    (prefix) => !path.endsWith('.safetensors') && keys.every((k) => k.startsWith(prefix)),
  );
  for (const key of keys) yield [wrapper === undefined ? key : key.slice(wrapper.length), file.read(key)];
}

/** Weight files of a model folder in the Hugging Face layout: one file, or the shards of an index. */
export function weightFiles(folder: string): string[] {
  const index = join(folder, 'model.safetensors.index.json');
  if (existsSync(index)) {
    const map = (JSON.parse(readFileSync(index, 'utf8')) as { weight_map?: Record<string, string> }).weight_map ?? {};
    const files = [...new Set(Object.values(map))];
    if (files.length > 0 && files.every((f) => /^[\w.-]+\.safetensors$/.test(f)))
      return files.map((f) => join(folder, f));
    throw new OrreryError('model', `${index}: need a weight_map of plain .safetensors names`);
  }
  const single = join(folder, 'model.safetensors');
  if (existsSync(single)) return [single];
  throw new OrreryError('model', `${folder}: no model.safetensors and no model.safetensors.index.json`);
}
