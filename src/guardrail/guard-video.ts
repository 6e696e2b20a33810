// A video or picture file through the post-guard: one pass looks at frames and finds faces, a second one writes the video with faces
// hidden. Only boxes are kept between the passes, never the whole video.
import { resolve } from 'node:path';
import { type GuardDecision, type GuardFrames, InputError, throwIfAborted } from '../base/index.ts';
import { writeFileAtomic } from '../formats/index.ts';
import { decodeVideo, encodeImage, encodeMp4, type Frames, probe, readImage, type VideoInfo } from '../media/index.ts';
import type { FaceBox } from '../nets/index.ts';
import { logDecision } from './decision-log.ts';
import { blurFaces } from './faces/blur.ts';
import { detectFaces } from './faces/detector.ts';
import { openFaceDetector } from './faces/open-detector.ts';
import { smoothFaces } from './faces/track.ts';
import { contentChecker, judgeFindings } from './frames/frame-checkers.ts';
import { BLACK, type FrameFindings, flashMeter } from './frames/frame-checks.ts';
import type { GuardPolicy } from './policy.ts';
import { type Answer, type Checker, joinDecisions, runCheckers } from './runner.ts';

export type GuardVideoOptions = {
  /** Video or picture. */
  readonly input: string;
  /** File to write, MP4 for a video, PNG, JPEG or WebP for a picture; absent: check only. */
  readonly output?: string;
  readonly policy: GuardPolicy;
  readonly signal?: AbortSignal;
};

export type GuardVideoEvent =
  | { readonly type: 'progress'; readonly pass: 'look' | 'write'; readonly frames: number; readonly total: number }
  | {
      readonly type: 'done';
      readonly decision: GuardDecision;
      /** Written file; absent when blocked or when none was asked for. */
      readonly output?: string;
      readonly frames: number;
      /** Faces found, one per frame and face, and boxes hidden. */
      readonly faces: number;
      readonly hidden: number;
      readonly secondsLook: number;
    };

