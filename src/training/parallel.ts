// Data-parallel training with rare synchronisation (DiLoCo, Douillard et al. 2023): any number of processes take slots of a round, each a
// few local steps from the same weights; whoever finds a round complete makes the outer step. What a slot computes depends on its number
// only, not on who computes it, so processes may come, go and be killed. How they talk is an `Exchange`.
import { join } from 'node:path';
import { f32, OrreryError, throwIfAborted } from '../base/index.ts';
import { openRuntime, type Runtime } from '../runtime/index.ts';
import { type CheckpointRecord, newestRecord, saveCheckpoint } from './checkpoint.ts';
import type { Exchange } from './exchange.ts';
import { folderExchange } from './exchange-folder.ts';
import { groupArrays, parameterCount, type StateGroup, stateGroups, stateName, ungroup } from './optimizer.ts';
import { emaDecay, learningRate } from './schedule.ts';
import { requireSameStart, startRecord } from './start.ts';
import { loadStep, type RunStep } from './step.ts';
import {
  firstWeights,
  planOf,
  setFrozen,
  type TrainEvent,
  type TrainerOptions,
  type TrainingTask,
  validationModel,
} from './trainer.ts';
import type { WeightPlan } from './tuning.ts';

export type ParallelOptions = {
  /** Batches of one step, each from another part of the data: how many processes can work at once. */
  readonly slots: number;
  /** Steps between synchronisations. */
  readonly localSteps: number;
  /** Rate and Nesterov momentum of the outer step; 0.7 and 0.9 in the paper. 1 and 0 average the weights. */
  readonly outerRate: number;
  readonly outerMomentum: number;
};

/**
 * Takes part in the training until it is finished. The same call in several processes makes it faster; the result is the same. Events tell
 * this process's own steps and the rounds that it closed.
 * @param options.exchange default: the run folder, which all processes share
 */
