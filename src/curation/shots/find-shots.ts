// `findShots(video)`: all transitions of one file, decoded once at 48x27 through whichever media backend is there.
import { decodeVideo, probe } from '../../media/index.ts';
import type { Transition } from './detector.ts';
import { TINY } from './features.ts';
import { openDetector } from './open-detector.ts';

/** Transitions of a video. */
export type Shots = {
  readonly video: string;
  readonly fps: number;
  readonly frames: number;
  readonly transitions: readonly Transition[];
};

/** Options of `findShots`. */
export type FindShotsOptions = {
  /** Folder of a detector of ours, or file or folder of TransNetV2 weights. Default: the shipped detector. */
  readonly model?: string;
  /** Smallest score, 0…1. Default: the model's own. */
  readonly threshold?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** Called now and then with the frames done and expected. */
  readonly onProgress?: (done: number, total: number) => void;
};

/** Finds the transitions; frames count from 0 in display order. A damaged file is searched as far as it can be decoded. */
export async function findShots(video: string, options: FindShotsOptions = {}): Promise<Shots> {
  const { threads = 1, signal, onProgress } = options;
  const info = await probe(video, signal === undefined ? {} : { signal });
  const detector = await openDetector(options.model);
  const stream = detector.stream(options.threshold);
  const found: Transition[] = [];
  const keep = (list: readonly Transition[]): void => {
    for (const t of list) if (t.isPending !== true) found.push(t);
  };
  let frames = 0;
  try {
    for await (const batch of decodeVideo(video, {
      width: TINY.width,
      height: TINY.height,
      fit: 'stretch',
      threads,
      batchFrames: 64,
      allowDamaged: true,
      ...(signal === undefined ? {} : { signal }),
    })) {
      for (let i = 0; i < batch.shape[0]; i++) {
        keep(await stream.push(batch.data.subarray(i * TINY.bytes, (i + 1) * TINY.bytes)));
      }
      frames += batch.shape[0];
      onProgress?.(frames, info.frames);
    }
    keep(await stream.end());
  } finally {
    await detector.dispose();
  }
  return { video, fps: info.fps, frames, transitions: found };
}
