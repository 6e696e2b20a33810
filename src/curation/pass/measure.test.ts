// Facts of drawn pictures, derivable by hand.
import { describe, expect, it } from 'vitest';
import { measure, type Samples } from './measure.ts';
import { fieldOfMatching, fieldOfVectors, motionFacts } from './motion.ts';

const [W, H] = [64, 48];

function samples(paint: (x: number, y: number, t: number) => readonly [number, number, number], n = 6): Samples {
  const frames = Array.from({ length: n }, (_, t) => {
    const out = new Uint8Array(W * H * 3);
    for (let y = 0; y < H; y++) for (let x = 0; x < W; x++) out.set(paint(x, y, t), (y * W + x) * 3);
    return out;
  });
  return { width: W, height: H, times: frames.map((_, t) => t / 2), frames };
}
const numbers = { luma: [0.5, 0.5, 0.5], change: [0, 0.1, 0.1] };
const noise = (x: number, y: number, t: number): number => ((x * 73 + y * 151 + t * 997) * 2654435761) >>> 24;

describe('quality', () => {
  it('finds bars', () => {
    const facts = measure(
      samples((x, y, t) => {
        const v = y < 6 || y >= 42 ? 0 : 60 + (noise(x, y, t) >> 1);
        return [v, v, v];
      }),
      numbers,
    );
    expect(facts.letterbox).toBeCloseTo(12 / 48, 5);
    expect(facts.pillarbox).toBe(0);
  });
  it('tells flat from sharp, and dark from bright', () => {
    const flat = measure(
      samples(() => [3, 3, 3]),
      numbers,
    );
    expect([flat.sharpness, flat.darkShare]).toEqual([0, 1]);
    const sharp = measure(
      samples((x) => (x % 2 === 0 ? [255, 255, 255] : [0, 0, 0])),
      numbers,
    );
    expect(sharp.sharpness).toBeGreaterThan(10_000);
  });
  it('counts a flash but not a lasting change', () => {
    const luma = [0.3, 0.3, 0.3, 0.8, 0.4, 0.3, 0.3, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6];
    const facts = measure(
      samples(() => [90, 90, 90], 3),
      { luma, change: luma.map(() => 0.1) },
    );
    expect(facts.flashes).toBeCloseTo(1, 5);
  });
  it('sees a logo only when the rest moves', () => {
    const logo = (x: number, y: number): boolean => x < 12 && y < 8 && (x + y) % 4 < 2;
    const facts = measure(
      samples((x, y, t) => {
        const v = logo(x, y) ? 255 : x < 12 && y < 8 ? 0 : 100 + ((x + 5 * t) % 32 < 16 && y > 10 ? 90 : 0);
        return [v, v, v];
      }, 8),
      numbers,
    );
    expect(facts.overlayShare).toBeGreaterThan(0.01);
    expect(facts.cornerOverlayShare).toBeGreaterThan(0.01);
  });
  it('names colours', () => {
    const facts = measure(
      samples((x) => (x < 40 ? [220, 20, 20] : [20, 20, 230])),
      numbers,
    );
    expect(facts.colours.map((c) => c.name)).toEqual(['red', 'blue']);
  });
});

describe('motion', () => {
  it('reads vector records: one block that moved 4 pixels to the right from the past', () => {
    const record = new DataView(new ArrayBuffer(40));
    record.setInt32(0, -1, true);
    record.setUint8(4, 16);
    record.setUint8(5, 16);
    record.setInt16(10, 8, true);
    record.setInt16(12, 8, true);
    record.setInt32(24, -16, true);
    record.setUint16(32, 4, true);
    const field = fieldOfVectors(new Uint8Array(record.buffer), 64, 64);
    expect([...field.x.subarray(0, 3)]).toEqual([Math.fround(4 / 128), Math.fround(4 / 128), 0]);
    const facts = motionFacts([field], 8)!;
    // 4 of 64 cells.
    expect(facts.globalMean).toBeCloseTo((4 / 64) * (4 / 128), 8);
  });
  it('matches blocks of a shifted picture', () => {
    const [w, h] = [64, 64];
    const at = (x: number, y: number): number => noise(x, y, 0);
    const before = Uint8Array.from({ length: w * h }, (_, i) => at(i % w, Math.floor(i / w)));
    const now = Uint8Array.from({ length: w * h }, (_, i) => at((i % w) - 3, Math.floor(i / w) - 2));
    const field = fieldOfMatching(before, now, w, h);
    const middle = 3 * 8 + 3;
    expect([field.x[middle]! * 128, field.y[middle]! * 128]).toEqual([3, 2]);
  });
});
