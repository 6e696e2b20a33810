// Video from video with an autoregressive Predict1 model: frames to codes, the rest of the clip token by token, codes to frames by
// the tokenizer's own decoder or by the diffusion decoder.
import { f32, InputError, type NdArray, OrreryError } from '../../base/index.ts';
import { input } from '../../graph/index.ts';
import {
  BEGIN_OF_VIDEO,
  blendWindows,
  clipTokens,
  codeWindows,
  type GeneralDitConfig,
  type GeneralDitInputs,
  generalDit,
  namedWeights,
} from '../../nets/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import {
  eulerSigmas,
  eulerStartScale,
  guidedDenoiser,
  type Network,
  noise,
  sampleEuler,
  type TokenSampling,
} from '../../sampling/index.ts';
import { generateTokens } from '../autoregressive/generate-tokens.ts';
import type { TokenModel } from '../autoregressive/token-model.ts';
import type { Component } from './component.ts';
import { LATENT_SIGMA } from './diffusion-model.ts';
import { openSessions } from './sessions.ts';
import { extended, lastFrames, type PixelFrames, type VideoTokenizer } from './video-tokenizer.ts';

export type AutoregressiveWorldOptions = TokenSampling & {
  readonly model: TokenModel;
  /** The discrete tokenizer of the model, DV8x16x16. */
  readonly tokenizer: VideoTokenizer;
  /** Frames to go on from, of the size of the model's clip; the last 1 or 9 are used. */
  readonly input: PixelFrames;
  /** Text features [1, M, width] of Video2World models. */
  readonly context?: NdArray;
  readonly seed: number;
  /** Makes the frames in place of the tokenizer's decoder. */
  readonly decoder?: DiffusionDecoder;
  readonly signal?: AbortSignal;
};

export type AutoregressiveWorldEvent =
  | { readonly type: 'token'; readonly index: number; readonly total: number }
  /** The code numbers of the whole clip [t, h, w], the given frames included. */
  | { readonly type: 'codes'; readonly codes: Int32Array; readonly t: number; readonly h: number; readonly w: number }
  | { readonly type: 'frames'; readonly frames: PixelFrames };

/** Numbers of given frames that the models know. */
const GIVEN_FRAMES = [1, 9] as const;

/** Generates one clip. */
export async function* autoregressiveWorld(
  o: AutoregressiveWorldOptions,
): AsyncGenerator<AutoregressiveWorldEvent, void, void> {
  const { model, tokenizer } = o;
  const { config } = model;
  const total = clipTokens(config);
  const grid = config.latent!;
  const { temporalCompression: time, spatialCompression: space } = tokenizer.config;
  if (!tokenizer.isDiscrete) {
    throw new InputError('tokenizer', {
      got: tokenizer.config.kind,
      need: 'a discrete video tokenizer, such as DV8x16x16',
    });
  }
  const [frames, height, width] = [1 + (grid.t - 1) * time, grid.h * space, grid.w * space];
  if (o.input.height !== height || o.input.width !== width || o.input.frames < 1) {
    throw new InputError('input', {
      got: `${o.input.frames} frames of ${o.input.width}x${o.input.height}`,
      need: `1 or more frames of ${width}x${height}, the only size that this model was trained with`,
    });
  }
  const used = o.input.frames >= GIVEN_FRAMES[1] ? GIVEN_FRAMES[1] : GIVEN_FRAMES[0];
  const givenLatents = 1 + (used - 1) / time;
  // The whole clip is encoded, its rest the last frame held; the tokenizer is causal, so the given codes do not see it.
  const codes = (await tokenizer.encode(extended(lastFrames(o.input, used), frames, 'hold'))).data as Int32Array;
  const known = givenLatents * grid.h * grid.w;
  const prompt = [...(config.hasBeginToken ? [BEGIN_OF_VIDEO] : []), ...codes.subarray(0, known)];
  const all = Int32Array.from(codes);
  const run = generateTokens(model, {
    prompt,
    count: total - known,
    seed: o.seed,
    ...(o.temperature === undefined ? {} : { temperature: o.temperature }),
    ...(o.topP === undefined ? {} : { topP: o.topP }),
    ...(o.topK === undefined ? {} : { topK: o.topK }),
    ...(o.context === undefined ? {} : { context: o.context }),
    ...(o.signal === undefined ? {} : { signal: o.signal }),
  });
  for await (const event of run) {
    if (event.type !== 'token') continue;
    all[known + event.index] = event.token;
    yield { type: 'token', index: event.index, total: event.total };
  }
  yield { type: 'codes', codes: all, ...grid };
  const made =
    o.decoder === undefined
      ? await tokenizer.decode({ data: all, channels: 1, ...grid })
      : await o.decoder.decode(all, grid, { seed: o.seed, ...(o.signal === undefined ? {} : { signal: o.signal }) });
  yield { type: 'frames', frames: made };
}