/** Checks a video and writes it with faces hidden. */
export async function* guardVideo(options: GuardVideoOptions): AsyncGenerator<GuardVideoEvent> {
  const { input, output, policy, signal } = options;
  if (output !== undefined && resolve(output) === resolve(input)) {
    throw new InputError('output', { got: output, need: 'another file than the input' });
  }
  const media = signal === undefined ? {} : { signal };
  const info = await probe(input, media);
  const format = output === undefined ? undefined : formatOf(output, info);
  const fps = info.fps > 0 ? info.fps : 1;
  const choice = openFaceDetector(policy.faces);
  const content = contentChecker(policy.content);
  const began = performance.now();
  try {
    const meter = flashMeter(fps);
    const found: FaceBox[][] = [];
    const contents: GuardDecision[] = [];
    let frames = 0;
    let problem: string | undefined;
    const watch = content.follow();
    try {
      for await (const { batch, isLast } of withLast(framesOf(input, info, media))) {
        throwIfAborted(signal);
        const [t, height, width] = batch.shape;
        const looked: (Uint8Array | undefined)[] = [];
        for (let i = 0; i < t; i++) {
          const frame = frameOf(batch, i);
          meter.add(frame, width, height);
          const isLooked = (frames + i) % policy.faces.every === 0 || (isLast && i === t - 1);
          looked.push(isLooked ? frame : undefined);
        }
        if (choice.kind === 'ready') found.push(...(await detectFaces(choice.detector, looked, { width, height })));
        else found.push(...looked.map(() => []));
        // The content of a batch at a time; without weights once, for the record.
        if (policy.video.includes('content') && (policy.content !== undefined || contents.length === 0)) {
          contents.push(await decide([watch], { frames: batch as GuardFrames, fps }, policy, signal));
          if (!contents[contents.length - 1]!.isAllowed) break;
        }
        frames += t;
        yield { type: 'progress', pass: 'look', frames, total: info.frames };
      }
    } catch (error) {
      if (signal?.aborted === true) throw error;
      problem = `cannot look at ${input}: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (frames === 0 && problem === undefined && contents.every((c) => c.isAllowed)) problem = 'there are no frames';
    const findings: FrameFindings = {
      frames,
      flashesPerSecond: meter.perSecond(),
      isBlack: meter.brightest() < BLACK,
      ...(problem === undefined ? {} : { problem }),
    };
    const secondsLook = (performance.now() - began) / 1000;
    const first = await decide([fixed('frames', judgeFindings(findings, policy.frames))], undefined, policy, signal);
    const faces = await decide([fixed('faces', faceAnswer(choice, found))], undefined, policy, signal);
    const decision = joinDecisions([first, ...contents, faces]);
    if (policy.log !== undefined)
      logDecision(decision, [], { path: policy.log, policy: policy.name, isPrivate: policy.private });
    const counted = found.reduce((n, list) => n + list.length, 0);
    if (!decision.isAllowed || output === undefined) {
      yield { type: 'done', decision, frames, faces: counted, hidden: 0, secondsLook };
      return;
    }
    const boxes = smoothFaces(found, policy.faces);
    const state = { hidden: 0, frames: 0 };
    const hidden = blurred(framesOf(input, info, media), boxes, policy, state);
    if (format === undefined || format === 'mp4') await encodeMp4(hidden, { path: output, fps, ...media });
    else
      for await (const picture of hidden) writeFileAtomic(output, await encodeImage(picture, { format, quality: 92 }));
    yield { type: 'progress', pass: 'write', frames: state.frames, total: frames };
    yield { type: 'done', decision, output, frames, faces: counted, hidden: state.hidden, secondsLook };
  } finally {
    await content.dispose();
    if (choice.kind === 'ready') await choice.detector.dispose();
  }
}

/** All frames of a file; one of a picture. */
async function* framesOf(
  input: string,
  info: VideoInfo,
  media: { readonly signal?: AbortSignal },
): AsyncGenerator<Frames> {
  if (info.kind === 'image') yield await readImage(input, media);
  else yield* decodeVideo(input, media);
}

/** Each part of a video with the news whether it is the last one; one part is held back for that. */
async function* withLast(parts: AsyncIterable<Frames>): AsyncGenerator<{ batch: Frames; isLast: boolean }> {
  let held: Frames | undefined;
  for await (const batch of parts) {
    if (held !== undefined) yield { batch: held, isLast: false };
    held = batch;
  }
  if (held !== undefined) yield { batch: held, isLast: true };
}

const PICTURES: Readonly<Record<string, 'png' | 'jpeg' | 'webp'>> = {
  png: 'png',
  jpg: 'jpeg',
  jpeg: 'jpeg',
  webp: 'webp',
};

/** What to write, by the ending of the name. */
function formatOf(output: string, info: VideoInfo): 'mp4' | 'png' | 'jpeg' | 'webp' {
  const ending = /\.(\w+)$/.exec(output)?.[1]?.toLowerCase() ?? '';
  if (info.kind !== 'image') {
    if (PICTURES[ending] === undefined) return 'mp4';
    throw new InputError('output', { got: output, need: 'a name that ends in .mp4', why: 'the input is a video' });
  }
  const format = PICTURES[ending];
  if (format !== undefined) return format;
  const need = 'a name that ends in .png, .jpg or .webp';
  throw new InputError('output', { got: output, need, why: 'the input is a picture' });
}

const frameOf = (batch: Frames, i: number): Uint8Array => {
  const each = batch.shape[1] * batch.shape[2] * 3;
  return batch.data.subarray(i * each, (i + 1) * each);
};

function faceAnswer(choice: ReturnType<typeof openFaceDetector>, found: readonly (readonly FaceBox[])[]): Answer {
  if (choice.kind === 'off') return { verdict: 'safe', reason: 'face blur is switched off' };
  if (choice.kind === 'missing') return { verdict: 'not-configured', reason: choice.reason };
  return { verdict: 'safe', reason: `${found.reduce((n, list) => n + list.length, 0)} faces found` };
}

const fixed = (name: string, answer: Answer): Checker<unknown> => ({ name, version: '1', check: () => answer });

function decide<T>(
  checkers: readonly Checker<T>[],
  subject: T,
  policy: GuardPolicy,
  signal: AbortSignal | undefined,
): Promise<GuardDecision> {
  return runCheckers(checkers, subject, {
    stage: 'post',
    subject: 'video',
    timeoutSeconds: policy.timeoutSeconds.video,
    optional: new Set(Object.keys(policy.optional)),
    allow: new Set<string>(policy.allow),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** The frames of the file with the boxes hidden. */
async function* blurred(
  frames: AsyncIterable<Frames>,
  boxes: readonly (readonly FaceBox[])[],
  policy: GuardPolicy,
  state: { hidden: number; frames: number },
): AsyncGenerator<Frames> {
  const { faces } = policy;
  const mode = faces.mode === 'fill' ? 'fill' : 'pixelate';
  for await (const batch of frames) {
    const [t, height, width] = batch.shape;
    const data = batch.data.slice();
    const copy = { dtype: 'u8', shape: batch.shape, data } as const;
    for (let i = 0; i < t; i++) {
      const list = faces.mode === 'off' ? [] : (boxes[state.frames + i] ?? []);
      state.hidden += blurFaces({ data: frameOf(copy, i), width, height }, list, { ...faces, mode });
    }
    state.frames += t;
    yield copy;
  }
}
