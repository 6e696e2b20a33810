// Pictures laid over each other: crops, logos and light do not count, what moves does.
import { describe, expect, it } from 'vitest';
import { randomStream } from '../../base/index.ts';
import { pictureAgreement, signatureOf } from './pictures.ts';

const [width, height] = [96, 72];

/** A smooth scene seen through a window, with a bright disc at `disc` (0…1). */
function scene(
  seed: number,
  disc: number,
  window = { scale: 1, x: 0, y: 0 },
  paint: (x: number, y: number, v: number) => number = (_x, _y, v) => v,
): Uint8Array {
  const random = randomStream(seed, 'scene');
  const waves = Array.from({ length: 8 }, () => [random.uniform(), random.uniform(), random.uniform()] as const);
  const out = new Uint8Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [u, v] = [window.x + (window.scale * x) / width, window.y + (window.scale * y) / height];
      let value = 120;
      for (const [a, b, c] of waves) value += 14 * Math.sin(6.3 * (3 * a * u + 3 * b * v + c));
      if (Math.hypot(u - disc, v - 0.5) < 0.1) value += 90;
      out[y * width + x] = Math.max(0, Math.min(255, paint(x, y, value)));
    }
  return out;
}

const moments = (
  seed: number,
  discs: readonly number[],
  window?: Parameters<typeof scene>[2],
  paint?: Parameters<typeof scene>[3],
): Uint8Array =>
  signatureOf(
    discs.map((d) => scene(seed, d, window, paint)),
    width,
    height,
  );

describe('picture agreement', () => {
  const base = moments(1, [0.3, 0.5, 0.7]);

  it('is high for a crop, a logo and another light, either way round', () => {
    const copies = [
      moments(1, [0.3, 0.5, 0.7], { scale: 0.92, x: 0.04, y: 0.04 }),
      moments(1, [0.3, 0.5, 0.7], undefined, (x, y, v) => (x > 78 && x < 90 && y > 4 && y < 11 ? 255 : v)),
      moments(1, [0.3, 0.5, 0.7], undefined, (_x, _y, v) => 20 + 0.8 * v),
    ];
    for (const copy of copies)
      for (const { look, change } of [pictureAgreement(base, copy), pictureAgreement(copy, base)]) {
        expect(look).toBeGreaterThan(0.97);
        expect(change).toBeGreaterThan(0.5);
      }
  });

  it('tells another scene by its look, and another episode of the same scene by what changes', () => {
    expect(pictureAgreement(base, moments(2, [0.3, 0.5, 0.7])).look).toBeLessThan(0.9);
    expect(pictureAgreement(base, moments(1, [0.7, 0.5, 0.3])).change).toBeLessThan(0);
    expect(pictureAgreement(base, moments(1, [0.5, 0.5, 0.5])).change).toBeLessThan(0.2);
  });

  it('says nothing about flat pictures', () => {
    const flat = signatureOf(
      [0, 1, 2].map(() => new Uint8Array(width * height).fill(16)),
      width,
      height,
    );
    expect(pictureAgreement(flat, flat)).toEqual({ look: 0, change: 1 });
  });
});
