// Damage told by colours: every RGB colour and every mixture passes, unwritten and runaway blocks do not.
import { describe, expect, it } from 'vitest';
import { impossibleShare } from './gamut.ts';

/** Planes of a list of Y'CbCr values. */
const planes = (values: readonly (readonly [number, number, number])[]): Uint8Array =>
  Uint8Array.from([0, 1, 2].flatMap((plane) => values.map((v) => v[plane]!)));

/** A corner of the RGB cube in limited range, BT.601 or BT.709. */
function coded(r: number, g: number, b: number, is709: boolean): [number, number, number] {
  const [kr, kb] = is709 ? [0.2126, 0.0722] : [0.299, 0.114];
  const y = kr * r + (1 - kr - kb) * g + kb * b;
  const round = (v: number): number => Math.round(v);
  return [
    round(16 + 219 * y),
    round(128 + (224 * (b - y)) / (2 * (1 - kb))),
    round(128 + (224 * (r - y)) / (2 * (1 - kr))),
  ];
}

describe('impossible colours', () => {
  it('are none among the most saturated colours of both matrices', () => {
    const corners = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((k) =>
      [true, false].map((is709) => coded(k & 1, (k >> 1) & 1, k >> 2, is709)),
    );
    expect(impossibleShare(planes(corners))).toBe(0);
  });

  it('are those of blocks that were never written and of residuals that ran away', () => {
    const sound = Array.from({ length: 90 }, () => coded(0.4, 0.5, 0.6, true));
    expect(impossibleShare(planes([...sound, ...Array.from({ length: 10 }, () => [0, 0, 0] as const)]))).toBeCloseTo(
      0.1,
    );
    expect(
      impossibleShare(
        planes([
          [16, 255, 16],
          [235, 240, 240],
          [30, 20, 230],
        ]),
      ),
    ).toBe(1);
    expect(impossibleShare(new Uint8Array(0))).toBe(0);
  });
});
