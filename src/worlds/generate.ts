// The main job: from a sentence, an image or a video to a new video. One sampler step is one network run, so cancelling
// takes one step; videos longer than the model's window go on from their own last frames.
import { writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { type Guardrail, InputError, throwIfAborted } from '../base/index.ts';
import { createRunFolder, locateModel, type RunFolder, VERSION } from '../hub/index.ts';
import { contactSheet, encodeMp4, type Frames, readFrames } from '../media/index.ts';
import type { Device } from '../runtime/index.ts';
import { generateCosmos } from './cosmos/generate.ts';
import { isCosmosModel } from './cosmos/open-model.ts';
import { guardFrames, guardTexts } from './guarded.ts';
import { nextFrames, stepsFor } from './nano-window.ts';
import { type OpenedNano, openNano } from './open-nano.ts';
import { CONDITIONS } from './orrery-nano.ts';
import { type GenerateRequest, parseRequest } from './request.ts';
import { leaveStopped, makeVideos, type RunVideos } from './run-videos.ts';

export type GenerateOptions = {
  /** Folder that gets the run folder. Default `runs`. */
  readonly out?: string;
  readonly device?: Device;
  readonly threads?: number;
  /** Read the weights of a public model from the disk in every step: for models larger than memory. Default false. */
  readonly offload?: boolean;
  /** Bytes that a public model may count on: a run that needs more is refused before it starts. Default: what is free now. */
  readonly memoryBytes?: number;
  /** Yield preview frames after every n-th step; 0 = never. Default 0. */
  readonly previewEvery?: number;
  /** Checks texts and frames. `noGuardrail()` of the base switches it off; the record says so. */
  readonly guardrail: Guardrail;
  readonly signal?: AbortSignal;
};

export type GenerateEvent =
  | {
      readonly type: 'started';
      readonly dir: string;
      readonly model: string;
      readonly parameters: number;
      readonly device: Device;
      /** Name of the guardrail's policy. */
      readonly guardrail: string;
    }
  /** Weights are being rounded, once per model and form; counts numbers. */
  | { readonly type: 'weights'; readonly part: string; readonly done: number; readonly total: number }
  | { readonly type: 'stage'; readonly name: 'load' | 'read' | 'encode' | 'sample' | 'decode' | 'write' }
  | {
      readonly type: 'step';
      readonly index: number;
      readonly total: number;
      readonly secondsPerStep: number;
      readonly etaSeconds: number;
    }
  /** What the window is believed to become: uint8 [T, H, W, 3]. */
  | { readonly type: 'preview'; readonly frames: Uint8Array; readonly shape: readonly number[] }
  | {
      readonly type: 'completed';
      readonly video: string;
      readonly dir: string;
      readonly frames: number;
      readonly width: number;
      readonly height: number;
      readonly fps: number;
      readonly seed: number;
      readonly seconds: number;
    };

/** Frames that a continuation sees. */
const CONTEXT = CONDITIONS.nine.frames;

/** Generates `request.count` videos; yields events. The run folder holds everything to repeat it. */
export async function* generate(request: unknown, options: GenerateOptions): AsyncGenerator<GenerateEvent> {
  const resolved = parseRequest(request);
  const { signal } = options;
  throwIfAborted(signal);
  await guardTexts(resolved, options);
  // Names of the hub stand for what is in its cache.
  const model = resolved.model.includes('/') ? locateModel(resolved.model) : resolved.model;
  if (isCosmosModel(model)) {
    yield* generateCosmos(request, resolved, options);
    return;
  }
  if (resolved.weights !== 'stored' || options.offload === true) {
    throw new InputError(options.offload === true ? 'offload' : 'weights', {
      got: options.offload === true ? true : resolved.weights,
      need: options.offload === true ? 'false' : 'stored',
      why: `${resolved.model} is small; this is for public Cosmos models`,
    });
  }
  requirePlain(resolved);
  yield { type: 'stage', name: 'load' };
  await using nano = await openNano(model, options);
  checkSize(resolved, nano);
  const run = createRunFolder(options.out ?? 'runs', 'generate');
  const videos: RunVideos = { run, count: resolved.count, guardrail: options.guardrail.policy, finished: [] };
  try {
    const hidden = resolved.private
      ? { prompt: '(private)', negative_prompt: '(private)', input: resolved.input && '(private)' }
      : {};
    run.write('request.json', { ...(request as object), ...hidden });
    const input = resolved.input === undefined ? {} : { input: resolve(resolved.input) };
    run.write('resolved.json', record({ ...resolved, ...input, ...hidden }, nano, options));
    yield {
      type: 'started',
      dir: run.dir,
      model: nano.record.name,
      parameters: nano.record.parameters,
      device: nano.runtime.device,
      guardrail: options.guardrail.policy,
    };
    const given = yield* readInput(resolved, nano, options);
    yield* makeVideos(videos, (i) => one(resolved, i, given, nano, run, options));
  } finally {
    // Also when the caller leaves the loop early.
    leaveStopped(videos);
  }
}

/** What only public models have. */
function requirePlain(r: GenerateRequest): void {
  for (const name of ['views', 'camera', 'trajectory', 'actions'] as const) {
    if (r[name] === undefined) continue;
    const why = `${r.model} does not take it; this is for public Cosmos models`;
    throw new InputError(name, { got: 'given', need: 'none', why });
  }
  if (r.compatibility !== 'clean') {
    throw new InputError('compatibility', { got: r.compatibility, need: 'clean', why: 'this is for Predict1 models' });
  }
  if (r.frames === 1) throw new InputError('frames', { got: 1, need: 'a whole number from 2' });
}

/** The nano models make one size. */
function checkSize(r: GenerateRequest, { window }: OpenedNano): void {
  for (const side of ['height', 'width'] as const) {
    if (r[side] !== undefined && r[side] !== window[side]) {
      throw new InputError(side, { got: r[side], need: String(window[side]), why: 'the only size of this model' });
    }
  }
}

function record(resolved: object, nano: OpenedNano, options: GenerateOptions): object {
  const { record: model, tokenizerRecord: tokenizer } = nano;
  return {
    task: 'generate',
    ...resolved,
    sampling: nano.sampling,
    guardrail: options.guardrail.policy,
    device: nano.runtime.device,
    threads: options.threads ?? null,
    models: [model, tokenizer].map((m) => ({ name: m.name, files: m.files })),
    software: { node: process.version, orrery: VERSION },
  };
}

const videoName = (r: GenerateRequest, i: number): string => (r.count === 1 ? 'video.mp4' : `video-${i + 1}.mp4`);

/** The given frames at the model's size and rate, at most as many as a window sees: uint8 [n, H, W, 3]. */
async function* readInput(
  r: GenerateRequest,
  nano: OpenedNano,
  options: GenerateOptions,
): AsyncGenerator<GenerateEvent, Uint8Array> {
  const { signal } = options;
  if (r.input === undefined) return new Uint8Array(0);
  yield { type: 'stage', name: 'read' };
  const { width, height, fps } = nano.window;
  const frames = await readFrames(r.input, {
    width,
    height,
    fit: 'crop',
    fps,
    lastFrames: CONTEXT,
    ...(signal === undefined ? {} : { signal }),
  });
  await guardFrames(frames, 'input', fps, options);
  const each = width * height * 3;
  // Between one and nine frames only the last one is used: the model knows 0, 1 and 9.
  return frames.shape[0] >= CONTEXT ? frames.data.slice(-CONTEXT * each) : frames.data.slice(-each);
}

async function* one(
  r: GenerateRequest,
  index: number,
  given: Uint8Array,
  nano: OpenedNano,
  run: RunFolder,
  options: GenerateOptions,
): AsyncGenerator<GenerateEvent> {
  const { width, height, fps } = nano.window;
  const began = performance.now();
  const seed = (r.seed + index) % 2 ** 32;
  const each = width * height * 3;
  const count = r.frames ?? nano.window.frames;
  const total = stepsFor(given.length / each, count, nano.sampling, r.steps);
  const progress = { done: 0, total, began: performance.now() };
  const data = new Uint8Array(count * each);
  let made = 0;
  const add = (frames: Uint8Array): void => {
    const n = Math.min(frames.length / each, count - made);
    data.set(frames.subarray(0, n * each), made * each);
    made += n;
  };
  add(given);
  let known = given;
  for (let window = 0; made < count; window++) {
    const next = yield* makeWindow({ r, known, seed, window }, nano, progress, options);
    add(next);
    const joined = new Uint8Array(known.length + next.length);
    joined.set(known);
    joined.set(next, known.length);
    known = joined.slice(-CONTEXT * each);
  }
  const checked = await guardFrames({ dtype: 'u8', shape: [count, height, width, 3], data }, 'frames', fps, options);
  yield { type: 'stage', name: 'write' };
  const path = join(run.dir, videoName(r, index));
  const comment = JSON.stringify({
    orrery: VERSION,
    model: nano.record.name,
    seed,
    ...(r.steps === undefined ? {} : { steps: r.steps }),
    ...(r.private ? {} : { prompt: r.prompt }),
    guardrail: options.guardrail.policy,
  });
  const stop = options.signal === undefined ? {} : { signal: options.signal };
  await encodeMp4(checked, { path, fps, metadata: { comment }, ...stop });
  writeFileSync(
    path.replace(/\.mp4$/, '.png'),
    await contactSheet([{ frames: spread(checked, 8) }], { cellWidth: width }),
  );
  const seconds = (performance.now() - began) / 1000;
  const done = {
    type: 'completed',
    video: path,
    dir: run.dir,
    frames: count,
    width,
    height,
    fps,
    seed,
    seconds,
  } as const;
  run.event({ ...done, video: basename(path), dir: run.id });
  yield done;
}

/** `n` frames, evenly spread from the first to the last. */
function spread({ shape: [total, height, width], data }: Frames, n: number): Frames {
  const count = Math.min(n, total);
  const each = height * width * 3;
  const out = new Uint8Array(count * each);
  for (let i = 0; i < count; i++) {
    const from = Math.round((i * (total - 1)) / Math.max(1, count - 1)) * each;
    out.set(data.subarray(from, from + each), i * each);
  }
  return { dtype: 'u8', shape: [count, height, width, 3], data: out };
}

type Progress = { done: number; readonly total: number; readonly began: number };
type WindowJob = {
  readonly r: GenerateRequest;
  /** The last frames so far, nine where there are as many: uint8 [n, H, W, 3]. */
  readonly known: Uint8Array;
  readonly seed: number;
  readonly window: number;
};

/** Makes the frames that follow: uint8 [n, H, W, 3]. */
async function* makeWindow(
  { r, known, seed, window }: WindowJob,
  nano: OpenedNano,
  progress: Progress,
  options: GenerateOptions,
): AsyncGenerator<GenerateEvent, Uint8Array> {
  const { width, height } = nano.window;
  const { previewEvery = 0, signal } = options;
  if (known.length > 0) yield { type: 'stage', name: 'encode' };
  yield { type: 'stage', name: 'sample' };
  const request = {
    caption: r.prompt,
    otherCaption: r.negative_prompt,
    guidance: r.guidance,
    seed,
    window,
    steps: r.steps,
    sampling: nano.sampling,
    ...(signal === undefined ? {} : { signal }),
  };
  let last: { frames(): Promise<Uint8Array> } | undefined;
  for await (const step of nextFrames(known, nano, request)) {
    last = step;
    progress.done++;
    const secondsPerStep = (performance.now() - progress.began) / 1000 / progress.done;
    yield {
      type: 'step',
      index: progress.done,
      total: progress.total,
      secondsPerStep,
      etaSeconds: secondsPerStep * (progress.total - progress.done),
    };
    if (previewEvery > 0 && step.step % previewEvery === 0 && step.step < step.total) {
      const frames = await step.frames();
      yield { type: 'preview', frames, shape: [frames.length / (width * height * 3), height, width, 3] };
    }
  }
  yield { type: 'stage', name: 'decode' };
  return last!.frames();
}
