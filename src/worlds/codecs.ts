// What `tokenize` needs of a tokenizer, for those of this package and the public Cosmos ones alike.
import { f32ToHalf, InputError, type NdArray, OrreryError } from '../base/index.ts';
import { locateModel, openModelFolder } from '../hub/index.ts';
import { gridOf, type OrreryTokenizerConfig } from '../nets/orrery/tokenizer.ts';
import type { Runtime } from '../runtime/index.ts';
import { tokenizerNetworks } from './cosmos/networks.ts';
import { isCosmosModel, isWanPart, openTokenizerPart, openWanPart } from './cosmos/open-model.ts';
import { requireRoom, tokenizerNeeds } from './cosmos/require-room.ts';
import { latentArray, openVideoTokenizer } from './cosmos/video-tokenizer.ts';
import { openWanTokenizer } from './cosmos/wan-tokenizer.ts';
import { type WeightOptions, withWeights } from './cosmos/weight-form.ts';
import { decodeLatents, encodeClip, loadTokenizer, toBytes } from './orrery-tokenizer.ts';
import type { TokenizeEvent } from './tokenize.ts';

/** Window after window of frames to latents and back. */
export type Codec = {
  readonly name: string;
  /** Frames that a window holds. */
  readonly windowFrames: number;
  /** Frames that neighbouring windows share: 1 for video tokenizers, whose first frame stands alone; 0 for image ones. */
  readonly shared: 0 | 1;
  /** Sides of the picture are multiples of this. */
  readonly sideMultiple: number;
  /** Facts for the latent file. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** One window, or a single picture, to latents as they are stored: float16, or int32 code numbers. */
  encode(frames: Uint8Array, size: Side): Promise<NdArray>;
  decode(latents: NdArray, size: Side): Promise<Uint8Array>;
};

export type CodecOptions = Pick<WeightOptions, 'weights' | 'signal'> & {
  /** Bytes that a public tokenizer may count on. Default: what is free now. */
  readonly memoryBytes?: number;
};

/** Size of the frames of a window. */
export type Side = { readonly height: number; readonly width: number };

/** Windows of a first frame and eight groups. */
const GROUPS = 8;
/** The window of the published command-line tool, in frames. */
const COSMOS_WINDOW = 17;
const IMAGE_WINDOW = 8;
/** The one setting of `tokenize` that saves memory: its windows are short, and a tokenizer's weights are few. */
const MAX_SIDE = 'a smaller --max-side';

/** Opens a tokenizer by name or path. */
export async function* openCodec(
  model: string,
  runtime: Runtime,
  options: CodecOptions,
): AsyncGenerator<Extract<TokenizeEvent, { type: 'weights' }>, Codec> {
  const path = model.includes('/') ? locateModel(model) : model;
  if (isCosmosModel(path)) {
    return isWanPart(path) ? wanCodec(path, runtime) : yield* cosmosCodec(path, runtime, options);
  }
  const { weights = 'stored' } = options;
  if (weights !== 'stored') {
    throw new InputError('weights', {
      got: weights,
      need: 'stored',
      why: `${model} is small; this is for public tokenizers`,
    });
  }
  return orreryCodec(path, runtime);
}

function orreryCodec(model: string, runtime: Runtime): Codec {
  const { dir, record } = openModelFolder(model);
  if (record.kind !== 'orrery-tokenizer') {
    throw new OrreryError('unsupported', `model ${model} is a ${record.kind}, need a tokenizer`);
  }
  const config = record.config as OrreryTokenizerConfig;
  const windowFrames = 1 + GROUPS * config.timePatch;
  let loaded: ReturnType<typeof loadTokenizer> | undefined;
  // All windows of a file have one size.
  const load = (frames: number, size: Side): ReturnType<typeof loadTokenizer> =>
    (loaded ??= loadTokenizer(runtime, dir, { frames, ...size }));
  // The last encoded values, not rounded to float16: restoring them shows the tokenizer alone.
  let exact: Float32Array = new Float32Array(0);
  return {
    name: record.name,
    windowFrames,
    shared: 1,
    sideMultiple: 2 * config.patch,
    facts: { timePatch: config.timePatch },
    async encode(frames, size) {
      const count = frames.length / (size.height * size.width * 3);
      const grid = gridOf(config, count, size.height, size.width);
      exact = await encodeClip(await load(count, size), frames);
      return { dtype: 'f16', shape: [grid.t, grid.h, grid.w, config.channels], data: f32ToHalf(exact) };
    },
    decode: async ({ shape: [t] }, size) =>
      toBytes(await decodeLatents(await load(1 + (t! - 1) * config.timePatch, size), exact)),
  };
}

