// What the generating pipelines share: one video's job, its parts opened one after the other, its input, and its file at the end.
import { basename, join } from 'node:path';
import { f32, type NdArray, OrreryError } from '../../base/index.ts';
import { requirePair } from '../../checkpoints/index.ts';
import { writeFileAtomic } from '../../formats/index.ts';
import { type RunFolder, VERSION } from '../../hub/index.ts';
import { encodeImage, encodeMp4, type Frames, readFrames } from '../../media/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import type { GenerateEvent, GenerateOptions } from '../generate.ts';
import { guardFrames } from '../guarded.ts';
import type { GenerateRequest } from '../request.ts';
import type { Component } from './component.ts';
import { type Outputs, reasonNetwork, textNetwork } from './networks.ts';
import {
  type CosmosParts,
  isReasonEncoder,
  isWanPart,
  openReasonPart,
  openTextPart,
  openTokenizerPart,
  openWanPart,
} from './open-model.ts';
import { openReasonEncoder } from './reason-encoder.ts';
import { openTextEncoder, type PromptEncoder } from './text-encoder.ts';
import { openVideoTokenizer, type PixelFrames, type VideoTokenizer } from './video-tokenizer.ts';
import { openWanTokenizer } from './wan-tokenizer.ts';
import { withWeights } from './weight-form.ts';

export type Job = {
  readonly parts: CosmosParts;
  readonly resolved: GenerateRequest;
  readonly options: GenerateOptions;
  readonly runtime: Runtime;
  readonly run: RunFolder;
  readonly seed: number;
  readonly index: number;
};

/** What the public world models were trained with: frames and pixels along a side that one latent stands for. */
const TRAINED = { continuous: { time: 8, space: 8 }, discrete: { time: 8, space: 16 } } as const;

