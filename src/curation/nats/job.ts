// A job on a NATS server: its streams, its description, its end. One work-queue stream per stage with a bound (a full stage
// refuses, which slows the stage before), one stream of journal entries, one of dead letters, one for the description.
// Names: stream `WM_{job}_{stage}`, subjects `wm.{job}.{stage}.{site}`.
import {
  ACK_WAIT_SECONDS,
  DUPLICATE_WINDOW_NS,
  type Nats,
  SITE_ANY,
  safe,
  streamName,
  subjectOf,
} from '../../messaging/index.ts';

/** What workers need to know of a job. */
export type JobDescription = {
  readonly job: string;
  readonly state: 'running' | 'ended';
  readonly out: string;
  readonly options: unknown;
  readonly stages: readonly string[];
};

/** Makes the streams and consumers of a job; harmless when they are there. */
export async function createJob(
  nats: Nats,
  job: JobDescription,
  options: { readonly bound: number; readonly sites: readonly string[]; readonly ackWaitSeconds?: number },
): Promise<void> {
  const { jsm } = nats;
  const add = async (part: string, config: Record<string, unknown>): Promise<void> => {
    const name = streamName(job.job, part);
    const full = {
      name,
      subjects: [subjectOf(job.job, part, '*').replace(/_$/, '*')],
      storage: 'file',
      duplicate_window: DUPLICATE_WINDOW_NS,
      ...config,
    };
    try {
      await jsm.streams.add(full as never);
    } catch (error) {
      if (!/already in use/.test((error as Error).message)) throw error;
    }
  };
  await add('job', { max_msgs_per_subject: 1 });
  await add('journal', {});
  await add('dead', {});
  for (const stage of job.stages) {
    await add(stage, { retention: 'workqueue', discard: 'new', max_msgs: options.bound });
    for (const site of new Set([SITE_ANY, ...options.sites]))
      await jsm.consumers.add(streamName(job.job, stage), {
        durable_name: `w_${safe(site)}`,
        filter_subject: subjectOf(job.job, stage, site),
        ack_policy: 'explicit',
        ack_wait: (options.ackWaitSeconds ?? ACK_WAIT_SECONDS) * 1e9,
        max_deliver: -1,
        max_ack_pending: 1000,
      } as never);
  }
  await describeJob(nats, job);
}

/** Publishes the state of a job. */
export async function describeJob(nats: Nats, job: JobDescription): Promise<void> {
  await nats.js.publish(subjectOf(job.job, 'job'), JSON.stringify(job));
}

/** The description of a job; undefined when the server does not know it. */
export async function findJob(nats: Nats, job: string): Promise<JobDescription | undefined> {
  try {
    const found = await nats.jsm.streams.getMessage(streamName(job, 'job'), { last_by_subj: subjectOf(job, 'job') });
    return found === null ? undefined : (JSON.parse(new TextDecoder().decode(found.data)) as JobDescription);
  } catch {
    return undefined;
  }
}

/** Names of the jobs on the server. */
export async function listJobs(nats: Nats): Promise<JobDescription[]> {
  const jobs: JobDescription[] = [];
  for await (const stream of nats.jsm.streams.list()) {
    const name = /^WM_(.+)_job$/.exec(stream.config.name)?.[1];
    const job = name === undefined ? undefined : await findJob(nats, name);
    if (job !== undefined) jobs.push(job);
  }
  return jobs;
}

/** Removes the streams of a finished job but its description, which tells late workers that it has ended. */
export async function deleteJob(nats: Nats, job: JobDescription): Promise<void> {
  for (const part of [...job.stages, 'journal', 'dead'])
    await nats.jsm.streams.delete(streamName(job.job, part)).catch(() => {});
}
