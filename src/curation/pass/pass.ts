// Runs in a worker process: the one decode of a video. Each decoded frame feeds the shot detector, the motion field, the
// luma numbers, the sample pictures and, some frames later, the encoders of the clips that it belongs to.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Frame } from 'node-av/lib';
import { makeFolder, writeFileAtomic } from '../../formats/index.ts';
import { displaySize, filterLine } from '../../media/geometry.ts';
import type { VideoInfo } from '../../media/index.ts';
import { type FrameFilter, openFilter } from '../../media/worker-filter.ts';
import type { Av, OpenInput } from '../../media/worker-open.ts';
import type { ShotDetector, Transition } from '../shots/detector.ts';
import { TINY } from '../shots/features.ts';
import { openDetector } from '../shots/open-detector.ts';
import { audioOf, openClipAudio } from './audio.ts';
import { type Cutter, type OpenSpan, openCutter } from './cutter.ts';
import { type DecodeNotes, decodeFrames, hasVectors } from './decode.ts';
import { type ClipWriter, chooseEncoder, type EncoderName, openClip } from './encode-clip.ts';
import { GAMUT_LINE, impossibleShare, MAX_IMPOSSIBLE } from './gamut.ts';
import { fixedClipId, shotClipId, uuid5 } from './ids.ts';
import type { ClipUnit, PassOptions, VideoRecord, VideoUnit } from './job.ts';
import { measure } from './measure.ts';
import { fieldOfMatching, fieldOfVectors, type MotionField, motionFacts } from './motion.ts';
import { writeSamples } from './samples.ts';

/** Sample pictures per second, and how many are kept of one clip: of longer clips every second one goes. */
const SAMPLE_FPS = 2;
const MAX_SAMPLES = 16;
const SAMPLE_HEIGHT = 240;
/** Memory that held-back frames may take; larger videos are decoded twice, shots first. */
const MAX_RING_BYTES = 420e6;

/** Where results go. */
export type PassSink = {
  clip(id: string, clip: ClipUnit): Promise<void>;
  pause(): Promise<void>;
};

type Held = {
  readonly frame: Frame;
  readonly index: number;
  readonly pts: bigint;
  readonly seconds: number;
  readonly luma: number;
  readonly change: number;
  readonly field: MotionField | undefined;
  readonly sample: Uint8Array | undefined;
  /** Whether the decoder met damage since the frame before. */
  readonly isDamaged: boolean;
};

type Clip = {
  readonly span: OpenSpan;
  readonly writer: ClipWriter | undefined;
  /** Record of an earlier run that already wrote this clip. */
  readonly known: { id: string; clip: ClipUnit } | undefined;
  readonly startSeconds: number;
  readonly luma: number[];
  readonly change: number[];
  fields: MotionField[];
  samples: { seconds: number; pixels: Uint8Array }[];
  sampleStep: number;
  sampleCount: number;
  endFrame: number;
  endSeconds: number;
  damaged: number;
};

let detector: ShotDetector | undefined;
let encoderName: { wanted: string; name: EncoderName } | undefined;

