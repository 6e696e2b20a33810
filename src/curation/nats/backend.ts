// The NATS side of the engine's seam: workers take, work and publish; the coordinator feeds, mirrors the journal into the
// output folder and knows when all is done. Publishing children before acknowledging gives "at least once"; message ids and
// the journal's known ids make the output "exactly once".
import type { Consumer, JsMsg } from '@nats-io/jetstream';
import { ACK_WAIT_SECONDS, type Nats, publish as publishBytes, streamName, subjectOf } from '../../messaging/index.ts';
import type { Backend, DeadLetter, Delivery, Result, StageCounts } from '../engine/backend.ts';
import { type Journal, type JournalEntry, openJournal, readJournal } from '../engine/journal.ts';
import type { Unit } from '../engine/stage.ts';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const encode = (value: unknown): string => JSON.stringify(value);
const decode = (message: { data: Uint8Array }): unknown => JSON.parse(new TextDecoder().decode(message.data));

/** Options of both sides. */
export type NatsBackendOptions = {
  readonly nats: Nats;
  readonly job: string;
  readonly stages: readonly string[];
  /** Label of the place where the data of this process are; undefined: anywhere. */
  readonly site?: string;
  readonly attempts?: number;
  readonly ackWaitSeconds?: number;
};

const publish = (nats: Nats, subject: string, id: string, value: unknown, signal?: AbortSignal): Promise<void> =>
  publishBytes(nats, subject, id, encode(value), signal);

/** The side of a worker. */
export async function openNatsWorker(options: NatsBackendOptions): Promise<Backend> {
  const { nats, job, stages, site, attempts = 4, ackWaitSeconds = ACK_WAIT_SECONDS } = options;
  const consumers = new Map<string, Consumer[]>();
  for (const stage of stages) {
    const names = site === undefined ? ['any'] : [site, 'any'];
    const list: Consumer[] = [];
    for (const name of names) list.push(await nats.js.consumers.get(streamName(job, stage), `w_${name}`));
    consumers.set(stage, list);
  }
  const counts = new Map(stages.map((s) => [s, { waiting: 0, running: 0, done: 0, dead: 0, retried: 0 }]));
  /** Site that units in work are bound to: their children stay there. */
  const bound = new Map<string, string>();
  const record = (id: string, entry: JournalEntry): Promise<void> =>
    publish(nats, subjectOf(job, 'journal'), id, entry);
  let isClosed = false;

  const deliver = (stage: string, message: JsMsg): Delivery => {
    const unit = decode(message) as Unit;
    const count = counts.get(stage)!;
    const attempt = message.info.deliveryCount;
    const from = message.subject.split('.').at(-1)!;
    if (from !== 'any') bound.set(unit.id, from);
    count.running++;
    // The message stays ours while this process lives; a frozen or lost process stops saying so.
    const beat = setInterval(() => message.working(), (ackWaitSeconds * 1000) / 3);
    const end = (): void => {
      clearInterval(beat);
      bound.delete(unit.id);
      count.running--;
    };
    return {
      unit,
      attempt,
      working: () => message.working(),
      done: async () => {
        await record(`d:${stage}:${unit.id}`, { e: 'done', s: stage, id: unit.id });
        await message.ackAck().catch(() => false);
        count.done++;
        end();
      },
      retry: async (error, delayMs) => {
        await record(`t:${stage}:${unit.id}:${attempt}`, { e: 'retry', s: stage, id: unit.id, attempt, error });
        message.nak(delayMs);
        count.retried++;
        end();
      },
      dead: async (error) => {
        const entry = { e: 'dead', s: stage, id: unit.id, attempt, error } as const;
        await record(`x:${stage}:${unit.id}`, entry);
        await publish(nats, subjectOf(job, 'dead'), `x:${stage}:${unit.id}`, entry);
        message.term();
        count.dead++;
        end();
      },
    };
  };

  return {
    name: 'nats',
    async put(stage, unit, parent, signal) {
      const entry: JournalEntry = {
        e: 'unit',
        s: stage,
        id: unit.id,
        ...(parent === undefined ? {} : { p: parent }),
        v: unit.value,
      };
      await record(`u:${stage}:${unit.id}`, entry);
      const at = parent === undefined ? undefined : bound.get(parent);
      await publish(nats, subjectOf(job, stage, at), `${unit.id}:${stage}`, unit, signal);
    },
    async result(unit, parent) {
      await record(`r:${unit.id}`, {
        e: 'result',
        id: unit.id,
        ...(parent === undefined ? {} : { p: parent }),
        v: unit.value,
      });
    },
    async take(stage, max, signal) {
      while (!signal.aborted && !isClosed) {
        for (const consumer of consumers.get(stage)!) {
          try {
            const messages = await consumer.fetch({ max_messages: max, expires: 2000 });
            const taken: Delivery[] = [];
            for await (const message of messages) {
              const delivery = deliver(stage, message);
              if (delivery.attempt > attempts)
                await delivery.dead({
                  code: 'internal',
                  message: `given out ${delivery.attempt - 1} times, and no worker finished it`,
                });
              else taken.push(delivery);
            }
            if (taken.length > 0) return taken;
          } catch {
            // Cut off, or the stream is gone: try again until told to stop.
            if (nats.nc.isClosed()) return [];
            await pause(500);
          }
        }
      }
      return [];
    },
    setLimit: () => {},
    counts: (stage) => ({ ...counts.get(stage)! }),
    endSource: () => {},
    settled: async () => {},
    close: async () => {
      isClosed = true;
    },
  };
}

