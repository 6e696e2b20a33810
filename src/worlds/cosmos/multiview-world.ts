// Several cameras at once with a multi-view Predict1 model: one prompt per camera, cameras side by side in the time axis of the latents.
import { f32, InputError, type NdArray } from '../../base/index.ts';
import type { DiffusionModel, SampleWorldOptions } from './diffusion-model.ts';
import type { PromptEncoder } from './text-encoder.ts';
import { lastFrames, type PixelFrames, spread, type VideoTokenizer } from './video-tokenizer.ts';

/** Names of the cameras of the public models, in their order. */
export const VIEW_NAMES = ['front', 'left', 'right', 'back', 'rear-left', 'rear-right'] as const;

export type MultiviewWorldOptions = Pick<
  SampleWorldOptions,
  'steps' | 'guidance' | 'compatibility' | 'trajectory' | 'signal' | 'frameRepeat'
> & {
  readonly model: DiffusionModel;
  readonly tokenizer: VideoTokenizer;
  readonly text?: PromptEncoder;
  /** One prompt per camera. */
  readonly prompts?: readonly string[];
  /** Ready features [1, views · M, width] in place of prompts. */
  readonly features?: { readonly context: NdArray; readonly negative?: NdArray };
  /** Frames to go on from, one clip per camera; the last 1 or 9 of each are used. */
  readonly inputs?: readonly PixelFrames[];
  readonly height: number;
  readonly width: number;
  /** Frames per camera. Default 57. */
  readonly frames?: number;
  /** Default 24. */
  readonly fps?: number;
  readonly seed: number;
};

export type MultiviewWorldEvent =
  | { readonly type: 'step'; readonly step: number; readonly total: number; readonly latents: () => Float32Array }
  | { readonly type: 'frames'; readonly view: number; readonly frames: PixelFrames };

/** Generates all cameras together. */
export async function* multiviewWorld(o: MultiviewWorldOptions): AsyncGenerator<MultiviewWorldEvent, void, void> {
  const { model, tokenizer, frames = 57, fps = 24, seed } = o;
  const views = model.config.views?.count;
  if (views === undefined) throw new InputError('model', { got: 'a single-view model', need: 'a multi-view one' });
  const size = tokenizer.latentSize(frames, o.height, o.width);
  const channels = model.config.outChannels;
  const each = size.t * size.h * size.w;
  const condition = await givenOf(o, views, channels, size);
  // The public models count the frames that stand still in the two rear cameras.
  const repeats = o.frameRepeat ?? (views === 6 ? [0, 0, 0, 0, 10, 10] : undefined);
  let latents = new Float32Array(0);
  const steps = model.sample({
    size: { ...size, t: views * size.t },
    ...(o.features ?? (await featuresOf(o, views))),
    fps,
    seed,
    ...(o.steps === undefined ? {} : { steps: o.steps }),
    ...(o.guidance === undefined ? {} : { guidance: o.guidance }),
    ...(o.compatibility === undefined ? {} : { compatibility: o.compatibility }),
    ...(o.trajectory === undefined ? {} : { trajectory: o.trajectory }),
    ...(repeats === undefined ? {} : { frameRepeat: repeats }),
    ...(condition === undefined ? {} : { given: condition }),
    ...(o.signal === undefined ? {} : { signal: o.signal }),
  });
  for await (const s of steps) {
    yield { type: 'step', step: s.step, total: s.total, latents: s.latents };
    if (s.step === s.total) latents = new Float32Array(s.latents());
  }
  for (let view = 0; view < views; view++) {
    const part = new Float32Array(channels * each);
    for (let ch = 0; ch < channels; ch++) {
      const from = (ch * views + view) * each;
      part.set(latents.subarray(from, from + each), ch * each);
    }
    yield { type: 'frames', view, frames: await tokenizer.decode({ data: part, channels, ...size }) };
  }
}

/** Latents of the given frames of all cameras [C, V·T, H, W]. */
async function givenOf(
  o: MultiviewWorldOptions,
  views: number,
  channels: number,
  size: { readonly t: number; readonly h: number; readonly w: number },
): Promise<{ data: Float32Array; frames: number } | undefined> {
  const { inputs, tokenizer } = o;
  if (inputs === undefined) return undefined;
  if (inputs.length !== views)
    throw new InputError('inputs', { got: `${inputs.length} clips`, need: `${views}, one per view` });
  const time = tokenizer.config.temporalCompression;
  const count = inputs.every((clip) => clip.frames >= 1 + time) ? 1 + time : 1;
  const each = size.t * size.h * size.w;
  const data = new Float32Array(channels * views * each);
  for (const [view, clip] of inputs.entries()) {
    if (clip.height !== o.height || clip.width !== o.width) {
      throw new InputError('inputs', {
        got: `${clip.width}x${clip.height}`,
        need: `${o.width}x${o.height}, the size of the result`,
      });
    }
    // The tokenizer is causal: frames after the given ones change nothing.
    const encoded = spread(await tokenizer.encode(lastFrames(clip, count)), size);
    for (let ch = 0; ch < channels; ch++) {
      data.set(encoded.subarray(ch * each, (ch + 1) * each), (ch * views + view) * each);
    }
  }
  return { data, frames: 1 + (count - 1) / time };
}

/** Features of all prompts, one after the other. */
async function featuresOf(
  { text, prompts, model }: MultiviewWorldOptions,
  views: number,
): Promise<{ context: NdArray }> {
  if (text === undefined || prompts?.length !== views) {
    throw new InputError('prompts', {
      got: prompts?.length,
      need: `${views} prompts, one per view, and a text encoder`,
    });
  }
  const parts: Float32Array[] = [];
  for (const prompt of prompts) parts.push((await text.encode(prompt)).data);
  const width = model.config.contextWidth;
  const context = f32([1, (views * parts[0]!.length) / width, width]);
  for (const [i, part] of parts.entries()) context.data.set(part, i * part.length);
  return { context };
}