export async function* runParallel(
  task: TrainingTask,
  options: TrainerOptions & {
    readonly parallel: ParallelOptions;
    readonly leaseSeconds?: number;
    readonly exchange?: Exchange;
  },
): AsyncGenerator<TrainEvent> {
  const { folder, steps, signal, parallel, stop } = options;
  const { slots, localSteps } = parallel;
  const rounds = Math.ceil(steps / localSteps);
  const exchange = options.exchange ?? folderExchange(join(folder, 'rounds'), slots, options.leaseSeconds);
  const saved = newestRecord(join(folder, 'checkpoints'));
  if (saved !== undefined) requireSameStart(folder, saved.record.from, options.from);
  const plan = planOf(task, options);
  await using runtime = openRuntime({
    ...(options.device === undefined ? {} : { device: options.device }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  });
  const total = parameterCount(plan.trained);
  await exchange.begin(async () => {
    const p = await firstWeights(task, runtime, plan, options);
    return { vectors: { p, ema: p, u: new Float32Array(total) }, record: { seconds: 0, best: undefined } };
  });
  const { p } = await exchange.readRound(await exchange.newest());
  if (p!.length !== total) {
    throw new OrreryError(
      'data',
      `${folder}: its weights have ${p!.length} numbers, the recipe has ${total}; use another folder`,
    );
  }
  const begin = (await exchange.newest()) * localSteps;
  yield { type: 'start', parameters: parameterCount(plan.all), trained: total, step: begin, resumed: begin > 0 };

  const local = await openLocal(task, runtime, plan, options, exchange);
  const began = Date.now();
  for (;;) {
    const round = await exchange.newest();
    const isStalled = stop !== undefined && ((await exchange.record(round)).stale ?? 0) >= stop.patience;
    if (round >= rounds || isStalled) {
      const step = Math.min(steps, round * localSteps);
      await local.finish(round);
      yield { type: 'done', step, reason: isStalled ? 'stalled' : 'finished', path: join(folder, 'checkpoints') };
      return;
    }
    throwIfAborted(signal);
    if (options.maxSeconds !== undefined && (Date.now() - began) / 1000 > options.maxSeconds) {
      yield { type: 'done', step: round * localSteps, reason: 'time', path: join(folder, 'checkpoints') };
      return;
    }
    const work = await exchange.take(signal);
    if (work === undefined) continue;
    let isDone = false;
    try {
      if (work.slot === 'outer') yield* local.close(work.round);
      else yield* local.run(work.round, work.slot);
      isDone = true;
    } catch (error) {
      // Held up for so long that others did it and went on: nothing is lost.
      if (signal?.aborted === true || (await exchange.newest()) <= work.round) throw error;
      isDone = true;
    } finally {
      await work.release(isDone);
    }
  }
}

type Local = {
  /** Local steps of a slot. */
  run(round: number, slot: number): AsyncGenerator<TrainEvent>;
  /** The outer step of a complete round. */
  close(round: number): AsyncGenerator<TrainEvent>;
  /** Writes the last checkpoint, and the best one, where this process's folder does not have them. */
  finish(round: number): Promise<void>;
};

async function openLocal(
  task: TrainingTask,
  runtime: Runtime,
  plan: WeightPlan,
  options: TrainerOptions & { readonly parallel: ParallelOptions },
  exchange: Exchange,
): Promise<Local> {
  const { parallel, schedule, steps, folder, stop } = options;
  const { slots, localSteps } = parallel;
  const groups = stateGroups(plan.trained);
  const total = parameterCount(plan.trained);
  await setFrozen(runtime, plan, options.from);
  let slotNow = 0;
  const set = (name: 'p' | 'm' | 'v' | 'ema', flat: Float32Array) => setVector(runtime, plan, groups, name, flat);
  for (const name of ['p', 'm', 'v', 'ema'] as const) await set(name, new Float32Array(total));
  const step: RunStep = await loadStep(task, runtime, plan, {
    ...options,
    steps: Number.POSITIVE_INFINITY,
    first: (await exchange.newest()) * localSteps,
    batchOf: (s) => s * slots + slotNow,
  });
  const model = validationModel(runtime, groups, plan, options.from?.source);

  return {
    async *run(round, slot) {
      slotNow = slot;
      const began = performance.now();
      const { p } = await exchange.readRound(round);
      // The moments of a slot go on from round to round, whoever computes it.
      const before = round === 0 ? undefined : await exchange.readSlot(round - 1, slot);
      await set('p', p!);
      await set('ema', p!);
      await set('m', before?.['m'] ?? new Float32Array(total));
      await set('v', before?.['v'] ?? new Float32Array(total));
      const from = round * localSteps;
      const to = Math.min(steps, from + localSteps);
      for (let t = from; t < to; t++) {
        throwIfAborted(options.signal);
        const at = performance.now();
        const lr = learningRate(schedule, t);
        const { loss, gradNorm, ...metrics } = await step(t, lr, 0);
        if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
          throw new OrreryError('data', `step ${t + 1}, slot ${slot}: the loss is ${loss}; lower the learning rate`);
        }
        const secondsPerStep = (performance.now() - at) / 1000;
        const etaSeconds = (steps - t - 1) * secondsPerStep;
        yield { type: 'step', step: t + 1, steps, loss, gradNorm, lr, metrics, secondsPerStep, etaSeconds };
      }
      const get = (name: 'p' | 'm' | 'v') => getVector(runtime, plan, groups, name, total);
      await exchange.writeSlot(round, slot, {
        p: await get('p'),
        m: await get('m'),
        v: await get('v'),
        seconds: Float32Array.of((performance.now() - began) / 1000),
      });
    },

    async *close(round) {
      const { p, ema, u } = (await exchange.readRound(round)) as Record<'p' | 'ema' | 'u', Float32Array>;
      const delta = new Float32Array(total);
      let { seconds, best, stale } = await exchange.record(round);
      let last: Record<string, Float32Array> = {};
      for (let i = 0; i < slots; i++) {
        last = await exchange.readSlot(round, i);
        for (let k = 0; k < total; k++) delta[k]! += (p[k]! - last['p']![k]!) / slots;
        seconds += last['seconds']![0]!;
      }
      const end = Math.min(steps, (round + 1) * localSteps);
      // As many of the average's steps as there were local ones.
      let keep = 1;
      for (let t = round * localSteps; t < end; t++) keep *= emaDecay(schedule, t);
      const { outerRate, outerMomentum } = parallel;
      for (let k = 0; k < total; k++) {
        u[k] = outerMomentum * u[k]! + delta[k]!;
        p[k]! -= outerRate * (outerMomentum * u[k]! + delta[k]!);
        ema[k] = keep * ema[k]! + (1 - keep) * p[k]!;
      }
      const state = { p, m: last['m']!, v: last['v']!, ema };
      const isDue = Math.floor(end / options.validateEvery) > Math.floor((round * localSteps) / options.validateEvery);
      if (options.validates !== false && (isDue || end === steps)) {
        await set('ema', ema);
        const scores = await task.validate(model, join(folder, 'samples', `step-${String(end).padStart(8, '0')}`));
        const isBest = best === undefined || scores.score > best.score + (stop?.minDelta ?? 0);
        stale = isBest ? 0 : (stale ?? 0) + 1;
        if (isBest) best = { score: scores.score, step: end };
        if (isBest && stop !== undefined) {
          await saveCheckpoint(join(folder, 'best'), recordOf(end, seconds, best, stale), state, 1);
          await exchange.writeBest(state, recordOf(end, seconds, best, stale));
        }
        yield { type: 'validation', step: end, scores, best: isBest };
      }
      const path = await saveCheckpoint(join(folder, 'checkpoints'), recordOf(end, seconds, best, stale), state);
      yield { type: 'checkpoint', step: end, path };
      const counted = stop === undefined ? {} : { stale: stale ?? 0 };
      await exchange.publish(round + 1, { p, ema, u }, { seconds, best, ...counted });
      // The round before holds moments that were needed until now.
      if (round > 0) await exchange.forget(round - 1);
    },

    async finish(round) {
      const { seconds, best, stale } = await exchange.record(round);
      const end = Math.min(steps, round * localSteps);
      const have = newestRecord(join(folder, 'checkpoints'))?.record.step ?? -1;
      if (round > 0 && have < end) {
        const { p, ema } = (await exchange.readRound(round)) as Record<'p' | 'ema', Float32Array>;
        const { m, v } = (await exchange.readSlot(round - 1, slots - 1)) as Record<'m' | 'v', Float32Array>;
        await saveCheckpoint(join(folder, 'checkpoints'), recordOf(end, seconds, best, stale), { p, m, v, ema });
      }
      if (stop === undefined || best === undefined) return;
      const found =
        newestRecord(join(folder, 'best'))?.record.step === best.step ? undefined : await exchange.readBest();
      if (found !== undefined) await saveCheckpoint(join(folder, 'best'), found.record, found.vectors as never, 1);
    },
  };

  function recordOf(
    step: number,
    seconds: number,
    best: CheckpointRecord['best'],
    stale: number | undefined,
  ): CheckpointRecord {
    const counted = stop === undefined ? {} : { stale: stale ?? 0 };
    const clips = task.clips === undefined ? {} : { clips: task.clips };
    const { recipe } = options;
    return { step, seconds, updates: step, best, ...counted, ...startRecord(options.from), recipe, ...clips };
  }
}

async function setVector(
  runtime: Runtime,
  plan: WeightPlan,
  groups: readonly StateGroup[],
  name: 'p' | 'm' | 'v' | 'ema',
  flat: Float32Array,
): Promise<void> {
  for (const [i, array] of groupArrays(plan.trained, groups, flat).entries()) {
    await runtime.setState(stateName(name, groups[i]!), f32(groups[i]!.shape, array), { move: true });
  }
}

async function getVector(
  runtime: Runtime,
  plan: WeightPlan,
  groups: readonly StateGroup[],
  name: 'p' | 'm' | 'v',
  total: number,
): Promise<Float32Array> {
  const flat = new Float32Array(total);
  for (const g of groups) {
    ungroup(plan.trained, g, (await runtime.getState(stateName(name, g)))!.data as Float32Array, flat);
  }
  return flat;
}
