// RES samplers: exponential integrators in λ = −ln σ for the x̂0-prediction ODE (Zhang et al. 2023, "Improved Order Analysis and Design
// of Exponential Integrator for Diffusion Models Sampling"). `2ab` reuses the previous x̂0 (one evaluation per step); the others are one-step.

import { InputError, OrreryError } from '../base/index.ts';
import {
  addNoise,
  callDenoiser,
  type Denoiser,
  type SamplerOptions,
  type SamplerState,
  type SamplerStep,
} from './sampler.ts';
import { RES_RANGE, resSigmas, type SigmaRange } from './schedules.ts';

/** Solvers; the digit is the number of evaluations per step (`2ab`: one). */
export const RES_SOLVERS = [
  '2ab',
  '1euler',
  '2mid',
  '2mid_stable',
  '2heun_edm',
  '2heun_naive',
  '3kutta_naive',
] as const;
export type ResSolver = (typeof RES_SOLVERS)[number];

/** Options of `sampleRes`. */
export type ResOptions = SamplerOptions &
  Partial<SigmaRange> & {
    /** Evaluation budget without the closing one. `2ab`: that many steps; order k: floor(steps/k). Default 35. */
    readonly steps?: number;
    /** Default "2ab". */
    readonly solver?: ResSolver;
  };

/**
 * Samples with n steps and one closing evaluation, result = D(x, σ_min). State in float64.
 * @param start unit noise times σmax (default 80)
 */
export async function* sampleRes(
  denoise: Denoiser,
  start: Float32Array | Float64Array,
  options: ResOptions = {},
): AsyncGenerator<SamplerStep, void, void> {
  const { solver = '2ab', resume, signal } = options;
  const sigmas = resSolverSigmas(options);
  const steps = sigmas.length - 1;
  const total = steps + 1;
  let x: Float64Array = Float64Array.from(resume?.x ?? start);
  let previous: SamplerState | undefined = resume;
  for (let i = resume?.step ?? 0; i < steps; i++) {
    const t = sigmas[i + 1]!;
    const s = churned(sigmas[i]!, sigmas.length, options);
    if (s > sigmas[i]!) x = addNoise(x, sigmas[i]!, s, i, options);
    const denoised = await callDenoiser(denoise, x, s, i, signal);
    const ask = (y: Float64Array, sigma: number): Promise<Float32Array> => callDenoiser(denoise, y, sigma, i, signal);
    x = solver === '2ab' ? multistep(x, s, t, denoised, previous) : await oneStep(solver, x, s, t, denoised, ask);
    previous = { step: i + 1, sigma: s, x, denoised };
    yield { ...previous, total, sigmaNext: t };
  }
  if ((resume?.step ?? 0) >= total) return;
  const last = sigmas[steps]!;
  const denoised = await callDenoiser(denoise, x, last, steps, signal);
  yield { step: total, total, sigma: last, sigmaNext: 0, x: Float64Array.from(denoised), denoised };
}

/** The noise levels that `sampleRes` visits: floor(steps / order) + 1 values. */
export function resSolverSigmas(options: ResOptions = {}): Float64Array {
  const { solver = '2ab', steps = RES_RANGE.steps } = options;
  const { sigmaMin = RES_RANGE.sigmaMin, sigmaMax = RES_RANGE.sigmaMax, rho = RES_RANGE.rho } = options;
  if (!RES_SOLVERS.includes(solver))
    throw new InputError('solver', { got: solver, need: `one of ${RES_SOLVERS.join(', ')}` });
  const order = solver === '2ab' ? 1 : Number(solver[0]);
  const count = Math.floor(steps / order);
  if (!(Number.isInteger(steps) && count >= 1)) {
    throw new InputError('steps', { got: steps, need: `a whole number from ${order} for solver "${solver}"` });
  }
  return resSigmas({ steps: count, sigmaMin, sigmaMax, rho });
}

