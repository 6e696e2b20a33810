// The training loop: one graph run per step, state kept on the device, validation, atomic checkpoints, exact resume.
// The batch of a step depends only on the seed and the step, so a resumed run repeats the uninterrupted one.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { f32, type NdArray, OrreryError, throwIfAborted } from '../base/index.ts';
import { makeFolder } from '../formats/index.ts';
import { compile, type Tensor } from '../graph/index.ts';
import { type Block, listWeights, type WeightSpec, type Weights } from '../nets/orrery/weights.ts';
import { type Device, openRuntime, type Runtime, type Session } from '../runtime/index.ts';
import { type CheckpointRecord, loadCheckpoint, saveCheckpoint, type TrainingState } from './checkpoint.ts';
import {
  type AdamWOptions,
  groupArrays,
  parameterCount,
  STATE_NAMES,
  type StateGroup,
  stateGroups,
  stateInputs,
  stateName,
  stateWeights,
  ungroup,
} from './optimizer.ts';
import { emaDecay, learningRate, type Schedule } from './schedule.ts';
import {
  mappedWeights,
  requireSameShapes,
  requireSameStart,
  type StartWeights,
  startRecord,
  startVector,
} from './start.ts';
import { frozenInputs, loadStep, usedOf } from './step.ts';
import { frozenName, type Tuning, type WeightPlan, weightPlan } from './tuning.ts';

/** What is trained: loss, data, start values and score. */
export type TrainingTask = {
  readonly name: string;
  /** Training clips, for the record. */
  readonly clips?: number;
  /** Loss and further scalars from the weights; creates its own graph inputs, equal at every call. `block` puts repeated blocks. */
  loss(weights: Weights, block?: Block): { loss: Tensor; metrics: Record<string, Tensor> };
  /** Feeds of one step. */
  batch(step: number): Record<string, NdArray> | Promise<Record<string, NdArray>>;
  /** Earlier phases with the step at which each ends, in order; from the last one on, the task as it stands. Same weights, other data. */
  readonly before?: readonly { readonly until: number; readonly task: Pick<TrainingTask, 'name' | 'loss' | 'batch'> }[];
  /** Start values that are better than the declared random ones, by key. */
  start?(runtime: Runtime): Promise<Map<string, Float32Array>>;
  /** Scores on held-out clips; `score` decides (higher is better). */
  validate(model: ValidationModel, folder: string | undefined): Promise<{ score: number } & Record<string, number>>;
};

/** The averaged weights, ready for validation graphs. */
export type ValidationModel = {
  /** Compiles and loads outputs that read the averaged weights. The same `key` gives the same session again. */
  session(
    key: string,
    build: (weights: Weights) => Record<string, Tensor>,
  ): Promise<{
    run(feeds: Record<string, NdArray>): Promise<Record<string, NdArray>>;
  }>;
};

export type TrainerOptions = {
  readonly folder: string;
  readonly seed: number;
  readonly steps: number;
  readonly schedule: Schedule;
  readonly optimizer: AdamWOptions;
  readonly validateEvery: number;
  readonly checkpointSeconds: number;
  /** Stop after this many seconds of this run, with a checkpoint. */
  readonly maxSeconds?: number;
  readonly device?: Device;
  readonly threads?: number;
  /** False keeps two copies of the state instead of updating in place (for tests). Default true. */
  readonly inPlace?: boolean;
  readonly recipe: unknown;
  /** Learning rate of a step (from 0), instead of the schedule's. */
  readonly rateOf?: (step: number) => number;
  /** False: no validation at the last step either, and no score. Default true. */
  readonly validates?: boolean;
  /** Weights to start from; see `weightsOfModel`. */
  readonly from?: StartWeights;
  /** What of the start weights is trained. Default: everything. */
  readonly tune?: Tuning;
  /** Batches whose gradients are averaged for one step: step s takes batches s·n … s·n + n − 1. Default 1. */
  readonly accumulate?: number;
  /** Stop after `patience` validations in a row that were no better than the best by more than `minDelta`; the best state is kept in `best/`. */
  readonly stop?: { readonly patience: number; readonly minDelta: number };
  readonly signal?: AbortSignal;
};

