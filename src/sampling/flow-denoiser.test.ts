// The Predict2 denoiser against networks whose clean sample is known.
import { describe, expect, it } from 'vitest';
import {
  eulerSigmas,
  type FlowNetwork,
  finalSample,
  flowDenoiser,
  flowSigmas,
  PREDICT2_5_UNIPC,
  PREDICT2_EULER,
  sampleEuler,
  sampleUniPc,
  velocityDenoiser,
} from './index.ts';

const SHAPE = [1, 2, 3, 1, 2];
const TARGET = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i));

/** F for which x̂0 is `TARGET` + shift: with y = (1 − s)·x, F = (y − x̂0)/s. */
const towards =
  (shift: { cond: number; uncond: number }): FlowNetwork =>
  async (input, times, branches) =>
    branches.map((branch) => input.map((y, i) => (y - (TARGET[i]! + shift[branch])) / times[Math.floor(i / 2) % 3]!));

describe('flowDenoiser', () => {
  it('gives the clean sample of a network that knows it', async () => {
    const denoise = flowDenoiser(towards({ cond: 0, uncond: 9 }), { shape: SHAPE });
    const x = TARGET.map((v, i) => v + 5 * Math.cos(3 * i));
    const found = await denoise(x, 5, 0);
    for (const [i, v] of found.entries()) expect(v).toBeCloseTo(TARGET[i]!, 4);
  });

  it('guides by c + g·(c − u)', async () => {
    const denoise = flowDenoiser(towards({ cond: 1, uncond: 0.5 }), { shape: SHAPE, guidance: 2 });
    const found = await denoise(new Float32Array(12), 1, 0);
    for (const [i, v] of found.entries()) expect(v).toBeCloseTo(TARGET[i]! + 2, 4);
  });

  it('shows given frames clean at their own time and puts them back', async () => {
    const latent = new Float32Array(12).fill(7);
    const seen: { input?: Float32Array; times?: Float32Array } = {};
    const network: FlowNetwork = async (input, times) => {
      Object.assign(seen, { input, times });
      return [new Float32Array(12)];
    };
    const denoise = flowDenoiser(network, { shape: SHAPE, condition: { latent, indicator: [1, 0, 0] } });
    const found = await denoise(new Float32Array(12).fill(4), 3, 0);
    expect(Array.from(seen.times!, (v) => Number(v.toFixed(6)))).toEqual([0.0001, 0.75, 0.75]);
    // Frames of 2 values, 3 of them in each of 2 channels; (1 − ¾)·4 = 1 elsewhere, before and after.
    expect([...seen.input!]).toEqual([7, 7, 1, 1, 1, 1, 7, 7, 1, 1, 1, 1]);
    expect([...found]).toEqual([7, 7, 1, 1, 1, 1, 7, 7, 1, 1, 1, 1]);
  });

  it('is carried to its target by the Predict2 schedule', async () => {
    const denoise = flowDenoiser(towards({ cond: 0, uncond: 0 }), { shape: SHAPE });
    const start = TARGET.map((_, i) => 80 * Math.cos(i));
    let last = new Float64Array(0);
    for await (const s of sampleEuler(denoise, start, { sigmas: eulerSigmas(PREDICT2_EULER) }))
      last = new Float64Array(s.x);
    // σ ends at 0.002: what remains is that share of the unit noise.
    for (const [i, v] of last.entries()) expect(Math.abs(v - TARGET[i]!)).toBeLessThan(0.003);
  });
});

describe('velocityDenoiser', () => {
  /** F = (x − x̂0)/s: the network knows the target. */
  const network =
    (seen: { input?: Float32Array; times?: Float32Array } = {}, level = { s: 0 }): FlowNetwork =>
    async (input, times, branches) => {
      Object.assign(seen, { input, times });
      return branches.map(() => input.map((y, i) => (y - TARGET[i]!) / level.s));
    };

  it('tells the times in thousandths, shows given frames clean at their own time and puts them back', async () => {
    const latent = new Float32Array(12).fill(7);
    const seen: { input?: Float32Array; times?: Float32Array } = {};
    const denoise = velocityDenoiser(network(seen, { s: 0.98765 }), {
      shape: SHAPE,
      condition: { latent, indicator: [1, 0, 0] },
    });
    const x = new Float32Array(12).fill(4);
    const found = await denoise(x, 0.98765, 0);
    expect(Array.from(seen.times!, (v) => Number(v.toFixed(6)))).toEqual([0.1, 0.987, 0.987]);
    expect([...seen.input!]).toEqual([7, 7, 4, 4, 4, 4, 7, 7, 4, 4, 4, 4]);
    for (const [i, v] of found.entries()) expect(v).toBeCloseTo([0, 1, 6, 7].includes(i) ? 7 : TARGET[i]!, 5);
    expect([...x]).toEqual(new Array<number>(12).fill(4));
  });

  it('is carried to its target by the Predict2.5 schedule', async () => {
    const level = { s: 0 };
    const inner = velocityDenoiser(network({}, level), { shape: SHAPE });
    const denoise = async (x: Float32Array, s: number, step: number): Promise<Float32Array> => {
      level.s = s;
      return inner(x, s, step);
    };
    const start = TARGET.map((_, i) => Math.cos(i));
    const end = await finalSample(sampleUniPc(denoise, start, { levels: flowSigmas(PREDICT2_5_UNIPC) }));
    for (const [i, v] of end.entries()) expect(v).toBeCloseTo(TARGET[i]!, 5);
  });
});
