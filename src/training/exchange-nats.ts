// Processes on machines that share nothing but a NATS server with JetStream. Work is a queue: a slot's local steps, and the outer step when
// all slots of a round are done. Whoever has a piece of work says so while it computes; one that falls silent loses it to another. Vectors
// go in pieces through a stream of their own, of which each piece is kept once. Everything is published before what was done is
// acknowledged, under ids that make a second time harmless, so a process may be killed at any point.
import { OrreryError } from '../base/index.ts';
import {
  ACK_WAIT_SECONDS,
  connectNats,
  DUPLICATE_WINDOW_NS,
  type Nats,
  publish as publishTo,
  safe,
  streamName,
  subjectOf,
} from '../messaging/index.ts';
import type { CheckpointRecord } from './checkpoint.ts';
import type { Exchange, RoundRecord, Vectors, Work } from './exchange.ts';

export type NatsExchangeOptions = {
  readonly url: string;
  /** Name of the job: the same on all machines. */
  readonly job: string;
  readonly slots: number;
  /** Seconds of silence after which work is given to someone else. Default 30. */
  readonly leaseSeconds?: number;
};

/** Bytes of a piece: a server takes messages of 1 MB, and reads them out as base64. */
const PIECE_BYTES = 512 * 1024;
const WAIT_MS = 1000;

type Task = { readonly round: number; readonly slot: Work['slot'] };
type Head = { readonly vectors: readonly (readonly [name: string, length: number])[]; readonly record?: unknown };

/** Connects and makes the streams of the job, or finds them. */
export async function natsExchange(options: NatsExchangeOptions): Promise<Exchange> {
  const { url, job, slots, leaseSeconds = ACK_WAIT_SECONDS } = options;
  const nats = await connectNats(url);
  try {
    await makeStreams(nats, job, leaseSeconds);
    return exchangeOver(nats, job, slots, leaseSeconds);
  } catch (error) {
    await nats.nc.close();
    throw error;
  }
}

async function makeStreams({ jsm }: Nats, job: string, leaseSeconds: number): Promise<void> {
  const add = async (part: string, config: Record<string, unknown>): Promise<void> => {
    const full = { name: streamName(job, part), storage: 'file', duplicate_window: DUPLICATE_WINDOW_NS, ...config };
    try {
      await jsm.streams.add(full as never);
    } catch (error) {
      if (!/already in use/.test((error as Error).message)) throw error;
    }
  };
  await add('work', { subjects: [subjectOf(job, 'work')], retention: 'workqueue' });
  await add('data', { subjects: [`wm.${safe(job)}.data.>`], max_msgs_per_subject: 1 });
  await jsm.consumers.add(streamName(job, 'work'), {
    durable_name: 'w_any',
    filter_subject: subjectOf(job, 'work'),
    ack_policy: 'explicit',
    ack_wait: leaseSeconds * 1e9,
    max_deliver: -1,
    max_ack_pending: 1000,
  } as never);
}

