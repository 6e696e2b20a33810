// Worker thread of the render pool: renders a run of frames into shared memory.

import { parentPort } from 'node:worker_threads';
import type { Scene, Trajectory } from '../scene.ts';
import { type ClipChannels, frameView } from './clip.ts';
import { createRenderer, type RenderOptions } from './renderer.ts';

/** Frames `from` to `to` (not included) of one camera; the clip's memory begins with frame `first`. */
export type RenderJob = {
  readonly scene: Scene;
  readonly trajectory: Trajectory;
  readonly camera: number;
  readonly options: RenderOptions;
  readonly clip: ClipChannels;
  readonly first: number;
  readonly from: number;
  readonly to: number;
};

/** A finished frame, the end of a job, or its failure. */
export type RenderReply =
  | { readonly type: 'frame'; readonly frame: number }
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly message: string };

parentPort?.on('message', (job: RenderJob) => {
  const reply = (message: RenderReply): void => parentPort!.postMessage(message);
  try {
    const renderer = createRenderer(job.scene, job.trajectory, job.camera, job.options);
    for (let t = job.from; t < job.to; t++) {
      renderer.render(t, frameView(job.clip, t - job.first));
      reply({ type: 'frame', frame: t });
    }
    reply({ type: 'done' });
  } catch (error) {
    reply({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  }
});
