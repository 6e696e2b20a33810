// Whole sampling runs with a diffusion transformer: the loops of the inference scripts (Euler) and of the training tree (RES).
import { f32, type NdArray, sizeOf } from '../../../base/index.ts';
import type { Runtime } from '../../../runtime/index.ts';
import {
  conditionMask,
  eulerSigmas,
  eulerStartScale,
  firstFrames,
  guidedDenoiser,
  type LatentCondition,
  type Network,
  resSolverSigmas,
  sampleEuler,
  sampleRes,
  scriptsPrepare,
} from '../../../sampling/index.ts';
import { inputOf, isRecord, numberOf, type ParityCase } from '../case.ts';
import { inputsFor, type LoadedNet, loadNet, strictWeights } from '../engine.ts';
import { ditConfig, ditFrom, isUnusedDitKey } from './diffusion-net.ts';
import type { CaseKind } from './kind.ts';
import { finalSigma, resOptions, resSolver, sigmaPairs, stacked } from './sampling.ts';

export const sampledNet: CaseKind = {
  name: 'sampling run',
  matches: (c) =>
    c.weights.size > 0 && c.outputs.has('sample') && (c.inputs.has('unit_noise') || c.inputs.has('x_sigma_max')),
  async run(c, runtime) {
    const shape = inputOf(c, c.inputs.has('unit_noise') ? 'unit_noise' : 'x_sigma_max').shape;
    const condition = conditionOf(c, shape);
    const { network, net } = await loadNetwork(c, runtime, shape, condition);
    try {
      return c.inputs.has('unit_noise') ? await euler(c, network, condition) : await res(c, network, condition);
    } finally {
      await net.dispose();
    }
  },
};

/** Given frames of a Video2World run. */
function conditionOf(c: ParityCase, shape: readonly number[]): LatentCondition | undefined {
  if (!c.inputs.has('condition_latent')) return undefined;
  const views = typeof c.options.n_views === 'number' ? c.options.n_views : 1;
  return {
    shape,
    latent: inputOf(c, 'condition_latent').data,
    noise: inputOf(c, 'condition_noise').data,
    indicator: firstFrames(shape[2]!, numberOf(c, 'num_condition_latent_frames'), views),
    sigmaAug: numberOf(c, 'augment_sigma'),
  };
}

/** The network with its two branches; one run per branch. */
async function loadNetwork(
  c: ParityCase,
  runtime: Runtime,
  shape: readonly number[],
  condition: LatentCondition | undefined,
): Promise<{ network: Network; net: LoadedNet }> {
  const batch = shape[0]!;
  const cond = inputOf(c, c.inputs.has('context_cond') ? 'context_cond' : 'context');
  const fixed: Record<string, NdArray> = {};
  for (const name of ['fps', 'padding_mask', 'condition_video_pose', 'trajectory', 'action']) {
    const array = c.inputs.get(name);
    if (array !== undefined) fixed[name] = array;
  }
  // The pipelines take counts; the conditioner hands tenths to the network.
  const repeats = c.inputs.has('frame_repeat') ? inputOf(c, 'frame_repeat') : undefined;
  if (repeats !== undefined)
    fixed.frame_repeat = f32(
      repeats.shape,
      repeats.data.map((v) => v / 10),
    );
  const maskShape = [batch, 1, ...shape.slice(2)];
  const mask = (isDropped: boolean): Record<string, NdArray> =>
    condition === undefined
      ? {}
      : { condition_video_input_mask: f32(maskShape, conditionMask(shape, condition.indicator, isDropped)) };
  const isDroppedInUncond = (c.options.drop_condition_in_uncond_mask ?? c.options.drop_condition_in_uncond) === true;
  const branchFeeds = {
    cond: { ...fixed, crossattn_emb: cond, ...mask(false) },
    uncond: { ...fixed, crossattn_emb: unconditional(c, cond, condition !== undefined), ...mask(isDroppedInUncond) },
  };

  const example = { ...branchFeeds.cond, x: f32(shape), timesteps: f32([batch]) };
  const strict = strictWeights(c.weights);
  const output = ditFrom(inputsFor(example), ditConfig(c), strict.weights);
  strict.check(isUnusedDitKey);
  const net = await loadNet(runtime, { output }, c.weights);
  const network: Network = async (x, cNoise, branches) => {
    const results: Float32Array[] = [];
    for (const branch of branches) {
      const timesteps = f32([batch], new Float32Array(batch).fill(cNoise));
      const { output } = await net.run({ ...branchFeeds[branch], x: f32(shape, x), timesteps });
      results.push(output!.data as Float32Array);
    }
    return results;
  };
  return { network, net };
}