export type TrainEvent =
  | {
      readonly type: 'start';
      readonly parameters: number;
      /** Numbers that the optimizer changes; fewer than `parameters` when some are frozen. */
      readonly trained: number;
      readonly step: number;
      readonly resumed: boolean;
    }
  | {
      readonly type: 'step';
      readonly step: number;
      readonly steps: number;
      readonly loss: number;
      readonly gradNorm: number;
      readonly lr: number;
      readonly metrics: Readonly<Record<string, number>>;
      readonly secondsPerStep: number;
      readonly etaSeconds: number;
    }
  | {
      readonly type: 'validation';
      readonly step: number;
      readonly scores: Readonly<Record<string, number>>;
      readonly best: boolean;
    }
  | { readonly type: 'checkpoint'; readonly step: number; readonly path: string }
  | {
      readonly type: 'done';
      readonly step: number;
      /** `stalled`: the held-out score did not get better any more. */
      readonly reason: 'finished' | 'time' | 'canceled' | 'stalled';
      readonly path: string;
    };

/** Whether a training ended because its loss or gradient is no number any more. */
export const hasDiverged = (error: unknown): boolean =>
  error instanceof OrreryError && error.details['hasDiverged'] === true;

/** Trains until `steps`, the time limit or the signal; yields events. Resumes from the newest checkpoint of the folder. */
export async function* runTraining(task: TrainingTask, options: TrainerOptions): AsyncGenerator<TrainEvent> {
  const { folder, steps, schedule, signal, from, stop } = options;
  makeFolder(folder);
  const plan = planOf(task, options);
  const specs = plan.trained;
  await using runtime = openRuntime({
    ...(options.device === undefined ? {} : { device: options.device }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  });

  const found = await loadCheckpoint(join(folder, 'checkpoints'));
  let { step, seconds, best } = found?.record ?? { step: 0, seconds: 0, best: undefined as CheckpointRecord['best'] };
  let stale = found?.record.stale ?? 0;
  if (found !== undefined) requireSameStart(folder, found.record.from, from);
  const start = found?.state ?? (await startState(task, runtime, plan, options));
  const total = parameterCount(specs);
  if (start.p.length !== total) {
    throw new OrreryError(
      'data',
      `${folder}: the checkpoint has ${start.p.length} parameters, the recipe has ${total}; use another folder or the old recipe`,
    );
  }
  const groups = stateGroups(specs);
  for (const name of STATE_NAMES) {
    for (const [i, array] of groupArrays(specs, groups, start[name]).entries()) {
      const group = groups[i]!;
      await runtime.setState(stateName(name, group), f32(group.shape, array), { move: true });
    }
  }
  await setFrozen(runtime, plan, from);
  yield { type: 'start', parameters: parameterCount(plan.all), trained: total, step, resumed: found !== undefined };

  const runStep = await loadStep(task, runtime, plan, { ...options, first: step });
  const model = validationModel(runtime, groups, plan, from?.source);
  const log = (record: object): void => appendFileSync(join(folder, 'metrics.jsonl'), `${JSON.stringify(record)}\n`);
  const save = async (dir = 'checkpoints', keep = 2): Promise<string> => {
    const current: Record<string, Float32Array> = {};
    for (const name of STATE_NAMES) {
      const flat = new Float32Array(total);
      for (const g of groups) {
        ungroup(specs, g, (await runtime.getState(stateName(name, g)))!.data as Float32Array, flat);
      }
      current[name] = flat;
    }
    const record = {
      step,
      seconds,
      updates: step,
      best,
      ...(stop === undefined ? {} : { stale }),
      ...startRecord(from),
      recipe: options.recipe,
      ...(task.clips === undefined ? {} : { clips: task.clips }),
    };
    return saveCheckpoint(join(folder, dir), record, current as TrainingState, keep);
  };

  const began = Date.now();
  let saved = Date.now();
  let reason: 'finished' | 'time' | 'canceled' | 'stalled' = 'finished';
  while (step < steps) {
    if (stop !== undefined && stale >= stop.patience) reason = 'stalled';
    else if (signal?.aborted) reason = 'canceled';
    else if (options.maxSeconds !== undefined && (Date.now() - began) / 1000 > options.maxSeconds) reason = 'time';
    if (reason !== 'finished') break;
    const at = performance.now();
    const t = step + 1;
    const lr = options.rateOf?.(step) ?? learningRate(schedule, step);
    const { loss, gradNorm, ...metrics } = await runStep(step, lr, emaDecay(schedule, step));
    step = t;
    const took = (performance.now() - at) / 1000;
    seconds += took;
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
      throw new OrreryError(
        'data',
        `step ${step}: the loss is ${loss}, the gradient norm ${gradNorm}; the last checkpoint is unharmed. Lower the learning rate in the recipe and run the same command again`,
        { details: { hasDiverged: true } },
      );
    }
    log({ step, seconds, loss, gradNorm, lr, ...metrics });
    yield {
      type: 'step',
      step,
      steps,
      loss,
      gradNorm,
      lr,
      metrics,
      secondsPerStep: took,
      etaSeconds: ((steps - step) * seconds) / step,
    };

    if (options.validates !== false && (step % options.validateEvery === 0 || step === steps)) {
      const scores = await task.validate(model, join(folder, 'samples', `step-${String(step).padStart(8, '0')}`));
      const isBest = best === undefined || scores.score > best.score + (stop?.minDelta ?? 0);
      stale = isBest ? 0 : stale + 1;
      if (isBest) best = { score: scores.score, step };
      if (isBest && stop !== undefined) await save('best', 1);
      log({ step, seconds, validation: scores });
      yield { type: 'validation', step, scores, best: isBest };
    }
    if ((Date.now() - saved) / 1000 > options.checkpointSeconds) {
      yield { type: 'checkpoint', step, path: await save() };
      saved = Date.now();
    }
  }
  const path = await save();
  yield { type: 'done', step, reason, path };
  if (reason === 'canceled') throwIfAborted(signal);
}