/** The side of the coordinator: a backend that only feeds and watches. */
export type NatsCoordinator = Backend & {
  readonly resumed: number;
  readonly job: unknown;
  /** Takes note of new journal entries until closed. */
  watch(): Promise<void>;
};

/** Opens the coordinator over the journal in the output folder. */
export async function openNatsCoordinator(
  options: NatsBackendOptions & {
    readonly journal: string;
    readonly description: unknown;
    readonly onResult?: (result: Result) => void;
    readonly onDead?: (letter: DeadLetter) => void;
  },
): Promise<NatsCoordinator> {
  const { nats, job, stages, site } = options;
  type State = { known: Set<string>; done: Set<string>; dead: Set<string>; retried: number };
  const states = new Map<string, State>(
    stages.map((s) => [s, { known: new Set(), done: new Set(), dead: new Set(), retried: 0 }]),
  );
  const results = new Set<string>();
  const waiting = new Map<string, { stage: string; unit: Unit }>();
  let description: unknown;
  let isSourceEnded = false;
  let isClosed = false;
  let wake: (() => void) | undefined;

  /** Applies an entry; false when it says nothing new. */
  const apply = (entry: JournalEntry): boolean => {
    if (entry.e === 'job') {
      description = entry.v;
      return true;
    }
    if (entry.e === 'result') {
      if (results.has(entry.id)) return false;
      results.add(entry.id);
      options.onResult?.({ id: entry.id, parent: entry.p, value: entry.v });
      return true;
    }
    const state = states.get(entry.s);
    if (state === undefined) return false;
    const key = `${entry.s}\n${entry.id}`;
    if (entry.e === 'unit') {
      if (state.known.has(entry.id)) return false;
      state.known.add(entry.id);
      waiting.set(key, { stage: entry.s, unit: { id: entry.id, value: entry.v } });
      return true;
    }
    if (entry.e === 'retry') {
      state.retried++;
      return true;
    }
    // A late failure of a second delivery does not undo what is done.
    if (state.done.has(entry.id) || state.dead.has(entry.id)) return false;
    if (entry.e === 'done') state.done.add(entry.id);
    else {
      state.dead.add(entry.id);
      options.onDead?.({ stage: entry.s, id: entry.id, attempts: entry.attempt, error: entry.error });
    }
    waiting.delete(key);
    return true;
  };
  for (const entry of readJournal(options.journal)) apply(entry);
  const resumed = waiting.size;
  const journal: Journal = openJournal(options.journal);
  if (description === undefined) {
    description = options.description;
    journal.append({ e: 'job', v: description });
  }
  const take = (entry: JournalEntry): void => {
    if (apply(entry)) journal.append(entry);
    if (isSourceEnded && waiting.size === 0) wake?.();
  };

  const put = async (stage: string, unit: Unit, parent: string | undefined, signal?: AbortSignal): Promise<void> => {
    const entry: JournalEntry = {
      e: 'unit',
      s: stage,
      id: unit.id,
      ...(parent === undefined ? {} : { p: parent }),
      v: unit.value,
    };
    take(entry);
    await publish(nats, subjectOf(job, stage, site), `${unit.id}:${stage}`, unit, signal);
  };

  return {
    name: 'nats',
    resumed,
    job: description,
    async watch() {
      // What an earlier run left is offered again; a message that is still there is not doubled, by its id.
      const again = [...waiting.values()];
      void (async () => {
        for (const { stage, unit } of again) {
          if (isClosed) return;
          await publish(nats, subjectOf(job, stage, site), `${unit.id}:${stage}`, unit).catch(() => {});
        }
      })();
      const consumer = await nats.js.consumers.get(streamName(job, 'journal'));
      while (!isClosed) {
        try {
          const messages = await consumer.fetch({ max_messages: 500, expires: 1000 });
          for await (const message of messages) take(decode(message) as JournalEntry);
        } catch {
          if (isClosed || nats.nc.isClosed()) return;
          await pause(300);
        }
      }
    },
    async put(stage, unit, parent, signal) {
      const state = states.get(stage)!;
      if (state.known.has(unit.id)) return;
      await put(stage, unit, parent, signal);
    },
    result: async () => {},
    take: async () => [],
    setLimit: () => {},
    counts(stage): StageCounts {
      const { known, done, dead, retried } = states.get(stage)!;
      return { waiting: known.size - done.size - dead.size, running: 0, done: done.size, dead: dead.size, retried };
    },
    endSource() {
      isSourceEnded = true;
      if (waiting.size === 0) wake?.();
    },
    async settled(signal) {
      if (signal.aborted || (isSourceEnded && waiting.size === 0)) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    },
    async close() {
      if (isClosed) return;
      isClosed = true;
      journal.close();
    },
  };
}
