// Sampling with a diffusion transformer of the Predict2 family: rectified flow, a time for every latent frame, given frames shown clean.
import { f32, InputError, type NdArray, OrreryError, sizeOf } from '../../base/index.ts';
import type { GeneralDitConfig } from '../../nets/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import {
  conditionMask,
  eulerSigmas,
  type FlowDenoiserOptions,
  type FlowNetwork,
  firstFrames,
  flowDenoiser,
  flowSigmas,
  noise,
  PREDICT2_5_UNIPC,
  PREDICT2_EULER,
  type SamplerStep,
  sampleEuler,
  sampleUniPc,
  velocityDenoiser,
} from '../../sampling/index.ts';
import type { Component } from './component.ts';
import type { DiffusionModel, SampleWorldOptions, WorldStep } from './diffusion-model.ts';
import { openDitEvaluations } from './evaluate-dit.ts';
import { openSessions } from './sessions.ts';

/** Opens a transformer; graphs are compiled at first use, by size. `fps` of a sample is left out for pictures and for Predict2.5. */
export function openFlowModel(options: {
  readonly runtime: Runtime;
  readonly component: Component<GeneralDitConfig>;
}): DiffusionModel {
  const { runtime, component } = options;
  const { config } = component;
  const extra = config.inChannels - config.outChannels;
  if (config.flow === undefined || config.views !== undefined || (extra !== 0 && extra !== 1)) {
    throw new OrreryError(
      'unsupported',
      `a rectified-flow transformer of ${config.inChannels} input and ${config.outChannels} output channels${config.views === undefined ? '' : ' and several views'}: can run one view with 0 or 1 (given frames) more`,
    );
  }
  const isLater = config.flow === 'predict2.5';
  const takesFrames = extra === 1;
  const sessions = openSessions(runtime, component, 'diffusion transformer', 1);

  async function* sample(o: SampleWorldOptions): AsyncGenerator<WorldStep, void, void> {
    const { size, seed, guidance = 7, signal } = o;
    const shape = [1, config.outChannels, size.t, size.h, size.w];
    const count = sizeOf(shape);
    const denoising: FlowDenoiserOptions = { shape, guidance, ...conditionOf(o, shape) };
    const network = await networkOf(o, shape, denoising.condition?.indicator);
    const start = noise(count, { seed, stream: 'start' });
    const stop = signal === undefined ? {} : { signal };
    const run: AsyncGenerator<SamplerStep, void, void> = isLater
      ? sampleUniPc(velocityDenoiser(network, denoising), start, {
          levels: flowSigmas({ ...PREDICT2_5_UNIPC, ...(o.steps === undefined ? {} : { steps: o.steps }) }),
          ...stop,
        })
      : sampleEuler(
          flowDenoiser(network, denoising),
          start.map((v) => v * PREDICT2_EULER.sigmaMax),
          { sigmas: eulerSigmas({ ...PREDICT2_EULER, ...(o.steps === undefined ? {} : { steps: o.steps }) }), ...stop },
        );
    for await (const s of run) {
      yield {
        step: s.step,
        total: s.total,
        sigma: s.sigma,
        latents: () => Float32Array.from(s.step === s.total ? s.x : s.denoised),
      };
    }
  }

  function conditionOf(o: SampleWorldOptions, shape: readonly number[]): Pick<FlowDenoiserOptions, 'condition'> {
    const { given } = o;
    for (const name of ['cameraRays', 'trajectory', 'action', 'frameRepeat'] as const) {
      if (o[name] !== undefined)
        throw new InputError(name, { got: 'given', need: 'none', why: 'this model does not take it' });
    }
    if (given === undefined) return {};
    if (!takesFrames) {
      throw new InputError('input', {
        got: 'given frames',
        need: 'none',
        why: 'this model takes no frames; use a Video2World one',
      });
    }
    if (given.data.length !== sizeOf(shape)) {
      throw new InputError('given latents', {
        got: `${given.data.length} values`,
        need: `${sizeOf(shape)} of shape [${shape}]`,
      });
    }
    return { condition: { latent: given.data, indicator: firstFrames(shape[2]!, given.frames) } };
  }

  async function networkOf(
    o: SampleWorldOptions,
    shape: readonly number[],
    indicator: readonly number[] | undefined,
  ): Promise<FlowNetwork> {
    const [, , t, h, w] = shape as [number, number, number, number, number];
    const fixed: Record<string, NdArray> = {
      // Plain positions for pictures; the later models were trained without a rate.
      ...(isLater || t === 1 ? {} : { fps: f32([1], [o.fps]) }),
      ...(config.hasPaddingMask ? { paddingMask: f32([1, 1, h, w]) } : {}),
      ...(takesFrames
        ? { conditionMask: f32([1, 1, t, h, w], conditionMask(shape, indicator ?? new Array<number>(t).fill(0))) }
        : {}),
    };
    const evaluate = await openDitEvaluations({
      component,
      sessions,
      fixed,
      example: { x: f32(shape), timesteps: f32([1, t]) },
      context: o.context,
      negative: o.negative,
      signal: o.signal,
    });
    return (x, times, branches) => evaluate({ x: f32(shape, x), timesteps: f32([1, t], times) }, branches);
  }

  return { config, takesFrames, sample, dispose: sessions.dispose, [Symbol.asyncDispose]: sessions.dispose };
}
