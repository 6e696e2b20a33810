// The diffusion decoder: one evaluation with and without its conditions, the whole sampler, windows and blending.
import { f32, InputError, type NdArray, sizeOf } from '../../../base/index.ts';
import { type Tensor, transpose } from '../../../graph/index.ts';
import { blendWindows, codeWindows, generalDit, generalDitConfig, scoped } from '../../../nets/index.ts';
import {
  edmScalings,
  eulerSigmas,
  eulerStartScale,
  guidedDenoiser,
  type Network,
  sampleEuler,
} from '../../../sampling/index.ts';
import { inputOf, isRecord, type ParityCase } from '../case.ts';
import { inputsFor, type LoadedNet, loadNet, strictWeights } from '../engine.ts';
import { isUnusedDitKey } from './diffusion-net.ts';
import type { CaseKind } from './kind.ts';

/** Options of the run beside those of the network. */
const RUN_OPTIONS = new Set(
  'guidance init_noise_sigma num_steps padding_mask rho sigma_data sigma_max sigma_min timestep_is'.split(' '),
);

/** Values of the first evaluation by stored name. */
const TAPS: Readonly<Record<string, string>> = {
  x_embedder_BTHWD: 'debug.patch_embedded_BTHWD',
  patch_input_channels: 'debug.patch_input_channels',
};

export const diffusionDecoder: CaseKind = {
  name: 'diffusion decoder',
  matches: (c) => c.config.diffusion_decoder_condition_on_token === true && c.weights.size > 0,
  async run(c, runtime) {
    const config = generalDitConfig(
      Object.fromEntries(Object.entries(c.config).filter(([name]) => !RUN_OPTIONS.has(name))),
    );
    const x = inputOf(c, c.inputs.has('x') ? 'x' : 'noise');
    const codes = c.inputs.get('tokens');
    if (codes === undefined) throw new InputError(`${c.name}: input.tokens`, { got: undefined, need: 'codes' }, 'data');
    const ids: NdArray = {
      dtype: 'i32',
      shape: codes.shape,
      data: Int32Array.from(Array.from(codes.data as ArrayLike<number | bigint>, Number)),
    };
    const [b, , , h, w] = x.shape as [number, number, number, number, number];
    const mask = c.inputs.has('padding_mask') ? inputOf(c, 'padding_mask') : f32([1, 1, 8 * h, 8 * w]);
    const feeds: Record<string, NdArray> = {
      x,
      timesteps: c.inputs.has('timestep') ? inputOf(c, 'timestep') : f32([b]),
      context: inputOf(c, 'crossattn_emb'),
      paddingMask: mask,
      codes: ids,
      ...(c.inputs.has('fps') ? { fps: inputOf(c, 'fps') } : {}),
    };
    const strict = strictWeights(c.weights);
    const outputs: Record<string, Tensor> = {};
    outputs.net = generalDit(inputsFor(feeds) as never, config, scoped(strict.weights, 'net'), (name, value) => {
      const block = /^block(\d+)_out_BTHWD$/.exec(name)?.[1];
      const stored = block === undefined ? TAPS[name] : `debug.block${block}.out_THWBD`;
      if (stored === undefined || !c.outputs.has(stored)) return;
      outputs[stored] = block === undefined ? value : transpose(value, [1, 2, 3, 0, 4]);
    });
    strict.check(isUnusedDitKey);
    const net = await loadNet(runtime, outputs, c.weights);
    try {
      const first = await net.run(feeds);
      const without = await net.run({ ...feeds, ...unconditional(feeds) });
      return { ...first, net_uncond: without.net!, ...(c.inputs.has('noise') ? await sampled(c, net, feeds) : {}) };
    } finally {
      await net.dispose();
    }
  },
};

/** Zero text, and code 0 everywhere. */
function unconditional(feeds: Readonly<Record<string, NdArray>>): Record<string, NdArray> {
  const { context, codes } = feeds as { context: NdArray; codes: NdArray };
  return {
    context: f32(context.shape),
    codes: { dtype: 'i32', shape: codes.shape, data: new Int32Array(sizeOf(codes.shape)) },
  };
}

