// Sampling with a diffusion transformer of the Predict1 family: text, given frames, several cameras, camera path, action.
import { f32, InputError, type NdArray, OrreryError, sizeOf } from '../../base/index.ts';
import type { GeneralDitConfig } from '../../nets/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import {
  conditionMask,
  eulerSigmas,
  eulerStartScale,
  firstFrames,
  guidedDenoiser,
  type LatentCondition,
  type Network,
  noise,
  PREDICT1_EULER,
  RES_RANGE,
  type SamplerStep,
  sampleEuler,
  sampleRes,
  scriptsPrepare,
} from '../../sampling/index.ts';
import type { Component } from './component.ts';
import { openDitEvaluations } from './evaluate-dit.ts';
import { openSessions } from './sessions.ts';

/** Scale of normalised latents in the Predict1 family. */
export const LATENT_SIGMA = 0.5;

/** Latent frames that are given. Several views: each view has its own. */
export type GivenLatents = {
  /** Normalised latents [C, T, H, W] of the whole clip; frames past the given ones may hold anything finite. */
  readonly data: Float32Array;
  /** Given latent frames of each view. */
  readonly frames: number;
  /** Noise level at which they are shown. Default 0.001. */
  readonly sigmaAug?: number;
};

export type SampleWorldOptions = {
  /** Latent size; with several views t counts the frames of all of them. */
  readonly size: { readonly t: number; readonly h: number; readonly w: number };
  /** Text features [1, M, contextWidth]; with several views one part per view. */
  readonly context: NdArray;
  /** Text of the other branch. Default: zeros. */
  readonly negative?: NdArray;
  readonly fps: number;
  readonly seed: number;
  /** Default 35. */
  readonly steps?: number;
  /** g of c + g·(c − u); 0: off. Default 7. */
  readonly guidance?: number;
  readonly given?: GivenLatents;
  /** Plücker rays [1, 6, T, H, W] of camera-conditioned models. */
  readonly cameraRays?: NdArray;
  /** Camera path [1, 192]. */
  readonly trajectory?: NdArray;
  /** Robot actions [1, n, 7]. */
  readonly action?: NdArray;
  /** The other branch sees no given frames in the mask, so that guidance leads towards them too. Default false. */
  readonly framesGuidance?: boolean;
  /** Frames that stand still at the start of each view, [1, V]. */
  readonly frameRepeat?: readonly number[];
  /**
   * "clean" (default): the RES sampler, given frames exactly as given. "scripts": Euler with the schedule and the replacement of the
   * published inference scripts, for results like theirs.
   */
  readonly compatibility?: 'clean' | 'scripts';
  readonly signal?: AbortSignal;
};

/** A step with the latents as they are believed to become; the last one holds the result. */
export type WorldStep = {
  readonly step: number;
  readonly total: number;
  readonly sigma: number;
  /** Normalised latents [C, T, H, W]. */
  readonly latents: () => Float32Array;
};

