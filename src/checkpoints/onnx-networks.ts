// The networks of a model as graphs of one size, with what a user without this package must know about inputs and outputs.
import { InputError } from '../base/index.ts';
import { input, slice, type Tensor } from '../graph/index.ts';
import type { ModelRecord } from '../hub/index.ts';
import {
  decodeImage,
  decodeVideo,
  decodeWan,
  encodeImage,
  encodeVideo,
  encodeWan,
  fsqCodes,
  fsqCodesOf,
  fsqIndices,
  type GeneralDitConfig,
  generalDit,
  namedWeights,
  type WanConfig,
  wanCompression,
} from '../nets/index.ts';
import { nano } from '../nets/orrery/nano.ts';
import { cellsOf, decode, encode, gridOf } from '../nets/orrery/tokenizer.ts';
import { UNKNOWN_SLOTS } from '../nets/orrery/words.ts';
import { publicAutoregressiveConfig } from './autoregressive-config.ts';
import { autoregressivePlan } from './onnx-autoregressive.ts';
import type { Network } from './open.ts';
import { ownTokenizer, ownWorld, worldInputs } from './own.ts';

/** One network of a model. */
export type ExportNetwork = {
  /** File name without ending. */
  readonly name: string;
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** What each input and output means: layout, range, unit. */
  readonly meaning: Readonly<Record<string, string>>;
};

/** Networks of a model, and how to prepare what goes in and use what comes out. */
export type ExportPlan = {
  readonly networks: readonly ExportNetwork[];
  /** Numbers and formulas for the steps around the networks. */
  readonly processing: Readonly<Record<string, unknown>>;
};

/** Size of the graphs; what is absent has the model's own or a small default. */
export type ExportSize = {
  /** Frames of a clip; for images 1. */
  readonly frames?: number;
  /** Pixels. */
  readonly width?: number;
  readonly height?: number;
  /** Places of the text that a transformer sees. Default 512. */
  readonly textLength?: number;
};

const PIXELS = 'x = pixel / 127.5 − 1 for RGB bytes 0…255';
const BYTES = 'byte = clamp(round((y + 1) · 127.5), 0, 255)';

/** Networks of a model of this package. */
export function ownPlan(record: ModelRecord, size: ExportSize): ExportPlan {
  if (record.kind === 'orrery-tokenizer') {
    const c = ownTokenizer(record);
    const { frames = 33, height = 128, width = 128 } = size;
    const step = { frames: c.timePatch, height: c.patch, width: c.patch };
    if ((frames - 1) % step.frames !== 0 || frames < 1)
      throw new InputError('--frames', {
        got: frames,
        need: `1 + ${step.frames}k, such as ${1 + step.frames * 4}`,
        why: 'the tokenizer takes time in steps',
      });
    requireMultiple(height, width, c.patch);
    const grid = gridOf(c, frames, height, width);
    return {
      networks: [
        {
          name: 'encoder',
          outputs: { latents: encode(input('frames', [1, frames, height, width, 3], 'u8'), c, namedWeights) },
          meaning: {
            frames: 'RGB bytes 0…255 [batch, frame, row, column, channel]',
            latents: `[batch, cell, channel], cells in the order frame ${grid.t}, row ${grid.h}, column ${grid.w}`,
          },
        },
        {
          name: 'decoder',
          outputs: { frames: decode(input('latents', [1, cellsOf(grid), c.channels]), c, grid, namedWeights) },
          meaning: {
            latents: 'as the encoder gives them',
            frames: 'about −1…1, not clamped [batch, frame, row, column, channel]',
          },
        },
      ],
      processing: { input: 'bytes as they are', output: BYTES, grid },
    };
  }
  const c = ownWorld(record);
  const { window, stats, vocabulary, sampling, tokenizer } = record.config as unknown as Readonly<
    Record<string, unknown>
  >;
  return {
    networks: [
      {
        name: 'network',
        outputs: { f: nano(worldInputs(c), c, namedWeights) },
        meaning: {
          x: 'noisy residual times c_in, float32 [batch, cell, channel]',
          base: 'normalised latents of the frames to make if nothing new happens: after 9 given frames every motion goes on, after one picture it stands still; zeros without given frames',
          context: 'normalised latents of the given frames, first frame first; zeros where nothing is given',
          given: 'one-hot: 9 frames, 1 frame, none',
          noise: 'c_noise = ln(σ) / 4',
          words: 'numbers of the words of the caption in `vocabulary`, see `text`',
          f: 'raw output F [batch, cell, channel]',
        },
      },
    ],
    processing: {
      window,
      tokenizer,
      latentStatistics: stats,
      vocabulary,
      text: {
        words: 'runs of letters and digits in lower case, at most as many as places',
        known: `${1 + UNKNOWN_SLOTS} + place in the vocabulary, from 0`,
        unknown: `1 + (32-bit FNV-1a of the UTF-16 units) mod ${UNKNOWN_SLOTS}`,
        padding: 0,
      },
      sampling,
      preconditioning: {
        sigmaData: 1,
        cIn: '1 / √(σ² + 1)',
        cSkip: '1 / (σ² + 1)',
        cOut: 'σ / √(σ² + 1)',
        denoised: 'c_skip · x + c_out · F',
      },
      result:
        'the latents of the next 8 frames (of 1 frame, the first of them, when none are given) = base + residual / residualScale, then · std + mean per channel, then the decoder of the tokenizer',
    },
  };
}

