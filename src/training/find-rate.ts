// Learning-rate finder: a short run whose rate grows from step to step (Smith 2017, section 3.3). Nothing of it is kept.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readRecipe } from './recipe.ts';
import { dataOf, importData, startOf, type TrainOptions, taskOf, tuningOf } from './train.ts';
import { hasDiverged, runTraining, type TrainerOptions, type TrainingTask } from './trainer.ts';

export type RateEvent =
  | {
      readonly type: 'rate';
      readonly step: number;
      readonly lr: number;
      readonly loss: number;
      readonly smooth: number;
    }
  | { readonly type: 'found'; readonly lr: number; readonly highest: number };

export type RateRange = { readonly from?: number; readonly to?: number; readonly steps?: number };

/** Weight of the past in the smoothed loss. */
const SMOOTH = 0.9;
/** The run ends when the smoothed loss is this many times its least. */
const BLOWN = 2;

/**
 * Raises the rate of `task` from `from` (default 1e-6) to `to` (default 0.1) over `steps` (default 100).
 * The last event holds the rate to use: a third of that at which the smoothed loss was least, and the highest that did not blow up.
 */
export async function* rateSweep(
  task: TrainingTask,
  options: Pick<
    TrainerOptions,
    'seed' | 'optimizer' | 'from' | 'tune' | 'accumulate' | 'device' | 'threads' | 'signal'
  >,
  { from = 1e-6, to = 0.1, steps = 100 }: RateRange = {},
): AsyncGenerator<RateEvent> {
  const folder = mkdtempSync(join(tmpdir(), 'orrery-rate-'));
  const rateOf = (step: number): number => from * (to / from) ** (step / Math.max(1, steps - 1));
  let smooth = 0;
  let least = { smooth: Number.POSITIVE_INFINITY, lr: from };
  let highest = from;
  try {
    const events = runTraining(task, {
      ...options,
      folder,
      steps,
      schedule: { lr: 1, warmup: 0, decayFrom: steps, decayTo: steps, floor: 1, ema: 0 },
      rateOf,
      validates: false,
      validateEvery: steps,
      checkpointSeconds: Number.POSITIVE_INFINITY,
      recipe: {},
    });
    try {
      for await (const event of events) {
        if (event.type !== 'step') continue;
        smooth = SMOOTH * smooth + (1 - SMOOTH) * event.loss;
        // Corrected for the start at zero.
        const now = smooth / (1 - SMOOTH ** event.step);
        const lr = event.lr;
        yield { type: 'rate', step: event.step, lr, loss: event.loss, smooth: now };
        if (now > BLOWN * least.smooth) break;
        highest = lr;
        if (now < least.smooth) least = { smooth: now, lr };
      }
    } catch (error) {
      // A loss that is not a number ends the sweep like one that blew up.
      if (!hasDiverged(error)) throw error;
    }
    yield { type: 'found', lr: least.lr / 3, highest };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `rateSweep` by a recipe. A world model's latents are encoded first, and kept, as at the start of its training. */
export async function* findLearningRate(
  recipePath: string,
  options: TrainOptions & RateRange = {},
): AsyncGenerator<RateEvent> {
  const recipe = readRecipe(recipePath);
  const folder = options.out ?? join('data', 'train', recipe.name);
  const start = startOf(recipe, folder);
  const data = dataOf(recipe, recipePath, options);
  for await (const _ of importData(recipe, data, options.signal));
  const task = await taskOf(recipe, folder, data, options);
  const { from, to, steps, device, threads, signal } = options;
  yield* rateSweep(
    task,
    {
      ...tuningOf(recipe, start),
      seed: recipe.seed,
      optimizer: recipe.optimizer,
      ...(device === undefined ? {} : { device }),
      ...(threads === undefined ? {} : { threads }),
      ...(signal === undefined ? {} : { signal }),
    },
    {
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      ...(steps === undefined ? {} : { steps }),
    },
  );
}
