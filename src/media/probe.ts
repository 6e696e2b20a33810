// Facts about a media file, in the viewer's terms. Checks the file first; decodes no picture.
import { openBackend } from './backend.ts';
import type { MediaBackend, RunOptions, StreamFacts } from './backend-types.ts';
import { checkFile, fileError, type SourceFile } from './check-file.ts';
import { checkWhole } from './check-whole.ts';
import { displaySize, MAX_SIDE } from './geometry.ts';
import type { ImageFacts } from './jobs.ts';
import { askOnce } from './media-process.ts';
import type { MediaOptions, VideoInfo } from './types.ts';

/** Highest frame rate that is taken for real. */
export const MAX_FPS = 1000;

/** Facts of a video or image file. Throws a `data` error that names what is wrong with it. */
export async function probe(path: string, options: MediaOptions = {}): Promise<VideoInfo> {
  const file = await checkFile(path);
  if (file.kind === 'image') return imageInfo(file, runOptionsOf(options));
  return (await openVideo(file, options)).info;
}

/** Stall clock and signal for backends. */
export function runOptionsOf(options: MediaOptions): RunOptions {
  return { signal: options.signal, stallSeconds: options.stallSeconds ?? 60 };
}

/** A checked video: who decodes it, the stream's facts, the viewer's facts. */
export type OpenedVideo = {
  readonly backend: MediaBackend;
  readonly file: SourceFile;
  readonly facts: StreamFacts;
  readonly info: VideoInfo;
};

/** Checks and probes a video file. */
export async function openVideo(file: SourceFile, options: MediaOptions): Promise<OpenedVideo> {
  const whole = await checkWhole(file);
  if (!whole.hasIndex)
    throw fileError(
      file.name,
      whole.problem ?? 'it has no index',
      'a complete file',
      'copy it again in full, or wait until its recording has ended',
    );
  const backend = await openBackend(options.backend);
  const facts = await backend.probe(file, runOptionsOf(options));
  return { backend, file, facts, info: infoOf(file, facts, whole.problem) };
}

/** The viewer's facts from the stream's. Throws a `data` error for absurd sizes and rates. */
export function infoOf(file: SourceFile, facts: StreamFacts, problem: string | undefined): VideoInfo {
  const display = displaySize(facts);
  checkSize(file.name, facts.codedWidth, facts.codedHeight);
  checkSize(file.name, display.width, display.height);
  const fps = frameRateOf(file.name, facts);
  const frames = facts.frames > 0 ? facts.frames : Math.max(1, Math.round(facts.durationSeconds * fps));
  return {
    kind: 'video',
    path: file.name,
    sizeBytes: file.sizeBytes,
    container: file.container,
    codec: facts.codec,
    ...display,
    codedWidth: facts.codedWidth,
    codedHeight: facts.codedHeight,
    rotation: facts.rotation,
    isMirrored: facts.isMirrored,
    sar: facts.sar,
    fps,
    durationSeconds: facts.durationSeconds > 0 ? facts.durationSeconds : frames / fps,
    frames,
    isFrameCountExact: facts.frames > 0,
    startSeconds: facts.startSeconds,
    pixelFormat: facts.pixelFormat,
    hasAudio: facts.hasAudio,
    ...(problem === undefined ? {} : { problem }),
    tags: facts.tags,
  };
}

/** Facts of an image file. */
export async function imageInfo(file: SourceFile, options: RunOptions): Promise<VideoInfo> {
  const job = { factsOnly: true, fit: 'stretch' } as const;
  const facts = (await askOnce({ op: 'image', path: file.path, job }, file.name, options)) as ImageFacts;
  checkSize(file.name, facts.codedWidth, facts.codedHeight);
  return {
    kind: 'image',
    path: file.name,
    sizeBytes: file.sizeBytes,
    container: file.container,
    codec: file.container,
    ...facts,
    sar: [1, 1],
    fps: 0,
    durationSeconds: 0,
    frames: 1,
    isFrameCountExact: true,
    startSeconds: 0,
    hasAudio: false,
    tags: {},
  };
}

function checkSize(name: string, width: number, height: number): void {
  if (width > MAX_SIDE || height > MAX_SIDE)
    throw fileError(
      name,
      `${width}x${height} pixels`,
      `at most ${MAX_SIDE}x${MAX_SIDE}`,
      'scale it down with ffmpeg first',
    );
}

function frameRateOf(name: string, facts: StreamFacts): number {
  const counted = facts.durationSeconds > 0 && facts.frames > 1 ? facts.frames / facts.durationSeconds : 0;
  const stated = [facts.averageFps, counted, facts.baseFps].filter((value) => value > 0);
  if (stated[0] !== undefined && stated[0] <= MAX_FPS) return stated[0];
  if (counted > 0 && counted <= MAX_FPS) return counted;
  // One picture needs no rate.
  if (facts.frames === 1) return 1;
  throw fileError(
    name,
    `a frame rate of ${stated[0] ?? 0} per second`,
    `more than 0 and at most ${MAX_FPS} frames per second`,
    'set it with ffmpeg: ffmpeg -r 30 -i INPUT OUTPUT',
  );
}
