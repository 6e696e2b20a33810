// A NATS server with JetStream: the connection, the names of streams and subjects, publishing that waits out lost lines. What is said over it
// is the business of curation and of training. Names: stream `WM_{job}_{part}`, subjects `wm.{job}.{part}.{site}`.
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { OrreryError } from '../base/index.ts';

/** Seconds that a message may stay unacknowledged before another worker gets it. */
export const ACK_WAIT_SECONDS = 30;
/** Ids of messages are remembered this long: two hours, as specified. */
export const DUPLICATE_WINDOW_NS = 2 * 3600 * 1e9;
export const SITE_ANY = 'any';

/** A connection with its JetStream doors. */
export type Nats = {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
};

/** Text as one token of a name. */
export const safe = (text: string): string => text.replace(/[^A-Za-z0-9_-]/g, '_');
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

const FULL = 10077;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Publishes with an id, once however often it is called; waits while the stream is full. Lost connections are waited out. */
export async function publish(
  nats: Nats,
  subject: string,
  id: string,
  data: Uint8Array | string,
  signal?: AbortSignal,
): Promise<void> {
  for (let wait = 20; signal?.aborted !== true; wait = Math.min(1000, wait * 1.6)) {
    try {
      await nats.js.publish(subject, data, { msgID: id, timeout: 5000 });
      return;
    } catch (error) {
      const { code, message } = error as { code?: unknown; message: string };
      const isPassing =
        code === FULL || /maximum messages|timeout|disconnect|no responders|closed|503/i.test(`${message}`);
      if (!isPassing || nats.nc.isClosed()) throw error;
      // Not all at the same moment.
      await pause(wait * (0.5 + (performance.now() % 1)));
    }
  }
}
