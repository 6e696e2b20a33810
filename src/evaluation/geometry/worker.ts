// Measures the geometry of clips in a worker thread: OpenCV's WASM build blocks the thread it runs in.
import { parentPort } from 'node:worker_threads';
import type { WorkerReply } from '../worker-pool.ts';
import { type GeometryJob, type GeometryResult, measureGeometry } from './measure.ts';

const port = parentPort;
port?.on('message', async (job: GeometryJob) => {
  let reply: WorkerReply<GeometryResult>;
  try {
    reply = { result: await measureGeometry(job) };
  } catch (error) {
    reply = { message: error instanceof Error ? error.message : String(error) };
  }
  port.postMessage(reply);
});
