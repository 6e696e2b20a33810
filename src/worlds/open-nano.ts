// Opens orrery-nano with its tokenizer: model folders checked, graphs compiled, sessions loaded.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OrreryError } from '../base/index.ts';
import { compile } from '../graph/index.ts';
import { type ModelRecord, openModelFolder } from '../hub/index.ts';
import type { OrreryNanoConfig } from '../nets/orrery/nano.ts';
import { namedWeights } from '../nets/orrery/weights.ts';
import { wordIds } from '../nets/orrery/words.ts';
import { type Device, openRuntime, type Runtime } from '../runtime/index.ts';
import type { Actions } from './actions.ts';
import {
  type Given,
  type NanoRun,
  nanoFeeds,
  nanoGraph,
  type Sampling,
  WINDOW_FRAMES,
  type WindowSize,
} from './orrery-nano.ts';
import { type LatentStats, type LoadedTokenizer, loadTokenizer, weightsOf } from './orrery-tokenizer.ts';

type NanoConfigFile = OrreryNanoConfig & {
  readonly window: WindowSize;
  readonly stats: LatentStats;
  readonly vocabulary: readonly string[];
  readonly tokenizer: string;
  readonly sampling: Sampling;
};

export type OpenedNano = {
  readonly record: ModelRecord;
  readonly tokenizerRecord: ModelRecord;
  readonly config: OrreryNanoConfig;
  /** Size and rate of its videos, and how many frames it makes by default. */
  readonly window: WindowSize;
  readonly stats: LatentStats;
  /** Sampler settings that suit the model. */
  readonly sampling: Sampling;
  readonly tokenizer: LoadedTokenizer;
  readonly runtime: Runtime;
  /** The evaluation for one window and caption, and the actions of a model that is conditioned on them. */
  evaluate(given: Given, caption: string, actions?: Actions): NanoRun;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Size and rate of the videos of a model of this kind, from its record alone. */
export function windowOf(model: string): WindowSize {
  return recordOf(model).config.window;
}

function recordOf(model: string): { dir: string; record: ModelRecord; config: NanoConfigFile } {
  const { dir, record } = openModelFolder(model);
  if (record.kind !== 'orrery-nano') {
    throw new OrreryError(
      'unsupported',
      `model ${model} is a ${record.kind}; generate can run models of kind orrery-nano`,
    );
  }
  return { dir, record, config: record.config as NanoConfigFile };
}

/** Opens the model and loads it on a device. */
export async function openNano(
  model: string,
  options: { device?: Device; threads?: number } = {},
): Promise<OpenedNano> {
  const { dir, record, config: file } = recordOf(model);
  const { window, stats, vocabulary, tokenizer: tokenizerName, sampling, ...config } = file;
  const beside = join(dirname(dir), tokenizerName);
  const { dir: tokenizerDir, record: tokenizerRecord } = openModelFolder(
    existsSync(join(beside, 'model.json')) ? beside : tokenizerName,
  );
  const runtime = openRuntime(options);
  try {
    const tokenizer = await loadTokenizer(runtime, tokenizerDir, { ...window, frames: WINDOW_FRAMES });
    const graph = compile({ f: nanoGraph(config, namedWeights) }, { weights: weightsOf(dir), name: 'orrery-nano' });
    const session = await runtime.load(graph, { folder: dir });
    const lookup = new Map(vocabulary.map((w, i) => [w, i]));
    return {
      record,
      tokenizerRecord,
      config,
      window,
      stats,
      sampling,
      tokenizer,
      runtime,
      evaluate(given, caption, actions) {
        const words = wordIds(caption, lookup, config.textLength);
        return async (x, cNoise) =>
          (await session.run(nanoFeeds(config, { x, given, cNoise, words, actions }))).f!.data as Float32Array;
      },
      [Symbol.asyncDispose]: () => runtime.dispose(),
    };
  } catch (error) {
    await runtime.dispose();
    throw error;
  }
}
