// From a checkpoint to a model folder: the averaged weights by name as float16, the config, and where they came from.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { f32ToHalf, type NdArray, OrreryError, sizeOf } from '../base/index.ts';
import { makeFolder, writeSafetensors } from '../formats/index.ts';
import { input } from '../graph/index.ts';
import { openModelFolder } from '../hub/index.ts';
import { decode, encode, gridOf, type OrreryTokenizerConfig } from '../nets/orrery/tokenizer.ts';
import { listWeights, type WeightSpec } from '../nets/orrery/weights.ts';
import { openRuntime } from '../runtime/index.ts';
import {
  decodeLatents,
  encodeClip,
  type LatentStats,
  loadTokenizer,
  nanoGraph,
  toBytes,
  type WindowSize,
} from '../worlds/index.ts';
import { writeAdapter } from './adapter.ts';
import { type CardFacts, modelCard } from './card.ts';
import { type CheckpointRecord, loadCheckpoint } from './checkpoint.ts';
import type { Clips } from './clips.ts';
import type { OwnRecipe } from './recipe.ts';
import { scoreModel, scoreRobotModel } from './score.ts';
import { writeSheet } from './sheet.ts';
import { requireSameStart, weightsOfModel } from './start.ts';
import { nanoConfig } from './tasks/world.ts';
import { effectiveValues, type Tuning, type WeightPlan, weightPlan } from './tuning.ts';

/** The averaged weights of the newest checkpoint in `folder`, by name. */
export async function averagedWeights(
  folder: string,
  specs: readonly WeightSpec[],
  checkpoints = 'checkpoints',
): Promise<{ weights: Map<string, Float32Array>; record: CheckpointRecord }> {
  const found = await loadCheckpoint(join(folder, checkpoints));
  if (found === undefined) throw new OrreryError('data', `${folder}: no checkpoint yet; train first`);
  const weights = new Map<string, Float32Array>();
  let at = 0;
  for (const { key, shape } of specs) {
    weights.set(key, found.state.ema.subarray(at, at + sizeOf(shape)));
    at += sizeOf(shape);
  }
  if (at !== found.state.ema.length) {
    throw new OrreryError(
      'data',
      `${folder}: the checkpoint has ${found.state.ema.length} parameters, the recipe ${at}`,
    );
  }
  return { weights, record: found.record };
}

/** The weights of a recipe's network as trained: the average, with what was frozen and low-rank additions merged in. */
export async function trainedWeights(
  recipe: OwnRecipe,
  folder: string,
  specs: readonly WeightSpec[],
): Promise<{ weights: Map<string, Float32Array>; record: CheckpointRecord; plan: WeightPlan }> {
  const from = recipe.from === undefined ? undefined : weightsOfModel(recipe.from);
  const known = from === undefined ? undefined : new Set(from.values.keys());
  const plan = weightPlan(specs, recipe.tune as Tuning | undefined, known);
  // A run that stops by itself is as good as its best validation.
  const hasBest = recipe.stop !== undefined && existsSync(join(folder, 'best', 'latest'));
  const { weights, record } = await averagedWeights(folder, plan.trained, hasBest ? 'best' : 'checkpoints');
  // What was frozen is taken from the start model: another one would give a model that nobody trained.
  requireSameStart(folder, record.from, from);
  if (plan.lora !== undefined) writeAdapter(join(folder, 'adapter.safetensors'), plan, weights, from!.name);
  return { weights: effectiveValues(plan, weights, from?.values ?? new Map()), record, plan };
}

