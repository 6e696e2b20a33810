// Text2World and Video2World with a Predict1 model: prompt to features, given frames to latents, sampling, frames out. Longer
// videos go on chunk by chunk from their own last frames.
import { InputError, type NdArray } from '../../base/index.ts';
import { chunkAugmentSigma } from '../../sampling/index.ts';
import type { DiffusionModel, SampleWorldOptions } from './diffusion-model.ts';
import type { PromptEncoder } from './text-encoder.ts';
import { type Latents, lastFrames, type PixelFrames, spread, type VideoTokenizer } from './video-tokenizer.ts';

export type DiffusionWorldOptions = Pick<
  SampleWorldOptions,
  'steps' | 'guidance' | 'compatibility' | 'cameraRays' | 'framesGuidance' | 'signal'
> & {
  readonly model: DiffusionModel;
  readonly tokenizer: VideoTokenizer;
  /** Turns prompts into features; not needed when `features` is given. */
  readonly text?: PromptEncoder;
  /** One prompt for all chunks, or one per chunk. */
  readonly prompt?: string | readonly string[];
  readonly negativePrompt?: string;
  /** Ready features in place of prompts. */
  readonly features?: { readonly context: NdArray; readonly negative?: NdArray };
  /** Frames to go on from, of the size of the result; the last 1 or 9 are used. */
  readonly input?: PixelFrames;
  readonly height: number;
  readonly width: number;
  /** Frames of a chunk, 1 + 8k. Default 121. */
  readonly chunkFrames?: number;
  /** Chunks. Default 1. */
  readonly chunks?: number;
  /** Latent frames that a chunk takes over from the one before. Default 1. */
  readonly overlapLatents?: number;
  /** How later chunks see the frames before them: decoded and encoded again (default), or as the latents that they were. */
  readonly overlapAs?: 'frames' | 'latents';
  /** Noise levels at which the chunks are shown their given frames; the last one goes on. Default 0.001, 0.2, 0.5. */
  readonly sigmaAug?: readonly number[];
  /** Default 24. */
  readonly fps?: number;
  readonly seed: number;
};

export type DiffusionWorldEvent =
  | { readonly type: 'stage'; readonly name: 'text' | 'encode' | 'sample' | 'decode'; readonly chunk: number }
  | {
      readonly type: 'step';
      readonly chunk: number;
      readonly step: number;
      readonly total: number;
      readonly latents: () => Float32Array;
    }
  /** New frames, in order: a chunk without those that the chunk before has shown. */
  | { readonly type: 'frames'; readonly chunk: number; readonly frames: PixelFrames };

/** Noise level of the condition: generated frames are shown less exactly than given ones. */
const given = ({ sigmaAug }: DiffusionWorldOptions, chunk: number): number =>
  sigmaAug?.[Math.min(chunk, sigmaAug.length - 1)] ?? chunkAugmentSigma(chunk);

