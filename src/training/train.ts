// `train(recipe)`: from a recipe to a running training in a folder that can be continued with the same call.
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { OrreryError } from '../base/index.ts';
import type { Device } from '../runtime/index.ts';
import type { CheckpointRecord } from './checkpoint.ts';
import { loadClips } from './clips.ts';
import { exportModel } from './export.ts';
import { type Recipe, readRecipe } from './recipe.ts';
import { tokenizerTask } from './tasks/tokenizer.ts';

import { worldTask } from './tasks/world.ts';
import { runTraining, type TrainEvent, type TrainingTask } from './trainer.ts';

export type TrainOptions = {
  /** Folder of checkpoints, metrics and samples. Default `data/train/<recipe name>`. */
  readonly out?: string;
  /** Folder that holds data sets by name. Default `data`. */
  readonly data?: string;
  /** Stop after this many hours with a checkpoint. */
  readonly hours?: number;
  readonly device?: Device;
  readonly threads?: number;
  readonly signal?: AbortSignal;
};

/** Trains by a recipe file; continues from the newest checkpoint in the output folder. */
export async function* train(recipePath: string, options: TrainOptions = {}): AsyncGenerator<TrainEvent> {
  const recipe = readRecipe(recipePath);
  const folder = options.out ?? join('data', 'train', recipe.name);
  const task = await taskOf(recipe, folder, datasetFolder(recipe, recipePath, options.data ?? 'data'), options);
  yield* runTraining(task, {
    folder,
    recipe,
    seed: recipe.seed,
    steps: recipe.steps,
    schedule: recipe.schedule,
    optimizer: recipe.optimizer,
    validateEvery: recipe.validateEvery,
    checkpointSeconds: recipe.checkpointSeconds,
    ...(options.hours === undefined ? {} : { maxSeconds: options.hours * 3600 }),
    ...(options.device === undefined ? {} : { device: options.device }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

/**
 * Writes the model folder of a training from its newest checkpoint: averaged weights as float16, record, card with scores on
 * held-out clips, sample pictures.
 * @param dir folder to write, such as models/orrery-nano
 */
export async function exportTrained(
  recipePath: string,
  dir: string,
  options: Pick<TrainOptions, 'out' | 'data'> = {},
): Promise<CheckpointRecord> {
  const recipe = readRecipe(recipePath);
  const folder = options.out ?? join('data', 'train', recipe.name);
  const heldOut = loadClips(datasetFolder(recipe, recipePath, options.data ?? 'data'), 'heldout');
  return exportModel(recipe, folder, dir, heldOut);
}

function datasetFolder(recipe: Recipe, recipePath: string, data: string): string {
  const candidates = [join(data, recipe.dataset), resolve(dirname(recipePath), recipe.dataset), recipe.dataset];
  const found = candidates.find((c) => existsSync(join(c, 'dataset.json')));
  if (found === undefined) {
    throw new OrreryError(
      'data',
      `data set ${recipe.dataset} is not in ${candidates.join(', ')}; make it with: orrery simulate dataset recipes/${recipe.dataset}.json -o ${candidates[0]}`,
    );
  }
  return found;
}

async function taskOf(recipe: Recipe, folder: string, dataset: string, options: TrainOptions): Promise<TrainingTask> {
  // A world model reads its clips once, to encode them.
  const train = loadClips(dataset, 'train', recipe.clips, recipe.kind === 'tokenizer');
  const heldOut = loadClips(dataset, 'heldout');
  if (recipe.kind === 'tokenizer') {
    const { model: config, seed, batch, frames, size, movingWeight, validationClips } = recipe;
    return tokenizerTask({ config, train, heldOut, seed, batch, frames, size, movingWeight, validationClips });
  }
  return worldTask({
    recipe,
    folder,
    train,
    heldOut,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}
