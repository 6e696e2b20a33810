// `inspectClip(path)`: everything that the default stages measure of one file, without writing anything.
import { decodeVideo, probe, type VideoInfo } from '../media/index.ts';
import { measure, type QualityFacts } from './pass/measure.ts';
import { fieldOfMatching, type MotionFacts, type MotionField, motionFacts } from './pass/motion.ts';
import type { Transition } from './shots/detector.ts';
import { findShots } from './shots/find-shots.ts';
import { factsCaption } from './stages/facts-caption.ts';

/** What was measured. */
export type Inspection = {
  readonly info: VideoInfo;
  readonly transitions: readonly Transition[];
  readonly quality: QualityFacts;
  /** By block matching. */
  readonly motion: MotionFacts | undefined;
  readonly caption: string;
};

const MAX_SAMPLES = 32;

/** Measures a video as one clip. */
export async function inspectClip(path: string, options: { readonly signal?: AbortSignal } = {}): Promise<Inspection> {
  const { signal } = options;
  const base = signal === undefined ? {} : { signal };
  const info = await probe(path, base);
  const { transitions, frames } = await findShots(path, base);
  const height = Math.min(240, info.height);
  const width = Math.max(1, Math.round((info.width * height) / info.height));
  const every = Math.max(1, Math.floor(frames / MAX_SAMPLES));
  const samples: { time: number; pixels: Uint8Array }[] = [];
  const fields: MotionField[] = [];
  const luma: number[] = [];
  const change: number[] = [];
  let before: Uint8Array | undefined;
  for await (const batch of decodeVideo(path, { width, height, fit: 'stretch', allowDamaged: true, ...base }))
    for (let i = 0; i < batch.shape[0]; i++) {
      const index = batch.firstIndex + i;
      const rgb = batch.data.subarray(i * width * height * 3, (i + 1) * width * height * 3);
      const grey = new Uint8Array(width * height);
      let sum = 0;
      let moved = 0;
      for (let p = 0; p < grey.length; p++) {
        grey[p] = (rgb[p * 3]! * 77 + rgb[p * 3 + 1]! * 150 + rgb[p * 3 + 2]! * 29) >> 8;
        sum += grey[p]!;
        if (before !== undefined) moved += Math.abs(grey[p]! - before[p]!);
      }
      luma.push(sum / grey.length / 255);
      change.push(moved / grey.length / 255);
      if (index % every === 0) samples.push({ time: batch.times[i]!, pixels: rgb.slice() });
      if (before !== undefined && index % Math.max(2, Math.round(info.fps / 2)) === 1)
        fields.push(fieldOfMatching(before, grey, width, height));
      before = grey;
    }
  const quality = measure(
    { width, height, times: samples.map((s) => s.time), frames: samples.map((s) => s.pixels) },
    { luma, change },
  );
  const motion = motionFacts(fields, (8 * info.height) / height);
  const facts = { quality, seconds: info.durationSeconds, fps: info.fps, ...(motion === undefined ? {} : { motion }) };
  return { info, transitions, quality, motion, caption: factsCaption(facts) };
}