async function sampled(
  c: ParityCase,
  net: LoadedNet,
  feeds: Readonly<Record<string, NdArray>>,
): Promise<Record<string, NdArray>> {
  const number = (name: string, standard: number): number =>
    typeof c.config[name] === 'number' ? (c.config[name] as number) : standard;
  const noise = inputOf(c, 'noise');
  const sigmaMax = number('sigma_max', 80);
  const steps = number('num_steps', 15);
  const sigmas = eulerSigmas({
    steps,
    sigmaMin: number('sigma_min', 0.02),
    sigmaMax,
    rho: number('rho', 7),
    final: 'zero',
  });
  const batch = noise.shape[0]!;
  const network: Network = async (x, cNoise, branches) => {
    const timesteps = f32([batch], new Float32Array(batch).fill(cNoise));
    const results: Float32Array[] = [];
    for (const branch of branches) {
      const given = branch === 'cond' ? feeds : { ...feeds, ...unconditional(feeds) };
      results.push((await net.run({ ...given, x: f32(noise.shape, x), timesteps })).net!.data as Float32Array);
    }
    return results;
  };
  const start = noise.data.map((v) => v * eulerStartScale(sigmaMax));
  const states: Float64Array[] = [];
  const denoise = guidedDenoiser(network, { guidance: number('guidance', 1.8) });
  for await (const step of sampleEuler(denoise, start, { sigmas })) states.push(step.x);
  const at = (i: number): NdArray => f32(noise.shape, Float32Array.from(states[i]!));
  const levels = Float32Array.from(sigmas);
  return {
    sample: at(states.length - 1),
    sigmas: f32([levels.length], levels),
    timesteps: f32(
      [steps],
      Float32Array.from(sigmas.slice(0, steps), (s) => edmScalings(s).cNoise),
    ),
    ...Object.fromEntries(states.map((_, i) => [`debug.xt_after_step${i}`, at(i)])),
  };
}

export const decoderWindows: CaseKind = {
  name: 'windows of the diffusion decoder',
  matches: (c) => Array.isArray(c.config.cases) && c.outputs.has('c0.chunk0') && c.inputs.has('c0.tokens'),
  async run(c) {
    const out: Record<string, NdArray> = {};
    const cases: readonly unknown[] = Array.isArray(c.config.cases) ? c.config.cases : [];
    for (const [i, options] of cases.entries()) {
      if (!isRecord(options)) throw new InputError('cases', { got: options, need: 'records' }, 'data');
      const overlap = Number(options.overlap ?? 2);
      const tokens = c.inputs.get(`c${i}.tokens`);
      if (tokens === undefined)
        throw new InputError(`${c.name}: input.c${i}.tokens`, { got: undefined, need: 'codes' }, 'data');
      for (const [k, { frames }] of codeWindows(tokens.shape[2]!, {
        window: Number(options.chunk ?? 8),
        overlap,
      }).entries()) {
        out[`c${i}.chunk${k}`] = pickFrames(tokens, frames);
      }
      const videos: NdArray[] = [];
      while (c.inputs.has(`c${i}.video${videos.length}`)) videos.push(inputOf(c, `c${i}.video${videos.length}`));
      if (videos.length > 0) out[`c${i}.blended`] = blendWindows(videos, overlap, 'literal');
    }
    return out;
  },
};

/** Frames of codes [1, 1, T, h, w]. */
function pickFrames(tokens: NdArray, frames: readonly number[]): NdArray {
  const [b, c, t, h, w] = tokens.shape as [number, number, number, number, number];
  const source = Array.from(tokens.data as ArrayLike<number | bigint>, BigInt);
  const area = h * w;
  const picked = Array.from({ length: b * c }, (_, plane) =>
    frames.map((f) => source.slice((plane * t + f) * area, (plane * t + f + 1) * area)),
  );
  const data = BigInt64Array.from(picked.flat(2));
  return { dtype: 'i64', shape: [b, c, frames.length, h, w], data };
}