/** Negative prompt if there is one. Without: zeros, except that single-view Video2World then repeats the prompt, as the scripts do. */
function unconditional(c: ParityCase, cond: NdArray, isVideoToWorld: boolean): NdArray {
  const stated = c.inputs.get('context_negative') ?? c.inputs.get('context_uncond');
  if (stated !== undefined) return stated;
  const isMultiView = typeof c.options.n_views === 'number' && c.options.n_views > 1;
  return isVideoToWorld && !isMultiView ? cond : f32(cond.shape, new Float32Array(sizeOf(cond.shape)));
}

async function euler(
  c: ParityCase,
  network: Network,
  condition: LatentCondition | undefined,
): Promise<Record<string, NdArray>> {
  const unit = inputOf(c, 'unit_noise');
  const plan = isRecord(c.options.scheduler) ? c.options.scheduler : {};
  const sigmaMax = Number(plan.sigma_max ?? 80);
  const sigmas = eulerSigmas({
    steps: numberOf(c, 'num_steps'),
    sigmaMin: Number(plan.sigma_min ?? 0.0002),
    sigmaMax,
    rho: Number(plan.rho ?? 7),
    final: finalSigma(plan.final ?? 'zero'),
  });
  const base = { guidance: numberOf(c, 'guidance') };
  const denoise = guidedDenoiser(network, condition ? { ...base, condition, replacement: 'scripts' } : base);
  const start = unit.data.map((v) => v * eulerStartScale(sigmaMax));
  const composed: Float64Array[] = [];
  const compose = condition && scriptsPrepare(condition);
  const prepare = (x: Float64Array, sigma: number): Float64Array => {
    const y = compose ? compose(x, sigma) : x;
    composed.push(y);
    return y;
  };
  const states: Float64Array[] = [];
  for await (const step of sampleEuler(denoise, start, { sigmas, prepare })) states.push(step.x);
  return {
    sample: f32(unit.shape, Float32Array.from(states[states.length - 1]!)),
    states: stacked([composed[0]!, ...states], unit.shape),
    'debug.composed_input_per_step': stacked(composed, unit.shape),
  };
}

async function res(
  c: ParityCase,
  network: Network,
  condition: LatentCondition | undefined,
): Promise<Record<string, NdArray>> {
  const start = inputOf(c, 'x_sigma_max');
  const options = {
    ...resOptions(c.options),
    steps: numberOf(c, 'num_steps'),
    solver: resSolver(c.options.solver ?? '2ab'),
  };
  const guidance = numberOf(c, 'guidance');
  const given = condition === undefined ? {} : { condition };
  const guided = guidedDenoiser(network, { guidance, ...given });
  const cond = guidedDenoiser(network, given);
  const uncond = guidedDenoiser((x, noise, _, step) => network(x, noise, ['uncond'], step), given);

  const states: Float64Array[] = [];
  for await (const step of sampleRes(guided, start.data, options)) states.push(step.x);
  const sigmas = resSolverSigmas(options);
  const at = async (denoise: typeof cond): Promise<NdArray> =>
    f32(start.shape, await denoise(start.data, sigmas[0]!, 0));
  return {
    sample: f32(start.shape, Float32Array.from(states[states.length - 1]!)),
    states: stacked(states.slice(0, -1), start.shape),
    sigma_cur_next: sigmaPairs(sigmas),
    x0_cond_at_sigma_max: await at(cond),
    x0_uncond_at_sigma_max: await at(uncond),
    x0_guided_at_sigma_max: await at(guided),
  };
}