/** Runs one video. */
export async function runPass(
  av: Av,
  input: OpenInput,
  unit: VideoUnit,
  info: VideoInfo,
  options: PassOptions,
  source: { readonly path: string; readonly demuxer: string },
  sink: PassSink,
): Promise<VideoRecord> {
  const videoId = uuid5(unit.idPath);
  const { split } = options;
  const isByShots = split.by === 'shots';
  if (isByShots) detector ??= await openDetector(options.shotModel);
  if (encoderName?.wanted !== options.encoder)
    encoderName = { wanted: options.encoder, name: await chooseEncoder(av, options.encoder) };

  const cutter = openCutter(split, info.fps);
  const size = clipSize(info, options.maxHeight);
  const line = encodeLine(info, size);
  const sampleHeight = Math.min(SAMPLE_HEIGHT, info.height);
  const sampleWidth = Math.max(1, Math.round((info.width * sampleHeight) / info.height));
  const frameSeconds = 1 / info.fps;
  const motionStep = Math.max(1, Math.round(info.fps / 2));
  const useVectors = options.motion && hasVectors(info.codec);
  const matchWidth = Math.max(16, Math.min(320, Math.round(info.width / 4)));
  const matchHeight = Math.max(16, Math.round((info.height * matchWidth) / info.width));
  const matchCell = (8 * info.width) / matchWidth;

  const picture = { ...info, isMatrixKnown: false };
  const rgbLine =
    (width: number, height: number) =>
    (facts: { codedWidth: number; codedHeight: number; pixelFormat: string; isMatrixKnown: boolean }) =>
      filterLine({ ...picture, ...facts }, { width, height }, 'stretch');
  const filters: FrameFilter[] = [];
  const filter = (lineOf: Parameters<typeof openFilter>[1]): FrameFilter => {
    const opened = openFilter(av, lineOf);
    filters.push(opened);
    return opened;
  };
  const tinyFilter = filter(rgbLine(TINY.width, TINY.height));
  const sampleFilter = filter(rgbLine(sampleWidth, sampleHeight));
  const lumaFilter = filter(() => `scale=w=${matchWidth}:h=${matchHeight}:flags=area,format=pix_fmts=gray`);
  const gamutFilter = filter(() => GAMUT_LINE);
  const clipFilter = line === undefined ? undefined : filter(() => line);

  const notes: DecodeNotes = { errors: 0 };
  const held: Held[] = [];
  const spare: Frame[] = [];
  const open = new Map<string, Clip>();
  let clips = 0;
  let dropped = 0;
  let transitions = 0;
  let total = 0;
  let impossible = 0;
  let lastSeconds = 0;
  let previousTiny: Uint8Array | undefined;
  let previousLuma: Uint8Array | undefined;
  let nextSample = 0;
  let errorsBefore = 0;

  const ringFrames = isByShots ? cutter.lookAhead + detector!.delay + 8 : 1;
  const isTwoPass = isByShots && ringFrames * info.codedWidth * info.codedHeight * 1.5 > MAX_RING_BYTES;
  const shots = isByShots && !isTwoPass ? detector!.stream() : undefined;

  const temporary = (key: string): string =>
    join(options.out, 'clips', `.${videoId}-${key}-${hostname()}-${process.pid}.part.mp4`);
  const recordPath = (key: string): string => join(options.out, '.handoff', videoId, `${key}.json`);
  makeFolder(join(options.out, '.handoff', videoId));
  makeFolder(join(options.out, 'clips'));

  const sound = options.audio ? audioOf(av, input.context) : undefined;
  const timeUnit = input.stream.timeBase.num / input.stream.timeBase.den;

  const startClip = async (span: OpenSpan, first: Held): Promise<Clip> => {
    const path = recordPath(span.key);
    let known: Clip['known'];
    if (existsSync(path)) {
      known = JSON.parse(readFileSync(path, 'utf8')) as NonNullable<Clip['known']>;
      // The record is written last, so its files are whole, unless someone removed them.
      const isThere = [known.clip.file, known.clip.file.replace(/^clips/, 'filtered_clips')].some((f) =>
        existsSync(join(options.out, f)),
      );
      if (!isThere) known = undefined;
    }
    const writer =
      known === undefined
        ? await openClip(
            av,
            temporary(span.key),
            {
              ...size,
              timeBase: input.stream.timeBase,
              fps: info.fps,
              colour: {
                space: first.frame.colorSpace,
                primaries: first.frame.colorPrimaries,
                transfer: first.frame.colorTrc,
                range: first.frame.colorRange,
              },
            },
            {
              encoder: encoderName!.name,
              crf: options.crf,
              preset: options.preset,
              threads: options.threads,
              ...(options.kilobits === undefined ? {} : { kilobits: options.kilobits }),
            },
            sound?.fits === true ? openClipAudio(av, source, sound, Number(first.pts) * timeUnit) : undefined,
          )
        : undefined;
    return {
      span,
      writer,
      known,
      startSeconds: first.seconds,
      luma: [],
      change: [],
      fields: [],
      samples: [],
      sampleStep: 1,
      sampleCount: 0,
      endFrame: first.index,
      endSeconds: first.seconds,
      damaged: 0,
    };
  };

  const endClip = async (clip: Clip): Promise<void> => {
    open.delete(clip.span.key);
    const frames = clip.endFrame - clip.span.startFrame;
    const seconds = clip.endSeconds - clip.startSeconds;
    if (!cutter.isKept(frames, seconds)) {
      await clip.writer?.abort();
      dropped++;
      return;
    }
    clips++;
    if (clip.known !== undefined) {
      await sink.clip(clip.known.id, clip.known.clip);
      return;
    }
    const { nominal } = clip.span;
    const idPath = unit.session?.id ?? unit.idPath;
    const end = Math.min(nominal?.end ?? 0, unit.session?.endSeconds ?? lastSeconds + frameSeconds);
    const id =
      nominal === undefined
        ? shotClipId(unit.idPath, clip.span.startFrame, clip.endFrame)
        : fixedClipId(idPath, nominal.start, Math.round(end * 1e6) / 1e6);
    const file = unit.session === undefined ? `clips/${id}.mp4` : `clips/${id}/${unit.session.camera}.mp4`;
    makeFolder(dirname(join(options.out, file)));
    const written = await clip.writer!.finish(join(options.out, file));
    const samples = {
      width: sampleWidth,
      height: sampleHeight,
      times: clip.samples.map((s) => s.seconds - clip.startSeconds),
      frames: clip.samples.map((s) => s.pixels),
    };
    const samplesFile = `.handoff/${videoId}/${clip.span.key}.rgb`;
    writeSamples(join(options.out, samplesFile), samples);
    const motion = motionFacts(clip.fields, useVectors ? 8 : matchCell);
    const value: ClipUnit = {
      video: unit.name,
      videoId,
      source: unit.path,
      ...(unit.session === undefined ? {} : { camera: unit.session.camera }),
      file,
      span: [clip.startSeconds, clip.endSeconds],
      startFrame: clip.span.startFrame,
      endFrame: clip.endFrame,
      ...size,
      fps: info.fps,
      frames: written.frames,
      seconds: written.seconds,
      bytes: written.bytes,
      sha256: createHash('sha256')
        .update(readFileSync(join(options.out, file)))
        .digest('hex'),
      codec: written.encoder,
      ...(sound?.fits === true ? { audioCodec: sound.codec } : {}),
      damagedFrames: clip.damaged,
      sourceFacts: { width: info.width, height: info.height, fps: info.fps },
      quality: measure(samples, { luma: clip.luma, change: clip.change }),
      ...(motion === undefined ? {} : { motion }),
      samples: samplesFile,
      ...(unit.tags === undefined ? {} : { tags: unit.tags }),
    };
    writeFileAtomic(recordPath(clip.span.key), JSON.stringify({ id, clip: value }));
    await sink.clip(id, value);
  };

  const leave = async (item: Held): Promise<void> => {
    const spans = cutter.spansOf(item.index, item.seconds);
    for (const clip of [...open.values()])
      if (!spans.some((s) => s.key === clip.span.key)) {
        // A span ends where the first frame after it begins.
        clip.endSeconds = item.seconds;
        await endClip(clip);
      }
    for (const span of spans) {
      let clip = open.get(span.key);
      if (clip === undefined) {
        clip = await startClip(span, item);
        open.set(span.key, clip);
      }
      clip.endFrame = item.index + 1;
      clip.endSeconds = item.seconds + frameSeconds;
      if (clip.known === undefined) {
        if (item.isDamaged) clip.damaged++;
        clip.luma.push(item.luma);
        clip.change.push(item.change);
        if (item.field !== undefined) clip.fields.push(item.field);
        if (item.sample !== undefined) keepSample(clip, item.seconds, item.sample);
      }
      if (clip.writer !== undefined) {
        const frame = clipFilter === undefined ? item.frame : clipFilter.toFrame(item.frame);
        await clip.writer.write(frame, item.pts);
      }
    }
  };

  const release = (item: Held): void => {
    item.frame.unref();
    spare.push(item.frame);
  };
  const tell = (found: readonly Transition[]): void => {
    for (const t of found) {
      cutter.transition(t);
      if (t.isPending !== true) transitions++;
    }
  };

  if (isTwoPass) tell(await shotsOf(av, input, info, unit, options, tinyFilter, sink.pause));

  try {
    for await (const { frame, index, pts, seconds } of decodeFrames(av, input, {
      threads: options.threads,
      vectors: useVectors,
      frameSeconds,
      notes,
      pause: sink.pause,
      ...(unit.part === undefined ? {} : { part: unit.part }),
    })) {
      if (unit.session !== undefined && seconds >= unit.session.endSeconds - frameSeconds / 2) break;
      const tiny = tinyFilter.toBytes(frame);
      const [luma, change] = numbersOf(tiny, previousTiny);
      previousTiny = tiny;
      let field: MotionField | undefined;
      if (options.motion) {
        if (useVectors) {
          if (index % motionStep === 0) {
            const records = frame.getSideData(av.constants.AV_FRAME_DATA_MOTION_VECTORS);
            if (records !== null && records.length > 0)
              field = fieldOfVectors(records, info.codedWidth, info.codedHeight);
          }
        } else if (index % motionStep === 0) previousLuma = lumaFilter.toBytes(frame);
        else if (index % motionStep === 1 && previousLuma !== undefined)
          field = fieldOfMatching(previousLuma, lumaFilter.toBytes(frame), matchWidth, matchHeight);
      }
      let sample: Uint8Array | undefined;
      let isImpossible = false;
      if (seconds >= nextSample - 1e-6) {
        sample = sampleFilter.toBytes(frame);
        isImpossible = impossibleShare(gamutFilter.toBytes(frame)) > MAX_IMPOSSIBLE;
        if (isImpossible) impossible++;
        nextSample = Math.max(nextSample + 1 / SAMPLE_FPS, seconds - 1 / SAMPLE_FPS);
      }
      const isDamaged = isImpossible || notes.errors > errorsBefore;
      errorsBefore = notes.errors;
      const copy = spare.pop() ?? newFrame(av);
      copy.ref(frame);
      held.push({ frame: copy, index, pts, seconds, luma, change, field, sample, isDamaged });
      total = index + 1;
      lastSeconds = seconds;
      if (shots !== undefined) tell(await shots.push(tiny));
      const decided = shots === undefined ? index + 1 : shots.undecidedFrom;
      await leaveUpTo(decided - (shots === undefined ? 0 : cutter.lookAhead), leave, held, release);
    }
    if (shots !== undefined) tell(await shots.end());
    cutter.end(total);
    await leaveUpTo(Number.POSITIVE_INFINITY, leave, held, release);
    for (const clip of [...open.values()]) {
      clip.endSeconds = Math.min(clip.endSeconds, clip.span.nominal?.end ?? Number.POSITIVE_INFINITY);
      await endClip(clip);
    }
  } finally {
    for (const clip of open.values()) await clip.writer?.abort();
    for (const { frame } of held) frame.free();
    for (const frame of spare) frame.free();
    for (const one of filters) one.free();
  }
  // Pictures that the decoder leaves out without a word: MP4 states how many there are. Edit lists hide a few.
  const isWhole = unit.part !== undefined || unit.session !== undefined || total >= 0.9 * info.frames - 1;
  const missing = /mp4|mov/.test(info.container) && !isWhole;
  const problem =
    info.problem ??
    (missing
      ? `${total} of its ${info.frames} frames could be decoded`
      : impossible > 0
        ? `${impossible} of the pictures looked at, two a second, hold colours that no picture has: its data are damaged`
        : undefined);
  return {
    kind: 'video',
    video: unit.name,
    source: unit.path,
    width: info.width,
    height: info.height,
    framerate: info.fps,
    num_frames: total,
    duration: total === 0 ? 0 : lastSeconds + frameSeconds,
    video_codec: info.codec,
    pixel_format: info.pixelFormat,
    audio_format: info.hasAudio ? 'present' : null,
    bytes: info.sizeBytes,
    clips,
    dropped,
    transitions,
    decode_errors: notes.errors,
    ...(sound === undefined || sound.fits ? {} : { audio_note: `${sound.codec} sound cannot be copied into MP4` }),
    ...(problem === undefined ? {} : { problem }),
  };
}

