// Trains the prompt classifier by a recipe: word files, cross-validation over building blocks for calibration and threshold,
// then the network on all blocks, and the model folder. Runs resume; folds that are done are not repeated.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import {
  f32ToHalf,
  InputError,
  type NdArray,
  needOf,
  OrreryError,
  type SchemaIssue,
  sizeOf,
  throwIfAborted,
} from '../../base/index.ts';
import { writeFileAtomic, writeSafetensors } from '../../formats/index.ts';
import { input } from '../../graph/index.ts';
import { parseModelRecord, sha256OfFile } from '../../hub/index.ts';
import { listWeights, promptNet } from '../../nets/index.ts';
import { averagedWeights, optimizerSettings, runTraining, type TrainEvent } from '../../training/index.ts';
import { KNOWLEDGE_FILES, loadKnowledge } from '../knowledge.ts';
import { parseLexicon } from '../text/lexicon.ts';
import { featuresOf, memberKey, promptNetConfig } from '../text/prompt-classifier.ts';
import { areaUnderCurve, balancedThreshold, calibrated, fitCalibration, ratesAt } from './calibrate.ts';
import { type Block, partOf, readBlocks } from './corpus.ts';
import { guardCard } from './guard-card.ts';
import { plainWords, prepareWords } from './prepare.ts';
import { promptTask, type Scored } from './prompt-task.ts';
import { requireSameRun } from './same-run.ts';

const count = z.int().positive();
const positive = z.number().positive();

export const guardRecipe = z.strictObject({
  kind: z.literal('guard'),
  name: z.string().regex(/^[a-z0-9][a-z0-9-]*$/),
  /** Folder of the building blocks, relative to the recipe. */
  corpus: z.string(),
  /** Lexicon that is copied into the model folder first; default: the one that lies there. Relative to the recipe. */
  lexicon: z.string().min(1).optional(),
  /** Folder with the lexicon and the lists; gets the trained model. Relative to the recipe. */
  model: z.string(),
  /** Distinct texts of a training set. */
  texts: count,
  seed: z.int().nonnegative(),
  batch: count,
  steps: count,
  /** Parts of the blocks, how many of them are held out in turn (default: each), steps of each run, texts scored in each. */
  crossValidation: z
    .strictObject({ parts: z.int().min(2), heldOut: count.optional(), steps: count, texts: count })
    .refine(({ parts, heldOut = parts }) => heldOut <= parts, 'need heldOut no larger than parts'),
  /** Networks whose logits are averaged, trained alike from seeds `seed`, `seed` + 1, … */
  members: z.int().min(1).max(4).default(1),
  /** Misses per refusal at the chosen threshold. */
  missesPerRefusal: positive,
  net: promptNetConfig,
  concepts: count,
  schedule: z.strictObject({
    lr: positive,
    warmup: z.int().nonnegative(),
    decayFrom: z.number().min(0).max(1),
    floor: z.number().min(0).max(1),
    ema: z.number().min(0).max(1),
  }),
  optimizer: optimizerSettings,
});
export type GuardRecipe = z.output<typeof guardRecipe>;

export type TrainGuardEvent =
  | (TrainEvent & { readonly part: string })
  | { readonly type: 'words'; readonly known: number; readonly vocabulary: number; readonly blocks: number }
  | { readonly type: 'exported'; readonly dir: string; readonly threshold: number; readonly auc: number };

export type TrainGuardOptions = {
  /** Folder of checkpoints and fold scores. */
  readonly out: string;
  readonly threads?: number;
  readonly signal?: AbortSignal;
};

/** Reads and checks a recipe. */
export function readGuardRecipe(path: string): GuardRecipe {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new OrreryError('data', `${path}: no readable recipe (${(cause as Error).message})`, { cause });
  }
  const parsed = guardRecipe.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new InputError(`${path}: ${issue.path.join('.') || 'recipe'}`, {
    got: issue.path.reduce<unknown>((v, key) => (v as Record<PropertyKey, unknown> | undefined)?.[key], value),
    need: needOf(issue as SchemaIssue),
  });
}

