// The loop of one worker: take a batch, process it, hand results on, settle every unit. The same over every backend.
import { OrreryError } from '../../base/index.ts';
import type { Backend, Delivery } from './backend.ts';
import {
  DEFAULT_ATTEMPTS,
  isRetryable,
  type Stage,
  type StageIo,
  type StageWorker,
  storedError,
  type Unit,
} from './stage.ts';

/** What a worker loop needs. */
export type WorkOptions = {
  readonly stage: Stage;
  /** Name of the next stage; undefined: results of the job. */
  readonly next: string | undefined;
  readonly backend: Backend;
  /** Ends the loop after the current batch. */
  readonly retire: AbortSignal;
  /** Stops the current batch too. */
  readonly signal: AbortSignal;
  /** Called after each batch. */
  readonly onBatch?: (units: number, seconds: number) => void;
};

const RETRY_MS = [500, 2000, 10_000];

/** Runs until retired, aborted or out of work. A worker that cannot be opened ends the job: no unit is to blame. */
export async function work(options: WorkOptions): Promise<void> {
  const { stage, backend, retire, signal } = options;
  const stop = AbortSignal.any([retire, signal]);
  let worker: StageWorker | undefined;
  try {
    for (;;) {
      const batch = await backend.take(stage.name, stage.batch ?? 1, stop);
      if (batch.length === 0) return;
      // Opened at the first unit: an idle stage costs nothing.
      worker ??= await stage.open();
      const start = performance.now();
      await processBatch(worker, batch, options);
      options.onBatch?.(batch.length, (performance.now() - start) / 1000);
      if (signal.aborted) return;
    }
  } finally {
    await worker?.dispose();
  }
}

async function processBatch(worker: StageWorker, batch: readonly Delivery[], options: WorkOptions): Promise<void> {
  const { stage, next, backend, signal } = options;
  const failures = new Map<string, unknown>();
  const io: StageIo = {
    emit: async (unit, parentId) => {
      if (next === undefined) await backend.result(unit, parentId);
      else await backend.put(next, unit, parentId, signal);
    },
    fail: (id, error) => void failures.set(id, error),
    alive: () => {
      for (const delivery of batch) delivery.working();
    },
    signal,
  };
  const run = async (units: readonly Unit[]): Promise<unknown> => {
    try {
      await worker.process(units, io);
      return undefined;
    } catch (error) {
      return error ?? new Error('thrown without a reason');
    }
  };
  const units = batch.map((d) => d.unit);
  const error = await run(units);
  if (error !== undefined && !signal.aborted) {
    // One bad unit must not cost its batch: each again by itself.
    if (units.length === 1) failures.set(units[0]!.id, error);
    else
      for (const unit of units) {
        if (failures.has(unit.id)) continue;
        const own = await run([unit]);
        if (own !== undefined) failures.set(unit.id, own);
      }
  }
  // Interrupted units stay unsettled: the next run takes them again.
  if (signal.aborted) return;
  for (const delivery of batch) {
    const failure = failures.get(delivery.unit.id);
    if (failure === undefined) await delivery.done();
    else if (failure instanceof OrreryError && failure.code === 'canceled') continue;
    else if (isRetryable(failure) && delivery.attempt < (stage.attempts ?? DEFAULT_ATTEMPTS))
      await delivery.retry(storedError(failure), RETRY_MS[delivery.attempt - 1] ?? RETRY_MS.at(-1)!);
    else await delivery.dead(storedError(failure));
  }
}
