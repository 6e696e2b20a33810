// One optimizer step as one call: a single graph run, or several whose gradients are averaged before the update.
import { f32, type NdArray } from '../base/index.ts';
import { compile, type Tensor } from '../graph/index.ts';
import type { Runtime, Session } from '../runtime/index.ts';
import {
  type AdamWOptions,
  accumulationStep,
  gradientName,
  nextGradientName,
  type StateGroup,
  stateGroups,
  stateInputs,
  stateOutputs,
  trainingStep,
  updateStep,
} from './optimizer.ts';
import { mappedWeights, type StartWeights } from './start.ts';
import type { TrainingTask } from './trainer.ts';
import { frozenName, type WeightPlan } from './tuning.ts';

export type StepOptions = {
  readonly optimizer: AdamWOptions;
  /** Last step, for preparing the next batch ahead. */
  readonly steps: number;
  readonly accumulate?: number;
  readonly inPlace?: boolean;
  /** The step that comes first, whose graphs are loaded at once. Default 0. */
  readonly first?: number;
  /** Number of the (first) batch of a step, where it is not the step's own. */
  readonly batchOf?: (step: number) => number;
  /** Start model; where its weights are mapped, the graphs read them from its files. */
  readonly from?: StartWeights;
};

/** Runs step `step` (from 0); gives loss, gradNorm and the task's metrics, averaged over its batches. */
export type RunStep = (
  step: number,
  lr: number,
  emaDecay: number,
) => Promise<{ loss: number; gradNorm: number } & Record<string, number>>;

/** State array of each graph input that reads a frozen weight. */
export const frozenInputs = (plan: WeightPlan): Record<string, string> =>
  plan.isMapped ? {} : Object.fromEntries(plan.frozen.map(({ key }) => [frozenName(key), frozenName(key)]));

/** The outputs of the graphs of a step; the second one exists when gradients are summed over several batches. */
export function stepGraphs(
  task: Pick<TrainingTask, 'loss'>,
  plan: WeightPlan,
  { optimizer, accumulate = 1 }: Pick<StepOptions, 'optimizer' | 'accumulate'>,
): readonly Record<string, Tensor>[] {
  const lossOf = (trained: (key: string) => Tensor) => task.loss(plan.effective(trained), plan.block(trained));
  return accumulate === 1
    ? [trainingStep(plan.trained, lossOf, optimizer)]
    : [accumulationStep(plan.trained, lossOf, accumulate), updateStep(plan.trained, optimizer)];
}

/** Compiles and loads the step. Its state arrays must be set before it runs. Each phase of a task is loaded when its turn comes. */
export async function loadStep(
  task: Pick<TrainingTask, 'name' | 'loss' | 'batch' | 'before'>,
  runtime: Runtime,
  plan: WeightPlan,
  options: StepOptions,
): Promise<RunStep> {
  const { before = [] } = task;
  const ends = [...before.map(({ until }) => until), Number.POSITIVE_INFINITY];
  const tasks = [...before.map((phase) => phase.task), task];
  let current: { readonly phase: number; readonly loaded: Awaited<ReturnType<typeof loadPhase>> } | undefined;
  const runOf = async (step: number): Promise<RunStep> => {
    const phase = ends.findIndex((end) => step < end);
    if (current?.phase !== phase) {
      await current?.loaded.dispose();
      current = undefined;
      const steps = Math.min(options.steps, ends[phase]!);
      current = { phase, loaded: await loadPhase(tasks[phase]!, runtime, plan, { ...options, steps }) };
    }
    return current.loaded.run;
  };
  await runOf(options.first ?? 0);
  return async (step, lr, emaDecay) => (await runOf(step))(step, lr, emaDecay);
}