async function startState(
  task: TrainingTask,
  runtime: Runtime,
  plan: WeightPlan,
  options: Pick<TrainerOptions, 'seed' | 'from'>,
): Promise<TrainingState> {
  const p = await firstWeights(task, runtime, plan, options);
  return { p, m: new Float32Array(p.length), v: new Float32Array(p.length), ema: p.slice() };
}

/** The trained weights at step 0: those of the start model, better ones of the task, declared ones. */
export async function firstWeights(
  task: TrainingTask,
  runtime: Runtime,
  plan: WeightPlan,
  { seed, from }: Pick<TrainerOptions, 'seed' | 'from'>,
): Promise<Float32Array> {
  // The better start of an own network is costly and for nothing where all of it comes from a model.
  const own = from === undefined || from.source !== undefined ? await task.start?.(runtime) : undefined;
  return startVector(plan.trained, seed, { get: (key) => from?.values.get(key) ?? own?.get(key) });
}

/** The plan of a training: which weights exist, which are trained. */
export function planOf(
  task: Pick<TrainingTask, 'loss' | 'before'>,
  { from, tune }: Pick<TrainerOptions, 'from' | 'tune'>,
): WeightPlan {
  const specs = listWeights((w) => task.loss(w));
  for (const { until, task: phase } of task.before ?? [])
    requireSameWeights(
      specs,
      listWeights((w) => phase.loss(w)),
      until,
    );
  if (from !== undefined) requireSameShapes(specs, from);
  return weightPlan(
    specs,
    tune,
    from === undefined ? undefined : new Set(from.values.keys()),
    from?.source !== undefined,
  );
}

/** Phases train one network: all of them must ask for the same weights. */
function requireSameWeights(specs: readonly WeightSpec[], phase: readonly WeightSpec[], until: number): void {
  const shapeOf = new Map(phase.map((s) => [s.key, s.shape]));
  const other = specs.find((s) => shapeOf.get(s.key)?.join() !== s.shape.join());
  if (other === undefined && phase.length === specs.length) return;
  const what =
    other === undefined
      ? 'other weights'
      : `${other.key} [${shapeOf.get(other.key) ?? 'none'}], the last one [${other.shape}]`;
  throw new OrreryError(
    'data',
    `the phase until step ${until} has ${what}: sizes that change the network cannot change between phases`,
  );
}

/** Puts frozen weights into the runtime, unless they are read from their files. */
export async function setFrozen(runtime: Runtime, plan: WeightPlan, from: StartWeights | undefined): Promise<void> {
  if (plan.isMapped) return;
  for (const { key, shape } of plan.frozen) {
    await runtime.setState(frozenName(key), f32(shape, from!.values.get(key)!));
  }
}

/** Graphs over the averaged weights, which stay in the runtime. */
export function validationModel(
  runtime: Runtime,
  groups: readonly StateGroup[],
  plan: WeightPlan,
  source?: StartWeights['source'],
): ValidationModel {
  const sessions = new Map<string, Session>();
  return {
    async session(key, build) {
      let session = sessions.get(key);
      if (session === undefined) {
        const trained = stateWeights(groups, 'ema');
        const outputs = build(plan.effective((k) => trained.get(k)!));
        session = await runtime.load(compile(outputs, { name: key, ...mappedWeights(source) }), source?.load);
        sessions.set(key, session);
      }
      const loaded = session;
      const state = usedOf(loaded, { ...stateInputs(groups, ['ema']), ...frozenInputs(plan) });
      return { run: (feeds) => loaded.run(feeds, { state }) };
    },
  };
}
