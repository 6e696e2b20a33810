// The samplers and scalars against stored values of the reference implementation (PyTorch and NumPy on a CPU).
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { openSafetensors, type SafetensorsFile } from '../formats/index.ts';
import {
  composeCondition,
  type Denoiser,
  denoisedFrom,
  edmLossWeight,
  edmScalings,
  eulerSigmas,
  eulerStartScale,
  firstFrames,
  guide,
  guideTwo,
  type LatentCondition,
  type LearningRateCycle,
  learningRateMultiplier,
  mt19937,
  numpyNormal,
  outputFrom,
  powerEmaBeta,
  powerEmaExponent,
  type ResSolver,
  replaceOutput,
  resSigmas,
  resSolverSigmas,
  sampleEuler,
  sampleRes,
  sigmaFromUniform,
  torchNormal,
} from './index.ts';

const folder = fileURLToPath(new URL('../../../shared/parity/diffusion', import.meta.url));
const isAbsent = !existsSync(folder);
if (isAbsent) console.log(`parity tests of sampling skipped: ${folder} is not there`);

const open = (name: string): SafetensorsFile => openSafetensors(`${folder}/${name}.safetensors`);
const numbers = (file: SafetensorsFile, name: string): number[] => Array.from(file.read(name).data, Number);
const meta = <T>(file: SafetensorsFile, key: string): T => JSON.parse(file.metadata.get(key)!) as T;

const worst = new Map<string, number>();

/** Fails when ‖got − want‖₂ / ‖want‖₂ exceeds the tolerance; remembers the worst value of each case. */
function close(file: SafetensorsFile, name: string, got: ArrayLike<number>, tolerance = 1e-4): void {
  const want = numbers(file, `output.${name}`);
  expect(got.length, name).toBe(want.length);
  let error = 0;
  let size = 0;
  for (const [i, w] of want.entries()) {
    error += (got[i]! - w) ** 2;
    size += w ** 2;
  }
  const relative = Math.sqrt(error / size);
  const key = file.metadata.get('case')!;
  worst.set(key, Math.max(worst.get(key) ?? 0, relative));
  expect(relative, `${key} ${name}`).toBeLessThanOrEqual(tolerance);
}

/** Posterior mean of a mixture of two Gaussians of variance 0.09 at ±mu. */
function mixtureDenoiser(mu: readonly number[]): Denoiser {
  return async (x, sigma) => {
    const v = 0.09 + sigma * sigma;
    return x.map((value, i) => {
      const m = mu[i % mu.length]!;
      return (0.09 / v) * value + ((sigma * sigma) / v) * m * Math.tanh((m * value) / v);
    });
  };
}

