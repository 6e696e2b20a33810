// Data-parallel training with rare synchronisation (DiLoCo, Douillard et al. 2023), without a server: any number of processes that
// share a folder take slots of a round, each a few local steps from the same weights; whoever finds a round complete makes the
// outer step. What a slot computes depends on its number only, not on who computes it, so processes may come, go and be killed.
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { f32, OrreryError, throwIfAborted } from '../base/index.ts';
import { diskError, makeFolder, openSafetensors, writeSafetensors } from '../formats/index.ts';
import { openRuntime, type Runtime } from '../runtime/index.ts';
import { type CheckpointRecord, newestRecord, saveCheckpoint } from './checkpoint.ts';
import { groupArrays, parameterCount, type StateGroup, stateGroups, stateName, ungroup } from './optimizer.ts';
import { emaDecay, learningRate } from './schedule.ts';
import { requireSameStart, startRecord, startVector } from './start.ts';
import { loadStep, type RunStep } from './step.ts';
import { planOf, type TrainEvent, type TrainerOptions, type TrainingTask, validationModel } from './trainer.ts';
import { frozenName, type WeightPlan } from './tuning.ts';

export type ParallelOptions = {
  /** Batches of one step, each from another part of the data: how many processes can work at once. */
  readonly slots: number;
  /** Steps between synchronisations. */
  readonly localSteps: number;
  /** Rate and Nesterov momentum of the outer step; 0.7 and 0.9 in the paper. 1 and 0 average the weights. */
  readonly outerRate: number;
  readonly outerMomentum: number;
};

/** Seconds without a sign of life after which a slot is given to someone else. */
const LEASE_SECONDS = 20;

type Vectors = Readonly<Record<string, Float32Array>>;
type RoundRecord = Pick<CheckpointRecord, 'seconds' | 'best'>;

/**
 * Takes part in the training of `options.folder` until it is finished. The same call in several processes, here or on machines that
 * share the folder, makes it faster; the result is the same. Events tell this process's own steps and the rounds that it closed.
 */
