// Baselines on scenes whose future is known: a square that goes on, a still picture, one given frame.
import { expect, it } from 'vitest';
import { meanSquaredError } from '../evaluation/index.ts';
import type { Frames } from '../media/index.ts';
import { constantVelocity, repeatLastFrame } from './index.ts';

const SIZE = 64;

/** A red square of 12 pixels on a soft texture, moving 2 pixels right and 1 down per frame. */
function squares(frames: number, speed = 2): Frames {
  const data = new Uint8Array(frames * SIZE * SIZE * 3);
  for (let f = 0; f < frames; f++) {
    for (let y = 0; y < SIZE; y++) {
      for (let x = 0; x < SIZE; x++) {
        const at = ((f * SIZE + y) * SIZE + x) * 3;
        const gray = 110 + 30 * Math.sin(x / 3) + 25 * Math.cos(y / 4 + x / 9);
        const [u, v] = [x - 6 - speed * f, y - 8 - (speed / 2) * f];
        const isInside = u >= 0 && u < 12 && v >= 0 && v < 12;
        data.set(isInside ? [200, 40 + 4 * u, 30 + 4 * v] : [gray, gray, gray * 0.9], at);
      }
    }
  }
  return { dtype: 'u8', shape: [frames, SIZE, SIZE, 3], data };
}

const each = SIZE * SIZE * 3;
const tail = (frames: Frames, from: number): Uint8Array => frames.data.subarray(from * each);

it('goes on with what moves and shows what it uncovers', async () => {
  const truth = squares(16);
  const predicted = await constantVelocity(truth, 8, 16);
  const held = await repeatLastFrame(truth, 8, 16);
  expect(Buffer.compare(predicted.data.subarray(0, 8 * each), truth.data.subarray(0, 8 * each))).toBe(0);
  const error = meanSquaredError(tail(predicted, 8), tail(truth, 8));
  expect(error).toBeLessThan(meanSquaredError(tail(held, 8), tail(truth, 8)) / 10);
});

it('holds a still picture and a single frame', async () => {
  const still = squares(9, 0);
  expect(Buffer.compare((await constantVelocity(still, 4, 9)).data, still.data)).toBe(0);
  const moving = squares(6);
  const one = await constantVelocity(moving, 1, 6);
  expect(Buffer.compare(one.data, (await repeatLastFrame(moving, 1, 6)).data)).toBe(0);
});

it('refuses counts that make no sense', async () => {
  const frames = squares(4);
  await expect(constantVelocity(frames, 5, 9)).rejects.toThrow(
    'given: got 5, need a whole number from 1 to the 4 frames',
  );
  await expect(repeatLastFrame(frames, 2, 1)).rejects.toThrow('total: got 1');
});