/** Networks of a public model. @param stated `config.json` beside the weights, for what tensors do not tell */
export function publicPlan(
  network: Network,
  size: ExportSize,
  latents?: {
    readonly mean: readonly number[];
    readonly std: readonly number[];
    readonly channels: number;
    readonly frames: number;
  },
  stated?: Readonly<Record<string, unknown>>,
): ExportPlan {
  if (network.family === 'general-dit') return transformerPlan(network.config, size);
  if (network.family === 'autoregressive') {
    return autoregressivePlan(publicAutoregressiveConfig(network.config, stated), size);
  }
  if (network.family === 'wan-vae') return wanPlan(network.config, size, latents);
  const c = network.config;
  const isVideo = c.kind === 'CV' || c.kind === 'DV';
  const { frames = isVideo ? 1 + c.temporalCompression : 1, height = 256, width = 256 } = size;
  if (isVideo && ((frames - 1) % c.temporalCompression !== 0 || frames < 1)) {
    throw new InputError('--frames', {
      got: frames,
      need: `1 + ${c.temporalCompression}k, such as ${1 + 2 * c.temporalCompression}`,
      why: `the tokenizer compresses time by ${c.temporalCompression}`,
    });
  }
  if (!isVideo && frames !== 1)
    throw new InputError('--frames', { got: frames, need: '1', why: 'this tokenizer is for images' });
  requireMultiple(height, width, c.spatialCompression);
  const [t, h, w] = [
    1 + (frames - 1) / c.temporalCompression,
    height / c.spatialCompression,
    width / c.spatialCompression,
  ];
  const plane = (...rest: number[]): number[] => (isVideo ? rest : rest.slice(1));
  const [enc, dec] = isVideo ? [encodeVideo, decodeVideo] : [encodeImage, decodeImage];
  const axes = isVideo ? '[batch, channel, frame, row, column]' : '[batch, channel, row, column]';
  const z = enc(input('pixels', [1, 3, ...plane(frames, height, width)]), c, namedWeights);
  const isDiscrete = c.levels !== undefined;
  const codes = isDiscrete ? fsqCodes(z, c.levels!) : z;
  const decoded = isDiscrete
    ? dec(fsqCodesOf(input('indices', [1, ...plane(t, h, w)], 'i32'), c.levels!), c, namedWeights)
    : dec(input('latents', [1, c.latentChannels, ...plane(t, h, w)]), c, namedWeights);
  const pixels = `RGB about −1…1 ${axes}`;
  return {
    networks: [
      {
        name: 'encoder',
        outputs: isDiscrete ? { indices: fsqIndices(codes, c.levels!), codes } : { latents: z },
        meaning: {
          pixels,
          latents: `not normalised ${axes}`,
          codes: `quantised ${axes}`,
          indices: `0…${(c.levels ?? []).reduce((a, b) => a * b, 1) - 1} ${axes.replace('channel, ', '')}`,
        },
      },
      {
        name: 'decoder',
        outputs: { pixels: decoded },
        meaning: {
          pixels: `${pixels}, not clamped`,
          latents: 'as the encoder gives them',
          indices: 'as the encoder gives them',
        },
      },
    ],
    processing: {
      input: PIXELS,
      output: BYTES,
      padding: {
        spatial: 'zero bytes to a multiple of 16, half before and half after',
        temporal: 'edge frames repeated until frames − 1 is a multiple of 8, half of them before',
      },
      ...(latents === undefined
        ? {}
        : {
            latentStatistics: {
              ...latents,
              order: 'channel by channel, frames inside',
              use: '(z − mean) / std · 0.5 for a diffusion model with σ_data 0.5',
            },
          }),
    },
  };
}

function wanPlan(
  c: WanConfig,
  { frames = 1 + 2 * wanCompression(c).time, height = 256, width = 256 }: ExportSize,
  latents?: { readonly mean: readonly number[]; readonly std: readonly number[] },
): ExportPlan {
  const { time, space } = wanCompression(c);
  if ((frames - 1) % time !== 0 || frames < 1)
    throw new InputError('--frames', {
      got: frames,
      need: `1 + ${time}k, such as ${1 + 2 * time}`,
      why: `the autoencoder compresses time by ${time}`,
    });
  requireMultiple(height, width, space);
  const axes = '[batch, channel, frame, row, column]';
  const moments = encodeWan(input('pixels', [1, 3, frames, height, width]), c, namedWeights);
  const z = input('latents', [1, c.latentChannels, 1 + (frames - 1) / time, height / space, width / space]);
  return {
    networks: [
      {
        name: 'encoder',
        outputs: { latents: slice(moments, 1, 0, c.latentChannels) },
        meaning: { pixels: `RGB about −1…1 ${axes}`, latents: `means, not normalised ${axes}` },
      },
      {
        name: 'decoder',
        outputs: { pixels: decodeWan(z, c, namedWeights) },
        meaning: { pixels: `RGB about −1…1, not clamped ${axes}`, latents: 'as the encoder gives them' },
      },
    ],
    processing: {
      input: PIXELS,
      output: BYTES,
      ...(latents === undefined ? {} : { latentStatistics: { ...latents, use: '(z − mean) / std per channel' } }),
    },
  };
}

