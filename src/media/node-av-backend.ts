// The node-av backend: every call is a job of a media process. node-av itself is never loaded into this process.
import type { MediaBackend } from './backend-types.ts';
import type { Hello, Probed } from './jobs.ts';
import { askOnce, runJob } from './media-process.ts';
import { jsonOf, MESSAGE } from './wire.ts';

/** Opens the backend, or tells why it is not there. */
export async function nodeAvBackend(): Promise<MediaBackend | string> {
  let hello: Hello;
  try {
    hello = (await askOnce({ op: 'hello' }, 'node-av', { stallSeconds: 60 })) as Hello;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if ('missing' in hello) return hello.missing;
  return {
    name: 'node-av',
    version: hello.version,
    encoder: hello.encoder,

    probe: async (file, options) => {
      const { path, demuxer, sizeBytes } = file;
      return (await askOnce({ op: 'probe', path, demuxer, sizeBytes }, file.name, options)) as Probed;
    },

    decode: (file, plan, place, options) =>
      runJob(
        { op: 'decode', path: file.path, demuxer: file.demuxer, plan },
        file.name,
        options,
        async function* (running) {
          for (;;) {
            const message = await running.receive(place);
            if (message.kind === MESSAGE.done) return jsonOf(message.payload) as { errors: number; isAtEnd: boolean };
            yield { time: message.time, pixels: message.kind === MESSAGE.frame ? message.payload : undefined };
          }
        },
      ),

    encode: async (plan, pictures, options) => {
      const steps = runJob({ op: 'encode', plan }, plan.path, options, async function* (running) {
        // The child speaks first only when it fails: listen while pictures are sent.
        const answer = running.listen();
        let failure: unknown;
        answer.catch((error: unknown) => {
          failure = error;
        });
        for await (const pixels of pictures) {
          if (failure !== undefined) throw failure;
          await running.send(MESSAGE.frame, pixels);
        }
        await running.send(MESSAGE.end);
        yield* [];
        return jsonOf((await running.watched(() => answer)).payload) as string;
      });
      for (;;) {
        const step = await steps.next();
        if (step.done) return step.value;
      }
    },
  };
}
