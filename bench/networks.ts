// The networks and layers that the engine's figures are about. Each is a loaded graph with its feeds and its work.
import type { NdArray } from '../src/base/index.ts';
import { attention, conv, gradients, input, mean, mul, param, square, sum, type Tensor } from '../src/graph/index.ts';
import {
  type AutoregressiveConfig,
  COSMOS_CV8X8X8,
  decodeVideo,
  encodeVideo,
  type GeneralDitConfig,
  generalDit,
  PREDICT1_7B,
  PREDICT1_AR_4B,
  type Weights,
} from '../src/nets/index.ts';
import { noise, weightNoise } from './measure.ts';

export type Work = {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly feeds: Readonly<Record<string, NdArray>>;
};

/** Half the width of the 4B model, four layers, 16000 codes: 284M weights, 1.1 GB. */
export const AUTOREGRESSIVE: AutoregressiveConfig = {
  ...PREDICT1_AR_4B,
  layers: 4,
  width: 2048,
  heads: 16,
  keyValueHeads: 4,
  hidden: 7168,
  inputVocabulary: 16000,
  outputVocabulary: 16000,
};

/** 85M parameters at the defaults. */
export const dit = (width = 1024, blocks = 4, heads = 8): GeneralDitConfig => ({
  ...PREDICT1_7B,
  width,
  blocks,
  heads,
  adalnRank: width / 4,
  extraPositions: 'none',
  hasPaddingMask: false,
});

const LATENT = [1, 16, 4, 32, 32] as const; // 1024 tokens
const CONTEXT = [1, 512, 1024] as const;

export const ditFeeds = (): Record<string, NdArray> => ({
  x: noise(LATENT),
  t: noise([1]),
  context: noise(CONTEXT),
});

/** F [1, 16, 4, 32, 32] of a DiT. */
export const ditOutput = (config: GeneralDitConfig, weights: Weights): Tensor =>
  generalDit(
    { x: input('x', LATENT), timesteps: input('t', [1]), context: input('context', CONTEXT) },
    config,
    weights,
  );

export const ditForward = (config: GeneralDitConfig): Work => ({
  outputs: { y: mean(ditOutput(config, (key, shape) => param(key, shape))) },
  feeds: ditFeeds(),
});

/** Loss of the training step: distance to a fed target. */
export const ditLoss = (config: GeneralDitConfig, weights: Weights): Tensor => mean(square(ditOutput(config, weights)));

const VIDEO = [1, 3, 9, 256, 256] as const;

export const encodeWork = (): Work => ({
  outputs: { y: mean(encodeVideo(input('x', VIDEO), COSMOS_CV8X8X8, (key, shape) => param(key, shape))) },
  feeds: { x: noise(VIDEO) },
});

export const decodeWork = (): Work => ({
  outputs: { y: mean(decodeVideo(input('z', [1, 16, 2, 32, 32]), COSMOS_CV8X8X8, (key, shape) => param(key, shape))) },
  feeds: { z: noise([1, 16, 2, 32, 32]) },
});

/** 1024 tokens, 8 heads of 64. */
export function attentionWork(): Work {
  const shape = [1, 1024, 8, 64];
  const [q, k, v] = ['q', 'k', 'v'].map((name) => input(name, shape)) as [Tensor, Tensor, Tensor];
  return {
    outputs: { y: mean(attention(q, k, v)) },
    feeds: { q: noise(shape), k: noise(shape), v: noise(shape) },
  };
}

/** Gradients of one 3×3×3 convolution by input and weight, weights as inputs as in training. */
export function convGradientWork(channels: number, space: readonly number[]): Work {
  const shape = [1, channels, ...space];
  const kernel = [channels, channels, 3, 3, 3];
  const x = input('x', shape);
  const w = input('w', kernel);
  const seed = input('seed', shape);
  const y = conv(x, w, undefined, { padBefore: [2, 1, 1], padAfter: [0, 1, 1] });
  const [gx, gw] = gradients(sum(mul(y, seed)), [x, w]);
  return {
    outputs: { gx: mean(gx!), gw: mean(gw!) },
    feeds: { x: noise(shape), w: weightNoise(kernel), seed: noise(shape) },
  };
}
