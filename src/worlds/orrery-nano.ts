// Running orrery-nano: conditions, the sampling loop over residual latents, and the graph of one network evaluation.
import { f32, type NdArray } from '../base/index.ts';
import { input, type Tensor } from '../graph/index.ts';
import { nano, type OrreryNanoConfig } from '../nets/orrery/nano.ts';
import { cellsOf } from '../nets/orrery/tokenizer.ts';
import type { Weights } from '../nets/orrery/weights.ts';
import { denoisedFrom, edmScalings, guide, noise, sampleRes, scaled } from '../sampling/index.ts';
import { type Actions, actionFeed, actionShape } from './actions.ts';
import { denormalise, type LatentStats } from './orrery-tokenizer.ts';

/**
 * The three things that one call of the network can do: given frames, the latent frames they make, and the latent and video
 * frames that come out. From nothing it makes one picture, from a picture or nine frames the next eight frames.
 */
export const CONDITIONS = {
  nine: { frames: 9, latents: 3, madeLatents: 2, madeFrames: 8 },
  one: { frames: 1, latents: 1, madeLatents: 2, madeFrames: 8 },
  none: { frames: 0, latents: 0, madeLatents: 1, madeFrames: 1 },
} as const;
export type Condition = keyof typeof CONDITIONS;

/** Video frames of a window: nine given and eight made. */
export const WINDOW_FRAMES = 17;

/** The condition that so many known frames allow. */
export const conditionOf = (frames: number): Condition => (frames >= 9 ? 'nine' : frames > 0 ? 'one' : 'none');

/** σ_data of the scaled residuals. */
export const RESIDUAL_SIGMA = 1;

/** Size and rate of the videos that the model makes; kept beside the checkpoints. */
export type WindowSize = {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  readonly fps: number;
};

/** One network evaluation of one sample: (c_in·x, c_noise) → F. */
export type NanoRun = (x: Float32Array, cNoise: number) => Promise<Float32Array>;

/** What the network is told of the frames before, all normalised. */
export type Given = {
  readonly condition: Condition;
  /** Latents of the frames to make if nothing happened [L·C]; zeros without given frames. */
  readonly base: Float32Array;
  /** Latents of the given frames [K·h·w·C]; zeros where nothing is given. */
  readonly context: Float32Array;
};

/** What a sampling run of one window needs. */
export type SampleOptions = {
  readonly config: OrreryNanoConfig;
  readonly stats: LatentStats;
  readonly given: Given;
  readonly run: NanoRun;
  /** Evaluation with the other caption (empty or negative), for guidance. */
  readonly runOther?: NanoRun;
  /** x̂0 = c + guidance·(c − u). Default 0: the caption's evaluation alone. */
  readonly guidance?: number;
  readonly seed: number;
  /** Number of the window in a longer video: each has noise of its own. Default 0. */
  readonly window?: number;
  readonly steps: number;
  readonly range: SamplingRange;
  readonly signal?: AbortSignal;
};

/** A sampling step with the latents of the new frames as they are believed to become: denormalised [L·C]. */
export type WindowStep = {
  readonly step: number;
  readonly total: number;
  readonly sigma: number;
  readonly latents: () => Float32Array;
};

