// The tracker on moving squares, and the numbers that its masks give.
import { expect, it } from 'vitest';
import type { Frames } from '../../media/index.ts';
import { conservation, objectIou } from './objects.ts';
import { trackMasks } from './tracker.ts';

const SIDE = 48;
const PIXELS = SIDE * SIDE;

/** Two squares of ten pixels on a soft ground: red goes right, blue goes down. The second vanishes from frame `until` on. */
function scene(frames: number, until = frames): { readonly clip: Frames; readonly labels: Uint8Array[] } {
  const data = new Uint8Array(frames * PIXELS * 3);
  const labels: Uint8Array[] = [];
  for (let t = 0; t < frames; t++) {
    const map = new Uint8Array(PIXELS);
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        const isRed = x >= 4 + 2 * t && x < 14 + 2 * t && y >= 4 && y < 14;
        const isBlue = t < until && x >= 4 && x < 14 && y >= 18 + t && y < 28 + t;
        const ground = 120 + 20 * Math.sin(x / 4) + 15 * Math.cos(y / 5);
        map[y * SIDE + x] = isRed ? 1 : isBlue ? 2 : 0;
        data.set(
          isRed ? [210, 40, 30] : isBlue ? [30, 60, 200] : [ground, ground, ground],
          (t * PIXELS + y * SIDE + x) * 3,
        );
      }
    }
    labels.push(map);
  }
  return { clip: { dtype: 'u8', shape: [frames, SIDE, SIDE, 3], data }, labels };
}

const score = { objects: 2, from: 2, leastVisible: 8 };

it('follows things that move', () => {
  const { clip, labels } = scene(10);
  const tracked = trackMasks(clip, { given: labels.slice(0, 2), objects: 2 });
  const { mean, series } = objectIou(labels, tracked, score);
  expect(mean!).toBeGreaterThan(0.97);
  expect(series).toHaveLength(8);
});

it('gives a vanished object no overlap and tells that it did not persist', () => {
  const true10 = scene(10);
  const { clip } = scene(10, 6);
  const tracked = trackMasks(clip, { given: true10.labels.slice(0, 2), objects: 2 });
  const { series } = objectIou(true10.labels, tracked, score);
  expect(series[7]!).toBeCloseTo(0.5, 1);
  const kept = conservation(tracked, {
    objects: 2,
    from: 2,
    width: SIDE,
    fps: 10,
    gravity: 9.81,
    metresPerPixel: [0.01, 0.01],
  });
  // Half of the object's frames are gone: 1 − 4/16.
  expect(kept.permanence!).toBeCloseTo(0.75, 5);
  expect(kept.sizeChange!).toBeLessThan(0.05);
});

it('has no value where nothing is visible', () => {
  const empty = [new Uint8Array(9), new Uint8Array(9)];
  expect(objectIou(empty, empty, { objects: 1, from: 1, leastVisible: 1 })).toEqual({ mean: null, series: [null] });
});

it('refuses masks of another size', () => {
  const { clip } = scene(3);
  expect(() => trackMasks(clip, { given: [new Uint8Array(5)], objects: 1 })).toThrow('1 maps of 5 pixels');
});
