// UniPC, a multistep predictor with a corrector from the same evaluations (Zhao et al. 2023, B₂(h), data prediction), on the axis of
// rectified flow: x = (1 − s)·x0 + s·ε. What Predict2.5 samples with.
import { InputError, throwIfAborted } from '../base/index.ts';
import { callDenoiser, type Denoiser, type SamplerStep } from './sampler.ts';
import { karrasSigmas, type SigmaRange } from './schedules.ts';

/** Predict2.5: Karras levels on the σ axis, then σ/(σ + 1), then 0. Start: unit noise. */
export const PREDICT2_5_UNIPC = { steps: 35, sigmaMin: 0.01, sigmaMax: 200, rho: 7 } as const;

/** s_i = σ_i/(σ_i + 1) of `steps` Karras levels, then 0; rounded to float32 as in the reference. */
export function flowSigmas({ steps, ...range }: SigmaRange & { readonly steps: number }): Float64Array {
  const levels = karrasSigmas(steps, range);
  return Float64Array.from([...levels.map((sigma) => sigma / (sigma + 1)), 0], Math.fround);
}

export type UniPcOptions = {
  /** Descending s from below 1, one more than steps; only the last may be 0. See `flowSigmas`. */
  readonly levels: Float64Array;
  /** Highest order, 1 or 2. Default 2. */
  readonly order?: 1 | 2;
  readonly signal?: AbortSignal;
};

/** λ = ln(α/σ): half of the logarithm of the signal-to-noise ratio. */
const lambda = (s: number): number => Math.log((1 - s) / s);

/**
 * Samples; the state is float64.
 * @param denoise x̂0 of a sample at level s; its `sigma` argument is s here
 * @param start unit noise
 */
export async function* sampleUniPc(
  denoise: Denoiser,
  start: Float32Array | Float64Array,
  { levels, order = 2, signal }: UniPcOptions,
): AsyncGenerator<SamplerStep, void, void> {
  checkLevels(levels);
  const total = levels.length - 1;
  let x: Float64Array = Float64Array.from(start);
  /** Before the last prediction, and the order that it had. */
  let before: { readonly x: Float64Array; readonly order: number } | undefined;
  /** Clean samples of the last two evaluations, the newest last. */
  const clean: Float32Array[] = [];
  for (let i = 0; i < total; i++) {
    throwIfAborted(signal);
    const now = await callDenoiser(denoise, x, levels[i]!, i, signal);
    if (before !== undefined) x = corrected(before, clean, now, levels, i);
    clean.push(now);
    if (clean.length > 2) clean.shift();
    // The last steps fall back to order 1, as the first one must.
    const rank = Math.min(order, total - i, i + 1);
    before = { x, order: rank };
    x = predicted(x, clean, levels, i, rank);
    yield { step: i + 1, total, sigma: levels[i]!, sigmaNext: levels[i + 1]!, x, denoised: now };
  }
}

/** x at level i + 1 from x at level i. */
function predicted(
  x: Float64Array,
  clean: readonly Float32Array[],
  levels: Float64Array,
  i: number,
  order: number,
): Float64Array {
  const [s, t] = [levels[i]!, levels[i + 1]!];
  const m0 = clean.at(-1)!;
  if (t === 0) return Float64Array.from(m0);
  const h = lambda(t) - lambda(s);
  const growth = Math.expm1(-h);
  const alpha = 1 - t;
  if (order === 1) return x.map((v, k) => (t / s) * v - alpha * growth * m0[k]!);
  const ratio = (lambda(levels[i - 1]!) - lambda(s)) / h;
  const m1 = clean.at(-2)!;
  return x.map((v, k) => (t / s) * v - alpha * growth * (m0[k]! + (m1[k]! - m0[k]!) / (2 * ratio)));
}

/** The prediction of level i once more, now that x̂0 is known there: `clean` holds the evaluations before it. */
function corrected(
  { x, order }: { readonly x: Float64Array; readonly order: number },
  clean: readonly Float32Array[],
  now: Float32Array,
  levels: Float64Array,
  i: number,
): Float64Array {
  const [s, t] = [levels[i - 1]!, levels[i]!];
  const h = lambda(t) - lambda(s);
  const growth = Math.expm1(-h);
  const alpha = 1 - t;
  const m0 = clean.at(-1)!;
  if (order === 1) {
    return x.map((v, k) => (t / s) * v - alpha * growth * (m0[k]! + (now[k]! - m0[k]!) / 2));
  }
  const ratio = (lambda(levels[i - 2]!) - lambda(s)) / h;
  // b_k = k!·φ_{k+1}(−h)·(−h)/(e^{−h} − 1); two unknowns ρ with ρ0 + ρ1 = b1 and r·ρ0 + ρ1 = b2.
  const phi2 = growth / -h - 1;
  const phi3 = phi2 / -h - 0.5;
  const [b1, b2] = [phi2 / growth, (2 * phi3) / growth];
  const rho0 = (b1 - b2) / (1 - ratio);
  const rho1 = b1 - rho0;
  const m1 = clean.at(-2)!;
  return x.map(
    (v, k) => (t / s) * v - alpha * growth * (m0[k]! + (rho0 * (m1[k]! - m0[k]!)) / ratio + rho1 * (now[k]! - m0[k]!)),
  );
}

function checkLevels(levels: Float64Array): void {
  const isGood =
    levels.length >= 2 &&
    levels.every((s, i) => s < 1 && (s > 0 || i === levels.length - 1) && s >= 0 && (i === 0 || s < levels[i - 1]!));
  if (!isGood) {
    throw new InputError('levels', {
      got: [...levels],
      need: 'two or more descending values below 1; only the last may be 0',
    });
  }
}
