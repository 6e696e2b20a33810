// A job on a NATS server: its streams, its description, its end. One work-queue stream per stage with a bound (a full stage
// refuses, which slows the stage before), one stream of journal entries, one of dead letters, one for the description.
// Names: stream `WM_{job}_{stage}`, subjects `wm.{job}.{stage}.{site}`.
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { OrreryError } from '../../base/index.ts';

/** Seconds that a message may stay unacknowledged before another worker gets it. */
export const ACK_WAIT_SECONDS = 30;
/** Ids of messages are remembered this long: two hours, as specified. */
const DUPLICATE_WINDOW_NS = 2 * 3600 * 1e9;
const SITE_ANY = 'any';

/** What workers need to know of a job. */
export type JobDescription = {
  readonly job: string;
  readonly state: 'running' | 'ended';
  readonly out: string;
  readonly options: unknown;
  readonly stages: readonly string[];
};

/** A connection with its JetStream doors. */
export type Nats = {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
};

const safe = (text: string): string => text.replace(/[^A-Za-z0-9_-]/g, '_');
/** Stream of a stage, or of `journal`, `dead`, `job`. */
export const streamName = (job: string, part: string): string => `WM_${safe(job)}_${safe(part)}`;
/** Subject of a stage at a site. */
export const subjectOf = (job: string, part: string, site = SITE_ANY): string =>
  `wm.${safe(job)}.${safe(part)}.${safe(site)}`;
/** Subject on which the end of a job is announced. */
export const controlSubject = (job: string): string => `wm.${safe(job)}.control`;

/** Connects; the error names the next step. */
export async function connectNats(url: string): Promise<Nats> {
  let transport: typeof import('@nats-io/transport-node');
  let jetstream: typeof import('@nats-io/jetstream');
  try {
    [transport, jetstream] = await Promise.all([import('@nats-io/transport-node'), import('@nats-io/jetstream')]);
  } catch (cause) {
    throw new OrreryError(
      'unsupported',
      'the NATS client is not installed; run "npm install @nats-io/transport-node @nats-io/jetstream"',
      { cause },
    );
  }
  try {
    // Endless reconnects: a worker that is cut off goes on when the line is back.
    const nc = await transport.connect({
      servers: url,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 500,
      timeout: 5000,
    });
    const jsm = await jetstream.jetstreamManager(nc);
    return { nc, jsm, js: jetstream.jetstream(nc) };
  } catch (cause) {
    throw new OrreryError(
      'unsupported',
      `${url}: no NATS server with JetStream answers (${(cause as Error).message}); start one with: nats-server -js`,
      { cause },
    );
  }
}

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
