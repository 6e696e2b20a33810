// Sampling mathematics without networks: solvers on an analytic denoiser, schedules, scalings, guidance, random streams, training scalars.
import { f32, InputError, type NdArray } from '../../../base/index.ts';
import {
  cyclicMultiplier,
  type Denoiser,
  edmLossWeight,
  edmScalings,
  eulerSigmas,
  eulerStartScale,
  guide,
  guideTwo,
  type LearningRateCycle,
  mt19937,
  numpyNormal,
  powerEmaBeta,
  powerEmaExponent,
  RES_SOLVERS,
  type ResSolver,
  resSigmas,
  resSolverSigmas,
  sampleEuler,
  sampleRes,
  sigmaFromUniform,
  torchNormal,
} from '../../../sampling/index.ts';
import { inputOf, isRecord, numberOf, type ParityCase } from '../case.ts';
import type { CaseKind } from './kind.ts';

const vector = (values: ArrayLike<number>): NdArray => f32([values.length], Float32Array.from(values));

/** States one under the other: [rows, ...shape]. */
export function stacked(rows: readonly ArrayLike<number>[], shape: readonly number[]): NdArray {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = new Float32Array(rows.length * size);
  for (const [i, row] of rows.entries()) data.set(row, i * size);
  return f32([rows.length, ...shape], data);
}

/** Pairs (σ_i, σ_{i+1}). */
export const sigmaPairs = (sigmas: ArrayLike<number>): NdArray =>
  f32([sigmas.length - 1, 2], Array.from({ length: sigmas.length - 1 }, (_, i) => [sigmas[i]!, sigmas[i + 1]!]).flat());

/** Checks the name of a solver. */
export function resSolver(name: unknown): ResSolver {
  if (!RES_SOLVERS.includes(name as ResSolver)) {
    throw new InputError('solver', { got: name, need: `one of ${RES_SOLVERS.join(', ')}` }, 'unsupported');
  }
  return name as ResSolver;
}

/** "zero" or "sigma_min", the last value of an Euler schedule. */
export function finalSigma(name: unknown): 'zero' | 'sigmaMin' {
  if (name === 'zero') return 'zero';
  if (name === 'sigma_min') return 'sigmaMin';
  throw new InputError('final sigma', { got: name, need: '"zero" or "sigma_min"' }, 'unsupported');
}

/** Posterior mean of an equal mixture of N(±μ, s²): D = s²/v·x + σ²/v·μ·tanh(μ·x/v), v = s² + σ²; elementwise, μ repeats over the batch. */
function mixtureDenoiser(c: ParityCase): Denoiser {
  const mu = inputOf(c, 'mu').data;
  const stated = /s2\s*=\s*([0-9.]+)/.exec(String(c.options.denoiser ?? ''))?.[1];
  const s2 = stated === undefined ? 0.09 : Number(stated);
  return async (x, sigma) => {
    const v = s2 + sigma * sigma;
    return x.map((value, i) => {
      const m = mu[i % mu.length]!;
      return (s2 / v) * value + ((sigma * sigma) / v) * m * Math.tanh((m * value) / v);
    });
  };
}

const lists = (c: ParityCase, name: string): readonly unknown[] => {
  const value = c.options[name];
  if (!Array.isArray(value)) throw new InputError(`${c.name}: option ${name}`, { got: value, need: 'a list' }, 'data');
  return value;
};

