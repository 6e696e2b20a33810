// From a post-training of a public transformer to a folder that generates: the adapter as a file of its own, and a copy of the model with
// the trained weights in it, in the layout that the model has.
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { f32, type NdArray } from '../base/index.ts';
import { listWeights } from '../nets/orrery/weights.ts';
import { type Adapter, mergeAdapter, readAdapter, writeAdapter } from './adapter.ts';
import type { CheckpointRecord } from './checkpoint.ts';
import { averagedWeights } from './export.ts';
import { openPublicModel, type PublicModel } from './public-model.ts';
import type { CosmosRecipe } from './recipe.ts';
import { requireSameStart } from './start.ts';
import { cosmosLoss } from './tasks/cosmos.ts';
import { type Tuning, weightPlan } from './tuning.ts';

/** Only training uses the learned weighting of the loss: it belongs to no model that generates. */
const isLossWeight = (key: string): boolean => key.startsWith('logvar.');

/** Writes `dir`, and `adapter.safetensors` into the run's folder when the training was one of low-rank additions. */
export async function exportCosmos(recipe: CosmosRecipe, folder: string, dir: string): Promise<CheckpointRecord> {
  const model = openPublicModel(recipe);
  const record = await writeTrained(recipe, folder, dir, model);
  const hours = Math.round(record.seconds / 36) / 100;
  const facts = {
    recipe,
    steps: record.step,
    hours,
    clips: record.clips ?? 0,
    from: record.from,
    scores: record.best ?? null,
  };
  writeFileSync(join(dir, 'training.json'), `${JSON.stringify(facts, null, 2)}\n`);
  return record;
}

async function writeTrained(
  recipe: CosmosRecipe,
  folder: string,
  dir: string,
  model: PublicModel,
): Promise<CheckpointRecord> {
  // The smallest latent: weights do not depend on its size.
  const specs = listWeights((w) => cosmosLoss(recipe, model, { t: 1, h: 2, w: 2 })(w));
  const known = new Set(model.start.values.keys());
  const plan = weightPlan(specs, recipe.tune as Tuning | undefined, known, true);
  const hasBest = recipe.stop !== undefined && existsSync(join(folder, 'best', 'latest'));
  const { weights, record } = await averagedWeights(folder, plan.trained, hasBest ? 'best' : 'checkpoints');
  requireSameStart(folder, record.from, model.start);
  const path = join(folder, 'adapter.safetensors');
  const adapter: Adapter = plan.lora === undefined ? replacing(path, plan.trained, weights, model) : lowRank(path);
  const source = folderOf(model, recipe.from);
  for await (const _ of mergeAdapter(source, adapter, dir));
  return record;

  function lowRank(file: string): Adapter {
    writeAdapter(file, plan, weights, model.parts.name, (key) => adapterKey(key, model));
    return readAdapter(file);
  }
}

/** Name in the adapter file of a factor or of a weight trained in full. */
function adapterKey(key: string, model: PublicModel): string | undefined {
  if (isLossWeight(key)) return undefined;
  const factor = /^(.+)\.(lora_[AB]\.weight)$/.exec(key);
  return factor === null ? `${model.adapterName(key)}${endOf(key)}` : `${model.adapterName(factor[1]!)}.${factor[2]}`;
}

const endOf = (key: string): string => (key.endsWith('.weight') ? '.weight' : '');

/** Weights trained in full, as a change of the model. */
function replacing(
  path: string,
  trained: readonly { readonly key: string; readonly shape: readonly number[] }[],
  weights: ReadonlyMap<string, Float32Array>,
  model: PublicModel,
): Adapter {
  const replaced = new Map<string, NdArray>();
  for (const { key, shape } of trained) {
    const name = adapterKey(key, model);
    if (name !== undefined) replaced.set(name, f32(shape, weights.get(key)!));
  }
  return { path, alpha: 1, parts: new Map(), replaced };
}

/** What is copied: the whole pipeline, or the folder that holds the transformer's file. */
function folderOf({ parts }: PublicModel, from: string): string {
  if (existsSync(join(from, 'model_index.json'))) return from;
  return statSync(parts.network).isDirectory() ? parts.network : dirname(parts.network);
}
