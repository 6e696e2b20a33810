// `generate` with a public Cosmos model: its parts opened one after the other, a run folder with everything to repeat the run.
import { basename, join } from 'node:path';
import { InputError, type NdArray, OrreryError, throwIfAborted } from '../../base/index.ts';
import { requirePair } from '../../checkpoints/index.ts';
import { createRunFolder, type RunFolder, VERSION } from '../../hub/index.ts';
import { encodeMp4, type Frames, readFrames } from '../../media/index.ts';
import { namedWeights } from '../../nets/index.ts';
import { openRuntime, type Runtime } from '../../runtime/index.ts';
import { openTokenModel } from '../autoregressive/token-model.ts';
import type { GenerateEvent, GenerateOptions } from '../generate.ts';
import { guardFrames } from '../guarded.ts';
import type { GenerateRequest } from '../request.ts';
import { leaveStopped, makeVideos, type RunVideos } from '../run-videos.ts';
import { autoregressiveWorld } from './autoregressive-world.ts';
import type { Component } from './component.ts';
import { openDiffusionModel } from './diffusion-model.ts';
import { diffusionWorld } from './diffusion-world.ts';
import { ditNetwork, type Outputs, textNetwork, tokenNetwork } from './networks.ts';
import {
  type CosmosParts,
  findCosmosParts,
  openAutoregressivePart,
  openTextPart,
  openTokenizerPart,
  openTransformerPart,
} from './open-model.ts';
import { openTextEncoder } from './text-encoder.ts';
import { openVideoTokenizer, type PixelFrames, type VideoTokenizer } from './video-tokenizer.ts';
import { withWeights } from './weight-form.ts';

/** What the public diffusion models were trained with. */
const DEFAULTS = { height: 704, width: 1280, frames: 121, fps: 24 } as const;
/** The rate of the autoregressive models' clips. */
const AUTOREGRESSIVE_FPS = 25;

/** Generates `request.count` videos. */
export async function* generateCosmos(
  request: unknown,
  resolved: GenerateRequest,
  options: GenerateOptions,
): AsyncGenerator<GenerateEvent> {
  const { signal } = options;
  throwIfAborted(signal);
  yield { type: 'stage', name: 'load' };
  const parts = findCosmosParts(resolved.model);
  if (parts.kind === 'tokenizer') {
    throw new InputError('model', {
      got: parts.name,
      need: 'a world model',
      why: 'this is a tokenizer; use orrery tokenize',
    });
  }
  await using runtime = openRuntime(options);
  const run = createRunFolder(options.out ?? 'runs', 'generate');
  const videos: RunVideos = { run, count: resolved.count, guardrail: options.guardrail.policy, finished: [] };
  try {
    const hidden = resolved.private
      ? { prompt: '(private)', negative_prompt: '(private)', input: resolved.input && '(private)' }
      : {};
    const { kind: _kind, name, ...paths } = parts;
    run.write('request.json', { ...(request as object), ...hidden });
    run.write('resolved.json', {
      task: 'generate',
      ...resolved,
      ...hidden,
      guardrail: options.guardrail.policy,
      device: runtime.device,
      threads: options.threads ?? null,
      models: [{ name, parts: paths }],
      software: { node: process.version, orrery: VERSION },
    });
    yield* makeVideos(videos, (index) => {
      const job: Job = { parts, resolved, options, runtime, run, seed: (resolved.seed + index) % 2 ** 32, index };
      return parts.kind === 'diffusion' ? oneDiffusion(job) : oneAutoregressive(job);
    });
  } finally {
    // Also when the caller leaves the loop early.
    leaveStopped(videos);
  }
}

type Job = {
  readonly parts: CosmosParts;
  readonly resolved: GenerateRequest;
  readonly options: GenerateOptions;
  readonly runtime: Runtime;
  readonly run: RunFolder;
  readonly seed: number;
  readonly index: number;
};

