// Reads weight files of public guard models: safetensors, sharded safetensors, or torch archives through a reader that runs nothing.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type NdArray, OrreryError } from '../base/index.ts';
import { openSafetensors } from '../formats/index.ts';

/** All tensors of a file by key. */
export function* readTensors(path: string): Generator<[string, NdArray]> {
  if (!path.endsWith('.safetensors')) {
    throw new OrreryError(
      'unsupported',
      `${path}: need a .safetensors file; write a .pt or .pth file out once as safetensors with the tool that made it`,
    );
  }
  using file = openSafetensors(path);
  for (const key of file.tensors.keys()) yield [key, file.read(key)];
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
