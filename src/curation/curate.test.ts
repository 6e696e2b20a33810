// Which jobs are the same: that of an older version with fewer options is, another input or other options are not.
import { expect, test } from 'vitest';
import { fingerprint, otherThan } from './curate.ts';
import { parseCurateOptions } from './options.ts';

const job = fingerprint('in', parseCurateOptions({ crf: 23 }));

test('options that an older version did not have count as their defaults', () => {
  expect(otherThan(job, { input: 'in', options: { crf: 23 } })).toEqual([]);
  expect(otherThan(job, JSON.parse(JSON.stringify(job)))).toEqual([]);
});

test('what differs is named', () => {
  expect(otherThan(job, { input: 'other', options: { crf: 20 } })).toEqual(['input', 'crf']);
  const typed = fingerprint('in', parseCurateOptions({ crf: 23, typeExamples: 'kinds', dropTypes: ['a'] }));
  expect(otherThan(typed, { input: 'in', options: { crf: 23 } })).toEqual(['typeExamples', 'dropTypes']);
  expect(otherThan(job, { input: 'in', options: { crf: 23, ofAnotherVersion: 1 } })).toEqual(['ofAnotherVersion']);
});
