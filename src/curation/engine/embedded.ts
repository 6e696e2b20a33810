// The embedded backend: bounded queues in memory and the journal file. No service, one process, exact resume.
import type { Backend, DeadLetter, Delivery, Result } from './backend.ts';
import { type Journal, openJournal, readJournal } from './journal.ts';
import type { StoredError, Unit } from './stage.ts';

type Waiting = { readonly unit: Unit; readonly attempt: number };

type StageState = {
  /** Known ids: waiting, running, done or dead. */
  readonly known: Set<string>;
  readonly queue: Waiting[];
  /** First live element of `queue`: shifting an array costs time. */
  head: number;
  limit: number;
  running: number;
  /** Units that wait for their next try. */
  delayed: number;
  done: number;
  dead: number;
  retried: number;
  readonly takers: (() => void)[];
  readonly putters: (() => void)[];
};

/** The embedded backend, with what its journal told. */
export type EmbeddedBackend = Backend & {
  readonly results: readonly Result[];
  readonly deadLetters: readonly DeadLetter[];
  /** What the journal's first line says about the job, if there was one. */
  readonly job: unknown;
  /** Units that a journal of an earlier run left waiting. */
  readonly resumed: number;
};

/** Options of `openEmbedded`. */
export type EmbeddedOptions = {
  readonly stages: readonly string[];
  /** Journal file; without one nothing survives the process. */
  readonly journal?: string;
  /** Written as the first line of a new journal. */
  readonly job?: unknown;
  /** Gives dead letters of an earlier run another chance. */
  readonly retryDead?: boolean;
  readonly onResult?: (result: Result) => void;
  readonly onDead?: (letter: DeadLetter) => void;
  /** False: results are journaled but not kept in memory. Default true. */
  readonly keepsResults?: boolean;
};

