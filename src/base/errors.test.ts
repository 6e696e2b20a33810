// What a schema found wrong, in words that follow "need".
import { expect, it } from 'vitest';
import { needOf } from './errors.ts';

it.each([
  [{ code: 'too_small', message: 'Too small: expected number to be >=2', minimum: 2, inclusive: true }, 'at least 2'],
  [{ code: 'too_small', message: 'Too small: x', minimum: 0, inclusive: false }, 'more than 0'],
  [{ code: 'too_big', message: 'Too big: x', maximum: 9, origin: 'string' }, 'at most 9 characters'],
  [{ code: 'invalid_type', message: 'Invalid input: x', expected: 'int' }, 'a whole number'],
  [{ code: 'invalid_value', message: 'Invalid option: x', values: ['a', 'b'] }, 'one of a, b'],
  [{ code: 'too_big', message: 'at most 4000 characters', maximum: 4000 }, 'at most 4000 characters'],
])('needOf %#', (issue, words) => {
  expect(needOf(issue)).toBe(words);
});
