// Trackers on all cores: videos are tracked in parallel, each in one thread.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { OrreryError } from '../../base/index.ts';
import type { TrackJob, TrackReply } from './worker.ts';

/** Worker threads with trackers. */
export type TrackPool = AsyncDisposable & {
  /** Label maps of all frames of a video, see `trackMasks`. */
  track(job: TrackJob): Promise<Uint8Array[]>;
};

const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? '../../../dist/src/evaluation/tracking/worker.js' : './worker.js',
  import.meta.url,
);

/** Starts a pool. @param workers threads, default one per core */
export function openTrackPool({ workers = availableParallelism() }: { readonly workers?: number } = {}): TrackPool {
  const idle: Worker[] = [];
  const all: Worker[] = [];
  const waiting: ((worker: Worker) => void)[] = [];
  const take = async (): Promise<Worker> => {
    const free = idle.pop();
    if (free !== undefined) return free;
    if (all.length < workers) {
      const worker = new Worker(WORKER);
      all.push(worker);
      return worker;
    }
    return new Promise((resolve) => waiting.push(resolve));
  };
  const give = (worker: Worker): void => {
    const next = waiting.shift();
    if (next !== undefined) next(worker);
    else idle.push(worker);
  };
  return {
    async track(job) {
      const worker = await take();
      try {
        const reply = await ask(worker, job);
        if ('message' in reply) throw new OrreryError('internal', `tracking failed: ${reply.message}`);
        return reply.labels;
      } finally {
        give(worker);
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((w) => w.terminate()));
    },
  };
}

/** One job and its answer. Only listeners of our own are taken off: the worker has inner ones. */
function ask(worker: Worker, job: TrackJob): Promise<TrackReply> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      worker.off('message', hear);
      worker.off('error', fail);
      finish();
    };
    const hear = (reply: TrackReply): void => settle(() => resolve(reply));
    const fail = (error: Error): void => settle(() => reject(error));
    worker.on('message', hear);
    worker.on('error', fail);
    worker.postMessage(job);
  });
}