async function loadPhase(
  task: Pick<TrainingTask, 'name' | 'loss' | 'batch'>,
  runtime: Runtime,
  plan: WeightPlan,
  options: StepOptions,
): Promise<{ run: RunStep; dispose(): Promise<void> }> {
  const { accumulate = 1, inPlace = true, steps, optimizer, batchOf = (s) => s } = options;
  const target = runtime.device === 'cpu' ? 'cpu' : 'gpu';
  const sessions: Session[] = [];
  for (const [i, outputs] of stepGraphs(task, plan, options).entries()) {
    const name = i === 0 ? task.name : `${task.name}-update`;
    const source = options.from?.source;
    sessions.push(await runtime.load(compile(outputs, { name, target, ...mappedWeights(source) }), source?.load));
  }
  const dispose = async (): Promise<void> => {
    for (const session of sessions) await session.dispose();
  };
  const groups = stateGroups(plan.trained);
  const scalars = (step: number, lr: number, emaDecay: number): Record<string, NdArray> => ({
    lr: f32([1], [lr]),
    correction1: f32([1], [1 / (1 - optimizer.beta1 ** (step + 1))]),
    correction2: f32([1], [1 / (1 - optimizer.beta2 ** (step + 1))]),
    emaDecay: f32([1], [emaDecay]),
  });
  const batches = batchesAhead(task, steps * accumulate);
  const [main, rest] = sessions as [Session, Session?];
  const shown = namesOf(main);
  if (rest === undefined) {
    const state = usedOf(main, { ...stateInputs(groups), ...frozenInputs(plan) });
    const keep = keptOf(main, stateOutputs(groups));
    const run: RunStep = async (step, lr, emaDecay) => {
      const feeds = { ...(await batches.take(batchOf(step))), ...scalars(step, lr, emaDecay) };
      const running = main.run(feeds, { state, keep, fetch: shown, inPlace, moveFeeds: true });
      batches.prepare(batchOf(step + 1));
      return numbersOf(await running, shown);
    };
    return { run, dispose };
  }
  const gradients = Object.fromEntries(groups.map((g) => [gradientName(g), gradientName(g)]));
  for (const g of groups) await runtime.setState(gradientName(g), zerosOf(g));
  const state = usedOf(main, { ...stateInputs(groups, ['p']), ...frozenInputs(plan), ...gradients });
  const summed = Object.fromEntries(groups.map((g) => [nextGradientName(g), gradientName(g)]));
  const run: RunStep = async (step, lr, emaDecay) => {
    const sums: Record<string, number> = {};
    for (let i = 0; i < accumulate; i++) {
      const at = batchOf(step) * accumulate + i;
      const feeds = { ...(await batches.take(at)), keepGradient: f32([1], [i === 0 ? 0 : 1]) };
      const running = main.run(feeds, { state, keep: summed, fetch: shown, inPlace, moveFeeds: true });
      batches.prepare(at + 1);
      for (const [name, value] of Object.entries(numbersOf(await running, shown))) {
        sums[name] = (sums[name] ?? 0) + value / accumulate;
      }
    }
    const out = await rest.run(scalars(step, lr, emaDecay), {
      state: usedOf(rest, { ...stateInputs(groups), ...gradients }),
      keep: keptOf(rest, stateOutputs(groups)),
      fetch: ['gradNorm'],
      inPlace,
    });
    return { ...sums, ...numbersOf(out, ['gradNorm']) } as Awaited<ReturnType<RunStep>>;
  };
  return { run, dispose };
}

/** The state that a session's outputs replace: an optimizer need not use every moment. */
function keptOf(session: Session, all: Record<string, string>): Record<string, string> {
  const made = new Set(session.graph.outputs.map((o) => o.name));
  return Object.fromEntries(Object.entries(all).filter(([name]) => made.has(name)));
}

const zerosOf = (g: StateGroup): NdArray => f32(g.shape, new Float32Array(g.shape[0] * g.shape[1]));

/** Outputs that are read, not kept. */
const namesOf = (session: Session): string[] =>
  session.graph.outputs.map((o) => o.name).filter((name) => !name.startsWith('next.'));

/** The state of a session: a graph need not use every weight. */
export function usedOf(session: Session, all: Record<string, string>): Record<string, string> {
  const used = new Set(session.graph.inputs.map((i) => i.name));
  return Object.fromEntries(Object.entries(all).filter(([name]) => used.has(name)));
}

function numbersOf(
  out: Record<string, NdArray>,
  names: readonly string[],
): { loss: number; gradNorm: number } & Record<string, number> {
  return Object.fromEntries(names.map((n) => [n, Number(out[n]!.data[0])])) as ReturnType<typeof numbersOf>;
}

/** Batches by number, the next one made while the worker computes. */
function batchesAhead(
  task: Pick<TrainingTask, 'batch'>,
  count: number,
): { take(at: number): Promise<Record<string, NdArray>>; prepare(at: number): void } {
  let ready: { readonly at: number; readonly feeds: ReturnType<TrainingTask['batch']> } | undefined;
  return {
    async take(at) {
      const feeds = await (ready?.at === at ? ready.feeds : task.batch(at));
      ready = undefined;
      return feeds;
    },
    prepare(at) {
      if (at >= count) return;
      const feeds = task.batch(at);
      // Its error comes when the batch is taken.
      if (feeds instanceof Promise) feeds.catch(() => {});
      ready = { at, feeds };
    },
  };
}
