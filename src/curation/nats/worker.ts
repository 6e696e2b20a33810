// `curateWorker(url)`: joins a job on a NATS server, works on its stages until the job ends or it is told to stop. Workers
// come and go at any time; the output folder is the same path for all of them (a shared disk), or a site of its own.
import { hostname } from 'node:os';
import { InputError, OrreryError } from '../../base/index.ts';
import { connectNats, controlSubject, type Nats } from '../../messaging/index.ts';
import { curateStages } from '../curate.ts';
import { work } from '../engine/work.ts';
import { parseCurateOptions } from '../options.ts';
import { openNatsWorker } from './backend.ts';
import { findJob, type JobDescription, listJobs } from './job.ts';

/** Options of `curateWorker`. */
export type CurateWorkerOptions = {
  readonly url: string;
  /** Default: the only running job. */
  readonly job?: string;
  /** Media workers. Default 1. */
  readonly cores?: number;
  readonly site?: string;
  /** Ends after so many seconds without any job. Default: waits for one. */
  readonly waitSeconds?: number;
  readonly ackWaitSeconds?: number;
  readonly signal?: AbortSignal;
};

/** What a worker tells. */
export type WorkerEvent =
  | { readonly type: 'joined'; readonly job: string; readonly out: string; readonly host: string }
  | { readonly type: 'batch'; readonly stage: string; readonly units: number; readonly seconds: number }
  | { readonly type: 'left'; readonly reason: 'ended' | 'stopped' };

/** Works until the job ends. */
export async function* curateWorker(options: CurateWorkerOptions): AsyncGenerator<WorkerEvent> {
  const { url, cores = 1, site, signal, ackWaitSeconds } = options;
  const nats = await connectNats(url);
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const events: WorkerEvent[] = [];
  let wake: (() => void) | undefined;
  const tell = (event: WorkerEvent): void => {
    events.push(event);
    wake?.();
  };
  try {
    const job = await waitForJob(nats, options);
    yield { type: 'joined', job: job.job, out: job.out, host: hostname() };
    const stages = curateStages(job.out, parseCurateOptions(job.options));
    const names = stages.map((s) => s.name);
    if (JSON.stringify(names) !== JSON.stringify(job.stages))
      throw new OrreryError(
        'unsupported',
        `the job has the stages ${job.stages.join(', ')}, this version has ${names.join(', ')}; use the same version on all machines`,
      );
    const backend = await openNatsWorker({
      nats,
      job: job.job,
      stages: names,
      ...(site === undefined ? {} : { site }),
      ...(ackWaitSeconds === undefined ? {} : { ackWaitSeconds }),
    });
    const control = nats.nc.subscribe(controlSubject(job.job), { callback: () => stop.abort() });
    // The announcement may be missed while cut off: ask now and then.
    const ask = setInterval(() => {
      void findJob(nats, job.job).then((now) => {
        if (!nats.nc.isClosed() && now?.state === 'ended') stop.abort();
      });
    }, 5000);
    const loops = stages.flatMap((stage, i) =>
      Array.from({ length: stage.name === 'media' ? cores : 1 }, () =>
        work({
          stage,
          next: names[i + 1],
          backend,
          retire: both,
          signal: signal ?? new AbortController().signal,
          onBatch: (units, seconds) => tell({ type: 'batch', stage: stage.name, units, seconds }),
        }),
      ),
    );
    let isOver = false;
    let failure: unknown;
    const all = Promise.all(loops)
      .catch((error: unknown) => {
        failure = error;
        stop.abort();
      })
      .finally(() => {
        isOver = true;
        wake?.();
      });
    while (!isOver || events.length > 0) {
      yield* events.splice(0);
      if (isOver) break;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    await all;
    clearInterval(ask);
    control.unsubscribe();
    await backend.close();
    if (failure !== undefined) throw failure;
    yield { type: 'left', reason: signal?.aborted === true ? 'stopped' : 'ended' };
  } finally {
    stop.abort();
    await nats.nc.close();
  }
}

async function waitForJob(nats: Nats, options: CurateWorkerOptions): Promise<JobDescription> {
  const { job, signal, waitSeconds = Number.POSITIVE_INFINITY } = options;
  const began = Date.now();
  for (;;) {
    const jobs = job === undefined ? await listJobs(nats) : [await findJob(nats, job)];
    const running = jobs.filter((j): j is JobDescription => j?.state === 'running');
    if (running.length === 1) return running[0]!;
    if (running.length > 1)
      throw new InputError('job', { got: 'none named', need: `one of ${running.map((j) => j.job).join(', ')}` });
    if (signal?.aborted) throw new OrreryError('canceled', 'canceled');
    if (Date.now() - began > waitSeconds * 1000)
      throw new OrreryError(
        'data',
        `no running job on ${options.url} after ${waitSeconds} s; start one with: orrery curate IN OUT --nats ${options.url}`,
      );
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