/** Trains by a recipe; yields events. */
export async function* trainGuard(path: string, options: TrainGuardOptions): AsyncGenerator<TrainGuardEvent> {
  const recipe = readGuardRecipe(path);
  const at = (folder: string): string => resolve(dirname(path), folder);
  const dir = at(recipe.model);
  const blocks = readBlocks(at(recipe.corpus));
  const ownLexicon = join(dir, KNOWLEDGE_FILES.lexicon);
  const source = recipe.lexicon === undefined ? ownLexicon : at(recipe.lexicon);
  const lexicon = readFileSync(source, 'utf8');
  const { concepts } = parseLexicon(lexicon, source);
  if (concepts.length > recipe.concepts) {
    const need = `at least ${concepts.length}, the concepts of ${source}`;
    throw new InputError(`${path}: concepts`, { got: recipe.concepts, need });
  }
  requireSameRun(options.out, [recipe, blocks.map((b) => ({ ...b, slots: [...b.slots] })), lexicon]);
  if (source !== ownLexicon) writeFileAtomic(ownLexicon, lexicon);
  yield { type: 'words', ...prepareWords(dir, blocks), blocks: blocks.length };
  const plain = plainWords(dir);
  const knowledge = loadKnowledge(dir);
  const { parts, heldOut: folds = parts, steps: foldSteps, texts: heldOutTexts } = recipe.crossValidation;
  const run = async function* (
    part: string,
    steps: number,
    train: readonly Block[],
    heldOut: readonly Block[],
    member: number,
    onScores?: (scores: readonly Scored[]) => void,
  ): AsyncGenerator<TrainGuardEvent> {
    const seed = recipe.seed + member;
    const task = promptTask({
      net: recipe.net,
      features: featuresOf(recipe),
      knowledge,
      train,
      heldOut,
      batch: recipe.batch,
      seed,
      heldOutSeed: recipe.seed,
      texts: recipe.texts,
      heldOutTexts,
      plainWords: plain,
      ...(onScores === undefined ? {} : { onScores }),
    });
    const { decayFrom, ...schedule } = recipe.schedule;
    const events = runTraining(task, {
      folder: join(options.out, part),
      seed,
      steps,
      schedule: { ...schedule, decayFrom: Math.floor(decayFrom * steps), decayTo: steps },
      optimizer: recipe.optimizer,
      validateEvery: steps,
      checkpointSeconds: 300,
      recipe,
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    for await (const event of events) yield { ...event, part };
    // A run that was stopped ends quietly; nothing may be scored or written from it.
    throwIfAborted(options.signal);
  };

  const members = Array.from({ length: recipe.members }, (_, m) => m);
  const pooled: Scored[] = [];
  for (let fold = 0; fold < folds; fold++) {
    const train = blocks.filter((b, i) => partOf(b, i, parts) !== fold);
    const heldOut = blocks.filter((b, i) => partOf(b, i, parts) === fold);
    const each: Scored[][] = [];
    for (const member of members) {
      const part = runName(`fold-${fold}`, member);
      const file = join(options.out, `${part}-scores.json`);
      if (!existsSync(file)) {
        let scores: readonly Scored[] = [];
        yield* run(part, foldSteps, train, heldOut, member, (found) => {
          scores = found;
        });
        if (scores.length === 0) {
          const folder = join(options.out, part);
          throw new OrreryError('data', `${folder} is trained but was never scored; remove it and run again`);
        }
        writeFileAtomic(file, JSON.stringify(scores));
      }
      each.push(JSON.parse(readFileSync(file, 'utf8')) as Scored[]);
    }
    pooled.push(...meanScores(each));
  }
  const some = blocks.filter((_, i) => i % 7 === 0);
  for (const member of members) yield* run(runName('full', member), recipe.steps, blocks, some, member);
  const { threshold, auc } = await exportGuard(recipe, options.out, dir, pooled, blocks.length);
  yield { type: 'exported', dir, threshold, auc };
}

/** Folder of a run; the first member has the plain name. */
const runName = (part: string, member: number): string => (member === 0 ? part : `${part}-${member}`);

/** Mean logits of the members, text by text; all members were scored on the same texts. */
function meanScores(each: readonly (readonly Scored[])[]): Scored[] {
  return each[0]!.map((one, i) => ({
    ...one,
    score: each.reduce((sum, list) => sum + list[i]!.score, 0) / each.length,
  }));
}

/** Writes weights, record and card. */
async function exportGuard(
  recipe: GuardRecipe,
  out: string,
  dir: string,
  pooled: readonly Scored[],
  blocks: number,
): Promise<{ threshold: number; auc: number }> {
  const { net } = recipe;
  const specs = listWeights((w) => promptNet(input('ids', [1, net.words, net.ids], 'i32'), net, w));
  const tensors: (readonly [string, NdArray])[] = [];
  let seconds = 0;
  let steps = 0;
  for (let member = 0; member < recipe.members; member++) {
    const { weights, record } = await averagedWeights(join(out, runName('full', member)), specs);
    for (const { key, shape } of specs)
      tensors.push([memberKey(key, member), { dtype: 'f16', shape, data: f32ToHalf(weights.get(key)!) }]);
    seconds += record.seconds;
    steps = record.step;
  }
  writeSafetensors(join(dir, 'model.safetensors'), tensors, { kind: 'orrery-guard', name: recipe.name });
  const calibration = fitCalibration(pooled);
  const probabilities = calibrated(pooled, calibration);
  const threshold = Math.round(1000 * balancedThreshold(probabilities, recipe.missesPerRefusal)) / 1000;
  const english = probabilities.filter((s) => s.language === 'en');
  const others = probabilities.filter((s) => s.language !== 'en');
  const auc = areaUnderCurve(probabilities);
  const figures = (list: readonly Scored[]) => ({
    texts: list.length,
    auc: areaUnderCurve(list),
    ...ratesAt(list, threshold),
  });
  const names = ['model.safetensors', ...Object.values(KNOWLEDGE_FILES)];
  const files = Object.fromEntries(
    names.map((name) => {
      const path = join(dir, name);
      return [name, { sizeBytes: statSync(path).size, sha256: sha256OfFile(path) }];
    }),
  );
  const hours = Math.round(seconds / 36) / 100;
  const { parts, heldOut = parts } = recipe.crossValidation;
  const scores = { parts, heldOut, english: figures(english), others: figures(others) };
  const model = {
    version: 1,
    kind: 'orrery-guard',
    name: recipe.name,
    parameters: recipe.members * specs.reduce((n, s) => n + sizeOf(s.shape), 0),
    config: { net, members: recipe.members, concepts: recipe.concepts, ...calibration, threshold },
    training: { recipe, steps, hours, blocks },
    scores,
    licence: 'Apache-2.0',
    files,
  };
  const text = `${JSON.stringify(model, null, 2)}\n`;
  parseModelRecord(text, join(dir, 'model.json'));
  writeFileAtomic(
    join(dir, 'README.md'),
    guardCard({ recipe, parameters: model.parameters, blocks, hours, scores, threshold }),
  );
  writeFileAtomic(join(dir, 'model.json'), text);
  return { threshold, auc };
}