function exchangeOver(nats: Nats, job: string, slots: number, leaseSeconds: number): Exchange {
  const dataStream = streamName(job, 'data');
  const subject = (key: string, piece: number | 'head'): string => `wm.${safe(job)}.data.${safe(key)}.${piece}`;
  const slotKey = (round: number, slot: number): string => `round-${round}-slot-${slot}`;
  const roundKey = (round: number): string => `round-${round}-weights`;

  const put = async (subjectName: string, data: Uint8Array | string): Promise<void> => {
    // No id: a piece that is written again has the same numbers and takes the place of the first.
    for (let tries = 0; ; tries++) {
      try {
        await nats.js.publish(subjectName, data, { timeout: 10_000 });
        return;
      } catch (error) {
        if (nats.nc.isClosed() || tries >= 60) throw error;
        await pause(500);
      }
    }
  };
  const get = async (subjectName: string): Promise<Uint8Array | undefined> => {
    for (let tries = 0; ; tries++) {
      try {
        return (await nats.jsm.streams.getMessage(dataStream, { last_by_subj: subjectName }))?.data ?? undefined;
      } catch (error) {
        if (/no message found|not found/i.test((error as Error).message)) return undefined;
        if (nats.nc.isClosed() || tries >= 60) throw error;
        await pause(500);
      }
    }
  };

  /** Pieces first, the head last: what has a head is whole. */
  const write = async (key: string, vectors: Vectors, record?: unknown): Promise<void> => {
    let piece = 0;
    for (const data of Object.values(vectors)) {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        await put(subject(key, piece++), bytes.subarray(at, at + PIECE_BYTES));
      }
    }
    const head: Head = { vectors: Object.entries(vectors).map(([name, { length }]) => [name, length]), record };
    await put(subject(key, 'head'), JSON.stringify(head));
  };
  const headOf = async (key: string): Promise<Head | undefined> => {
    const data = await get(subject(key, 'head'));
    return data === undefined ? undefined : (JSON.parse(new TextDecoder().decode(data)) as Head);
  };
  const read = async (key: string): Promise<{ vectors: Record<string, Float32Array>; head: Head } | undefined> => {
    const head = await headOf(key);
    if (head === undefined) return undefined;
    const vectors: Record<string, Float32Array> = {};
    let piece = 0;
    for (const [name, length] of head.vectors) {
      const bytes = new Uint8Array(4 * length);
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        const data = await get(subject(key, piece++));
        if (data === undefined) throw new OrreryError('data', `${key}: a piece of ${name} is gone from the server`);
        bytes.set(data, at);
      }
      vectors[name] = new Float32Array(bytes.buffer);
    }
    return { vectors, head };
  };
  const wanted = async (key: string): Promise<Record<string, Float32Array>> => {
    const found = await read(key);
    if (found === undefined) throw new OrreryError('data', `${key} is not on the server: its streams were deleted`);
    return found.vectors;
  };

  const offer = (task: Task): Promise<void> =>
    publishTo(nats, subjectOf(job, 'work'), `${task.round}-${task.slot}`, JSON.stringify(task));
  const newest = async (): Promise<number> => {
    const data = await get(subject('newest', 'head'));
    return data === undefined ? -1 : Number(new TextDecoder().decode(data));
  };
  const publish = async (round: number, vectors: Vectors, record: RoundRecord): Promise<void> => {
    if ((await newest()) < round) {
      await write(roundKey(round), vectors, record);
      await put(subject('newest', 'head'), String(round));
    }
    for (let slot = 0; slot < slots; slot++) await offer({ round, slot });
  };
  const hasSlot = async (round: number, slot: number): Promise<boolean> =>
    (await headOf(slotKey(round, slot))) !== undefined;

  return {
    async begin(start) {
      if ((await newest()) >= 0) return;
      const { vectors, record } = await start();
      await publish(0, vectors, record);
    },
    newest,
    record: async (round) => (await headOf(roundKey(round)))!.record as RoundRecord,
    readRound: (round) => wanted(roundKey(round)),
    readSlot: (round, slot) => wanted(slotKey(round, slot)),
    writeSlot: (round, slot, vectors) => write(slotKey(round, slot), vectors),
    publish,
    async forget(round) {
      const keys = [roundKey(round), ...Array.from({ length: slots }, (_, i) => slotKey(round, i))];
      for (const key of keys) {
        await nats.jsm.streams.purge(dataStream, { filter: `wm.${safe(job)}.data.${safe(key)}.*` }).catch(() => {});
      }
    },
    async take(signal) {
      try {
        const consumer = await nats.js.consumers.get(streamName(job, 'work'), 'w_any');
        const messages = await consumer.fetch({ max_messages: 1, expires: WAIT_MS });
        for await (const message of messages) {
          const task = JSON.parse(new TextDecoder().decode(message.data)) as Task;
          const beat = setInterval(() => message.working(), (leaseSeconds * 1000) / 3);
          const release = async (isDone: boolean): Promise<void> => {
            clearInterval(beat);
            if (!isDone) {
              message.nak();
              return;
            }
            // The last slot of a round calls for its outer step, before its own end is acknowledged.
            if (task.slot !== 'outer' && (await areAllDone(task.round)))
              await offer({ round: task.round, slot: 'outer' });
            await message.ackAck().catch(() => false);
          };
          const isOld = task.round < (await newest());
          const isMade = !isOld && task.slot !== 'outer' && (await hasSlot(task.round, task.slot));
          if (!isOld && !isMade) return { ...task, release };
          // Done by someone who was killed before saying so. The work of the next round may still be missing.
          if (isOld && task.slot === 'outer')
            for (let slot = 0; slot < slots; slot++) await offer({ round: task.round + 1, slot });
          await release(true);
        }
      } catch (error) {
        // Cut off: try again until told to stop.
        if (nats.nc.isClosed()) throw error;
        if (signal?.aborted !== true) await pause(300);
      }
      return undefined;
    },
    writeBest: (vectors, record) => write('best', vectors, record),
    async readBest() {
      const found = await read('best');
      return found === undefined
        ? undefined
        : { vectors: found.vectors, record: found.head.record as CheckpointRecord };
    },
    async close() {
      await nats.nc.close();
    },
  };

  async function areAllDone(round: number): Promise<boolean> {
    for (let slot = 0; slot < slots; slot++) if (!(await hasSlot(round, slot))) return false;
    return true;
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
