// The training loop: one graph run per step, state kept on the device, validation, atomic checkpoints, exact resume.
// The batch of a step depends only on the seed and the step, so a resumed run repeats the uninterrupted one.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { f32, type NdArray, OrreryError, randomStream, sizeOf, throwIfAborted } from '../base/index.ts';
import { makeFolder } from '../formats/index.ts';
import { compile, type Tensor } from '../graph/index.ts';
import { type Init, listWeights, type WeightSpec, type Weights } from '../nets/orrery/weights.ts';
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
  stateOutputs,
  stateWeights,
  trainingStep,
  ungroup,
} from './optimizer.ts';
import { emaDecay, learningRate, type Schedule } from './schedule.ts';

/** What is trained: loss, data, start values and score. */
export type TrainingTask = {
  readonly name: string;
  /** Training clips, for the record. */
  readonly clips?: number;
  /** Loss and further scalars from the weights; creates its own graph inputs, equal at every call. */
  loss(weights: Weights): { loss: Tensor; metrics: Record<string, Tensor> };
  /** Feeds of one step. */
  batch(step: number): Record<string, NdArray>;
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
  readonly signal?: AbortSignal;
};

export type TrainEvent =
  | { readonly type: 'start'; readonly parameters: number; readonly step: number; readonly resumed: boolean }
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
      readonly reason: 'finished' | 'time' | 'canceled';
      readonly path: string;
    };

/** Flat start vector from the declared start values; `better` replaces some of them. */
export function startVector(
  specs: readonly WeightSpec[],
  seed: number,
  better: ReadonlyMap<string, Float32Array>,
): Float32Array {
  const flat = new Float32Array(parameterCount(specs));
  let at = 0;
  for (const { key, shape, init } of specs) {
    const n = sizeOf(shape);
    const given = better.get(key);
    if (given !== undefined) {
      if (given.length !== n)
        throw new OrreryError('internal', `start value of ${key}: ${given.length} numbers for [${shape}]`);
      flat.set(given, at);
    } else fill(flat.subarray(at, at + n), shape, init, seed, key);
    at += n;
  }
  return flat;
}

function fill(out: Float32Array, shape: readonly number[], init: Init, seed: number, key: string): void {
  if (init.kind === 'zeros') return;
  if (init.kind === 'constant') {
    out.fill(init.value);
    return;
  }
  const random = randomStream(seed, `weight ${key}`);
  if (init.kind === 'normal') {
    for (let i = 0; i < out.length; i++) out[i] = init.std * random.normal();
    return;
  }
  // Xavier: fan in and out include the kernel places of a convolution.
  const place = sizeOf(shape.slice(2));
  const bound = Math.sqrt(6 / (((shape[1] ?? 1) + shape[0]!) * place));
  for (let i = 0; i < out.length; i++) out[i] = random.uniform(-bound, bound);
}

