// The default semantic classifier: a small network over words, with thresholds chosen on our own texts.
import { join } from 'node:path';
import { z } from 'zod';
import { f32, type GuardCategory, type NdArray, OrreryError, toF32 } from '../../base/index.ts';
import { openSafetensors } from '../../formats/index.ts';
import { add, compile, input, mul } from '../../graph/index.ts';
import type { ModelFolder } from '../../hub/index.ts';
import { namedWeights, type PromptNetConfig, promptNet, scoped } from '../../nets/index.ts';
import { openRuntime, type Runtime, type Session } from '../../runtime/index.ts';
import { CATEGORY_CODES } from '../categories.ts';
import { type FeatureConfig, fillWindow, windowStarts, wordIds } from './features.ts';
import type { Language } from './languages.ts';
import { type PromptArithmetic, promptArithmetic } from './prompt-arithmetic.ts';
import type { ReadingKnowledge, Word } from './read.ts';

const count = z.int().positive();

/** Sizes of the network, in recipes and model records. */
export const promptNetConfig = z.strictObject({
  words: count,
  ids: count,
  table: count,
  width: count,
  channels: count,
  hidden: count,
  outputs: z.literal(1 + CATEGORY_CODES.length),
});

/** `config` of the model record. */
export const promptModelConfig = z.object({
  net: promptNetConfig,
  /** Networks whose logits are averaged; keys of the second one start with "1.", and so on. */
  members: z.int().min(1).max(4).default(1),
  /** Concept ids at the front of the table. */
  concepts: count,
  /** Calibration: probability = sigmoid(slope·logit + offset + languages[language]), fitted on held-out texts. */
  slope: z.number().positive(),
  offset: z.number(),
  languages: z.record(z.string(), z.number()).default({}),
  /** Unsafe from this probability on. */
  threshold: z.number().gt(0).lt(1),
});
export type PromptModelConfig = z.output<typeof promptModelConfig>;

/** What the classifier thinks of a text. */
export type PromptScore = {
  /** Calibrated probability of "unsafe", the highest of all windows, 0…1. */
  readonly probability: number;
  /** Likeliest category of that window. */
  readonly category: GuardCategory;
  /**
   * Score of every category O1…O13, 0…1, each the highest of all windows. The likeliest category of a window has its
   * probability of "unsafe"; another one has as much of it as its own sigmoid has of the likeliest one's.
   */
  readonly categories: readonly number[];
};

export type PromptClassifier = {
  readonly version: string;
  readonly threshold: number;
  /** @param concepts of each word, when they are known already */
  score(words: readonly Word[], concepts?: readonly (readonly number[])[]): Promise<PromptScore>;
  dispose(): Promise<void>;
};

/** Windows of one engine run; texts of fewer than `PLAIN` windows are summed here and need no engine. */
const BATCH = 32;
const PLAIN = 8;

/** The sizes of the input that belong to a network. */
export const featuresOf = ({ net, concepts }: Pick<PromptModelConfig, 'net' | 'concepts'>): FeatureConfig => ({
  words: net.words,
  ids: net.ids,
  table: net.table,
  concepts,
});

/** Opens the classifier of a guard model folder. */
export async function openPromptClassifier(
  folder: ModelFolder,
  knowledge: ReadingKnowledge,
): Promise<PromptClassifier> {
  const parsed = promptModelConfig.safeParse(folder.record.config);
  if (!parsed.success || folder.record.kind !== 'orrery-guard') {
    throw new OrreryError(
      'model',
      `${folder.dir}: no guard model (kind ${folder.record.kind}); name a folder such as orrery-guard`,
    );
  }
  const config = parsed.data;
  const features = featuresOf(config);
  const weights = new Map<string, NdArray>();
  {
    using file = openSafetensors(join(folder.dir, 'model.safetensors'));
    for (const key of file.tensors.keys()) weights.set(key, file.read(key));
  }
  const logitsOf = meanArithmetic(config, weights);
  const engine = openEngine(config, weights);
  const each = features.words * features.ids;
  return {
    version: folder.record.name,
    threshold: config.threshold,
    async score(words, concepts) {
      if (words.length === 0) return NOTHING;
      const rows = wordIds(words, knowledge.lexicon, features, concepts);
      const starts = windowStarts(rows.length, features.words);
      let best: Omit<PromptScore, 'categories'> = { probability: -1, category: '-' };
      const categories = new Array<number>(CATEGORY_CODES.length).fill(0);
      const take = (logits: Float32Array, start: number): void => {
        const language = mainLanguage(words, start, features.words);
        const one = scoreOf(logits, config, config.languages[language] ?? 0);
        if (one.probability > best.probability) best = { probability: one.probability, category: one.category };
        for (const [k, score] of one.categories.entries()) categories[k] = Math.max(categories[k]!, score);
      };
      if (starts.length < PLAIN) {
        for (const start of starts) {
          const ids = new Int32Array(each);
          fillWindow(ids, rows, start, features);
          take(logitsOf(ids), start);
        }
        return { ...best, categories };
      }
      for (let at = 0; at < starts.length; at += BATCH) {
        const part = starts.slice(at, at + BATCH);
        const ids = new Int32Array(BATCH * each);
        for (const [i, start] of part.entries())
          fillWindow(ids.subarray(i * each, (i + 1) * each), rows, start, features);
        const logits = await engine.run(ids);
        const { outputs } = config.net;
        for (const [i, start] of part.entries()) take(logits.subarray(i * outputs, (i + 1) * outputs), start);
      }
      return { ...best, categories };
    },
    dispose: () => engine.dispose(),
  };
}

