// Renders clips on all cores: every worker takes a run of frames and writes into shared memory. Frames do not depend on
// each other, so the result does not depend on the number of workers.

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { InputError, OrreryError, throwIfAborted } from '../../base/index.ts';
import type { Scene, Trajectory } from '../scene.ts';
import { type ClipChannels, newClip, type RenderClipOptions } from './clip.ts';
import type { RenderJob, RenderReply } from './worker.ts';

/** Options of one clip in the pool. */
export type PoolClipOptions = RenderClipOptions & {
  /** First frame and the one after the last. Default: the whole clip. */
  readonly range?: readonly [number, number];
  readonly signal?: AbortSignal;
  /** Called after each frame with the number of finished frames. */
  readonly onFrame?: (done: number) => void;
};

/** Worker threads that render. One clip at a time uses all of them; several calls share them in order. */
export type RenderPool = AsyncDisposable & {
  readonly workers: number;
  /** Renders one camera of a clip into shared memory. */
  render(scene: Scene, trajectory: Trajectory, options?: PoolClipOptions): Promise<ClipChannels>;
  /** Stops the workers. */
  dispose(): Promise<void>;
};

const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? '../../../dist/src/simulation/render/worker.js' : './worker.js',
  import.meta.url,
);

/**
 * Starts a pool. Dispose it when done: its threads keep the process alive.
 * @param workers number of threads, default one per core
 */
export function openRenderPool({ workers = availableParallelism() }: { readonly workers?: number } = {}): RenderPool {
  if (!Number.isInteger(workers) || workers < 1 || workers > 256) {
    throw new InputError('workers', { got: workers, need: 'a whole number 1…256', why: 'one per core is best' });
  }
  let threads: Worker[] = [];
  let isClosed = false;
  let last: Promise<unknown> = Promise.resolve();

  const renderNow = async (scene: Scene, trajectory: Trajectory, options: PoolClipOptions): Promise<ClipChannels> => {
    const { camera = 0, channels = [], range = [0, trajectory.frames], signal, onFrame, ...rest } = options;
    throwIfAborted(signal);
    const view = scene.cameras[camera];
    if (view === undefined) {
      throw new InputError('camera', { got: camera, need: `0…${scene.cameras.length - 1}` });
    }
    const [first, end] = range;
    if (!(first >= 0 && first < end && end <= trajectory.frames)) {
      throw new InputError('range', { got: range, need: `two frame numbers, 0 ≤ first < end ≤ ${trajectory.frames}` });
    }
    const clip = newClip(end - first, view.width, view.height, channels, true);
    while (threads.length < workers) threads.push(new Worker(WORKER));
    const share = Math.ceil((end - first) / workers);
    let done = 0;
    const jobs: Promise<void>[] = [];
    for (let w = 0; first + w * share < end; w++) {
      const job: RenderJob = {
        scene,
        // Contacts and velocities do not show.
        trajectory: { frames: trajectory.frames, bodies: trajectory.bodies, poses: trajectory.poses },
        camera,
        options: rest,
        clip,
        first,
        from: first + w * share,
        to: Math.min(end, first + (w + 1) * share),
      };
      jobs.push(runJob(threads[w]!, job, () => onFrame?.(++done), signal));
    }
    try {
      await Promise.all(jobs);
    } catch (error) {
      // The other workers are still busy with this clip: replace them all.
      const old = threads;
      threads = [];
      await Promise.allSettled([...jobs, ...old.map((thread) => thread.terminate())]);
      throw error;
    }
    return clip;
  };

  const dispose = async (): Promise<void> => {
    isClosed = true;
    const old = threads;
    threads = [];
    await Promise.all(old.map((thread) => thread.terminate()));
  };

  return {
    workers,
    render: (scene, trajectory, options = {}) => {
      if (isClosed) throw new OrreryError('internal', 'the render pool was disposed; open a new one');
      const next = last.then(() => renderNow(scene, trajectory, options));
      last = next.catch(() => undefined);
      return next;
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

function runJob(thread: Worker, job: RenderJob, onFrame: () => void, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      thread.off('message', hear);
      thread.off('error', fail);
      thread.off('exit', exit);
      signal?.removeEventListener('abort', abort);
      settle();
    };
    const hear = (reply: RenderReply): void => {
      if (reply.type === 'frame') onFrame();
      else if (reply.type === 'done') finish(resolve);
      else finish(() => reject(new OrreryError('internal', `rendering failed: ${reply.message}`)));
    };
    const fail = (cause: Error): void =>
      finish(() => reject(new OrreryError('internal', `rendering failed: ${cause.message}`, { cause })));
    const exit = (code: number): void => fail(new Error(`the worker stopped with code ${code}`));
    const abort = (): void => finish(() => reject(new OrreryError('canceled', 'canceled', { cause: signal?.reason })));
    thread.on('message', hear);
    thread.on('error', fail);
    thread.on('exit', exit);
    signal?.addEventListener('abort', abort);
    thread.postMessage(job);
  });
}
