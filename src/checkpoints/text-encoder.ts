// The encoder of a T5 folder in the Hugging Face layout: its weights among those of the whole file, and whether they fit.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OrreryError } from '../base/index.ts';
import { openTensors } from '../formats/index.ts';
import { input } from '../graph/index.ts';
import { isUnusedT5Key, listWeights, type T5Config, t5Config, t5Encoder } from '../nets/index.ts';
import { compareKeys, type Misfit } from './fit.ts';
import { refuseCode } from './open.ts';
import type { CheckpointTensor, Expected } from './types.ts';

/** An opened text encoder. */
export type TextCheckpoint = {
  readonly path: string;
  readonly config: T5Config;
  /** The encoder's tensors under the network's keys. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  readonly expected: readonly Expected[];
  readonly misfit: Misfit;
  [Symbol.dispose](): void;
};

/** True for a folder whose `config.json` says T5. */
export function isTextEncoder(dir: string): boolean {
  try {
    const record = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as { model_type?: unknown };
    return record.model_type === 't5';
  } catch {
    return false;
  }
}

/** Opens the encoder in `dir`; close it after its tensors were read. */
export function openTextCheckpoint(dir: string): TextCheckpoint {
  const config = t5Config(recordOf(join(dir, 'config.json')));
  const file = ['model.safetensors.index.json', 'model.safetensors', 'pytorch_model.bin'].find((n) =>
    existsSync(join(dir, n)),
  );
  if (file === undefined) {
    throw new OrreryError(
      'model',
      `${dir}: no model.safetensors, index or pytorch_model.bin in it; fetch the text encoder again`,
    );
  }
  const source = openTensors(join(dir, file));
  try {
    refuseCode(source);
    const tensors = new Map<string, CheckpointTensor>();
    for (const [key, info] of source.tensors) {
      if (isUnusedT5Key(key) && key !== 'encoder.embed_tokens.weight') continue;
      // Files of the encoder alone have the embedding under its second name.
      const name = key === 'encoder.embed_tokens.weight' ? 'shared.weight' : key;
      const place = source.placeOf(key);
      tensors.set(name, { ...info, readBytes: () => source.readBytes(key), ...(place === undefined ? {} : { place }) });
    }
    const expected = listWeights((w) =>
      t5Encoder({ tokens: input('tokens', [1, 1], 'i64'), mask: input('mask', [1, 1]) }, config, w),
    );
    const misfit = compareKeys(tensors, expected);
    return { path: join(dir, file), config, tensors, expected, misfit, [Symbol.dispose]: () => source.close() };
  } catch (error) {
    source.close();
    throw error;
  }
}

function recordOf(path: string): Record<string, unknown> {
  if (!existsSync(path)) throw new OrreryError('model', `${path}: no such file; fetch the model again`);
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  } catch (cause) {
    throw new OrreryError('model', `${path} is not JSON; fetch it again`, { cause });
  }
}
