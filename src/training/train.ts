// `train(recipe)`: from a recipe to a running training in a folder that can be continued with the same call.
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { InputError, OrreryError } from '../base/index.ts';
import { makeFolder } from '../formats/index.ts';
import type { Device } from '../runtime/index.ts';
import type { CheckpointRecord } from './checkpoint.ts';
import { type Clips, joinClips, loadClips } from './clips.ts';
import { exportModel } from './export.ts';
import { oneAtATime, runParallel } from './parallel.ts';
import { type Recipe, readRecipe } from './recipe.ts';
import { type StartWeights, startFrom } from './start.ts';
import { tokenizerTask } from './tasks/tokenizer.ts';
import { worldTask } from './tasks/world.ts';
import { runTraining, type TrainEvent, type TrainerOptions, type TrainingTask } from './trainer.ts';
import type { Tuning } from './tuning.ts';

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
  if (recipe.parallel !== undefined && recipe.stop !== undefined) {
    throw new InputError(`${recipePath}: stop`, { got: 'with parallel', need: 'one of the two', why: 'not made yet' });
  }
  const from = recipe.from === undefined ? undefined : startFrom(recipe, folder);
  const prepare = (): Promise<TrainingTask> => taskOf(recipe, folder, dataOf(recipe, recipePath, options), options);
  if (recipe.parallel !== undefined) makeFolder(folder);
  // Processes that share a folder share its latents: one of them encodes.
  const task =
    recipe.parallel === undefined
      ? await prepare()
      : await oneAtATime(join(folder, 'prepare.claim'), prepare, options.signal);
  const settings = {
    folder,
    recipe,
    ...tuningOf(recipe, from),
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
  };
  if (recipe.parallel === undefined) yield* runTraining(task, settings);
  else yield* runParallel(task, { ...settings, parallel: recipe.parallel });
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
  const heldOut = loadClips(dataOf(recipe, recipePath, options)[0]!.dir, 'heldout');
  return exportModel(recipe, folder, dir, heldOut);
}

/** What a recipe says about where training starts and what of it is trained. */
export function tuningOf(
  recipe: Recipe,
  from: StartWeights | undefined,
): Pick<TrainerOptions, 'from' | 'tune' | 'accumulate' | 'stop'> {
  const { tune, accumulate, stop } = recipe;
  return {
    ...(from === undefined ? {} : { from }),
    ...(tune === undefined ? {} : { tune: tune as Tuning }),
    ...(accumulate === undefined ? {} : { accumulate }),
    ...(stop === undefined ? {} : { stop }),
  };
}

/** Folders of a recipe's data sets by name, with their shares of the draws. The first one holds the held-out clips. */
export type DataFolders = readonly { readonly name: string; readonly dir: string; readonly share: number }[];

export function dataOf(recipe: Recipe, recipePath: string, options: Pick<TrainOptions, 'data'>): DataFolders {
  const { dataset, mixture = { [dataset]: 1 } } = recipe;
  if (!(dataset in mixture)) {
    throw new InputError(`${recipePath}: mixture`, {
      got: Object.keys(mixture).join(', '),
      need: `${dataset} among them, the data set whose held-out clips are scored`,
    });
  }
  const names = [dataset, ...Object.keys(mixture).filter((name) => name !== dataset)];
  return names.map((name) => ({
    name,
    dir: datasetFolder(name, recipePath, options.data ?? 'data'),
    share: mixture[name]!,
  }));
}

function datasetFolder(dataset: string, recipePath: string, data: string): string {
  const candidates = [join(data, dataset), resolve(dirname(recipePath), dataset), dataset];
  const found = candidates.find((c) => existsSync(join(c, 'dataset.json')));
  if (found === undefined) {
    throw new OrreryError(
      'data',
      `data set ${dataset} is not in ${candidates.join(', ')}; make it with: orrery simulate dataset recipes/${dataset}.json -o ${candidates[0]}`,
    );
  }
  return found;
}

/** The training clips of a recipe, those of several data sets as one. */
export function trainClips(recipe: Recipe, data: DataFolders): Clips {
  // A world model reads its clips once, to encode them.
  const keep = recipe.kind === 'tokenizer';
  return joinClips(
    data.map(({ name, dir, share }) => ({ name, share, clips: loadClips(dir, 'train', recipe.clips, keep) })),
  );
}

/** The task of a recipe. For world models this encodes the clips that the folder's cache lacks. */
export async function taskOf(
  recipe: Recipe,
  folder: string,
  data: DataFolders,
  options: Pick<TrainOptions, 'signal'>,
): Promise<TrainingTask> {
  const train = trainClips(recipe, data);
  const heldOut = loadClips(data[0]!.dir, 'heldout');
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
