// Runs the tracker in a worker thread: one message per video, one answer with its label maps.
import { parentPort } from 'node:worker_threads';
import type { Frames } from '../../media/index.ts';
import type { WorkerReply } from '../worker-pool.ts';
import { trackMasks } from './tracker.ts';

export type TrackJob = { readonly frames: Frames; readonly given: readonly Uint8Array[]; readonly objects: number };

const port = parentPort;
port?.on('message', (job: TrackJob) => {
  let reply: WorkerReply<Uint8Array[]>;
  try {
    reply = { result: trackMasks(job.frames, { given: job.given, objects: job.objects }) };
  } catch (error) {
    reply = { message: error instanceof Error ? error.message : String(error) };
  }
  port.postMessage(reply);
});