export const analyticSampler: CaseKind = {
  name: 'sampler on an analytic denoiser',
  matches: (c) => c.inputs.has('mu') && (c.inputs.has('unit_noise') || c.inputs.has('x_sigma_max')),
  async run(c) {
    const denoise = mixtureDenoiser(c);
    const out: Record<string, NdArray> = {};
    if (c.inputs.has('unit_noise')) {
      const unit = inputOf(c, 'unit_noise');
      for (const [i, spec] of lists(c, 'specs').entries()) {
        const [sigmaMin, sigmaMax, final, steps] = spec as [number, number, string, number];
        const start = unit.data.map((v) => v * eulerStartScale(sigmaMax));
        const sigmas = eulerSigmas({ sigmaMin, sigmaMax, steps, final: finalSigma(final) });
        const states: ArrayLike<number>[] = [start];
        for await (const step of sampleEuler(denoise, start, { sigmas })) states.push(step.x);
        out[`states_${i}`] = stacked(states, unit.shape);
      }
      return out;
    }
    const start = inputOf(c, 'x_sigma_max');
    for (const [i, run] of lists(c, 'runs').entries()) {
      if (!isRecord(run)) throw new InputError('runs', { got: run, need: 'records with n and opt' }, 'data');
      const options = { ...resOptions(run), steps: Number(run.n), solver: resSolver(run.opt) };
      const rows: Float64Array[] = [];
      for await (const step of sampleRes(denoise, start.data, options)) rows.push(step.x);
      out[`sample_${i}`] = f32(start.shape, Float32Array.from(rows[rows.length - 1]!));
      out[`states_${i}`] = stacked(rows.slice(0, -1), start.shape);
      out[`sigma_cur_next_${i}`] = sigmaPairs(resSolverSigmas(options));
    }
    return out;
  },
};

/** σ range of a RES run where the case states one. */
export function resOptions(options: Readonly<Record<string, unknown>>): {
  sigmaMin?: number;
  sigmaMax?: number;
  rho?: number;
} {
  const out: { sigmaMin?: number; sigmaMax?: number; rho?: number } = {};
  if (typeof options.sigma_min === 'number') out.sigmaMin = options.sigma_min;
  if (typeof options.sigma_max === 'number') out.sigmaMax = options.sigma_max;
  if (typeof options.rho === 'number') out.rho = options.rho;
  return out;
}

export const schedules: CaseKind = {
  name: 'noise schedules',
  matches: (c) => c.outputs.has('res_0') || c.outputs.has('euler_sigmas_0'),
  async run(c) {
    const out: Record<string, NdArray> = {};
    for (const [i, spec] of (c.options.res === undefined ? [] : lists(c, 'res')).entries()) {
      const [sigmaMin, sigmaMax, steps, rho] = spec as [number, number, number, number];
      out[`res_${i}`] = vector(resSigmas({ sigmaMin, sigmaMax, steps, rho }));
    }
    for (const [i, spec] of (c.options.euler === undefined ? [] : lists(c, 'euler')).entries()) {
      const [sigmaMin, sigmaMax, final, steps] = spec as [number, number, string, number];
      const sigmas = eulerSigmas({ sigmaMin, sigmaMax, steps, final: finalSigma(final) });
      out[`euler_sigmas_${i}`] = vector(sigmas);
      out[`euler_timesteps_${i}`] = vector(sigmas.slice(0, steps).map((s) => edmScalings(s).cNoise));
      out[`euler_init_noise_sigma_${i}`] = vector([eulerStartScale(sigmaMax)]);
    }
    return out;
  },
};

export const edm: CaseKind = {
  name: 'EDM scalings',
  matches: (c) => c.outputs.has('c_skip') && c.inputs.has('sigma'),
  async run(c) {
    const sigmaData = numberOf(c, 'sigma_data', 0.5);
    const sigmas = Array.from(inputOf(c, 'sigma').data);
    const all = sigmas.map((s) => edmScalings(s, sigmaData));
    return {
      c_skip: vector(all.map((s) => s.cSkip)),
      c_out: vector(all.map((s) => s.cOut)),
      c_in: vector(all.map((s) => s.cIn)),
      c_noise: vector(all.map((s) => s.cNoise)),
      loss_weight: vector(sigmas.map((s) => edmLossWeight(s, sigmaData))),
    };
  },
};

export const guidance: CaseKind = {
  name: 'guidance',
  matches: (c) => c.inputs.has('cond') && c.inputs.has('uncond'),
  async run(c) {
    const cond = inputOf(c, 'cond');
    const uncond = inputOf(c, 'uncond').data;
    const out: Record<string, NdArray> = {};
    for (const name of c.outputs.keys()) {
      const scale = /^guided_([0-9.]+)$/.exec(name)?.[1];
      if (scale !== undefined) out[name] = f32(cond.shape, guide(cond.data, uncond, Number(scale)));
      if (name !== 'guided_two_terms') continue;
      const [g0, g1] = lists(c, 'guidance') as [number, number];
      out[name] = f32(cond.shape, guideTwo(cond.data, uncond, inputOf(c, 'other').data, g0, g1));
    }
    return out;
  },
};

