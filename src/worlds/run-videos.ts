// The videos of one run: `result.json` always tells which are finished, and a stop loses none of them.
import { rmSync } from 'node:fs';
import { basename } from 'node:path';
import type { RunFolder } from '../hub/index.ts';
import type { GenerateEvent } from './generate.ts';

export type RunVideos = {
  readonly run: RunFolder;
  /** Number of videos to make. */
  readonly count: number;
  /** Name of the guardrail's policy. */
  readonly guardrail: string;
  /** File names of the videos that are finished; grows. */
  readonly finished: string[];
};

/** Makes one video after the other; a video counts as finished once the record says so. */
export async function* makeVideos(
  o: RunVideos,
  one: (index: number) => AsyncIterable<GenerateEvent>,
): AsyncGenerator<GenerateEvent> {
  for (let i = 0; i < o.count; i++) {
    for await (const event of one(i)) {
      if (event.type === 'completed') {
        const videos = [...o.finished, basename(event.video)];
        record(o, videos.length === o.count ? 'completed' : 'unfinished', videos);
        o.finished.push(basename(event.video));
      }
      yield event;
    }
  }
}

/** At the end of a run, also after an error or a stop: a run that made nothing leaves nothing, any other keeps what it finished. */
export function leaveStopped(o: RunVideos): void {
  if (o.finished.length === 0) rmSync(o.run.dir, { recursive: true, force: true });
  else if (o.finished.length < o.count) record(o, 'stopped', o.finished);
}

function record({ run, guardrail }: RunVideos, status: string, videos: readonly string[]): void {
  run.write('result.json', { status, guardrail, videos });
}