/** Opens the backend and replays the journal, if there is one. */
export function openEmbedded(options: EmbeddedOptions): EmbeddedBackend {
  const { keepsResults = true } = options;
  const states = new Map<string, StageState>();
  for (const name of options.stages) states.set(name, emptyState());
  const results: Result[] = [];
  const resultIds = new Set<string>();
  const deadLetters: DeadLetter[] = [];
  let job: unknown;
  let pending = 0;
  let isSourceEnded = false;
  let isClosed = false;
  const settledWaiters = new Set<() => void>();

  const stateOf = (stage: string): StageState => {
    const state = states.get(stage);
    if (state === undefined) throw new Error(`no stage ${stage} in this pipeline`);
    return state;
  };

  let resumed = 0;
  if (options.journal !== undefined) {
    const waiting = new Map<string, { stage: string; item: Waiting }>();
    for (const entry of readJournal(options.journal)) {
      if (entry.e === 'job') job = entry.v;
      else if (entry.e === 'result') {
        if (resultIds.has(entry.id)) continue;
        resultIds.add(entry.id);
        if (keepsResults) results.push({ id: entry.id, parent: entry.p, value: entry.v });
      } else {
        const state = states.get(entry.s);
        if (state === undefined) continue;
        const key = `${entry.s}\n${entry.id}`;
        if (entry.e === 'unit') {
          if (state.known.has(entry.id)) continue;
          state.known.add(entry.id);
          waiting.set(key, { stage: entry.s, item: { unit: { id: entry.id, value: entry.v }, attempt: 1 } });
        } else if (entry.e === 'done') {
          if (waiting.delete(key)) state.done++;
        } else if (entry.e === 'retry') {
          const held = waiting.get(key);
          if (held !== undefined) held.item = { unit: held.item.unit, attempt: entry.attempt + 1 };
        } else if (options.retryDead !== true) {
          if (!waiting.delete(key)) continue;
          state.dead++;
          deadLetters.push({ stage: entry.s, id: entry.id, attempts: entry.attempt, error: entry.error });
        } else {
          const held = waiting.get(key);
          if (held !== undefined) held.item = { unit: held.item.unit, attempt: 1 };
        }
      }
    }
    for (const { stage, item } of waiting.values()) stateOf(stage).queue.push(item);
    pending = waiting.size;
    resumed = waiting.size;
  }
  const journal: Journal | undefined = options.journal === undefined ? undefined : openJournal(options.journal);
  if (job === undefined && options.job !== undefined) {
    job = options.job;
    journal?.append({ e: 'job', v: job });
  }

  const wakeOne = (list: (() => void)[]): void => list.shift()?.();
  const wakeAll = (list: (() => void)[]): void => {
    for (const wake of list.splice(0)) wake();
  };
  const waitIn = (list: (() => void)[], signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        resolve();
      };
      list.push(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  const settle = (): void => {
    if (!isSourceEnded || pending > 0) return;
    for (const wake of settledWaiters) wake();
    settledWaiters.clear();
  };
  const sizeOf = (state: StageState): number => state.queue.length - state.head;

  const deliver = (stage: string, state: StageState, { unit, attempt }: Waiting): Delivery => {
    state.running++;
    const end = (): void => {
      state.running--;
      pending--;
      settle();
    };
    return {
      unit,
      attempt,
      working: () => {},
      done: async () => {
        journal?.append({ e: 'done', s: stage, id: unit.id });
        state.done++;
        end();
      },
      retry: async (error: StoredError, delayMs: number) => {
        journal?.append({ e: 'retry', s: stage, id: unit.id, attempt, error });
        state.running--;
        state.retried++;
        state.delayed++;
        setTimeout(() => {
          state.delayed--;
          state.queue.push({ unit, attempt: attempt + 1 });
          wakeOne(state.takers);
        }, delayMs);
      },
      dead: async (error: StoredError) => {
        journal?.append({ e: 'dead', s: stage, id: unit.id, attempt, error });
        const letter = { stage, id: unit.id, attempts: attempt, error };
        deadLetters.push(letter);
        state.dead++;
        options.onDead?.(letter);
        end();
      },
    };
  };

  return {
    name: 'embedded',
    results,
    deadLetters,
    job,
    resumed,
    async put(stage, unit, parent, signal) {
      const state = stateOf(stage);
      if (state.known.has(unit.id)) return;
      while (sizeOf(state) >= state.limit && !signal.aborted && !isClosed) await waitIn(state.putters, signal);
      if (signal.aborted || isClosed || state.known.has(unit.id)) return;
      state.known.add(unit.id);
      journal?.append({
        e: 'unit',
        s: stage,
        id: unit.id,
        ...(parent === undefined ? {} : { p: parent }),
        v: unit.value,
      });
      pending++;
      state.queue.push({ unit, attempt: 1 });
      wakeOne(state.takers);
    },
    async result(unit, parent) {
      if (resultIds.has(unit.id)) return;
      resultIds.add(unit.id);
      journal?.append({ e: 'result', id: unit.id, ...(parent === undefined ? {} : { p: parent }), v: unit.value });
      const result = { id: unit.id, parent, value: unit.value };
      if (keepsResults) results.push(result);
      options.onResult?.(result);
    },
    async take(stage, max, signal) {
      const state = stateOf(stage);
      while (sizeOf(state) === 0) {
        if (signal.aborted || isClosed) return [];
        await waitIn(state.takers, signal);
      }
      if (signal.aborted || isClosed) {
        wakeOne(state.takers);
        return [];
      }
      const end = Math.min(state.queue.length, state.head + max);
      const items = state.queue.slice(state.head, end);
      state.head = end;
      if (state.head > 1024 && state.head * 2 > state.queue.length) {
        state.queue.splice(0, state.head);
        state.head = 0;
      }
      for (let i = 0; i < items.length; i++) wakeOne(state.putters);
      if (sizeOf(state) > 0) wakeOne(state.takers);
      return items.map((item) => deliver(stage, state, item));
    },
    setLimit(stage, limit) {
      const state = stateOf(stage);
      if (limit > state.limit) wakeAll(state.putters);
      state.limit = limit;
    },
    counts(stage) {
      const state = stateOf(stage);
      const { running, done, dead, retried, delayed } = state;
      return { waiting: sizeOf(state) + delayed, running, done, dead, retried };
    },
    endSource() {
      isSourceEnded = true;
      settle();
    },
    async settled(signal) {
      if (signal.aborted || (isSourceEnded && pending === 0)) return;
      await new Promise<void>((resolve) => {
        settledWaiters.add(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    },
    async close() {
      if (isClosed) return;
      isClosed = true;
      for (const state of states.values()) {
        wakeAll(state.takers);
        wakeAll(state.putters);
      }
      journal?.close();
    },
  };
}

function emptyState(): StageState {
  return {
    known: new Set(),
    queue: [],
    head: 0,
    limit: 16,
    running: 0,
    delayed: 0,
    done: 0,
    dead: 0,
    retried: 0,
    takers: [],
    putters: [],
  };
}