async function leaveUpTo(
  bound: number,
  leave: (item: Held) => Promise<void>,
  held: Held[],
  release: (item: Held) => void,
): Promise<void> {
  while (held.length > 0 && held[0]!.index < bound) {
    const item = held.shift()!;
    await leave(item);
    release(item);
  }
}

/** All transitions of a video in a pass of their own; afterwards the input stands at its beginning again. */
async function shotsOf(
  av: Av,
  input: OpenInput,
  info: VideoInfo,
  unit: VideoUnit,
  options: PassOptions,
  tiny: FrameFilter,
  pause: () => Promise<void>,
): Promise<Transition[]> {
  const shots = detector!.stream();
  const found: Transition[] = [];
  for await (const { frame } of decodeFrames(av, input, {
    threads: options.threads,
    vectors: false,
    frameSeconds: 1 / info.fps,
    notes: { errors: 0 },
    pause,
    ...(unit.part === undefined ? {} : { part: unit.part }),
  })) {
    found.push(...(await shots.push(tiny.toBytes(frame))));
  }
  found.push(...(await shots.end()));
  input.context.seekFrameSync(-1, 0n, av.constants.AVSEEK_FLAG_BACKWARD);
  return found;
}

function newFrame(av: Av): Frame {
  const frame = new av.Frame();
  frame.alloc();
  return frame;
}