const NOTHING: PromptScore = { probability: 0, category: '-', categories: CATEGORY_CODES.map(() => 0) };

/** Key of a weight of a member. */
export const memberKey = (key: string, member: number): string => (member === 0 ? key : `${member}.${key}`);

/** Mean logits of all members in plain arithmetic. */
function meanArithmetic({ net, members }: PromptModelConfig, weights: ReadonlyMap<string, NdArray>): PromptArithmetic {
  const all = Array.from({ length: members }, (_, m) => promptArithmetic(net, weights, (key) => memberKey(key, m)));
  if (all.length === 1) return all[0]!;
  const mean = new Float32Array(net.outputs);
  return (ids) => {
    mean.fill(0);
    for (const one of all) for (const [k, logit] of one(ids).entries()) mean[k]! += logit / members;
    return mean;
  };
}

/** The network in the engine, for long texts; nothing is loaded before the first of them. */
function openEngine(
  { net, members }: PromptModelConfig,
  weights: ReadonlyMap<string, NdArray>,
): { run(ids: Int32Array): Promise<Float32Array>; dispose(): Promise<void> } {
  let runtime: Runtime | undefined;
  let session: Promise<Session> | undefined;
  const load = (): Promise<Session> => {
    // Widened once, not in every run.
    const wide = new Map([...weights].map(([key, value]) => [key, f32(value.shape, toF32(value))] as const));
    runtime = openRuntime({ threads: 1 });
    return runtime.load(graphOf(net, BATCH, wide, members));
  };
  return {
    async run(ids) {
      session ??= load();
      const fed: NdArray = { dtype: 'i32', shape: [BATCH, net.words, net.ids], data: ids };
      const { logits } = await (await session).run({ ids: fed }, { moveFeeds: true });
      return logits!.data as Float32Array;
    },
    async dispose() {
      await runtime?.dispose();
    },
  };
}

/** The network as a graph with its weights inside; the mean of several members. */
export function graphOf(net: PromptNetConfig, batch: number, weights: ReadonlyMap<string, NdArray>, members = 1) {
  const ids = input('ids', [batch, net.words, net.ids], 'i32');
  const each = Array.from({ length: members }, (_, m) =>
    promptNet(ids, net, m === 0 ? namedWeights : scoped(namedWeights, `${m}`)),
  );
  return compile(
    {
      logits: mul(
        each.reduce((a, b) => add(a, b)),
        1 / members,
      ),
    },
    {
      name: 'orrery-guard',
      weights: (name) => {
        const value = weights.get(name);
        if (value === undefined)
          throw new OrreryError('model', `the guard model has no weight ${name}; restore its folder`);
        return { kind: 'value', value };
      },
    },
  );
}

/** The language of most words of a window. */
function mainLanguage(words: readonly Word[], start: number, length: number): Language {
  const counts = new Map<Language, number>();
  let best: Language = 'en';
  for (let i = start; i < Math.min(words.length, start + length); i++) {
    const { language } = words[i]!;
    const count = (counts.get(language) ?? 0) + 1;
    counts.set(language, count);
    if (count > (counts.get(best) ?? 0)) best = language;
  }
  return best;
}

/** Throws on NaN: a network that gives no numbers decides nothing. */
function scoreOf(logits: Float32Array, { slope, offset, net }: PromptModelConfig, shift: number): PromptScore {
  const probability = 1 / (1 + Math.exp(-(slope * logits[0]! + offset + shift)));
  let category = 1;
  for (let k = 1; k < net.outputs; k++) if (logits[k]! > logits[category]!) category = k;
  if (!Number.isFinite(probability) || !Number.isFinite(logits[category]!)) {
    throw new OrreryError('model', 'the prompt classifier gave NaN; its weights are damaged, restore the model folder');
  }
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  const most = sigmoid(logits[category]!);
  const categories = CATEGORY_CODES.map((_, k) => (probability * sigmoid(logits[k + 1]!)) / most);
  return { probability, category: CATEGORY_CODES[category - 1]!, categories };
}
