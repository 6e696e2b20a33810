// Opens orrery-nano with its tokenizer: model folders checked, graphs compiled, sessions loaded.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OrreryError } from '../base/index.ts';
import { compile } from '../graph/index.ts';
import type { OrreryNanoConfig } from '../nets/orrery/nano.ts';
import { namedWeights } from '../nets/orrery/weights.ts';
import { wordIds } from '../nets/orrery/words.ts';
import { type Device, openRuntime, type Runtime } from '../runtime/index.ts';
import { type Condition, type NanoRun, nanoFeeds, nanoGraph, type WindowSize } from './orrery-nano.ts';
import { type LatentStats, type LoadedTokenizer, loadTokenizer, weightsOf } from './orrery-tokenizer.ts';

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

type NanoConfigFile = OrreryNanoConfig & {
  readonly window: WindowSize;
  readonly stats: LatentStats;
  readonly vocabulary: readonly string[];
  readonly tokenizer: string;
};

export type OpenedNano = {
  readonly record: ModelRecord;
  readonly tokenizerRecord: ModelRecord;
  readonly config: OrreryNanoConfig;
  readonly window: WindowSize;
  readonly stats: LatentStats;
  readonly tokenizer: LoadedTokenizer;
  readonly runtime: Runtime;
  /** The evaluation for one window and caption. */
  evaluate(base: Float32Array, condition: Condition, caption: string): NanoRun;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Opens the model and loads it on a device. */
export async function openNano(
  model: string,
  options: { device?: Device; threads?: number } = {},
): Promise<OpenedNano> {
  const { dir, record } = openModelFolder(model);
  if (record.kind !== 'orrery-nano') {
    throw new OrreryError(
      'unsupported',
      `model ${model} is a ${record.kind}; generate can run models of kind orrery-nano`,
    );
  }
  const { window, stats, vocabulary, tokenizer: tokenizerName, ...config } = record.config as NanoConfigFile;
  const beside = join(dirname(dir), tokenizerName);
  const { dir: tokenizerDir, record: tokenizerRecord } = openModelFolder(
    existsSync(join(beside, 'model.json')) ? beside : tokenizerName,
  );
  const runtime = openRuntime(options);
  try {
    const tokenizer = await loadTokenizer(runtime, tokenizerDir, window);
    const graph = compile({ f: nanoGraph(config, namedWeights) }, { weights: weightsOf(dir), name: 'orrery-nano' });
    const session = await runtime.load(graph, { folder: dir });
    const lookup = new Map(vocabulary.map((w, i) => [w, i]));
    return {
      record,
      tokenizerRecord,
      config,
      window,
      stats,
      tokenizer,
      runtime,
      evaluate(base, condition, caption) {
        const words = wordIds(caption, lookup, config.textLength);
        return async (x, cNoise) =>
          (await session.run(nanoFeeds(config, { x, base, condition, cNoise, words }))).f!.data as Float32Array;
      },
      [Symbol.asyncDispose]: () => runtime.dispose(),
    };
  } catch (error) {
    await runtime.dispose();
    throw error;
  }
}
