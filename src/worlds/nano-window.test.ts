// Counting windows by hand: a picture from nothing, eight frames from a picture, then eight at a time.
import { expect, it } from 'vitest';
import { stepsFor, windowsFor } from './nano-window.ts';
import { conditionOf, givenFlags } from './orrery-nano.ts';

it('counts the windows from what is known', () => {
  expect(windowsFor(0, 1)).toEqual(['none']);
  expect(windowsFor(0, 9)).toEqual(['none', 'one']);
  expect(windowsFor(0, 33)).toEqual(['none', 'one', 'nine', 'nine', 'nine']); // 1, 9, 17, 25, 33
  expect(windowsFor(9, 33)).toHaveLength(3);
  expect(windowsFor(9, 34)).toHaveLength(4);
  expect(windowsFor(12, 12)).toEqual([]);
});

it('takes nine frames for motion, fewer for a picture', () => {
  expect([0, 1, 8, 9, 40].map(conditionOf)).toEqual(['none', 'one', 'one', 'nine', 'nine']);
  expect(givenFlags('one')).toEqual([0, 1, 0]);
});

it('counts sampler steps with the closing one of each window', () => {
  const range = { sigmaMax: 30, sigmaMin: 1, rho: 5 };
  const sampling = { picture: { ...range, steps: 12, guidance: 3 }, motion: { ...range, steps: 2, guidance: 0 } };
  expect(stepsFor(0, 33, sampling)).toBe(13 + 4 * 3);
  expect(stepsFor(9, 33, sampling)).toBe(9);
  expect(stepsFor(9, 33, sampling, 5)).toBe(18);
});
