// The networks of this package's own models: what a record of them must hold.
import { OrreryError } from '../base/index.ts';
import { input, type Tensor } from '../graph/index.ts';
import type { ModelRecord } from '../hub/index.ts';
import { listWeights, type Weights } from '../nets/index.ts';
import { type NanoInputs, nano, type OrreryNanoConfig } from '../nets/orrery/nano.ts';
import { cellsOf, decode, encode, gridOf, type OrreryTokenizerConfig } from '../nets/orrery/tokenizer.ts';
import type { Expected } from './types.ts';

/** Config of a tokenizer of this package. */
export function ownTokenizer(record: ModelRecord): OrreryTokenizerConfig {
  const config = record.config as OrreryTokenizerConfig;
  requireNumbers(record, ['patch', 'timePatch', 'channels', 'width', 'encoderBlocks', 'decoderBlocks', 'smoothing']);
  return config;
}

/** Config of a world model of this package. */
export function ownWorld(record: ModelRecord): OrreryNanoConfig {
  requireNumbers(record, [
    'channels',
    'context',
    'patch',
    'width',
    'heads',
    'blocks',
    'mlpRatio',
    'cellWidth',
    'cellBlocksIn',
    'cellBlocksOut',
    'textWidth',
    'textLength',
    'textBlocks',
    'words',
  ]);
  const { grid } = record.config as OrreryNanoConfig;
  if (![grid?.t, grid?.h, grid?.w].every((v) => Number.isInteger(v) && v > 0))
    throw wrong(record, 'grid', grid, 'whole numbers t, h and w');
  return record.config as OrreryNanoConfig;
}

function requireNumbers(record: ModelRecord, names: readonly string[]): void {
  const config = (record.config ?? {}) as Readonly<Record<string, unknown>>;
  for (const name of names) {
    const value = config[name];
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
      throw wrong(record, name, value, 'a number from 0');
  }
}

const wrong = (record: ModelRecord, name: string, got: unknown, need: string): OrreryError =>
  new OrreryError(
    'model',
    `${record.name}: model.json: config.${name} is ${JSON.stringify(got)}, need ${need}; restore the model folder from the package`,
  );

/** Inputs of the world network for one sample. */
export function worldInputs(c: OrreryNanoConfig): NanoInputs {
  const cells = cellsOf(c.grid);
  return {
    x: input('x', [1, cells, c.channels]),
    base: input('base', [1, cells, c.channels]),
    context: input('context', [1, c.context * c.grid.h * c.grid.w, c.channels]),
    given: input('given', [1, 3]),
    noise: input('noise', [1, 1]),
    words: input('words', [1, c.textLength], 'i64'),
  };
}

/** The network F. */
export const worldNetwork = (c: OrreryNanoConfig, weights: Weights): Tensor => nano(worldInputs(c), c, weights);

/** Every weight of a model of this package; undefined for other kinds. */
export function ownWeights(record: ModelRecord): Expected[] | undefined {
  if (record.kind === 'orrery-nano') {
    const c = ownWorld(record);
    return listWeights((w) => worldNetwork(c, w));
  }
  if (record.kind !== 'orrery-tokenizer') return undefined;
  const c = ownTokenizer(record);
  const [frames, size] = [1 + c.timePatch, 2 * c.patch];
  return listWeights((w) => {
    encode(input('frames', [1, frames, size, size, 3], 'u8'), c, w);
    const grid = gridOf(c, frames, size, size);
    return decode(input('latents', [1, cellsOf(grid), c.channels]), c, grid, w);
  });
}
