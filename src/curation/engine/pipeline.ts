// Runs a pipeline on this machine: all stages at once, workers spread by the allocator from measured speeds, progress as
// events. What carries the units is the backend's business.
import { availableParallelism } from 'node:os';
import { throwIfAborted } from '../../base/index.ts';
import { allocate } from './allocator.ts';
import { queueLimit } from './back-pressure.ts';
import type { Backend } from './backend.ts';
import type { Stage, Unit } from './stage.ts';
import { work } from './work.ts';

/** State of one stage in a progress event. */
export type StageProgress = {
  readonly name: string;
  readonly waiting: number;
  readonly running: number;
  readonly done: number;
  readonly dead: number;
  readonly retried: number;
  readonly workers: number;
  /** Units per second over the whole run. */
  readonly rate: number;
};

/** What a run tells. */
export type PipelineEvent =
  | {
      readonly type: 'progress';
      readonly seconds: number;
      readonly stages: readonly StageProgress[];
      readonly isSourceEnded: boolean;
    }
  | { readonly type: 'workers'; readonly counts: Readonly<Record<string, number>> }
  | { readonly type: 'settled'; readonly seconds: number; readonly stages: readonly StageProgress[] };

/** Options of `runPipeline`. */
export type PipelineOptions = {
  readonly stages: readonly Stage[];
  readonly backend: Backend;
  /** Units for the first stage. Known ids are skipped by the backend. */
  readonly source: AsyncIterable<Unit> | Iterable<Unit>;
  /** Cores to spread. Default: those of the machine. */
  readonly cores?: number;
  /** Seconds between new plans. Default 5. */
  readonly replanSeconds?: number;
  /** Seconds between progress events. Default 1. */
  readonly progressSeconds?: number;
  readonly signal?: AbortSignal;
};

type Pool = {
  readonly stage: Stage;
  readonly index: number;
  readonly retirers: AbortController[];
  units: number;
  seconds: number;
  /** Units that had come to the stage before this run. */
  readonly arrived: number;
};

/** Runs until every unit is done or dead. Leaving the loop early stops all work; what was in flight is taken again later. */
export async function* runPipeline(options: PipelineOptions): AsyncGenerator<PipelineEvent, void, undefined> {
  const { stages, backend, cores = availableParallelism(), replanSeconds = 5, progressSeconds = 1 } = options;
  throwIfAborted(options.signal);
  const stopper = new AbortController();
  const signal = options.signal === undefined ? stopper.signal : AbortSignal.any([options.signal, stopper.signal]);
  const pools: Pool[] = stages.map((stage, index) => ({
    stage,
    index,
    retirers: [],
    units: 0,
    seconds: 0,
    arrived: settledOf(backend.counts(stage.name)),
  }));
  const running = new Set<Promise<void>>();
  let failure: unknown;
  let isSourceEnded = false;
  const began = performance.now();
  const start = (pool: Pool): void => {
    const retirer = new AbortController();
    pool.retirers.push(retirer);
    const loop = work({
      stage: pool.stage,
      next: stages[pool.index + 1]?.name,
      backend,
      retire: retirer.signal,
      signal,
      onBatch: (units, seconds) => {
        pool.units += units;
        pool.seconds += seconds;
      },
    })
      .catch((error: unknown) => {
        failure ??= error;
        stopper.abort(error);
      })
      .finally(() => {
        running.delete(loop);
        const at = pool.retirers.indexOf(retirer);
        if (at >= 0) pool.retirers.splice(at, 1);
      });
    running.add(loop);
  };
  const plan = (): Readonly<Record<string, number>> => {
    let unitsPerSource = 1;
    let hasUpstream = !isSourceEnded;
    const elapsed = (performance.now() - began) / 1000;
    /** Units of the stage before that were at least begun in this run. */
    let begun = 0;
    const loads = pools.map(({ stage, units, seconds, arrived: arrivedBefore }, i) => {
      const { waiting, running, done, dead } = backend.counts(stage.name);
      hasUpstream ||= waiting + running > 0;
      const arrived = waiting + running + done + dead - arrivedBefore;
      // Counted while the units before are still in work: a video may take hours and give clips from its first minute on.
      if (i > 0 && begun > 0) unitsPerSource *= arrived / begun;
      begun = units + running;
      const load = {
        name: stage.name,
        cores: stage.cores ?? 1,
        workers: stage.workers,
        maxWorkers: stage.maxWorkers,
        // Before the first is finished: what it has taken so far. A stage that nothing has come to claims nothing.
        secondsPerUnit: units > 0 ? seconds / units : i > 0 && arrived <= 0 ? 0 : running > 0 ? elapsed : undefined,
        unitsPerSource,
        hasWork: hasUpstream,
      };
      return load;
    });
    const counts = allocate(loads, cores);
    pools.forEach((pool, i) => {
      backend.setLimit(pool.stage.name, queueLimit({ workers: counts[i]!, batch: pool.stage.batch ?? 1 }));
      while (pool.retirers.length < counts[i]!) start(pool);
      // The newest go first; each ends after its current batch.
      while (pool.retirers.length > counts[i]!) pool.retirers.pop()!.abort();
    });
    return Object.fromEntries(pools.map((p, i) => [p.stage.name, counts[i]!]));
  };
  const progress = (): readonly StageProgress[] => {
    const seconds = (performance.now() - began) / 1000;
    return pools.map((pool) => ({
      name: pool.stage.name,
      ...backend.counts(pool.stage.name),
      workers: pool.retirers.length,
      rate: pool.units / Math.max(seconds, 1e-3),
    }));
  };

  yield { type: 'workers', counts: plan() };
  const feeding = (async () => {
    for await (const unit of options.source) {
      if (signal.aborted) return;
      await backend.put(stages[0]!.name, unit, undefined, signal);
    }
    isSourceEnded = true;
    backend.endSource();
  })().catch((error: unknown) => {
    failure ??= error;
    stopper.abort(error);
  });

  try {
    const settled = backend.settled(signal).then(() => 'settled' as const);
    let sincePlan = 0;
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const tick = new Promise<'tick'>((resolve) => {
        timer = setTimeout(() => resolve('tick'), progressSeconds * 1000);
      });
      const what = await Promise.race([settled, tick]);
      clearTimeout(timer);
      if (what === 'settled') break;
      yield { type: 'progress', seconds: (performance.now() - began) / 1000, stages: progress(), isSourceEnded };
      sincePlan += progressSeconds;
      if (sincePlan >= replanSeconds) {
        sincePlan = 0;
        yield { type: 'workers', counts: plan() };
      }
    }
    if (failure !== undefined) throw failure;
    throwIfAborted(options.signal);
    yield { type: 'settled', seconds: (performance.now() - began) / 1000, stages: progress() };
  } finally {
    stopper.abort();
    for (const { retirers } of pools) for (const retirer of retirers) retirer.abort();
    await Promise.allSettled([...running, feeding]);
  }
}

/** Units that a stage is finished with. */
const settledOf = ({ done, dead }: { readonly done: number; readonly dead: number }): number => done + dead;