export type DiffusionModel = {
  readonly config: GeneralDitConfig;
  /** True: the model takes given frames (Video2World). */
  readonly takesFrames: boolean;
  sample(options: SampleWorldOptions): AsyncGenerator<WorldStep, void, void>;
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

const CAMERA_CHANNELS = 6;

/** Opens a transformer; graphs are compiled at first use, by size. */
export function openDiffusionModel(options: {
  readonly runtime: Runtime;
  readonly component: Component<GeneralDitConfig>;
}): DiffusionModel {
  const { runtime, component } = options;
  const { config } = component;
  const extra = config.inChannels - config.outChannels;
  if (extra !== 0 && extra !== 1 && extra !== 1 + CAMERA_CHANNELS) {
    throw new OrreryError(
      'unsupported',
      `a transformer of ${config.inChannels} input and ${config.outChannels} output channels: can run 0, 1 (given frames) or 7 (and camera) more`,
    );
  }
  if (config.hasAugmentSigma) {
    throw new OrreryError(
      'unsupported',
      'a transformer that takes the noise level of its given frames: no public model does',
    );
  }
  const takesFrames = extra >= 1;
  const sessions = openSessions(runtime, component, 'diffusion transformer', 1);

  async function* sample(o: SampleWorldOptions): AsyncGenerator<WorldStep, void, void> {
    const { size, seed, steps = RES_RANGE.steps, guidance = 7, compatibility = 'clean', signal } = o;
    const shape = [1, config.outChannels, size.t, size.h, size.w];
    const count = sizeOf(shape);
    const condition = conditionOf(o, shape);
    const network = await networkOf(o, shape, condition);
    const start = noise(count, { seed, stream: 'start' });
    const isScripts = compatibility === 'scripts';
    const denoise = guidedDenoiser(network, {
      guidance,
      ...(condition === undefined
        ? {}
        : { condition, replacement: isScripts ? ('scripts' as const) : ('clean' as const) }),
    });
    const stop = signal === undefined ? {} : { signal };
    const run: AsyncGenerator<SamplerStep, void, void> = isScripts
      ? sampleEuler(
          denoise,
          start.map((v) => v * eulerStartScale(PREDICT1_EULER.sigmaMax)),
          {
            sigmas: eulerSigmas({ ...PREDICT1_EULER, steps }),
            ...(condition === undefined ? {} : { prepare: scriptsPrepare(condition) }),
            ...stop,
          },
        )
      : sampleRes(
          denoise,
          start.map((v) => v * RES_RANGE.sigmaMax),
          { ...RES_RANGE, steps, ...stop },
        );
    for await (const s of run) {
      yield {
        step: s.step,
        total: s.total,
        sigma: s.sigma,
        latents: () => Float32Array.from(s.step === s.total ? s.x : s.denoised, (v) => v / LATENT_SIGMA),
      };
    }
  }

  function conditionOf(o: SampleWorldOptions, shape: readonly number[]): LatentCondition | undefined {
    const { given, seed } = o;
    if (given === undefined) return undefined;
    if (!takesFrames) {
      throw new InputError('input', {
        got: 'given frames',
        need: 'none',
        why: 'this is a Text2World model; use a Video2World one',
      });
    }
    const count = sizeOf(shape);
    if (given.data.length !== count) {
      throw new InputError('given latents', {
        got: `${given.data.length} values`,
        need: `${count} of shape [${shape}]`,
      });
    }
    return {
      shape,
      latent: given.data.map((v) => v * LATENT_SIGMA),
      noise: noise(count, { seed, stream: 'condition' }),
      indicator: firstFrames(shape[2]!, given.frames, config.views?.count ?? 1),
      sigmaAug: given.sigmaAug ?? 0.001,
    };
  }

  async function networkOf(
    o: SampleWorldOptions,
    shape: readonly number[],
    condition: LatentCondition | undefined,
  ): Promise<Network> {
    const fixed = fixedFeeds(o, shape, condition);
    const evaluate = await openDitEvaluations({
      component,
      sessions,
      fixed,
      example: { x: f32(shape), timesteps: f32([1]) },
      context: o.context,
      negative: o.negative,
      ...(o.framesGuidance === true && fixed.conditionMask !== undefined
        ? { others: { conditionMask: f32(fixed.conditionMask.shape) } }
        : {}),
      signal: o.signal,
    });
    return (x, cNoise, branches) => evaluate({ x: f32(shape, x), timesteps: f32([1], [cNoise]) }, branches);
  }

  /** Inputs that stay the same in all evaluations. */
  function fixedFeeds(
    o: SampleWorldOptions,
    shape: readonly number[],
    condition: LatentCondition | undefined,
  ): Record<string, NdArray> {
    const [, , t, h, w] = shape as [number, number, number, number, number];
    const feeds: Record<string, NdArray> = { fps: f32([1], [o.fps]) };
    // Frames given or not, the channel is there: zeros mean none.
    if (takesFrames) {
      const indicator = condition?.indicator ?? new Array<number>(t).fill(0);
      feeds.conditionMask = f32([1, 1, t, h, w], conditionMask(shape, indicator));
    }
    if (config.hasPaddingMask) feeds.paddingMask = f32([1, 1, h, w]);
    const needs = (name: string, isNeeded: boolean, value: NdArray | undefined, form: string): void => {
      if (isNeeded && value === undefined) throw new InputError(name, { got: undefined, need: form });
      if (!isNeeded && value !== undefined) {
        throw new InputError(name, { got: 'given', need: 'none', why: 'this model does not take it' });
      }
    };
    needs('camera rays', extra > 1, o.cameraRays, `float32 [1, 6, ${t}, ${h}, ${w}]`);
    needs('trajectory', (config.views?.trajectoryWidth ?? 0) > 0, o.trajectory, 'float32 [1, 192]');
    needs('action', config.hasAction === true, o.action, 'float32 [1, n, 7]');
    if (o.cameraRays !== undefined) feeds.cameraRays = o.cameraRays;
    if (o.trajectory !== undefined) feeds.trajectory = o.trajectory;
    if (o.action !== undefined) feeds.action = o.action;
    if (config.views?.hasFrameRepeat === true) {
      const count = config.views.count;
      const repeats = o.frameRepeat ?? new Array<number>(count).fill(0);
      if (repeats.length !== count)
        throw new InputError('frame repeat', { got: repeats, need: `${count} numbers, one per view` });
      // The network takes tenths.
      feeds.frameRepeat = f32(
        [1, count],
        repeats.map((n) => n / 10),
      );
    }
    return feeds;
  }

  return { config, takesFrames, sample, dispose: sessions.dispose, [Symbol.asyncDispose]: sessions.dispose };
}
