// Metrics on inputs whose values follow by hand.
import { expect, it } from 'vitest';
import { ransacFundamental } from '../geometry/fundamental.ts';
import { absoluteError, relativeError } from '../geometry/poses.ts';
import { sampsonSquared } from '../geometry/sampson.ts';
import { defined, summarise } from '../report/table.ts';
import { resizeOpenCvBytes } from '../resize/opencv.ts';
import { codebookUsage } from './codebook.ts';
import { frechetDistance, polynomialMmd } from './frechet.ts';
import { maskOverlap, summariseIou } from './masks.ts';
import { meanSquaredError, psnrPicture, psnrTokenBench, psnrTraining } from './psnr.ts';
import { ssimUniform } from './ssim.ts';

it('keeps the PSNR forms apart where pictures are equal', () => {
  const a = new Uint8Array(300).fill(7);
  expect(meanSquaredError(a, a)).toBe(0);
  expect(psnrTokenBench(0)).toBeCloseTo(186.6, 1);
  expect(psnrTraining(0)).toBeCloseTo(117.37, 1);
  expect(psnrPicture(0)).toBe(100);
  // All values off by 51 = 255/5: 20·log₁₀ 5.
  expect(psnrPicture(51 ** 2)).toBeCloseTo(13.979, 3);
});

it('gives SSIM 1 for equal pictures and refuses small or unlike ones', () => {
  const size = { height: 8, width: 9, channels: 3 };
  const a = Uint8Array.from({ length: 216 }, (_, i) => (i * 37) % 256);
  expect(ssimUniform(a, a, size)).toBeCloseTo(1, 12);
  expect(() => ssimUniform(a.subarray(0, 90), a.subarray(0, 90), { height: 5, width: 6, channels: 3 })).toThrow(
    'picture size: got "6×5"',
  );
  expect(() => ssimUniform(a, a.subarray(1), size)).toThrow('need 8×9×3 values each');
});

it('gives 0 for a set against itself and the squared shift for a shifted one', () => {
  const data = Float64Array.from({ length: 60 }, (_, i) => Math.sin(i * 1.7) * 3);
  const a = { rows: 20, columns: 3, data };
  expect(frechetDistance(a, a).distance).toBeCloseTo(0, 5);
  const shifted = { ...a, data: data.map((v, i) => v + (i % 3 === 0 ? 2 : 0)) };
  // The features fill a plane only: roots of eigenvalues that should be 0 leave 1e-7.
  expect(frechetDistance(a, shifted).distance).toBeCloseTo(4, 5);
  expect(polynomialMmd(a, shifted)).toBeGreaterThan(polynomialMmd(a, a));
  expect(() => frechetDistance({ ...a, rows: 1 }, a)).toThrow('at least 2 in each set');
});

it('names empty masks instead of dividing by zero', () => {
  const empty = new Uint8Array(4);
  const full = new Uint8Array(4).fill(1);
  expect(maskOverlap(empty, empty)).toEqual({ intersection: 0, union: 0 });
  const rows = [[maskOverlap(empty, empty), maskOverlap(full, empty)]];
  expect(summariseIou(rows)).toEqual({ meanDefined: 0, meanEmptyIsOne: 0.5, perObject: [0] });
  expect(summariseIou([[maskOverlap(empty, empty)]]).meanDefined).toBeNaN();
});

it('counts codes', () => {
  const { perplexity, usedCodes } = codebookUsage([5, 5, 9, 9]);
  expect(usedCodes).toBe(2);
  expect(perplexity).toBeCloseTo(2, 5);
});

it('has no error where two points meet their lines, and none without matches', () => {
  // Pure sideways motion: equal rows. F = [t]ₓ with t = (1, 0, 0).
  const f = [0, 0, 0, 0, 0, -1, 0, 1, 0];
  const m = { count: 2, a: Float64Array.of(3, 4, 7, 9), b: Float64Array.of(8, 4, 1, 11) };
  const [none, two] = sampsonSquared(f, m);
  expect(none).toBe(0);
  // Two rows apart: each point must move by one.
  expect(two).toBeCloseTo(2, 12);
  expect(ransacFundamental({ count: 0, a: new Float64Array(0), b: new Float64Array(0) })).toBeUndefined();
});

it('forgives scale and place of a track, and measures what is left', () => {
  const pose = (x: number, y: number): Float64Array => Float64Array.of(1, 0, 0, x, 0, 1, 0, y, 0, 0, 1, 0, 0, 0, 0, 1);
  const truth = [pose(0, 0), pose(1, 0), pose(1, 1), pose(2, 1)];
  const got = truth.map((m) => pose(m[3]! * 3 + 5, m[7]! * 3 - 2));
  expect(absoluteError(truth, got).rmse).toBeCloseTo(0, 9);
  expect(absoluteError(truth, got).alignment.scale).toBeCloseTo(1 / 3, 9);
  expect(absoluteError(truth, got, 'none').rmse).toBeGreaterThan(4);
  expect(Math.max(...relativeError(truth, got).translation)).toBeCloseTo(0, 9);
  expect(() => absoluteError(truth, got.slice(1))).toThrow('tracks: got "4 and 3 poses"');
});

it('averages the area that a pixel covers', () => {
  const small = resizeOpenCvBytes(
    Uint8Array.of(0, 10, 20, 30),
    { height: 2, width: 2, channels: 1 },
    { height: 1, width: 1 },
    'area',
  );
  expect([...small]).toEqual([15]);
});

it('lets no NaN into a table and counts what has no value', () => {
  expect(defined(Number.NaN)).toBeNull();
  expect(defined(Number.POSITIVE_INFINITY)).toBeNull();
  const row = (clip: string, value: number | null) => ({ clip, group: 'g', system: 's', values: { m: value } });
  expect(summarise([row('a', null)], 'm')).toEqual({ mean: null, low: null, high: null, n: 0, undefinedCount: 1 });
  const three = summarise([row('a', 1), row('b', 3), row('c', null)], 'm');
  expect(three).toMatchObject({ mean: 2, n: 2, undefinedCount: 1 });
  expect(three.low!).toBeGreaterThanOrEqual(1);
  expect(three.high!).toBeLessThanOrEqual(3);
});
