// Memory of curation: over a run of 300 clips, and of one very long video.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Figure, figure } from '../measure.ts';
import { ffmpeg, has, MEDIA, timed } from './jobs.ts';

/** Growth from the first tenth of 300 clips to the end, all default stages on. */
export async function benchFlat(folder: string): Promise<Figure[]> {
  const source = join(MEDIA, 'shots', 'mixed.mp4');
  if (!existsSync(source) || !has('ffmpeg')) return [];
  const input = join(folder, 'flat');
  mkdirSync(input);
  // Ten videos of 30 clips of a second each, small, so that the run is short.
  const small = join(folder, 'small.mp4');
  ffmpeg('-i', source, '-t', '30', '-vf', 'scale=320:180,fps=15', '-preset', 'ultrafast', small);
  for (let i = 0; i < 10; i++) ffmpeg('-i', small, '-c', 'copy', join(input, `v${i}.mp4`));
  const options = { split: 'fixed', clipSeconds: 1, minSeconds: 0.5, preset: 'ultrafast', quality: 'score' } as const;
  const { clips, memory } = await timed(input, join(folder, 'flat-out'), options);
  const peak = (from: number, to: number): number =>
    Math.max(...memory.filter(([n]) => n >= from * clips && n <= to * clips).map(([, mb]) => mb));
  const [early, late] = [peak(0.1, 0.35), peak(0.75, 1)];
  return [
    figure({
      name: 'memory growth over a run',
      value: late - early,
      unit: 'MB',
      of: `${clips} clips; ${early.toFixed(0)} MB in the first third, ${late.toFixed(0)} MB in the last quarter`,
      floor: 200,
      isCeiling: true,
    }),
    figure({ name: 'clips of that run', value: clips, unit: '', of: 'ten videos', floor: 300 }),
  ];
}

/** Frames per second of the two-hour video, as a camera gives them: a leak per frame would hide in fewer. */
const LONG_FPS = 24;

/** Peak memory over a video of two hours in 1920x1080, split at shots, one worker: 172,800 frames, which take their time. */
export async function benchLong(folder: string): Promise<Figure[]> {
  const source = join(MEDIA, 'real', 'avc_annexb_1080p.mkv');
  if (!existsSync(source) || !has('ffmpeg')) return [];
  const input = join(folder, 'long');
  mkdirSync(input);
  const short = join(folder, 'short.mp4');
  ffmpeg('-i', source, '-t', '24', '-vf', `fps=${LONG_FPS},scale=1920:1080`, '-preset', 'ultrafast', '-an', short);
  ffmpeg('-stream_loop', '299', '-i', short, '-c', 'copy', join(input, 'long.mp4'));
  const out = join(folder, 'long-out');
  const { peakMb, seconds, clips } = await timed(input, out, { preset: 'ultrafast', cores: 1, minSeconds: 5 });
  return [
    figure({
      name: 'memory on two hours of 1080p',
      value: peakMb,
      unit: 'MB',
      of: `all processes; ${LONG_FPS} frames/s, ${clips} clips in ${seconds.toFixed(0)} s`,
      floor: 1000,
      isCeiling: true,
    }),
  ];
}
