// UniPC against a problem with a known path: data of one normal distribution per value, whose x̂0 and whose flow are written out here.
import { describe, expect, it } from 'vitest';
import type { Denoiser } from './index.ts';
import { finalSample, flowSigmas, PREDICT2_5_UNIPC, sampleUniPc } from './index.ts';

const MEAN = [0.8, -0.3, 2];
const SPREAD = 0.6;

/** Posterior mean of N(MEAN, SPREAD²) seen as (1 − s)·x0 + s·ε. */
const denoise: Denoiser = async (x, s) => {
  const a = 1 - s;
  const gain = (a * SPREAD ** 2) / (a * a * SPREAD ** 2 + s * s);
  return Float32Array.from(x, (v, i) => MEAN[i]! + gain * (v - a * MEAN[i]!));
};

/** Where the flow takes x from level s to level t: the standard score stays. */
const exact = (x: number, i: number, s: number, t: number): number => {
  const width = (level: number): number => Math.hypot((1 - level) * SPREAD, level);
  return (1 - t) * MEAN[i]! + ((x - (1 - s) * MEAN[i]!) * width(t)) / width(s);
};

const START = Float64Array.of(0.7, -1.1, 0.4);

/** Largest error after `steps` steps between two levels away from the ends, at even distances of ln(α/σ). */
async function errorOf(steps: number, order: 1 | 2): Promise<number> {
  const [from, to] = [0.9, 0.2];
  const l = (s: number): number => Math.log((1 - s) / s);
  const levels = Float64Array.from(
    { length: steps + 1 },
    (_, i) => 1 / (1 + Math.exp(l(from) + (i / steps) * (l(to) - l(from)))),
  );
  const end = await finalSample(sampleUniPc(denoise, START, { levels, order }));
  return Math.max(...end.map((v, i) => Math.abs(v - exact(START[i]!, i, from, to))));
}

describe('sampleUniPc', () => {
  it('comes nearer as its order says: the last step is of order 1, so half the step means a quarter of the error', async () => {
    const first = [await errorOf(8, 1), await errorOf(16, 1)] as const;
    const second = [await errorOf(8, 2), await errorOf(16, 2)] as const;
    expect(first[0] / first[1]).toBeGreaterThan(1.8);
    expect(second[0] / second[1]).toBeGreaterThan(3.4);
    expect(second[1]).toBeLessThan(first[1] / 2);
  });

  it('reaches the distribution with the schedule of Predict2.5', async () => {
    const levels = flowSigmas(PREDICT2_5_UNIPC);
    expect(levels).toHaveLength(36);
    expect(levels[0]).toBeCloseTo(200 / 201, 6);
    expect(levels[34]).toBeCloseTo(0.01 / 1.01, 6);
    expect(levels[35]).toBe(0);
    const end = await finalSample(sampleUniPc(denoise, START, { levels }));
    for (const [i, v] of end.entries()) expect(v).toBeCloseTo(exact(START[i]!, i, levels[0]!, 0), 2);
  });

  it('is the exponential Euler step at order 1 with one step', async () => {
    const levels = Float64Array.of(0.8, 0.5);
    const clean = await denoise(Float32Array.from(START), 0.8, 0);
    const end = await finalSample(sampleUniPc(denoise, START, { levels, order: 1 }));
    for (const [i, v] of end.entries()) {
      const noise = (START[i]! - 0.2 * clean[i]!) / 0.8;
      expect(v).toBeCloseTo(0.5 * clean[i]! + 0.5 * noise, 6);
    }
  });

  it('refuses levels that do not descend', async () => {
    await expect(sampleUniPc(denoise, START, { levels: Float64Array.of(0.5, 0.7, 0) }).next()).rejects.toThrow(
      /descending/,
    );
    await expect(sampleUniPc(denoise, START, { levels: Float64Array.of(1, 0.5) }).next()).rejects.toThrow(/below 1/);
  });
});
