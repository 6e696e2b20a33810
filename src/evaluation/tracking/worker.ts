// Runs the tracker in a worker thread: one message per video, one answer with its label maps.
import { parentPort } from 'node:worker_threads';
import type { Frames } from '../../media/index.ts';
import { trackMasks } from './tracker.ts';

export type TrackJob = { readonly frames: Frames; readonly given: readonly Uint8Array[]; readonly objects: number };
export type TrackReply = { readonly labels: Uint8Array[] } | { readonly message: string };

const port = parentPort;
port?.on('message', (job: TrackJob) => {
  let reply: TrackReply;
  try {
    reply = { labels: trackMasks(job.frames, { given: job.given, objects: job.objects }) };
  } catch (error) {
    reply = { message: error instanceof Error ? error.message : String(error) };
  }
  port.postMessage(reply);
});