export const randomStreams: CaseKind = {
  name: 'reference random streams',
  matches: (c) =>
    [...c.outputs.keys()].some((name) => /^(numpy_randomstate|torch_cpu_randn|mt19937_raw_u32_seed)_\d+/.test(name)),
  async run(c) {
    const out: Record<string, NdArray> = {};
    for (const [name, { shape }] of c.outputs) {
      const count = shape.reduce((a, b) => a * b, 1);
      const numpy = /^numpy_randomstate_(\d+)$/.exec(name);
      if (numpy) out[name] = f32(shape, Float32Array.from(numpyNormal(Number(numpy[1]), count)));
      const short = /^torch_cpu_randn_(\d+)_first(\d+)_of_(\d+)$/.exec(name);
      if (short) out[name] = f32(shape, torchNormal(Number(short[1]), Number(short[3])).slice(0, count));
      // The values depend on the length of the call.
      const torch = /^torch_cpu_randn_(\d+)$/.exec(name);
      if (torch)
        out[name] = f32(shape, torchNormal(Number(torch[1]), Math.max(count, numberOf(c, 'n', count))).slice(0, count));
      const raw = /^mt19937_raw_u32_seed_(\d+)$/.exec(name);
      if (raw) {
        const next = mt19937(Number(raw[1]));
        out[name] = { dtype: 'i64', shape, data: BigInt64Array.from({ length: count }, () => BigInt(next())) };
      }
    }
    return out;
  },
};

export const trainingScalars: CaseKind = {
  name: 'training scalars',
  matches: (c) => c.outputs.has('power_ema_beta') || c.outputs.has('lr_multiplier'),
  async run(c) {
    const iterations = Array.from(c.inputs.get('iterations')?.data ?? [], Number);
    const exponent = powerEmaExponent(numberOf(c, 'ema_rate_s', 0.1));
    const distribution = {
      mean: numberOf(c, 'p_mean', 0),
      std: numberOf(c, 'p_std', 1),
      multiplier: numberOf(c, 'multiplier', 1),
    };
    const out: Record<string, NdArray> = {
      power_ema_exponent: vector([exponent]),
      power_ema_beta: vector(iterations.map((i) => powerEmaBeta(i, exponent))),
    };
    const linear = c.options.lr_linear;
    if (isRecord(linear)) {
      const cycles = cyclesOf(linear);
      out.lr_multiplier = vector(iterations.map((i) => cyclicMultiplier(i, cycles)));
    }
    const cosine = c.options.lr_cosine;
    if (isRecord(cosine)) {
      const cycle = { shape: 'cosine', ...cycleFields(cosine, 0, 'cycle_length') } as const;
      out.lr_multiplier_cosine = vector(iterations.map((i) => cyclicMultiplier(i, [cycle])));
    }
    if (c.inputs.has('uniform')) {
      out.sigma = vector(Array.from(inputOf(c, 'uniform').data, (u) => sigmaFromUniform(u, distribution)));
    }
    return out;
  },
};

function cyclesOf(options: Readonly<Record<string, unknown>>): LearningRateCycle[] {
  const count = Array.isArray(options.cycle_lengths) ? options.cycle_lengths.length : 1;
  return Array.from({ length: count }, (_, i) => ({ shape: 'linear', ...cycleFields(options, i, 'cycle_lengths') }));
}

/** Entry `i` of each option, which is a list or one number. */
function cycleFields(
  options: Readonly<Record<string, unknown>>,
  i: number,
  length: string,
): Omit<LearningRateCycle, 'shape'> {
  const at = (name: string): number => {
    const value = options[name];
    return Number(Array.isArray(value) ? value[i] : value);
  };
  return { warmUp: at('warm_up_steps'), length: at(length), start: at('f_start'), max: at('f_max'), min: at('f_min') };
}
