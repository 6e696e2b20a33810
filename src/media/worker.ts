// The media process: takes one job at a time over file descriptor 3 and answers there. It ends when its parent goes away.
// A fault of a native library ends this process only, never the program that uses Orrery.
import { rmSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Failure, Hello, Job } from './jobs.ts';
import { headerOf, jsonBytes, jsonOf, MESSAGE, MessageReader, writeMessage } from './wire.ts';
import { WorkFailure } from './work-failure.ts';
import { decodeFile } from './worker-decode.ts';
import { encodeFile } from './worker-encode.ts';
import { factsOf, loadAv, openInput } from './worker-open.ts';

const socket = new Socket({ fd: 3, readable: true, writable: true });
const reader = new MessageReader(socket);
let lastAlive = Date.now();
/** File that a running encode has not finished. */
let unfinished: string | undefined;

/** Says "still working" at most once a second. */
function alive(): void {
  const now = Date.now();
  if (now - lastAlive < 1000) return;
  lastAlive = now;
  socket.write(headerOf(MESSAGE.alive, 0));
}

async function pause(): Promise<void> {
  alive();
  await new Promise((resolve) => setImmediate(resolve));
}

async function hello(): Promise<Hello> {
  try {
    const av = await loadAv();
    const hasX264 = av.Codec.findEncoderByName('libx264' as Parameters<typeof av.Codec.findEncoderByName>[0]) !== null;
    return { version: av.getFFmpegInfo().version, encoder: hasX264 ? 'libx264' : '' };
  } catch (error) {
    const text = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    return { missing: text.replace(/ imported from .*/, '') };
  }
}

async function* incomingPictures(): AsyncGenerator<Uint8Array> {
  for (;;) {
    const message = await reader.next();
    if (message === undefined) throw new WorkFailure('internal', 'the parent process went away');
    if (message.kind === MESSAGE.end) return;
    yield message.payload;
    alive();
  }
}

async function run(job: Job): Promise<unknown> {
  if (job.op === 'hello') return hello();
  if (job.op === 'image') {
    const { imageFacts, imagePixels } = await import('./worker-image.ts');
    if (job.job.factsOnly) return imageFacts(job.path);
    await writeMessage(socket, MESSAGE.frame, await imagePixels(job.path, job.job));
    return null;
  }
  const av = await loadAv();
  if (job.op === 'encode') {
    unfinished = job.plan.path;
    const encoder = await encodeFile(av, job.plan, incomingPictures(), alive);
    unfinished = undefined;
    return encoder;
  }
  const input = openInput(av, job.path, job.demuxer);
  try {
    if (job.op === 'probe') return factsOf(av, input, alive);
    return await decodeFile(av, input, job.plan, {
      picture: (pixels, time) => writeMessage(socket, MESSAGE.frame, pixels, time),
      repeat: (time) => writeMessage(socket, MESSAGE.repeat, undefined, time),
      alive: pause,
    });
  } finally {
    input.context.closeInputSync();
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof WorkFailure) return error.failure;
  return { kind: 'internal', found: error instanceof Error ? `${error.message}` : String(error) };
}

// The parent's end of the channel closes when it dies: nobody wants the work any more.
socket.on('close', () => {
  if (unfinished !== undefined) rmSync(unfinished, { force: true });
  process.exit(0);
});

for (;;) {
  const message = await reader.next();
  if (message === undefined) {
    socket.destroy();
    break;
  }
  if (message.kind !== MESSAGE.job) continue;
  try {
    const result = await run(jsonOf(message.payload) as Job);
    await writeMessage(socket, MESSAGE.done, jsonBytes(result ?? null));
  } catch (error) {
    await writeMessage(socket, MESSAGE.failed, jsonBytes(failureOf(error)));
  }
}
