// Choice of tokens: limits as defined, ties, the draw follows the probabilities.
import { describe, expect, it } from 'vitest';
import { drawToken, sampleToken, tokenDistribution, tokenUniforms } from './index.ts';

const logits = Float32Array.from([1, 3, 2, 3, -5].map((v) => v));

describe('tokenDistribution', () => {
  it('keeps the entry that crosses the top-p threshold, by falling probability', () => {
    const { ids, probabilities } = tokenDistribution(logits, { topP: 0.5 });
    expect([...ids]).toEqual([1, 3]); // 0.40 each: the second one crosses 0.5
    expect(probabilities[0]).toBeCloseTo(0.5, 6);
    expect([...tokenDistribution(logits, { topP: 0 }).ids]).toEqual([1]);
    expect(tokenDistribution(logits, { topP: 1 }).ids).toHaveLength(5);
  });

  it('lets ties with the k-th largest stay', () => {
    const { probabilities } = tokenDistribution(logits, { topK: 1 });
    expect(Array.from(probabilities, (p) => p > 0)).toEqual([false, true, false, true, false]);
    expect(tokenDistribution(logits, { topK: 500 }).probabilities.every((p) => p > 0)).toBe(true);
  });

  it('takes the first largest logit at temperature 0', () => {
    expect(sampleToken(logits, { temperature: 0, topP: 0.1 }, { seed: 9, step: 0 })).toBe(1);
  });

  it('agrees with a full sort on many random rows', () => {
    for (let row = 0; row < 50; row++) {
      const u = tokenUniforms(row, 0);
      const values = Float32Array.from({ length: 200 }, (_, i) => -4 * Math.log(u(i)));
      const topP = 0.05 + 0.9 * u(200);
      const e = Array.from(values, (v) => Math.exp(v - Math.max(...values)));
      const total = e.reduce((a, b) => a + b);
      const order = e.map((_, i) => i).sort((a, b) => e[b]! - e[a]!);
      const kept: number[] = [];
      for (let sum = 0, i = 0; sum <= topP && i < order.length; i++) {
        kept.push(order[i]!);
        sum += e[order[i]!]! / total;
      }
      expect([...tokenDistribution(values, { topP }).ids]).toEqual(kept);
    }
  });

  it('names what is wrong', () => {
    expect(() => tokenDistribution(logits, { topP: 0.5, topK: 2 })).toThrow(/need one of them/);
    expect(() => tokenDistribution(logits, { topP: 1.5 })).toThrow(/top-p: got 1.5, need a number from 0 to 1/);
    expect(() => tokenDistribution(logits, { topK: 0 })).toThrow(/top-k: got 0/);
    expect(() => tokenDistribution(logits, { temperature: -1 })).toThrow(/temperature: got -1/);
    expect(() => sampleToken(Float32Array.of(1, Number.NaN), {}, { seed: 1, step: 0 })).toThrow(/NaN at token 1/);
  });
});

describe('drawToken', () => {
  it('follows the probabilities', () => {
    const distribution = tokenDistribution(Float32Array.from([0, Math.log(2), Math.log(5)]), {});
    const counts = [0, 0, 0];
    for (let step = 0; step < 8000; step++) counts[drawToken(distribution, tokenUniforms(7, step))]!++;
    // 1/8, 2/8, 5/8; four standard deviations of a share are below 0.022.
    for (const [i, share] of [0.125, 0.25, 0.625].entries()) {
      expect(Math.abs(counts[i]! / 8000 - share)).toBeLessThan(0.022);
    }
  });

  it('never draws what has probability zero', () => {
    const distribution = tokenDistribution(logits, { topK: 2 });
    for (let step = 0; step < 500; step++) {
      expect([1, 3]).toContain(drawToken(distribution, tokenUniforms(1, step)));
    }
  });
});
