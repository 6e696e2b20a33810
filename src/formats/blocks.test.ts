import { describe, expect, it } from 'vitest';
import { randomStream } from '../base/index.ts';
import { blockBytes, packBlocks, unpackBlocks } from './blocks.ts';

const random = randomStream(5, 'blocks');
const values = Float32Array.from({ length: 6 * 64 }, () => random.normal());
const relL2 = (got: Float32Array, want: Float32Array): number =>
  Math.sqrt(got.reduce((s, v, i) => s + (v - want[i]!) ** 2, 0) / want.reduce((s, v) => s + v * v, 0));

describe('blocks', () => {
  it.each([
    // 8 bits: steps of max/128, max ≈ 2.4σ in 32 numbers, error of a step/√12.
    [8, 0.006],
    [4, 0.1],
  ] as const)('of %d bits come back within their rounding', (bits, most) => {
    const m = packBlocks(values, 64, { bits, blockSize: 32 });
    expect(m.packed.length + 4 * m.scales.length).toBe(blockBytes(6 * 64, m));
    const error = relL2(unpackBlocks(m), values);
    expect(error).toBeLessThan(most);
    expect(error).toBeGreaterThan(most / 4);
  });

  it('meet the weight of largest size, of either sign, and zeros', () => {
    for (const sign of [1, -1]) {
      const one = new Float32Array(32);
      one[5] = sign * 3;
      one[6] = sign * -1.5;
      for (const bits of [4, 8] as const) {
        const back = unpackBlocks(packBlocks(one, 32, { bits, blockSize: 32 }));
        expect(back[5]).toBeCloseTo(sign * 3, 5);
        expect(back[6]).toBeCloseTo(sign * -1.5, 5);
        expect(Math.abs(back[0]!)).toBe(0);
      }
    }
    expect(unpackBlocks(packBlocks(new Float32Array(32), 32, { bits: 4, blockSize: 32 })).every((v) => v === 0)).toBe(
      true,
    );
  });

  it('put the first of two weights into the lower half of a byte', () => {
    // Scale −8/−8 = 1: the numbers are themselves plus 8.
    const row = Float32Array.from({ length: 32 }, (_, i) => (i % 16) - 8);
    const { packed, scales } = packBlocks(row, 32, { bits: 4, blockSize: 32 });
    expect(scales[0]).toBe(1);
    expect([...packed.subarray(0, 2)]).toEqual([0x10, 0x32]);
  });

  it('refuse rows that do not divide', () => {
    expect(() => packBlocks(new Float32Array(40), 40, { bits: 4, blockSize: 32 })).toThrow(/rows of 40/);
  });
});