/** Generates a video, chunk after chunk; memory holds one chunk. */
export async function* diffusionWorld(o: DiffusionWorldOptions): AsyncGenerator<DiffusionWorldEvent, void, void> {
  const { model, tokenizer, chunkFrames = 121, chunks = 1, overlapLatents = 1, fps = 24, seed } = o;
  if (model.config.views !== undefined) {
    throw new InputError('model', {
      got: `a model of ${model.config.views.count} cameras`,
      need: 'a model of one camera',
      why: 'several cameras run through multiviewWorld',
    });
  }
  if (tokenizer.isDiscrete) {
    throw new InputError('tokenizer', {
      got: tokenizer.config.kind,
      need: 'a continuous video tokenizer, such as CV8x8x8',
    });
  }
  if (tokenizer.config.latentChannels !== model.config.outChannels) {
    throw new InputError('tokenizer', {
      got: `${tokenizer.config.latentChannels} latent channels`,
      need: `${model.config.outChannels}, which the transformer was trained with`,
    });
  }
  if (!(Number.isInteger(chunks) && chunks >= 1))
    throw new InputError('chunks', { got: chunks, need: 'a whole number from 1' });
  if (chunks > 1 && o.framesGuidance === true) {
    throw new InputError('chunks', { got: chunks, need: '1', why: 'guidance on the given frames is for one chunk' });
  }
  if (chunks > 1 && !model.takesFrames) {
    throw new InputError('chunks', { got: chunks, need: '1', why: 'only a Video2World model can go on from frames' });
  }
  const size = tokenizer.latentSize(chunkFrames, o.height, o.width);
  const time = tokenizer.config.temporalCompression;
  if (chunks > 1 && !(Number.isInteger(overlapLatents) && overlapLatents >= 1 && overlapLatents < size.t)) {
    throw new InputError('overlap', {
      got: overlapLatents,
      need: `a whole number from 1 to ${size.t - 1} latent frames`,
    });
  }
  let context = o.input === undefined ? undefined : conditionFrames(o.input, o, time);
  let carried: Latents | undefined;
  let features: { context: NdArray; negative?: NdArray } | undefined;
  for (let chunk = 0; chunk < chunks; chunk++) {
    if (features === undefined || Array.isArray(o.prompt)) {
      yield { type: 'stage', name: 'text', chunk };
      features = await featuresOf(o, chunk);
    }
    const sampling: SampleWorldOptions = {
      size,
      ...features,
      fps,
      seed: (seed + chunk) % 2 ** 32,
      ...(o.steps === undefined ? {} : { steps: o.steps }),
      ...(o.guidance === undefined ? {} : { guidance: o.guidance }),
      ...(o.compatibility === undefined ? {} : { compatibility: o.compatibility }),
      ...(o.cameraRays === undefined ? {} : { cameraRays: o.cameraRays }),
      ...(o.framesGuidance === undefined ? {} : { framesGuidance: o.framesGuidance }),
      ...(o.signal === undefined ? {} : { signal: o.signal }),
    };
    let condition = {};
    if (context !== undefined) {
      // The tokenizers are causal: frames after the given ones change nothing, so only those are encoded.
      if (carried === undefined) yield { type: 'stage', name: 'encode', chunk };
      const known = carried ?? (await tokenizer.encode(context));
      condition = { given: { data: spread(known, size), frames: known.t, sigmaAug: given(o, chunk) } };
    }
    yield { type: 'stage', name: 'sample', chunk };
    let latents = new Float32Array(0);
    for await (const s of model.sample({ ...sampling, ...condition })) {
      yield { type: 'step', chunk, step: s.step, total: s.total, latents: s.latents };
      if (s.step === s.total) latents = new Float32Array(s.latents());
    }
    yield { type: 'stage', name: 'decode', chunk };
    const made = await tokenizer.decode({ data: latents, channels: model.config.outChannels, ...size });
    const shown = chunk === 0 ? 0 : 1 + time * (overlapLatents - 1);
    yield { type: 'frames', chunk, frames: lastFrames(made, made.frames - shown) };
    if (chunk + 1 === chunks) return;
    context = lastFrames(made, 1 + time * (overlapLatents - 1));
    if (o.overlapAs === 'latents')
      carried = lastLatents({ data: latents, channels: model.config.outChannels, ...size }, overlapLatents);
  }
}

/** The last 1 or 9 frames: what the public models were trained to go on from. */
function conditionFrames(input: PixelFrames, o: DiffusionWorldOptions, time: number): PixelFrames {
  if (input.height !== o.height || input.width !== o.width) {
    throw new InputError('input', {
      got: `${input.width}x${input.height}`,
      need: `${o.width}x${o.height}, the size of the result`,
    });
  }
  if (!o.model.takesFrames) {
    throw new InputError('input', {
      got: 'frames',
      need: 'none',
      why: 'this is a Text2World model; use a Video2World one',
    });
  }
  return lastFrames(input, input.frames >= 1 + time ? 1 + time : 1);
}

async function featuresOf(o: DiffusionWorldOptions, chunk: number): Promise<{ context: NdArray; negative?: NdArray }> {
  if (o.features !== undefined) return o.features;
  const prompts = typeof o.prompt === 'string' ? [o.prompt] : (o.prompt ?? []);
  const prompt = prompts[Math.min(chunk, prompts.length - 1)];
  if (prompt === undefined || o.text === undefined) {
    throw new InputError('prompt', { got: prompt, need: 'a sentence and a text encoder, or ready text features' });
  }
  const needed = o.model.config.contextProjection ?? o.model.config.contextWidth;
  if (o.text.width !== needed) {
    throw new InputError('text encoder', {
      got: `features of width ${o.text.width}`,
      need: `${needed}, which the transformer was trained with`,
    });
  }
  const context = await o.text.encode(prompt);
  if (o.negativePrompt === undefined || o.negativePrompt === '') return { context };
  return { context, negative: await o.text.encode(o.negativePrompt) };
}

/** The last latent frames of a clip. */
function lastLatents({ data, channels, t, h, w }: Latents, count: number): Latents {
  const area = h * w;
  const out = new Float32Array(channels * count * area);
  for (let ch = 0; ch < channels; ch++) {
    const from = (ch * t + t - count) * area;
    out.set((data as Float32Array).subarray(from, from + count * area), ch * count * area);
  }
  return { data: out, channels, t: count, h, w };
}