export async function* runParallel(
  task: TrainingTask,
  options: TrainerOptions & { readonly parallel: ParallelOptions; readonly leaseSeconds?: number },
): AsyncGenerator<TrainEvent> {
  const { folder, steps, signal, parallel, leaseSeconds = LEASE_SECONDS } = options;
  const { slots, localSteps } = parallel;
  const rounds = Math.ceil(steps / localSteps);
  const dir = join(folder, 'rounds');
  makeFolder(dir);
  const saved = newestRecord(join(folder, 'checkpoints'));
  if (saved !== undefined) requireSameStart(folder, saved.record.from, options.from);
  const plan = planOf(task, options);
  await using runtime = openRuntime({
    ...(options.device === undefined ? {} : { device: options.device }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  });
  const total = parameterCount(plan.trained);
  await firstRound(dir, total, async () => {
    const better = options.from?.values ?? (await task.start?.(runtime)) ?? new Map<string, Float32Array>();
    return startVector(plan.trained, options.seed, better);
  });
  yield {
    type: 'start',
    parameters: parameterCount(plan.all),
    trained: total,
    step: newest(dir) * localSteps,
    resumed: newest(dir) > 0,
  };

  const local = await openLocal(task, runtime, plan, options);
  const began = Date.now();
  while (newest(dir) < rounds) {
    throwIfAborted(signal);
    if (options.maxSeconds !== undefined && (Date.now() - began) / 1000 > options.maxSeconds) {
      yield { type: 'done', step: newest(dir) * localSteps, reason: 'time', path: join(dir, nameOf(newest(dir))) };
      return;
    }
    const round = newest(dir);
    const here = join(dir, nameOf(round));
    const slot = Array.from({ length: slots }, (_, i) => i).find(
      (i) => !existsSync(join(here, `slot-${i}.safetensors`)) && claim(join(here, `slot-${i}.claim`), leaseSeconds),
    );
    if (slot !== undefined) {
      const lease = keepAlive(join(here, `slot-${slot}.claim`), leaseSeconds);
      try {
        yield* local.run(dir, round, slot);
      } catch (error) {
        // Held up for so long that others did it and went on: nothing is lost.
        if (signal?.aborted === true || newest(dir) <= round) throw error;
      } finally {
        lease.release();
      }
      continue;
    }
    const isComplete = Array.from({ length: slots }, (_, i) => i).every((i) =>
      existsSync(join(here, `slot-${i}.safetensors`)),
    );
    if (isComplete && claim(join(here, 'outer.claim'), leaseSeconds)) {
      const lease = keepAlive(join(here, 'outer.claim'), leaseSeconds);
      try {
        yield* local.close(dir, round);
      } finally {
        lease.release();
      }
      continue;
    }
    await sleep(Math.min(200, leaseSeconds * 100), undefined, signal === undefined ? {} : { signal }).catch(() =>
      throwIfAborted(signal),
    );
  }
  const step = rounds * localSteps;
  yield { type: 'done', step, reason: 'finished', path: join(folder, 'checkpoints') };
}

const nameOf = (round: number): string => `round-${String(round).padStart(6, '0')}`;

/** Number of the newest round that has begun; −1 before the first. */
function newest(dir: string): number {
  const names = readdirSync(dir).filter((n) => /^round-\d{6}$/.test(n));
  return names.length === 0 ? -1 : Math.max(...names.map((n) => Number(n.slice(6))));
}

/** Writes a round's folder under another name and then gives it its own; loses quietly to another process that was first. */
function publish(dir: string, round: number, vectors: Vectors, record: RoundRecord): void {
  const temporary = join(dir, `.${randomUUID()}`);
  mkdirSync(temporary);
  write(join(temporary, 'weights.safetensors'), vectors);
  writeFileSync(join(temporary, 'record.json'), JSON.stringify(record));
  try {
    renameSync(temporary, join(dir, nameOf(round)));
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    if (!existsSync(join(dir, nameOf(round)))) throw error;
  }
}

async function firstRound(dir: string, total: number, start: () => Promise<Float32Array>): Promise<void> {
  if (newest(dir) < 0) {
    const p = await start();
    publish(dir, 0, { p, ema: p, u: new Float32Array(total) }, { seconds: 0, best: undefined });
  }
  const { p } = read(join(dir, nameOf(newest(dir)), 'weights.safetensors'));
  if (p!.length !== total) {
    throw new OrreryError(
      'data',
      `${dir}: its weights have ${p!.length} numbers, the recipe has ${total}; use another folder`,
    );
  }
}

function write(path: string, vectors: Vectors): void {
  writeSafetensors(
    path,
    Object.entries(vectors).map(([name, data]) => [name, f32([data.length], data)] as const),
  );
}

function read(path: string): Record<string, Float32Array> {
  using file = openSafetensors(path);
  return Object.fromEntries([...file.tensors.keys()].map((name) => [name, file.read(name).data as Float32Array]));
}

/** Whether this process may do a piece of work: nobody has it, or the one who had it has not been heard of for long. */
function claim(path: string, leaseSeconds: number): boolean {
  try {
    writeFileSync(path, '', { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw diskError(error, 'write', path);
    const age = (Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())) / 1000;
    if (age < leaseSeconds) return false;
    // Two that find the same stale claim: both may work, and the same numbers are written twice.
    rmSync(path, { force: true });
    return false;
  }
}

/** Runs `work` in one process at a time; the others wait. */
export async function oneAtATime<T>(path: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  while (!claim(path, LEASE_SECONDS)) {
    throwIfAborted(signal);
    await sleep(200);
  }
  const lease = keepAlive(path, LEASE_SECONDS);
  try {
    return await work();
  } finally {
    lease.release();
  }
}

/** Signs of life while a claim is held. */
function keepAlive(path: string, leaseSeconds: number): { release(): void } {
  const touch = (): void => {
    const now = new Date();
    if (existsSync(path)) utimesSync(path, now, now);
  };
  const timer = setInterval(touch, (leaseSeconds * 1000) / 4);
  timer.unref();
  return {
    release() {
      clearInterval(timer);
      rmSync(path, { force: true });
    },
  };
}

type Local = {
  /** Local steps of a slot. */
  run(dir: string, round: number, slot: number): AsyncGenerator<TrainEvent>;
  /** The outer step of a complete round. */
  close(dir: string, round: number): AsyncGenerator<TrainEvent>;
};

async function openLocal(
  task: TrainingTask,
  runtime: Runtime,
  plan: WeightPlan,
  options: TrainerOptions & { readonly parallel: ParallelOptions },
): Promise<Local> {
  const { parallel, schedule, steps, folder } = options;
  const { slots, localSteps } = parallel;
  const groups = stateGroups(plan.trained);
  const total = parameterCount(plan.trained);
  for (const { key, shape } of plan.frozen) {
    await runtime.setState(frozenName(key), f32(shape, options.from!.values.get(key)!));
  }
  let slotNow = 0;
  const set = (name: 'p' | 'm' | 'v' | 'ema', flat: Float32Array) => setVector(runtime, plan, groups, name, flat);
  for (const name of ['p', 'm', 'v', 'ema'] as const) await set(name, new Float32Array(total));
  const step: RunStep = await loadStep(task, runtime, plan, {
    ...options,
    steps: Number.POSITIVE_INFINITY,
    batchOf: (s) => s * slots + slotNow,
  });
  const model = validationModel(runtime, groups, plan);

  return {
    async *run(dir, round, slot) {
      slotNow = slot;
      const began = performance.now();
      const { p } = read(join(dir, nameOf(round), 'weights.safetensors'));
      // The moments of a slot go on from round to round, whoever computes it.
      const before = round === 0 ? undefined : read(join(dir, nameOf(round - 1), `slot-${slot}.safetensors`));
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
      write(join(dir, nameOf(round), `slot-${slot}.safetensors`), {
        p: await get('p'),
        m: await get('m'),
        v: await get('v'),
        seconds: Float32Array.of((performance.now() - began) / 1000),
      });
    },

    async *close(dir, round) {
      const here = join(dir, nameOf(round));
      const { p, ema, u } = read(join(here, 'weights.safetensors')) as Record<'p' | 'ema' | 'u', Float32Array>;
      const old = JSON.parse(readFileSync(join(here, 'record.json'), 'utf8')) as RoundRecord;
      const delta = new Float32Array(total);
      let { seconds, best } = old;
      let last: Record<string, Float32Array> = {};
      for (let i = 0; i < slots; i++) {
        last = read(join(here, `slot-${i}.safetensors`));
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
      const isDue = Math.floor(end / options.validateEvery) > Math.floor((round * localSteps) / options.validateEvery);
      if (options.validates !== false && (isDue || end === steps)) {
        await set('ema', ema);
        const scores = await task.validate(model, join(folder, 'samples', `step-${String(end).padStart(8, '0')}`));
        const isBest = best === undefined || scores.score > best.score;
        if (isBest) best = { score: scores.score, step: end };
        yield { type: 'validation', step: end, scores, best: isBest };
      }
      const record = { step: end, seconds, updates: end, best, ...startRecord(options.from), recipe: options.recipe };
      const state = { p, m: last['m']!, v: last['v']!, ema };
      yield { type: 'checkpoint', step: end, path: await saveCheckpoint(join(folder, 'checkpoints'), record, state) };
      publish(dir, round + 1, { p, ema, u }, { seconds, best });
      // The round before holds moments that were needed until now.
      rmSync(join(dir, nameOf(round - 1)), { recursive: true, force: true });
    },
  };
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