/** [mean luma, mean difference to the picture before], both 0…1. */
function numbersOf(tiny: Uint8Array, before: Uint8Array | undefined): [number, number] {
  let luma = 0;
  let change = 0;
  for (let p = 0; p < tiny.length; p += 3) {
    luma += tiny[p]! * 77 + tiny[p + 1]! * 150 + tiny[p + 2]! * 29;
    if (before !== undefined)
      change +=
        Math.abs(tiny[p]! - before[p]!) +
        Math.abs(tiny[p + 1]! - before[p + 1]!) +
        Math.abs(tiny[p + 2]! - before[p + 2]!);
  }
  const n = tiny.length / 3;
  return [luma / (n * 256 * 255), change / (n * 3 * 255)];
}

function keepSample(clip: Clip, seconds: number, pixels: Uint8Array): void {
  if (clip.sampleCount++ % clip.sampleStep !== 0) return;
  clip.samples.push({ seconds, pixels });
  if (clip.samples.length <= MAX_SAMPLES) return;
  clip.samples = clip.samples.filter((_, i) => i % 2 === 0);
  clip.sampleStep *= 2;
}

/** Even display size, scaled down to `maxHeight` lines. */
function clipSize(info: VideoInfo, maxHeight: number): { width: number; height: number } {
  const even = (v: number): number => Math.max(2, Math.round(v / 2) * 2);
  const scale = maxHeight > 0 && info.height > maxHeight ? maxHeight / info.height : 1;
  return { width: even(info.width * scale), height: even(info.height * scale) };
}