/** From codes of one tokenizer to frames of another, by sampling. */
export type DiffusionDecoder = {
  decode(
    codes: Int32Array,
    grid: { readonly t: number; readonly h: number; readonly w: number },
    options: { readonly seed: number; readonly signal?: AbortSignal },
  ): Promise<PixelFrames>;
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

export type DiffusionDecoderOptions = {
  readonly runtime: Runtime;
  readonly component: Component<GeneralDitConfig>;
  /** The continuous tokenizer whose latents it makes, CV8x8x8. */
  readonly tokenizer: VideoTokenizer;
  /** Text features that it was given in training: the prompt's, or the fixed ones of base models. */
  readonly context: NdArray;
  /** Default 15. */
  readonly steps?: number;
  /** g of c + g·(c − u). Default 1.8. */
  readonly guidance?: number;
  /** Latent frames of a window and of its overlap. Defaults 8 and 2. */
  readonly window?: number;
  readonly overlap?: number;
  /**
   * "smooth" (default): windows are blended over all frames that they share. "literal": over as many pixel frames as the overlap has
   * latent frames, as the published code does; long videos then jump from window to window.
   */
  readonly blending?: 'smooth' | 'literal';
};

/** Opens the diffusion decoder; its graph is compiled at first use. */
export function openDiffusionDecoder(o: DiffusionDecoderOptions): DiffusionDecoder {
  const {
    runtime,
    component,
    tokenizer,
    context,
    steps = 15,
    guidance = 1.8,
    window = 8,
    overlap = 2,
    blending = 'smooth',
  } = o;
  const { config } = component;
  if (config.tokenCondition === undefined)
    throw new OrreryError('model', 'this transformer takes no codes: it is no diffusion decoder');
  const sessions = openSessions(runtime, component, 'diffusion decoder', 1);
  const time = tokenizer.config.temporalCompression;

  async function sampleWindow(
    codes: NdArray,
    seed: number,
    index: number,
    signal: AbortSignal | undefined,
  ): Promise<NdArray & { data: Float32Array }> {
    const [, , t, h, w] = codes.shape as [number, number, number, number, number];
    const shape = [1, config.outChannels, t, 2 * h, 2 * w]; // codes stand for 16 pixels, latents for 8
    const feeds: Record<string, NdArray> = {
      x: f32(shape),
      timesteps: f32([1]),
      context,
      codes,
      fps: f32([1], [24]),
      ...(config.hasPaddingMask ? { paddingMask: f32([1, 1, 2 * h, 2 * w]) } : {}),
    };
    const session = await sessions.get(JSON.stringify(shape), () => {
      const symbols = Object.fromEntries(
        Object.entries(feeds).map(([name, a]) => [name, input(name, a.shape, a.dtype)]),
      );
      return { f: generalDit(symbols as unknown as GeneralDitInputs, config, namedWeights) };
    });
    const without = { context: f32(context.shape), codes: { ...codes, data: new Int32Array(codes.data.length) } };
    const network: Network = async (x, cNoise, branches) => {
      const results: Float32Array[] = [];
      for (const branch of branches) {
        const given = branch === 'cond' ? feeds : { ...feeds, ...without };
        results.push(
          (await session.run({ ...given, x: f32(shape, x), timesteps: f32([1], [cNoise]) })).f!.data as Float32Array,
        );
      }
      return results;
    };
    const sigmas = eulerSigmas({ steps, sigmaMin: 0.02, sigmaMax: 80, rho: 7, final: 'zero' });
    const start = noise(codes.data.length * 4 * config.outChannels, { seed, stream: 'decoder', step: index });
    let last = new Float64Array(0);
    const run = sampleEuler(
      guidedDenoiser(network, { guidance }),
      start.map((v) => v * eulerStartScale(80)),
      {
        sigmas,
        ...(signal === undefined ? {} : { signal }),
      },
    );
    for await (const step of run) last = new Float64Array(step.x);
    return f32(
      shape,
      Float32Array.from(last, (v) => v / LATENT_SIGMA),
    );
  }

  return {
    async decode(codes, grid, { seed, signal }) {
      const area = grid.h * grid.w;
      const videos: NdArray[] = [];
      for (const [index, part] of codeWindows(grid.t, { window, overlap }).entries()) {
        const data = new Int32Array(window * area);
        for (const [i, f] of part.frames.entries()) data.set(codes.subarray(f * area, (f + 1) * area), i * area);
        const shape = [1, 1, window, grid.h, grid.w];
        const latents = await sampleWindow({ dtype: 'i32', shape, data }, seed, index, signal);
        const pixels = await tokenizer.decode({
          data: latents.data,
          channels: config.outChannels,
          t: window,
          h: 2 * grid.h,
          w: 2 * grid.w,
        });
        videos.push(planesOf(pixels));
      }
      // k shared latent frames are 8k pixel frames: the first latent frame of a window is one frame, the others eight each.
      const shared = blending === 'literal' ? overlap : 1 + (overlap - 1) * time;
      return bytesOf(blendWindows(videos, videos.length > 1 ? shared : 0, blending), 1 + (grid.t - 1) * time);
    },
    dispose: sessions.dispose,
    [Symbol.asyncDispose]: sessions.dispose,
  };
}

/** Bytes [T, H, W, 3] → float32 [1, 3, T, H, W], 0…255. */
function planesOf({ data, frames, height, width }: PixelFrames): NdArray {
  const n = frames * height * width;
  const out = new Float32Array(3 * n);
  for (let i = 0; i < n; i++) for (let ch = 0; ch < 3; ch++) out[ch * n + i] = data[i * 3 + ch]!;
  return f32([1, 3, frames, height, width], out);
}

/** The first `count` frames as bytes. */
function bytesOf(video: NdArray, count: number): PixelFrames {
  const [, , frames, height, width] = video.shape as [number, number, number, number, number];
  const kept = Math.min(count, frames);
  const planes = video.data as Float32Array;
  const n = frames * height * width;
  const data = new Uint8Array(kept * height * width * 3);
  for (let i = 0; i < kept * height * width; i++) {
    for (let ch = 0; ch < 3; ch++) data[i * 3 + ch] = Math.max(0, Math.min(255, Math.round(planes[ch * n + i]!)));
  }
  return { data, frames: kept, height, width };
}
