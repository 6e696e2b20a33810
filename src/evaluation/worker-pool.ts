// Worker threads that answer one job at a time each: clips are measured on all cores.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { OrreryError } from '../base/index.ts';

/** What a worker of a pool posts back. */
export type WorkerReply<Result> = { readonly result: Result } | { readonly message: string };

/** Threads that run one kind of job. */
export type WorkerPool<Job, Result> = AsyncDisposable & { run(job: Job): Promise<Result> };

/**
 * Starts threads as jobs come. A job that throws rejects with the worker's message.
 * @param path compiled file of the worker below `dist/src/evaluation/`
 * @param workers threads, default one per core
 */
export function openWorkerPool<Job, Result>(
  path: string,
  { workers = availableParallelism() }: { readonly workers?: number } = {},
): WorkerPool<Job, Result> {
  const url = new URL(
    import.meta.url.endsWith('.ts') ? `../../dist/src/evaluation/${path}` : `./${path}`,
    import.meta.url,
  );
  const idle: Worker[] = [];
  const all: Worker[] = [];
  const waiting: ((worker: Worker) => void)[] = [];
  const take = async (): Promise<Worker> => {
    const free = idle.pop();
    if (free !== undefined) return free;
    if (all.length < workers) {
      const worker = new Worker(url);
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
    async run(job) {
      const worker = await take();
      try {
        const reply = await ask<Job, Result>(worker, job);
        if ('message' in reply) throw new OrreryError('internal', `measuring failed: ${reply.message}`);
        return reply.result;
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
function ask<Job, Result>(worker: Worker, job: Job): Promise<WorkerReply<Result>> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      worker.off('message', hear);
      worker.off('error', fail);
      finish();
    };
    const hear = (reply: WorkerReply<Result>): void => settle(() => resolve(reply));
    const fail = (error: Error): void => settle(() => reject(error));
    worker.on('message', hear);
    worker.on('error', fail);
    worker.postMessage(job);
  });
}