/** The tokenizer, checked against the world model. @param world absent for autoregressive models, which take codes */
export function openTokenizer(
  { parts, runtime }: Pick<Job, 'parts' | 'runtime'>,
  world?: { readonly name: string; readonly channels: number; readonly isFlow?: boolean },
): VideoTokenizer {
  if (isWanPart(parts.tokenizer)) return openWan({ parts, runtime }, world);
  const { component, latents } = openTokenizerPart(parts.tokenizer);
  const { kind, latentChannels, levels, temporalCompression: t, spatialCompression: s } = component.config;
  const name = basename(parts.tokenizer);
  const isDiscrete = levels !== undefined;
  if (world?.isFlow === true) {
    throw new OrreryError(
      'model',
      `${parts.tokenizer} is a Cosmos tokenizer, ${world.name} needs the Wan autoencoder that is published with it (vae/ or tokenizer/); it is a model for another tokenizer`,
    );
  }
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

/** The Wan autoencoder, for the transformers of rectified flow. */
function openWan(
  { parts, runtime }: Pick<Job, 'parts' | 'runtime'>,
  world?: { readonly name: string; readonly channels: number; readonly isFlow?: boolean },
): VideoTokenizer {
  const { component, latents } = openWanPart(parts.tokenizer);
  const name = basename(parts.tokenizer);
  if (world?.isFlow !== true) {
    throw new OrreryError(
      'model',
      `${parts.tokenizer} is the autoencoder of Predict2, ${parts.name} needs a Cosmos tokenizer; fetch it: orrery models get nvidia/Cosmos-Tokenize1-CV8x8x8-720p`,
    );
  }
  const { latentChannels } = component.config;
  requirePair(
    { name: world.name, latentChannels: world.channels },
    { name, kind: 'CV', latentChannels, isDiscrete: false },
  );
  if (latents === undefined) {
    throw new OrreryError(
      'model',
      `${parts.tokenizer}: no latent statistics (latents_mean and latents_std in config.json), which ${world.name} needs; fetch the model again`,
    );
  }
  return openWanTokenizer({ runtime, component, latents });
}

/** A component in the form of weights that was asked for. */
export async function* held<Config>(
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

/** Features of the prompts asked for, in order; the encoder is closed again before the world model is loaded. */
export async function* featuresOf(job: Job, prompts: readonly string[]): AsyncGenerator<GenerateEvent, NdArray[]> {
  const { parts, runtime } = job;
  if (parts.textEncoder === undefined || parts.textTokenizer === undefined) {
    throw new OrreryError(
      'model',
      `${parts.name}: no text encoder beside it (looked for text_encoder/ and google-t5/t5-11b); fetch it with: orrery models get google-t5/t5-11b`,
    );
  }
  let text: PromptEncoder;
  if (isReasonEncoder(parts.textEncoder)) {
    const { component: stored, ...rest } = openReasonPart(parts.textEncoder, parts.textTokenizer);
    const component = yield* held(job, 'text encoder', stored, reasonNetwork);
    text = openReasonEncoder({ runtime, component, ...rest });
  } else {
    const { component: stored, tokenizer } = openTextPart(parts.textEncoder, parts.textTokenizer);
    const component = yield* held(job, 'text encoder', stored, textNetwork);
    text = openTextEncoder({ runtime, component, tokenizer });
  }
  await using _closed = text;
  const known = new Map<string, NdArray>();
  for (const prompt of prompts) if (!known.has(prompt)) known.set(prompt, await text.encode(prompt));
  return prompts.map((prompt) => known.get(prompt)!);
}

/** Features of the prompt and of what to lead away from. @param always true: an empty negative prompt is encoded too */
export async function* textOf(
  job: Job,
  always = false,
): AsyncGenerator<GenerateEvent, { context: NdArray; negative?: NdArray }> {
  const { prompt, negative_prompt: other } = job.resolved;
  const [context, negative] = yield* featuresOf(job, other === '' && !always ? [prompt] : [prompt, other]);
  return { context: context!, ...(negative === undefined ? {} : { negative }) };
}

/** Features of one prompt per view, side by side. */
export const sideBySide = (parts: readonly NdArray[]): NdArray => {
  const [, places, width] = parts[0]!.shape as [number, number, number];
  const all = f32([1, places * parts.length, width]);
  for (const [i, part] of parts.entries()) all.data.set(part.data as Float32Array, i * places * width);
  return all;
};

export function started({ parts, run, runtime, options }: Job): GenerateEvent {
  return {
    type: 'started',
    dir: run.dir,
    model: parts.name,
    parameters: 0,
    device: runtime.device,
    guardrail: options.guardrail.policy,
  };
}

export function stepEvent(progress: { done: number; readonly began: number }, total: number): GenerateEvent {
  const secondsPerStep = (performance.now() - progress.began) / 1000 / progress.done;
  return {
    type: 'step',
    index: progress.done,
    total,
    secondsPerStep,
    etaSeconds: secondsPerStep * (total - progress.done),
  };
}

/** The last frames of the input, nine unless told otherwise, at the size of the result. */
export async function* readInput(
  { resolved: r, options }: Job,
  height: number,
  width: number,
  count = 9,
): AsyncGenerator<GenerateEvent, PixelFrames | undefined> {
  if (r.input === undefined) return undefined;
  yield { type: 'stage', name: 'read' };
  const { signal } = options;
  const stop = signal === undefined ? {} : { signal };
  const frames = await readFrames(r.input, { width, height, fit: 'crop', lastFrames: count, ...stop });
  await guardFrames(frames, 'input', 24, options);
  return { data: frames.data, frames: frames.shape[0], height, width };
}

export function joined(before: Frames | undefined, { data, frames, height, width }: PixelFrames): Frames {
  const old = before?.data ?? new Uint8Array(0);
  const all = new Uint8Array(old.length + data.length);
  all.set(old);
  all.set(data, old.length);
  return { dtype: 'u8', shape: [(before?.shape[0] ?? 0) + frames, height, width, 3], data: all };
}

export function firstOf({ shape: [frames, height, width], data }: Frames, count: number): Frames {
  const kept = Math.min(count, frames);
  return { dtype: 'u8', shape: [kept, height, width, 3], data: data.subarray(0, kept * height * width * 3) };
}

/** Checks, writes and reports the frames of a job; a single frame becomes a picture. */
export async function* written(
  job: Job,
  video: Frames,
  fps: number,
  began: number,
  views: readonly { readonly name: string; readonly frames: Frames }[] = [],
): AsyncGenerator<GenerateEvent> {
  const { resolved: r, parts, run, seed, index, options } = job;
  const checked = await guardFrames(video, 'frames', fps, options);
  yield { type: 'stage', name: 'write' };
  const ending = video.shape[0] === 1 ? 'png' : 'mp4';
  const path = join(run.dir, r.count === 1 ? `video.${ending}` : `video-${index + 1}.${ending}`);
  const prompt = r.private ? {} : { prompt: r.prompt };
  const comment = JSON.stringify({
    orrery: VERSION,
    model: parts.name,
    seed,
    ...prompt,
    guardrail: options.guardrail.policy,
  });
  const write = { fps, metadata: { comment }, ...(options.signal === undefined ? {} : { signal: options.signal }) };
  if (ending === 'png') writeFileAtomic(path, await encodeImage(checked));
  else await encodeMp4(checked, { path, ...write });
  for (const view of views) {
    const shown = await guardFrames(view.frames, 'frames', fps, options);
    await encodeMp4(shown, { path: viewFile(path, view.name), ...write });
  }
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

/** File of one camera beside the video of all. */
export const viewFile = (video: string, name: string): string => `${video.replace(/\.mp4$/, '')}-${name}.mp4`;
