// Worker thread of the data-set writer: simulates and renders one clip per message.
import { parentPort } from 'node:worker_threads';
import { captionOf } from '../captions.ts';
import { createRenderer } from '../render/renderer.ts';
import { simulateClip } from '../scenarios/index.ts';
import { trajectoryHash } from '../trajectory.ts';
import type { ClipJob, ClipResult } from './jobs.ts';
import { clipRecord } from './jobs.ts';

async function make(job: ClipJob): Promise<ClipResult> {
  const { frames, width, height, fps } = job;
  const { scene, trajectory } = await simulateClip(job.scenario, job.seed, { frames, fps, width, height });
  const renderer = createRenderer(scene, trajectory, 0);
  const pixels = width * height;
  const rgb = new Uint8Array(frames * pixels * 3);
  const instance = new Uint8Array(frames * pixels);
  for (let f = 0; f < frames; f++) {
    renderer.render(f, {
      rgb: rgb.subarray(f * pixels * 3, (f + 1) * pixels * 3),
      instance: instance.subarray(f * pixels, (f + 1) * pixels),
    });
  }
  const captions = (['short', 'medium', 'long'] as const).map((style) =>
    captionOf(scene, trajectory, { style, outcome: false }),
  );
  return {
    rgb,
    instance,
    record: clipRecord(job, scene, captionOf(scene, trajectory), captions, await trajectoryHash(trajectory)),
  };
}

parentPort!.on('message', (job: ClipJob) => {
  make(job).then(
    (result) =>
      parentPort!.postMessage({ ok: true, result }, [result.rgb.buffer, result.instance.buffer] as ArrayBuffer[]),
    (error: Error) => parentPort!.postMessage({ ok: false, message: error.message }),
  );
});