/** Samples the residual of the frames to make; the last step holds the result. */
export async function* sampleWindow(options: SampleOptions): AsyncGenerator<WindowStep> {
  const { config, stats, given, run, runOther, guidance = 0, seed, window = 0, steps, range, signal } = options;
  const { base, condition } = given;
  const n = cellsOf(config.grid) * config.channels;
  // A picture fills the first of the latent frames that a call makes; the others stay zero.
  const made = CONDITIONS[condition].madeLatents * config.grid.h * config.grid.w * config.channels;
  const clear = <T extends Float32Array | Float64Array>(x: T): T => {
    x.fill(0, made);
    return x;
  };
  const start = clear(noise(n, { seed, step: window }).map((v) => v * range.sigmaMax));
  const denoise = async (x: Float32Array, sigma: number): Promise<Float32Array> => {
    const s = edmScalings(sigma, RESIDUAL_SIGMA);
    const input = scaled(clear(x), s.cIn);
    let f = await run(input, s.cNoise);
    if (guidance !== 0 && runOther !== undefined) f = guide(f, await runOther(input, s.cNoise), guidance);
    return clear(denoisedFrom(x, f, s));
  };
  const scale = stats.residualScale[condition];
  const finish = (residual: ArrayLike<number>): Float32Array =>
    denormalise(
      base.map((v, i) => v + residual[i]! / scale),
      stats,
    );
  for await (const s of sampleRes(denoise, start, {
    ...range,
    steps,
    ...(signal === undefined ? {} : { signal }),
  })) {
    yield {
      step: s.step,
      total: s.total,
      sigma: s.sigma,
      latents: () => finish(s.step === s.total ? s.x : s.denoised),
    };
  }
}

/** Runs `sampleWindow` to its end: denormalised latents [L·C]. */
export async function sampleLatents(options: SampleOptions): Promise<Float32Array> {
  let last: WindowStep | undefined;
  for await (const step of sampleWindow(options)) last = step;
  return last!.latents();
}

/**
 * Noise levels of the sampler, chosen per model by its held-out score: residuals have unit deviation, their tails reach about
 * 20. A young network removes little noise well: a high `sigmaMin` ends with its smoother guess.
 */
export type SamplingRange = { readonly sigmaMax: number; readonly sigmaMin: number; readonly rho: number };

/**
 * The samplers of a model. A picture from words has many answers and needs many steps; what follows given frames is nearly
 * determined, so that few steps from the highest noise give it.
 */
export type Sampling = { readonly picture: Sampler; readonly motion: Sampler };

export type Sampler = SamplingRange & {
  readonly steps: number;
  /** Weight of the caption, x̂0 = c + guidance·(c − u); 0 leaves the second evaluation out. */
  readonly guidance: number;
};

/** The network as one graph for one sample. */
export function nanoGraph(config: OrreryNanoConfig, weights: Weights): Tensor {
  const shape = [1, cellsOf(config.grid), config.channels];
  return nano(
    {
      x: input('x', shape),
      base: input('base', shape),
      context: input('context', [1, contextCells(config), config.channels]),
      given: input('given', [1, 3]),
      noise: input('cNoise', [1, 1]),
      words: input('words', [1, config.textLength], 'i64'),
      ...(config.actions === undefined ? {} : { actions: input('actions', actionShape(config.actions, 1)) }),
    },
    config,
    weights,
  );
}

/** Cells of the latent frames that the network sees. */
export const contextCells = (c: OrreryNanoConfig): number => c.context * c.grid.h * c.grid.w;

/** One-hot of a condition, [3]. */
export const givenFlags = (condition: Condition): number[] =>
  Object.keys(CONDITIONS).map((k) => Number(k === condition));

/** Feeds of `nanoGraph`. */
export function nanoFeeds(
  config: OrreryNanoConfig,
  s: {
    readonly x: Float32Array;
    readonly given: Given;
    readonly cNoise: number;
    readonly words: BigInt64Array;
    readonly actions?: Actions | undefined;
  },
): Record<string, NdArray> {
  const shape = [1, cellsOf(config.grid), config.channels];
  return {
    x: f32(shape, s.x),
    base: f32(shape, s.given.base),
    context: f32([1, contextCells(config), config.channels], s.given.context),
    given: f32([1, 3], givenFlags(s.given.condition)),
    cNoise: f32([1, 1], [s.cNoise]),
    words: { dtype: 'i64', shape: [1, config.textLength], data: s.words },
    ...(config.actions === undefined
      ? {}
      : { actions: f32(actionShape(config.actions, 1), actionFeed(config.actions, s.actions ?? [])) }),
  };
}