/** The filter line from stored frames to what the encoder takes; undefined when they fit as they are. */
function encodeLine(info: VideoInfo, size: { width: number; height: number }): string | undefined {
  const stored = displaySize({ ...info, rotation: 0 });
  const isPlain =
    info.rotation === 0 &&
    !info.isMirrored &&
    info.pixelFormat === 'yuv420p' &&
    info.codedWidth === size.width &&
    info.codedHeight === size.height;
  if (isPlain) return undefined;
  const isTurned = info.rotation === 90 || info.rotation === 270;
  const [w, h] = isTurned ? [size.height, size.width] : [size.width, size.height];
  const steps = [];
  if (w !== info.codedWidth || h !== info.codedHeight || stored.width !== w)
    steps.push(`scale=w=${w}:h=${h}:flags=bicubic`);
  steps.push('format=pix_fmts=yuv420p');
  if (info.isMirrored) steps.push('hflip');
  if (info.rotation === 90) steps.push('transpose=dir=clock');
  if (info.rotation === 180) steps.push('hflip', 'vflip');
  if (info.rotation === 270) steps.push('transpose=dir=cclock');
  steps.push('setsar=1');
  return steps.join(',');
}

/** Name of a video's folder of hand-off records. */
export const handoffFolder = (idPath: string): string => join('.handoff', basename(uuid5(idPath)));

/** For callers that only need the cutter's type. */
export type { Cutter };
