// Boxes over time: gaps are filled, ends are held, and nothing shows between two looks.
import { expect, test } from 'vitest';
import type { FaceBox } from '../../nets/index.ts';
import { smoothFaces } from './track.ts';

const box: FaceBox = { x1: 10, y1: 10, x2: 30, y2: 30, score: 0.9 };
const hiddenAt = (seen: readonly number[], frames: number, options: { hold: number; every: number }): number[] => {
  const found = Array.from({ length: frames }, (_, i) => (seen.includes(i) ? [box] : []));
  return smoothFaces(found, options).flatMap((list, i) => (list.length > 0 ? [i] : []));
};

test('a gap is filled and both ends are held', () => {
  expect(hiddenAt([3, 6], 12, { hold: 2, every: 1 })).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test('frames between two looks are hidden on both sides, however short the hold', () => {
  expect(hiddenAt([6], 20, { hold: 1, every: 6 })).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
});