describe.skipIf(isAbsent)('parity with the reference', () => {
  test.each(['edm_scalings', 'edm_scalings_sd1'])('%s', (name) => {
    const file = open(name);
    const sigmaData = Number(file.metadata.get('sigma_data'));
    const sigmas = numbers(file, 'input.sigma');
    const all = sigmas.map((s) => edmScalings(s, sigmaData));
    close(
      file,
      'c_skip',
      all.map((s) => s.cSkip),
      1e-6,
    );
    close(
      file,
      'c_out',
      all.map((s) => s.cOut),
      1e-6,
    );
    close(
      file,
      'c_in',
      all.map((s) => s.cIn),
      1e-6,
    );
    close(
      file,
      'c_noise',
      all.map((s) => s.cNoise),
      1e-6,
    );
    close(
      file,
      'loss_weight',
      sigmas.map((s) => edmLossWeight(s, sigmaData)),
      1e-6,
    );
  });

  test('sigma_schedules', () => {
    const file = open('sigma_schedules');
    for (const [i, [sigmaMin, sigmaMax, steps, rho]] of meta<[number, number, number, number][]>(
      file,
      'res',
    ).entries()) {
      close(file, `res_${i}`, resSigmas({ sigmaMin, sigmaMax, steps, rho }), 1e-6);
    }
    const euler = meta<[number, number, 'zero' | 'sigma_min', number][]>(file, 'euler');
    for (const [i, [sigmaMin, sigmaMax, final, steps]] of euler.entries()) {
      const sigmas = eulerSigmas({ sigmaMin, sigmaMax, steps, final: final === 'zero' ? 'zero' : 'sigmaMin' });
      close(file, `euler_sigmas_${i}`, sigmas, 1e-6);
      close(
        file,
        `euler_timesteps_${i}`,
        Array.from(sigmas.slice(0, -1), (s) => edmScalings(s).cNoise),
        1e-6,
      );
      close(file, `euler_init_noise_sigma_${i}`, [eulerStartScale(sigmaMax)], 1e-6);
    }
  });

  test('sampler_euler_analytic', async () => {
    const file = open('sampler_euler_analytic');
    const clean = mixtureDenoiser(numbers(file, 'input.mu'));
    // Through the network output and back, as the reference does.
    const denoise: Denoiser = async (x, sigma, step) => {
      const scalings = edmScalings(sigma);
      return denoisedFrom(x, outputFrom(x, await clean(x, sigma, step), scalings), scalings);
    };
    const unit = numbers(file, 'input.unit_noise');
    const specs = meta<[number, number, string, number][]>(file, 'specs');
    for (const [i, [sigmaMin, sigmaMax, final, steps]] of specs.entries()) {
      const sigmas = eulerSigmas({ sigmaMin, sigmaMax, steps, final: final === 'zero' ? 'zero' : 'sigmaMin' });
      const start = Float64Array.from(unit, (v) => v * eulerStartScale(sigmaMax));
      const states = [...start];
      for await (const step of sampleEuler(denoise, start, { sigmas })) states.push(...step.x);
      close(file, `states_${i}`, states);
    }
  });

  test('sampler_res_analytic', async () => {
    const file = open('sampler_res_analytic');
    const denoise = mixtureDenoiser(numbers(file, 'input.mu'));
    const start = file.readF64('input.x_sigma_max');
    for (const [i, { n, opt }] of meta<{ n: number; opt: ResSolver }[]>(file, 'runs').entries()) {
      const states: number[] = [];
      let last: Float64Array = start;
      for await (const step of sampleRes(denoise, start, { steps: n, solver: opt })) {
        if (step.step < step.total) states.push(...step.x);
        last = step.x;
      }
      close(file, `states_${i}`, states);
      close(file, `sample_${i}`, last);
      const sigmas = resSolverSigmas({ steps: n, solver: opt });
      close(file, `sigma_cur_next_${i}`, Array.from(sigmas.slice(1), (t, k) => [sigmas[k]!, t]).flat(), 1e-6);
    }
  });

  test('cfg', () => {
    const file = open('cfg');
    const [cond, uncond, other] = ['cond', 'uncond', 'other'].map((n) =>
      Float32Array.from(numbers(file, `input.${n}`)),
    );
    const [low, high] = meta<[number, number]>(file, 'guidance');
    close(file, 'guided_1.5', guide(cond!, uncond!, low));
    close(file, 'guided_7.0', guide(cond!, uncond!, high));
    close(file, 'guided_two_terms', guideTwo(cond!, uncond!, other!, low, high));
  });

  test('rng', () => {
    const file = open('rng');
    for (const seed of meta<number[]>(file, 'seeds')) {
      close(file, `numpy_randomstate_${seed}`, numpyNormal(seed, 1003), 1e-7);
      close(file, `torch_cpu_randn_${seed}`, torchNormal(seed, 1003), 1e-6);
      close(file, `torch_cpu_randn_${seed}_first10_of_10`, torchNormal(seed, 10), 1e-6);
    }
    const next = mt19937(0);
    expect(Array.from({ length: 32 }, next)).toEqual(numbers(file, 'output.mt19937_raw_u32_seed_0'));
  });

  test('training_scalars', () => {
    const file = open('training_scalars');
    const iterations = numbers(file, 'input.iterations');
    const exponent = powerEmaExponent(Number(file.metadata.get('ema_rate_s')));
    close(file, 'power_ema_exponent', [exponent], 1e-5);
    close(
      file,
      'power_ema_beta',
      iterations.map((i) => powerEmaBeta(i, exponent)),
      1e-5,
    );
    const linear = meta<Record<string, number[]>>(file, 'lr_linear');
    const linearCycle: LearningRateCycle = {
      shape: 'linear',
      warmUp: linear.warm_up_steps![0]!,
      length: linear.cycle_lengths![0]!,
      start: linear.f_start![0]!,
      max: linear.f_max![0]!,
      min: linear.f_min![0]!,
    };
    close(
      file,
      'lr_multiplier',
      iterations.map((i) => learningRateMultiplier(i, linearCycle)),
      1e-5,
    );
    const cosine = meta<Record<string, number>>(file, 'lr_cosine');
    const cosineCycle: LearningRateCycle = {
      shape: 'cosine',
      warmUp: cosine.warm_up_steps!,
      length: cosine.cycle_length!,
      start: cosine.f_start!,
      max: cosine.f_max!,
      min: cosine.f_min!,
    };
    close(
      file,
      'lr_multiplier_cosine',
      iterations.map((i) => learningRateMultiplier(i, cosineCycle)),
      1e-5,
    );
    const [mean, std, multiplier] = ['p_mean', 'p_std', 'multiplier'].map((k) => Number(file.metadata.get(k)));
    const sigma = numbers(file, 'input.uniform').map((u) => sigmaFromUniform(u, { mean, std, multiplier }));
    // The reference takes the quantile in float32, where 1 - u at u = 0.9999 has only three digits: the stated 1e-4.
    close(file, 'sigma', sigma, 1e-4);
  });

  // The networks of these cases are tested elsewhere; what the sampler does with the given frames needs no network.
  test.each(['pipeline_v2w', 'pipeline_v2w_aug', 'pipeline_mv_v2w'])('%s: given frames', (name) => {
    const file = open(name);
    const latent = file.read('input.condition_latent');
    const [, C, T, H, W] = latent.shape as [number, number, number, number, number];
    const noise = Float32Array.from(numpyNormal(Number(file.metadata.get('condition_noise_seed')), latent.data.length));
    const given = numbers(file, 'input.condition_noise');
    expect(Math.max(...given.map((v, i) => Math.abs(v - noise[i]!)))).toBeLessThan(1e-6);
    const views = Number(JSON.parse(file.metadata.get('n_views') ?? 'null') ?? 1);
    const condition: LatentCondition = {
      shape: latent.shape,
      latent: latent.data as Float32Array,
      noise,
      indicator: firstFrames(T, Number(file.metadata.get('num_condition_latent_frames')), views),
      sigmaAug: Number(file.metadata.get('augment_sigma')),
    };
    const steps = Number(file.metadata.get('num_steps'));
    const sigmas = eulerSigmas({ steps, sigmaMin: 0.0002, sigmaMax: 80, final: 'zero' });
    const states = file.read('output.states').data as Float32Array;
    const size = C * T * H * W;
    const composed: number[] = [];
    for (let k = 0; k < steps; k++) {
      // Row 0 is already composed, and composing again changes nothing.
      const x = composeCondition(states.slice(k * size, (k + 1) * size), sigmas[k]!, condition);
      composed.push(...x);
      // The given frames after a step follow from x and G alone while the condition holds.
      if (sigmas[k]! <= condition.sigmaAug) continue;
      const scalings = edmScalings(sigmas[k]!);
      const denoised = denoisedFrom(x, replaceOutput(new Float32Array(size), x, sigmas[k]!, condition), scalings);
      const ratio = (sigmas[k + 1]! - sigmas[k]!) / sigmas[k]!;
      let error = 0;
      let norm = 0;
      for (let i = 0; i < size; i++) {
        if (!condition.indicator[Math.floor(i / (H * W)) % T]) continue;
        const want = states[(k + 1) * size + i]!;
        error += (x[i]! + (x[i]! - denoised[i]!) * ratio - want) ** 2;
        norm += want ** 2;
      }
      expect(Math.sqrt(error / norm)).toBeLessThan(1e-4);
    }
    close(file, 'debug.composed_input_per_step', composed);
  });

  test('worst relative L2 of each case', () => {
    for (const [name, value] of worst) console.log(`${name.padEnd(26)} ${value.toExponential(1)}`);
    expect(worst.size).toBeGreaterThan(0);
  });
});
