// The process side of an isolated stage worker. Ends when its parent goes away.
import { OrreryError } from '../../base/index.ts';
import type { FromChild, SentError, ToChild } from './isolated.ts';
import type { StageIo, StageWorker } from './stage.ts';

let worker: Promise<StageWorker> | undefined;
let sent = 0;
const waiting = new Map<number, () => void>();
let lastAlive = 0;

const send = (message: FromChild): void => {
  if (process.connected) process.send!(message);
};

function errorToSend(error: unknown): SentError {
  if (error instanceof OrreryError) return { code: error.code, message: error.message, details: { ...error.details } };
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) };
}

const io: StageIo = {
  emit: (unit, parent) =>
    new Promise((resolve) => {
      const n = ++sent;
      waiting.set(n, resolve);
      send({ t: 'emit', n, unit, parent });
    }),
  fail: (id, error) => send({ t: 'fail', id, error: errorToSend(error) }),
  alive: () => {
    const now = Date.now();
    if (now - lastAlive < 1000) return;
    lastAlive = now;
    send({ t: 'alive' });
  },
  signal: new AbortController().signal,
};

process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  const m = message as ToChild;
  if (m.t === 'emitted') {
    waiting.get(m.n)?.();
    waiting.delete(m.n);
  } else if (m.t === 'open') {
    worker = (import(m.module) as Promise<{ openWorker(options: unknown): StageWorker | Promise<StageWorker> }>).then(
      (loaded) => loaded.openWorker(m.options),
    );
    worker.catch(() => {});
  } else void run(m.units);
});

async function run(units: Extract<ToChild, { t: 'run' }>['units']): Promise<void> {
  try {
    await (await worker!).process(units, io);
    send({ t: 'done' });
  } catch (error) {
    send({ t: 'thrown', error: errorToSend(error) });
  }
}
