// Opens the coordinator of a job: streams, description, journal mirror. The job's name is a hash of its output folder, so
// that the same command finds it again.
import { hash32 } from '../../base/index.ts';
import { connectNats, controlSubject } from '../../messaging/index.ts';
import type { DeadLetter, Result } from '../engine/backend.ts';
import type { CurateOptions } from '../options.ts';
import { type NatsCoordinator, openNatsCoordinator } from './backend.ts';
import { createJob, deleteJob, describeJob, type JobDescription } from './job.ts';

/** Units that may wait before a stage over NATS. */
const BOUND = 64;

/** Connects, makes the job and watches its journal. */
export async function openCoordinator(options: {
  readonly url: string;
  readonly out: string;
  readonly options: CurateOptions;
  readonly stages: readonly string[];
  readonly journal: string;
  readonly description: unknown;
  /** Sites that workers may name; the first one holds the input. */
  readonly sites?: readonly string[];
  readonly ackWaitSeconds?: number;
  readonly onResult: (result: Result) => void;
  readonly onDead: (letter: DeadLetter) => void;
}): Promise<{ backend: NatsCoordinator; job: string; close(): Promise<void> }> {
  const nats = await connectNats(options.url);
  const job: JobDescription = {
    job: `curate-${hash32(options.out).toString(16)}`,
    state: 'running',
    out: options.out,
    options: options.options,
    stages: options.stages,
  };
  const sites = options.sites ?? [];
  try {
    await createJob(nats, job, {
      bound: BOUND,
      sites,
      ...(options.ackWaitSeconds === undefined ? {} : { ackWaitSeconds: options.ackWaitSeconds }),
    });
    const backend = await openNatsCoordinator({
      nats,
      job: job.job,
      stages: options.stages,
      journal: options.journal,
      description: options.description,
      onResult: options.onResult,
      onDead: options.onDead,
      ...(sites[0] === undefined ? {} : { site: sites[0] }),
    });
    const watching = backend.watch();
    let isOver = false;
    return {
      backend,
      job: job.job,
      async close() {
        if (isOver) return;
        isOver = true;
        await watching;
        const isDone = options.stages.every((s) => backend.counts(s).waiting === 0);
        if (isDone) {
          await describeJob(nats, { ...job, state: 'ended' });
          nats.nc.publish(controlSubject(job.job), 'end');
          await nats.nc.flush();
          // Workers read the end from the description when they missed the announcement; the work queues may go.
          await deleteJob(nats, job);
        }
        await nats.nc.close();
      },
    };
  } catch (error) {
    await nats.nc.close();
    throw error;
  }
}
