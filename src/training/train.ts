// `train(recipe)`: from a recipe to a running training in a folder that can be continued with the same call.
import { copyFileSync, existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { hash32, InputError, OrreryError } from '../base/index.ts';
import { makeFolder } from '../formats/index.ts';
import type { Device } from '../runtime/index.ts';
import type { CheckpointRecord } from './checkpoint.ts';
import { type Clips, joinClips, loadClips } from './clips.ts';
import { takeTurn } from './exchange-folder.ts';
import { natsExchange } from './exchange-nats.ts';
import { exportModel } from './export.ts';
import { exportCosmos } from './export-cosmos.ts';
import { type ImportEvent, importClips, isImported } from './imports/import-clips.ts';
import { sourceKind } from './imports/sources.ts';
import { runParallel } from './parallel.ts';
import { openPublicModel } from './public-model.ts';
import { phasesOf, type Recipe, readRecipe } from './recipe.ts';
import { type StartWeights, startFrom } from './start.ts';
import { cosmosTask } from './tasks/cosmos.ts';
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
  /** A NATS server with JetStream over which machines that share no folder train together; needs `parallel` in the recipe. */
  readonly nats?: string;
  /** Seconds of silence after which the work of a process is given to another one. Default 20 in a folder, 30 over NATS. */
  readonly ackWaitSeconds?: number;
  readonly device?: Device;
  readonly threads?: number;
  readonly signal?: AbortSignal;
};

/** Trains by a recipe file; continues from the newest checkpoint in the output folder. */
export async function* train(recipePath: string, options: TrainOptions = {}): AsyncGenerator<TrainEvent | ImportEvent> {
  const recipe = readRecipe(recipePath);
  const folder = options.out ?? join('data', 'train', recipe.name);
  if (options.nats !== undefined && recipe.parallel === undefined) {
    throw new InputError('nats', {
      got: options.nats,
      need: 'a recipe with "parallel", which says how work is divided',
    });
  }
  const from = startOf(recipe, folder);
  const phases = phasesOf(recipe, recipePath);
  makeFolder(folder);
  // Processes that share a folder share its clips and latents: one of them decodes and encodes.
  const turn =
    recipe.parallel === undefined ? undefined : await takeTurn(join(folder, 'prepare.claim'), options.signal);
  let task: TrainingTask;
  try {
    // The last phase first: the others share its vocabulary and its statistics.
    const last = phases.at(-1)!.recipe;
    const data = dataOf(last, recipePath, { ...options, out: folder });
    yield* importData(last, data, options.signal);
    task = await taskOf(last, folder, data, options);
    const before: NonNullable<TrainingTask['before']>[number][] = [];
    for (const [i, phase] of phases.slice(0, -1).entries()) {
      const out = phaseFolder(phase.recipe, last, folder, i);
      const own = dataOf(phase.recipe, recipePath, { ...options, out });
      yield* importData(phase.recipe, own, options.signal);
      before.push({ until: phases[i + 1]!.from, task: await taskOf(phase.recipe, out, own, options) });
    }
    if (before.length > 0) task = { ...task, before };
  } finally {
    turn?.release();
  }
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
  const lease = options.ackWaitSeconds === undefined ? {} : { leaseSeconds: options.ackWaitSeconds };
  if (recipe.parallel === undefined) yield* runTraining(task, settings);
  else if (options.nats === undefined) yield* runParallel(task, { ...settings, ...lease, parallel: recipe.parallel });
  else {
    // The same on every machine: the recipe and the weights it starts from.
    const job = `train-${recipe.name}-${hash32(JSON.stringify([recipe, from?.sha256])).toString(16)}`;
    const exchange = await natsExchange({ url: options.nats, job, slots: recipe.parallel.slots, ...lease });
    try {
      yield* runParallel(task, { ...settings, parallel: recipe.parallel, exchange });
    } finally {
      await exchange.close();
    }
  }
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
  if (recipe.kind === 'cosmos') return exportCosmos(recipe, folder, dir);
  const heldOut = loadClips(dataOf(recipe, recipePath, options)[0]!.dir, 'heldout');
  return exportModel(recipe, folder, dir, heldOut);
}

/**
 * Where a phase keeps what it makes of its data: the run's folder when its data are those of the last phase, else a folder below it, with
 * the run's vocabulary and statistics of latents.
 */
function phaseFolder(phase: Recipe, last: Recipe, folder: string, index: number): string {
  const dataIn = (r: Recipe): string => JSON.stringify([r.dataset, r.mixture, r.import, r.clips]);
  if (dataIn(phase) === dataIn(last)) return folder;
  const out = join(folder, `phase-${index + 1}`);
  makeFolder(out);
  for (const name of ['vocabulary.json', 'latent-stats.json']) {
    if (existsSync(join(folder, name)) && !existsSync(join(out, name)))
      copyFileSync(join(folder, name), join(out, name));
  }
  return out;
}

/** The start model of a recipe. */
export function startOf(recipe: Recipe, folder: string): StartWeights | undefined {
  if (recipe.kind === 'cosmos') return openPublicModel(recipe).start;
  return recipe.from === undefined ? undefined : startFrom(recipe, folder);
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
export type DataFolders = readonly {
  readonly name: string;
  /** Folder of the clips. */
  readonly dir: string;
  readonly share: number;
  /** The data set of other people that `dir` is made from by `importData`. */
  readonly source?: string;
}[];

export function dataOf(recipe: Recipe, recipePath: string, options: Pick<TrainOptions, 'data' | 'out'>): DataFolders {
  const { dataset, mixture = { [dataset]: 1 } } = recipe;
  if (!(dataset in mixture)) {
    throw new InputError(`${recipePath}: mixture`, {
      got: Object.keys(mixture).join(', '),
      need: `${dataset} among them, the data set whose held-out clips are scored`,
    });
  }
  const names = [dataset, ...Object.keys(mixture).filter((name) => name !== dataset)];
  const folder = options.out ?? join('data', 'train', recipe.name);
  return names.map((name) => {
    const dir = datasetFolder(name, recipePath, options.data ?? 'data');
    const share = mixture[name]!;
    if (existsSync(join(dir, 'dataset.json'))) return { name, dir, share };
    if (recipe.import === undefined) {
      throw new InputError(`${recipePath}: import`, {
        got: undefined,
        need: 'frames, height and width of the clips to make',
        why: `${dir} holds videos, not clips of one size`,
      });
    }
    return { name, dir: join(folder, 'clips', basename(dir)), share, source: dir };
  });
}

/** Decodes the data sets that are videos into the run's folder, or what is missing of them there. */
export async function* importData(
  recipe: Recipe,
  data: DataFolders,
  signal: AbortSignal | undefined,
): AsyncGenerator<ImportEvent> {
  for (const { dir, source } of data) {
    if (source !== undefined && !isImported(dir)) yield* importClips(source, dir, recipe.import!, signal);
  }
}

function datasetFolder(dataset: string, recipePath: string, data: string): string {
  const candidates = [join(data, dataset), resolve(dirname(recipePath), dataset), dataset];
  const found = candidates.find((c) => existsSync(join(c, 'dataset.json')) || sourceKind(c) !== undefined);
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
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  if (recipe.kind === 'cosmos') {
    return cosmosTask({ recipe, folder, model: openPublicModel(recipe), train, heldOut, ...signal });
  }
  return worldTask({
    recipe,
    folder,
    train,
    heldOut,
    ...signal,
  });
}
