import { expect, test } from 'vitest';
import { halfToNumber, numberToHalf } from './arrays.ts';

test('every half widens by its definition and narrows back to itself', () => {
  for (let h = 0; h < 0x10000; h++) {
    const sign = h & 0x8000 ? -1 : 1;
    const exponent = (h >> 10) & 0x1f;
    const fraction = h & 0x3ff;
    const expected =
      exponent === 31
        ? fraction
          ? Number.NaN
          : sign * Number.POSITIVE_INFINITY
        : exponent === 0
          ? sign * fraction * 2 ** -24
          : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
    const got = halfToNumber(h);
    if (!Object.is(got, expected)) expect.fail(`half ${h}: ${got}, need ${expected}`);
    if (!Number.isNaN(got) && numberToHalf(got) !== h) expect.fail(`half ${h} comes back as ${numberToHalf(got)}`);
  }
});