async function* oneDiffusion(job: Job): AsyncGenerator<GenerateEvent> {
  const { parts, resolved: r, options, runtime, seed } = job;
  const { signal } = options;
  const began = performance.now();
  const features = yield* textOf(job);
  const height = r.height ?? DEFAULTS.height;
  const width = r.width ?? DEFAULTS.width;
  const component = yield* held(job, 'transformer', openTransformerPart(parts.network!), ditNetwork);
  await using tokenizer = openTokenizer(job, { name: parts.name, channels: component.config.outChannels });
  const time = tokenizer.config.temporalCompression;
  // One chunk as long as asked for, at most the trained length; longer videos go on from their last frame.
  const wanted = r.frames ?? DEFAULTS.frames;
  const chunkFrames = Math.min(DEFAULTS.frames, 1 + time * Math.max(1, Math.ceil((wanted - 1) / time)));
  const chunks = 1 + Math.max(0, Math.ceil((wanted - chunkFrames) / (chunkFrames - 1)));
  await using model = openDiffusionModel({ runtime, component });
  yield started(job);
  const input = yield* readInput(job, height, width);
  let video: Frames | undefined;
  const progress = { done: 0, began: performance.now() };
  const events = diffusionWorld({
    model,
    tokenizer,
    features,
    ...(input === undefined ? {} : { input }),
    height,
    width,
    chunkFrames,
    chunks,
    fps: DEFAULTS.fps,
    seed,
    ...(r.steps === undefined ? {} : { steps: r.steps }),
    ...(r.guidance === undefined ? {} : { guidance: r.guidance }),
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const event of events) {
    if (event.type === 'stage' && event.name !== 'text') yield { type: 'stage', name: event.name };
    if (event.type === 'step') {
      progress.done++;
      yield stepEvent(progress, event.total * chunks);
      if ((options.previewEvery ?? 0) > 0 && event.step % options.previewEvery! === 0 && event.step < event.total) {
        const size = tokenizer.latentSize(chunkFrames, height, width);
        const shown = await tokenizer.decode({
          data: event.latents(),
          channels: component.config.outChannels,
          ...size,
        });
        yield { type: 'preview', frames: shown.data, shape: [shown.frames, height, width, 3] };
      }
    }
    if (event.type === 'frames') video = joined(video, event.frames);
  }
  yield* written(job, firstOf(video!, wanted), DEFAULTS.fps, began);
}

async function* oneAutoregressive(job: Job): AsyncGenerator<GenerateEvent> {
  const { parts, resolved: r, options, runtime, seed } = job;
  const began = performance.now();
  const stored = openAutoregressivePart(parts.network!);
  const { config } = stored;
  const context = config.cross === undefined ? undefined : (yield* textOf(job)).context;
  const component = yield* held(job, 'transformer', stored, tokenNetwork);
  await using tokenizer = openTokenizer(job);
  const { t, h, w } = config.latent!;
  const [height, width] = [h * tokenizer.config.spatialCompression, w * tokenizer.config.spatialCompression];
  const frames = 1 + (t - 1) * tokenizer.config.temporalCompression;
  const fixed = { height, width, frames };
  for (const name of ['height', 'width', 'frames'] as const) {
    if (r[name] !== undefined && (name === 'frames' ? r.frames! > frames : r[name] !== fixed[name])) {
      throw new InputError(name, {
        got: r[name],
        need: String(fixed[name]),
        why: 'the only size that this model was trained with',
      });
    }
  }
  await using model = openTokenModel({
    runtime,
    config,
    symbols: namedWeights,
    weights: component.weights,
    ...(component.load === undefined ? {} : { load: component.load }),
    isStreamed: component.isStreamed === true,
  });
  yield started(job);
  const input = yield* readInput(job, height, width);
  if (input === undefined) {
    throw new InputError('input', {
      got: undefined,
      need: 'an image or a video',
      why: 'this model goes on from given frames',
    });
  }
  yield { type: 'stage', name: 'sample' };
  const progress = { done: 0, began: performance.now() };
  let video: Frames | undefined;
  const events = autoregressiveWorld({
    model,
    tokenizer,
    input,
    seed,
    temperature: 1,
    topP: config.cross === undefined ? 0.8 : 0.7,
    ...(context === undefined ? {} : { context }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  for await (const event of events) {
    if (event.type === 'token') {
      progress.done++;
      yield stepEvent(progress, event.total);
    }
    if (event.type === 'codes') yield { type: 'stage', name: 'decode' };
    if (event.type === 'frames') video = joined(undefined, event.frames);
  }
  yield* written(job, firstOf(video!, r.frames ?? frames), AUTOREGRESSIVE_FPS, began);
}

/** What the public world models were trained with: frames and pixels along a side that one latent stands for. */
const TRAINED = { continuous: { time: 8, space: 8 }, discrete: { time: 8, space: 16 } } as const;

/** The tokenizer, checked against the world model. @param world absent for autoregressive models, which take codes */
function openTokenizer(
  { parts, runtime }: Job,
  world?: { readonly name: string; readonly channels: number },
): VideoTokenizer {
  const { component, latents } = openTokenizerPart(parts.tokenizer);
  const { kind, latentChannels, levels, temporalCompression: t, spatialCompression: s } = component.config;
  const name = basename(parts.tokenizer);
  const isDiscrete = levels !== undefined;
  if (world !== undefined) {
    requirePair({ name: world.name, latentChannels: world.channels }, { name, kind, latentChannels, isDiscrete });
    if (latents === undefined) {
      throw new OrreryError(
        'model',
        `${parts.tokenizer}: no latent statistics (mean_std.pt, or latents_mean in config.json), which ${world.name} needs; fetch the whole tokenizer: orrery models get nvidia/Cosmos-Tokenize1-CV8x8x8-720p`,
      );
    }
  }
  const { time, space } = TRAINED[world === undefined ? 'discrete' : 'continuous'];
  if (t !== time || s !== space || isDiscrete !== (world === undefined) || kind.endsWith('I')) {
    const need = `${world === undefined ? 'DV' : 'CV'}${time}x${space}x${space}`;
    throw new OrreryError(
      'model',
      `${parts.tokenizer} is a tokenizer ${kind}${t}x${s}x${s}, ${parts.name} needs ${need}; fetch it: orrery models get nvidia/Cosmos-Tokenize1-${need}-720p`,
    );
  }
  return openVideoTokenizer({ runtime, component, ...(latents === undefined ? {} : { latents }) });
}

/** A component in the form of weights that was asked for. */
async function* held<Config>(
  { resolved, options }: Job,
  part: string,
  component: Component<Config>,
  network: (config: Config) => Outputs,
): AsyncGenerator<GenerateEvent, Component<Config>> {
  const { offload = false, signal } = options;
  const steps = withWeights(component, () => network(component.config), {
    weights: resolved.weights,
    offload,
    ...(signal === undefined ? {} : { signal }),
  });
  let step = await steps.next();
  for (; !step.done; step = await steps.next()) {
    yield { type: 'weights', part, done: step.value.done, total: step.value.total };
  }
  return step.value;
}

/** Features of both prompts; the encoder is closed again before the world model is loaded. */
async function* textOf(job: Job): AsyncGenerator<GenerateEvent, { context: NdArray; negative?: NdArray }> {
  const { parts, resolved: r, runtime } = job;
  if (parts.textEncoder === undefined || parts.textTokenizer === undefined) {
    throw new OrreryError(
      'model',
      `${parts.name}: no text encoder beside it (looked for text_encoder/ and google-t5/t5-11b); fetch it with: orrery models get google-t5/t5-11b`,
    );
  }
  const { component: stored, tokenizer } = openTextPart(parts.textEncoder, parts.textTokenizer);
  const component = yield* held(job, 'text encoder', stored, textNetwork);
  await using text = openTextEncoder({ runtime, component, tokenizer });
  const context = await text.encode(r.prompt);
  return r.negative_prompt === '' ? { context } : { context, negative: await text.encode(r.negative_prompt) };
}

function started({ parts, run, runtime, options }: Job): GenerateEvent {
  return {
    type: 'started',
    dir: run.dir,
    model: parts.name,
    parameters: 0,
    device: runtime.device,
    guardrail: options.guardrail.policy,
  };
}

function stepEvent(progress: { done: number; readonly began: number }, total: number): GenerateEvent {
  const secondsPerStep = (performance.now() - progress.began) / 1000 / progress.done;
  return {
    type: 'step',
    index: progress.done,
    total,
    secondsPerStep,
    etaSeconds: secondsPerStep * (total - progress.done),
  };
}

/** The last nine frames of the input, at the size of the result. */
async function* readInput(
  { resolved: r, options }: Job,
  height: number,
  width: number,
): AsyncGenerator<GenerateEvent, PixelFrames | undefined> {
  if (r.input === undefined) return undefined;
  yield { type: 'stage', name: 'read' };
  const { signal } = options;
  const stop = signal === undefined ? {} : { signal };
  const frames = await readFrames(r.input, { width, height, fit: 'crop', lastFrames: 9, ...stop });
  await guardFrames(frames, 'input', 24, options);
  return { data: frames.data, frames: frames.shape[0], height, width };
}

function joined(before: Frames | undefined, { data, frames, height, width }: PixelFrames): Frames {
  const old = before?.data ?? new Uint8Array(0);
  const all = new Uint8Array(old.length + data.length);
  all.set(old);
  all.set(data, old.length);
  return { dtype: 'u8', shape: [(before?.shape[0] ?? 0) + frames, height, width, 3], data: all };
}

function firstOf({ shape: [frames, height, width], data }: Frames, count: number): Frames {
  const kept = Math.min(count, frames);
  return { dtype: 'u8', shape: [kept, height, width, 3], data: data.subarray(0, kept * height * width * 3) };
}

async function* written(job: Job, video: Frames, fps: number, began: number): AsyncGenerator<GenerateEvent> {
  const { resolved: r, parts, run, seed, index, options } = job;
  const checked = await guardFrames(video, 'frames', fps, options);
  yield { type: 'stage', name: 'write' };
  const path = join(run.dir, r.count === 1 ? 'video.mp4' : `video-${index + 1}.mp4`);
  const prompt = r.private ? {} : { prompt: r.prompt };
  const comment = JSON.stringify({
    orrery: VERSION,
    model: parts.name,
    seed,
    ...prompt,
    guardrail: options.guardrail.policy,
  });
  await encodeMp4(checked, {
    path,
    fps,
    metadata: { comment },
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const [frames, height, width] = video.shape;
  const done = {
    type: 'completed',
    video: path,
    dir: run.dir,
    frames,
    width,
    height,
    fps,
    seed,
    seconds: (performance.now() - began) / 1000,
  } as const;
  run.event({ ...done, video: basename(path), dir: run.id });
  yield done;
}
