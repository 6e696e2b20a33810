// Running orrery-nano: conditions, the sampling loop over residual latents, and the graph of one network evaluation.
import { f32, type NdArray } from '../base/index.ts';
import { input, type Tensor } from '../graph/index.ts';
import { nano, type OrreryNanoConfig } from '../nets/orrery/nano.ts';
import { cellsOf } from '../nets/orrery/tokenizer.ts';
import type { Weights } from '../nets/orrery/weights.ts';
import { denoisedFrom, edmScalings, guide, noise, sampleRes, scaled } from '../sampling/index.ts';
import { denormalise, type LatentStats } from './orrery-tokenizer.ts';

/** Given frames of the three conditions, and the latent frames they make. */
export const CONDITIONS = {
  nine: { frames: 9, latents: 3 },
  one: { frames: 1, latents: 1 },
  none: { frames: 0, latents: 0 },
} as const;
export type Condition = keyof typeof CONDITIONS;

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

/** What a sampling run of one window needs. */
export type SampleOptions = {
  readonly config: OrreryNanoConfig;
  readonly stats: LatentStats;
  readonly condition: Condition;
  /** Normalised base latents [L·C]; zeros without given frames. */
  readonly base: Float32Array;
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

/** A sampling step with the latents of the window as they are believed to become: denormalised [L·C]. */
export type WindowStep = {
  readonly step: number;
  readonly total: number;
  readonly sigma: number;
  readonly latents: () => Float32Array;
};

/** Samples the residual of one window; the last step holds the result. */
export async function* sampleWindow(options: SampleOptions): AsyncGenerator<WindowStep> {
  const {
    config,
    stats,
    condition,
    base,
    run,
    runOther,
    guidance = 0,
    seed,
    window = 0,
    steps,
    range,
    signal,
  } = options;
  const n = cellsOf(config.grid) * config.channels;
  // Given latent frames have no residual: it stays zero there.
  const from = CONDITIONS[condition].latents * config.grid.h * config.grid.w * config.channels;
  const clear = <T extends Float32Array | Float64Array>(x: T): T => {
    x.fill(0, 0, from);
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

/** The network as one graph for one sample. */
export function nanoGraph(config: OrreryNanoConfig, weights: Weights): Tensor {
  const shape = [1, cellsOf(config.grid), config.channels];
  return nano(
    {
      x: input('x', shape),
      base: input('base', shape),
      given: input('given', [1, config.grid.t, 1]),
      noise: input('cNoise', [1, 1]),
      words: input('words', [1, config.textLength], 'i64'),
    },
    config,
    weights,
  );
}

/** Feeds of `nanoGraph`. */
export function nanoFeeds(
  config: OrreryNanoConfig,
  s: {
    readonly x: Float32Array;
    readonly base: Float32Array;
    readonly condition: Condition;
    readonly cNoise: number;
    readonly words: BigInt64Array;
  },
): Record<string, NdArray> {
  const shape = [1, cellsOf(config.grid), config.channels];
  const given = new Float32Array(config.grid.t).fill(1, 0, CONDITIONS[s.condition].latents);
  return {
    x: f32(shape, s.x),
    base: f32(shape, s.base),
    given: f32([1, config.grid.t, 1], given),
    cNoise: f32([1, 1], [s.cNoise]),
    words: { dtype: 'i64', shape: [1, config.textLength], data: s.words },
  };
}