/** The autoencoder of Predict2. */
function wanCodec(model: string, runtime: Runtime): Codec {
  const { component, latents } = openWanPart(model);
  const { latentChannels: channels } = component.config;
  const plain = {
    channels,
    frames: 1,
    mean: new Array<number>(channels).fill(0),
    std: new Array<number>(channels).fill(1),
  };
  const tokenizer = openWanTokenizer({ runtime, component, latents: plain });
  const { temporalCompression: time, spatialCompression: space } = tokenizer.config;
  let exact: Float32Array = new Float32Array(0);
  return {
    name: model,
    windowFrames: COSMOS_WINDOW,
    shared: 1,
    sideMultiple: space,
    facts: {
      kind: 'wan-vae',
      compression: [time, space, space],
      ...(latents === undefined ? {} : { statistics: { mean: latents.mean, std: latents.std } }),
    },
    async encode(frames, { height, width }) {
      const count = frames.length / (height * width * 3);
      const found = await tokenizer.encode({ data: frames, frames: count, height, width });
      exact = found.data as Float32Array;
      return { dtype: 'f16', shape: [channels, found.t, found.h, found.w], data: f32ToHalf(exact) };
    },
    async decode({ shape }) {
      const [, t, h, w] = shape as [number, number, number, number];
      return (await tokenizer.decode({ data: exact, channels, t, h, w })).data;
    },
  };
}

async function* cosmosCodec(
  model: string,
  runtime: Runtime,
  options: CodecOptions,
): AsyncGenerator<Extract<TokenizeEvent, { type: 'weights' }>, Codec> {
  const { component: stored } = openTokenizerPart(model);
  const { config } = stored;
  const steps = withWeights(
    stored,
    () => {
      const { encode, decode } = tokenizerNetworks(config);
      return { ...encode, ...decode };
    },
    options,
  );
  let step = await steps.next();
  for (; !step.done; step = await steps.next()) {
    yield { type: 'weights', done: step.value.done, total: step.value.total };
  }
  // A tokenizer is small and its convolutions take float32: widened once.
  const component = { ...step.value, widen: 'load' } as const;
  // Statistics belong to the world model that reads the latents; a file of latents holds them as the tokenizer gives them.
  const tokenizer = openVideoTokenizer({ runtime, component });
  const isVideo = config.kind === 'CV' || config.kind === 'DV';
  let exact: Float32Array | Int32Array = new Float32Array(0);
  let isChecked = false;
  return {
    name: model,
    windowFrames: isVideo ? COSMOS_WINDOW : IMAGE_WINDOW,
    shared: isVideo ? 1 : 0,
    sideMultiple: Math.max(2, config.spatialCompression),
    facts: {
      kind: config.kind,
      compression: [config.temporalCompression, config.spatialCompression, config.spatialCompression],
    },
    async encode(frames, { height, width }) {
      const count = frames.length / (height * width * 3);
      // The first window is the largest, and nothing is loaded before it.
      if (!isChecked) {
        const { weights = 'stored', memoryBytes } = options;
        const room = { weights, offload: false, ...(memoryBytes === undefined ? {} : { memoryBytes }) };
        requireRoom(model, tokenizerNeeds(config), { frames: count, height, width }, { ...room, ways: MAX_SIDE });
        isChecked = true;
      }
      const latents = await tokenizer.encode({ data: frames, frames: count, height, width });
      exact = latents.data;
      const { dtype, shape, data } = latentArray(latents);
      return dtype === 'i32' ? { dtype, shape, data } : { dtype: 'f16', shape, data: f32ToHalf(data as Float32Array) };
    },
    async decode({ shape }) {
      const [t, h, w] = shape.slice(-3) as [number, number, number];
      return (await tokenizer.decode({ data: exact, channels: config.latentChannels, t, h, w })).data;
    },
  };
}