function transformerPlan(
  c: GeneralDitConfig,
  { frames = c.patchTemporal * (c.views?.count ?? 1) * 2, height = 256, width = 256, textLength = 512 }: ExportSize,
): ExportPlan {
  const views = c.views?.count ?? 1;
  const [H, W] = [height / 8, width / 8];
  requireMultiple(height, width, 8 * c.patchSpatial);
  if (frames % (views * c.patchTemporal) !== 0)
    throw new InputError('--frames', { got: frames, need: `latent frames, a multiple of ${views * c.patchTemporal}` });
  const T = frames;
  const conditions = c.inChannels - c.outChannels;
  const meaning = {
    x: 'noisy latent times c_in [batch, channel, latent frame, row, column]',
    timesteps:
      c.flow === undefined
        ? 'c_noise = ln(σ) / 4, one per sample'
        : 's = σ / (σ + 1), one per latent frame; that of given frames is fixed',
    context: `text of the encoder; places past the prompt are zero vectors [batch, place, channel]${views > 1 ? ', a text per view, one after the other' : ''}`,
    fps: 'frames per second of the video',
    paddingMask: '1 = padding, in pixels; zeros for none',
    conditionMask: '1 = given latent frame',
    cameraRays: 'Plücker rays',
    augmentNoise: 'c_noise of the noise on the given frames',
    trajectory: 'camera path',
    action: 'robot actions; only the first row acts',
    codes: 'codes of the discrete tokenizer',
    f: 'raw output F, as x',
  };
  const f = generalDit(
    {
      x: input('x', [1, c.outChannels, T, H, W]),
      timesteps: input('timesteps', c.flow === undefined ? [1] : [1, T]),
      context: input('context', [1, textLength * views, c.contextProjection ?? c.contextWidth]),
      fps: input('fps', [1]),
      ...(c.hasPaddingMask ? { paddingMask: input('paddingMask', [1, 1, height, width]) } : {}),
      ...(conditions >= 1 ? { conditionMask: input('conditionMask', [1, 1, T, H, W]) } : {}),
      ...(conditions >= 7 ? { cameraRays: input('cameraRays', [1, 6, T, H, W]) } : {}),
      ...(c.hasAugmentSigma ? { augmentNoise: input('augmentNoise', [1]) } : {}),
      ...((c.views?.trajectoryWidth ?? 0) > 0 ? { trajectory: input('trajectory', [1, 192]) } : {}),
      ...(c.hasAction === true ? { action: input('action', [1, 1, 7]) } : {}),
      ...(c.tokenCondition === undefined ? {} : { codes: input('codes', [1, 1, T, H / 2, W / 2], 'i32') }),
    },
    c,
    namedWeights,
  );
  return {
    networks: [{ name: 'transformer', outputs: { f }, meaning }],
    processing: {
      preconditioning: c.flow === undefined ? EDM : FLOW[c.flow],
      latents:
        c.flow === undefined
          ? 'latents of the tokenizer, normalised by its statistics and multiplied by σ_data; decoding undoes both'
          : 'latents of the autoencoder, normalised by its statistics; decoding undoes it',
      guidance: 'denoised + g · (denoised − denoised of the empty or negative text)',
    },
  };
}

const EDM = {
  sigmaData: 0.5,
  cIn: '1 / √(σ² + 0.25)',
  cSkip: '0.25 / (σ² + 0.25)',
  cOut: '0.5 · σ / √(σ² + 0.25)',
  denoised: 'c_skip · x + c_out · F',
} as const;

const FLOW = {
  predict2: {
    s: 'σ / (σ + 1)',
    input: '(1 − s) · x, given latent frames as they are with time 0.0001 / 1.0001',
    denoised: '(1 − s) · x − s · F',
  },
  'predict2.5': {
    x: '(1 − s) · clean + s · noise',
    input: 'x, given latent frames as they are with time 0.1; other times are ⌊1000 s⌋ / 1000',
    denoised: 'x − s · F',
  },
} as const;

function requireMultiple(height: number, width: number, step: number): void {
  if (height % step === 0 && width % step === 0 && height > 0 && width > 0) return;
  throw new InputError('--size', {
    got: `${width}x${height}`,
    need: `multiples of ${step}, such as ${step * 16}x${step * 16}`,
  });
}