/** σ̂ = σ(1 + η), η = min(amount/(n+1), √1.2 − 1), strictly inside the range. */
function churned(sigma: number, count: number, { churn = {} }: SamplerOptions): number {
  const { amount = 0, sigmaLow = 0, sigmaHigh = Number.POSITIVE_INFINITY } = churn;
  if (!(sigmaLow < sigma && sigma < sigmaHigh)) return sigma;
  return sigma * (1 + Math.min(amount / count, Math.sqrt(1.2) - 1));
}

/** Exponential Euler, exact when x̂0 is constant over the step: (t/s)·x + (1 − t/s)·x̂0. */
function exponentialEuler(x: Float64Array, s: number, t: number, denoised: Float32Array | Float64Array): Float64Array {
  const ratio = t / s;
  return x.map((v, i) => ratio * v + (1 - ratio) * denoised[i]!);
}

/** Second order from two predictions: x̂0 at s and x̂0′ at s′ (a past σ, or one inside the step). */
function secondOrder(
  x: Float64Array,
  s: number,
  t: number,
  denoised: Float32Array,
  other: { readonly sigma: number; readonly denoised: Float32Array },
): Float64Array {
  const h = Math.log(s / t);
  const gap = Math.log(s / other.sigma);
  if (Math.abs(h) < 1e-6 || Math.abs(gap) < 1e-6) {
    throw new OrreryError(
      'input',
      `sampler steps are too small (sigma ${s} to ${t}); use fewer steps or a wider range`,
    );
  }
  const c2 = gap / h;
  const phi1 = Math.expm1(-h) / -h;
  const phi2 = (phi1 - 1) / -h;
  const b2 = phi2 / c2;
  const b1 = phi1 - b2;
  const decay = Math.exp(-h);
  return x.map((v, i) => decay * v + h * (b1 * denoised[i]! + b2 * other.denoised[i]!));
}

function multistep(
  x: Float64Array,
  s: number,
  t: number,
  denoised: Float32Array,
  previous: SamplerState | undefined,
): Float64Array {
  return previous ? secondOrder(x, s, t, denoised, previous) : exponentialEuler(x, s, t, denoised);
}

async function oneStep(
  solver: Exclude<ResSolver, '2ab'>,
  x: Float64Array,
  s: number,
  t: number,
  denoised: Float32Array,
  ask: (x: Float64Array, sigma: number) => Promise<Float32Array>,
): Promise<Float64Array> {
  switch (solver) {
    case '1euler':
      return exponentialEuler(x, s, t, denoised);
    case '2mid':
    case '2mid_stable': {
      const middle = Math.sqrt(s * t);
      const inner = await ask(exponentialEuler(x, s, middle, denoised), middle);
      if (solver === '2mid_stable') return exponentialEuler(x, s, t, inner);
      return secondOrder(x, s, t, denoised, { sigma: middle, denoised: inner });
    }
    case '2heun_edm': {
      const end = await ask(exponentialEuler(x, s, t, denoised), t);
      const mean = Float64Array.from(denoised, (v, i) => 0.5 * (v + end[i]!));
      return exponentialEuler(x, s, t, mean);
    }
    case '2heun_naive': {
      const xt = exponentialEuler(x, s, t, denoised);
      const end = await ask(xt, t);
      // The slope at s is taken at x_t, as the reference does (x would be the textbook choice); kept for equal results.
      return x.map((v, i) => v + 0.5 * ((xt[i]! - denoised[i]!) / s + (xt[i]! - end[i]!) / t) * (t - s));
    }
    case '3kutta_naive': {
      const middle = (s + t) / 2;
      const slope = (y: Float64Array, clean: Float32Array, sigma: number): Float64Array =>
        y.map((v, i) => (v - clean[i]!) / sigma);
      const k0 = slope(x, denoised, s);
      const x1 = exponentialEuler(x, s, middle, denoised);
      const k1 = slope(x1, await ask(x1, middle), middle);
      const x2 = x.map((v, i) => v + (2 * k1[i]! - k0[i]!) * (t - s));
      const k2 = slope(x2, await ask(x2, t), t);
      return x.map((v, i) => v + ((k0[i]! + 4 * k1[i]! + k2[i]!) / 6) * (t - s));
    }
  }
}