/** Trains until `steps`, the time limit or the signal; yields events. Resumes from the newest checkpoint of the folder. */
export async function* runTraining(task: TrainingTask, options: TrainerOptions): AsyncGenerator<TrainEvent> {
  const { folder, steps, schedule, optimizer, signal, inPlace = true } = options;
  makeFolder(folder);
  const specs = listWeights((w) => task.loss(w));
  await using runtime = openRuntime({
    ...(options.device === undefined ? {} : { device: options.device }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  });

  const found = await loadCheckpoint(join(folder, 'checkpoints'));
  let { step, seconds, best } = found?.record ?? { step: 0, seconds: 0, best: undefined as CheckpointRecord['best'] };
  const start = found?.state ?? (await startState(task, runtime, specs, options.seed));
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
  yield { type: 'start', parameters: total, step, resumed: found !== undefined };

  const session = await loadStep(task, runtime, specs, optimizer);
  const metricNames = session.graph.outputs.map((o) => o.name).filter((n) => !n.startsWith('next.'));
  const state = stateInputs(groups);
  const keep = stateOutputs(groups);
  const model = validationModel(runtime, groups);
  const log = (record: object): void => appendFileSync(join(folder, 'metrics.jsonl'), `${JSON.stringify(record)}\n`);
  const save = async (): Promise<string> => {
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
      recipe: options.recipe,
      ...(task.clips === undefined ? {} : { clips: task.clips }),
    };
    return saveCheckpoint(join(folder, 'checkpoints'), record, current as TrainingState);
  };

  const began = Date.now();
  let saved = Date.now();
  let next = step < steps ? task.batch(step) : {};
  let reason: 'finished' | 'time' | 'canceled' = 'finished';
  while (step < steps) {
    if (signal?.aborted) reason = 'canceled';
    else if (options.maxSeconds !== undefined && (Date.now() - began) / 1000 > options.maxSeconds) reason = 'time';
    if (reason !== 'finished') break;
    const at = performance.now();
    const t = step + 1;
    const lr = learningRate(schedule, step);
    const feeds = {
      ...next,
      lr: f32([1], [lr]),
      correction1: f32([1], [1 / (1 - optimizer.beta1 ** t)]),
      correction2: f32([1], [1 / (1 - optimizer.beta2 ** t)]),
      emaDecay: f32([1], [emaDecay(schedule, step)]),
    };
    const running = session.run(feeds, { state, keep, fetch: metricNames, inPlace, moveFeeds: true });
    // The next batch is prepared while the worker computes.
    next = t < steps ? task.batch(t) : {};
    const out = await running;
    step = t;
    const took = (performance.now() - at) / 1000;
    seconds += took;
    const numbers = Object.fromEntries(metricNames.map((n) => [n, Number(out[n]!.data[0])]));
    const { loss, gradNorm, ...metrics } = numbers as { loss: number; gradNorm: number } & Record<string, number>;
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
      throw new OrreryError(
        'data',
        `step ${step}: the loss is ${loss}, the gradient norm ${gradNorm}; the last checkpoint is unharmed. Lower the learning rate in the recipe and run the same command again`,
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

    if (step % options.validateEvery === 0 || step === steps) {
      const scores = await task.validate(model, join(folder, 'samples', `step-${String(step).padStart(8, '0')}`));
      const isBest = best === undefined || scores.score > best.score;
      if (isBest) best = { score: scores.score, step };
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
  specs: readonly WeightSpec[],
  seed: number,
): Promise<TrainingState> {
  const p = startVector(specs, seed, (await task.start?.(runtime)) ?? new Map());
  return { p, m: new Float32Array(p.length), v: new Float32Array(p.length), ema: p.slice() };
}

function loadStep(
  task: TrainingTask,
  runtime: Runtime,
  specs: readonly WeightSpec[],
  optimizer: AdamWOptions,
): Promise<Session> {
  return runtime.load(
    compile(
      trainingStep(specs, (w) => task.loss((key) => w(key)), optimizer),
      { name: task.name, target: runtime.device === 'cpu' ? 'cpu' : 'gpu' },
    ),
  );
}

/** Graphs over the averaged weights, which stay in the runtime. */
function validationModel(runtime: Runtime, groups: readonly StateGroup[]): ValidationModel {
  const sessions = new Map<string, Session>();
  return {
    async session(key, build) {
      let session = sessions.get(key);
      if (session === undefined) {
        const weights = stateWeights(groups, 'ema');
        session = await runtime.load(
          compile(
            build((k) => weights.get(k)!),
            { name: key },
          ),
        );
        sessions.set(key, session);
      }
      const loaded = session;
      // A graph need not use every weight.
      const used = new Set(loaded.graph.inputs.map((i) => i.name));
      const state = Object.fromEntries(Object.entries(stateInputs(groups, ['ema'])).filter(([name]) => used.has(name)));
      return { run: (feeds) => loaded.run(feeds, { state }) };
    },
  };
}