/** Writes `model.safetensors` and `model.json` into `dir`. */
export async function writeModel(
  dir: string,
  model: {
    readonly kind: string;
    readonly name: string;
    readonly config: unknown;
    readonly training: unknown;
    readonly scores: unknown;
    readonly facts: Omit<CardFacts, 'parameters'>;
  },
  specs: readonly WeightSpec[],
  weights: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  makeFolder(dir);
  const tensors = specs.map(({ key, shape }): readonly [string, NdArray] => [
    key,
    { dtype: 'f16', shape, data: f32ToHalf(weights.get(key)!) },
  ]);
  const path = join(dir, 'model.safetensors');
  await writeSafetensors(path, tensors);
  const bytes = readFileSync(path);
  const files = {
    'model.safetensors': { sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') },
  };
  const parameters = specs.reduce((n, s) => n + sizeOf(s.shape), 0);
  const { facts, ...described } = model;
  const record = { version: 1, ...described, parameters, licence: 'Apache-2.0', files };
  writeFileSync(join(dir, 'model.json'), `${JSON.stringify(record, null, 2)}\n`);
  writeFileSync(join(dir, 'README.md'), modelCard({ ...facts, parameters }));
}

/**
 * Writes the model folder of a training: `recipe` and `folder` as given to `train`. With held-out clips a world model is
 * scored as shipped, float16 and its own sampler; else the card repeats the last validation.
 */
export async function exportModel(
  recipe: OwnRecipe,
  folder: string,
  dir: string,
  heldOut?: Clips,
): Promise<CheckpointRecord> {
  if (recipe.kind === 'tokenizer') {
    const specs = listWeights((w) => {
      const frames = input('frames', [1, 1 + recipe.model.timePatch, 64, 64, 3], 'u8');
      const grid = gridOf(recipe.model, 1 + recipe.model.timePatch, 64, 64);
      return decode(encode(frames, recipe.model, w), recipe.model, grid, w);
    });
    const { weights, record } = await trainedWeights(recipe, folder, specs);
    await writeModel(
      dir,
      { kind: recipe.model.kind, name: recipe.name, config: recipe.model, ...provenance(folder, recipe, record) },
      specs,
      weights,
    );
    if (heldOut !== undefined) await writeTokenizerSheet(dir, heldOut);
    return record;
  }
  const vocabulary = JSON.parse(readFileSync(join(folder, 'vocabulary.json'), 'utf8')) as string[];
  const stats = JSON.parse(readFileSync(join(folder, 'latent-stats.json'), 'utf8')) as LatentStats;
  const tokenizer = openModelFolder(recipe.tokenizer).record as {
    config: OrreryTokenizerConfig;
    name: string;
  };
  const window = JSON.parse(readFileSync(join(folder, 'window.json'), 'utf8')) as WindowSize;
  const config = nanoConfig(recipe, tokenizer.config, window, vocabulary);
  const specs = listWeights((w) => nanoGraph(config, w));
  const { weights, record } = await trainedWeights(recipe, folder, specs);
  const full = { ...config, window, stats, vocabulary, tokenizer: tokenizer.name, sampling: recipe.sampling };
  const model = { kind: recipe.model.kind, name: recipe.name, config: full, ...provenance(folder, recipe, record) };
  await writeModel(dir, model, specs, weights);
  if (heldOut !== undefined) {
    const { scores, rows } =
      recipe.model.actions !== undefined && recipe.from !== undefined
        ? await scoreRobotModel(dir, recipe.from, heldOut, recipe.validationClips)
        : await scoreModel(dir, heldOut, recipe.validationClips);
    const validation = { step: record.step, validation: scores };
    await writeModel(dir, { ...model, scores: validation, facts: { ...model.facts, validation } }, specs, weights);
    await writeSheet(join(dir, 'samples.png'), rows, { ...heldOut, every: 4 });
  }
  return record;
}

/** `samples.png` of a tokenizer folder: the first held-out clips, each above its restoration. */
export async function writeTokenizerSheet(dir: string, heldOut: Clips): Promise<void> {
  await using runtime = openRuntime();
  const tokenizer = await loadTokenizer(runtime, dir, heldOut);
  const rows: Uint8Array[] = [];
  for (let i = 0; i < Math.min(4, heldOut.count); i++) {
    const clip = heldOut.clipView(i);
    rows.push(clip, toBytes(await decodeLatents(tokenizer, await encodeClip(tokenizer, clip.slice()))));
  }
  await writeSheet(join(dir, 'samples.png'), rows, { ...heldOut, every: 4 });
}

/** The model that a recipe starts from, and what its own training cost where its record tells. */
function startOf(recipe: OwnRecipe): CardFacts['start'] {
  if (recipe.from === undefined) return undefined;
  const { name, training } = openModelFolder(recipe.from).record as {
    readonly name: string;
    readonly training?: { readonly steps?: number; readonly hours?: number };
  };
  return { name, ...(training?.steps && { steps: training.steps }), ...(training?.hours && { hours: training.hours }) };
}

/** Training record and card of the model: recipe, steps, hours, and the last validation. */
function provenance(
  folder: string,
  recipe: OwnRecipe,
  record: CheckpointRecord,
): { training: unknown; scores: unknown; facts: Omit<CardFacts, 'parameters'> } {
  const validations = readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .filter((l) => l.includes('"validation"'))
    .map((l) => JSON.parse(l) as { step: number; validation: Record<string, number> });
  const validation = validations[validations.length - 1];
  const hours = Math.round(record.seconds / 36) / 100;
  const clips = record.clips ?? 0;
  const start = startOf(recipe);
  return {
    training: { recipe, steps: record.step, hours, clips, ...(start && { start }) },
    scores: validation ?? null,
    facts: { recipe, steps: record.step, hours, validation, clips, ...(start && { start }) },
  };
}
