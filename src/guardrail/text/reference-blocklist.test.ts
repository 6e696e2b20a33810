// The stored outcomes of the public list code: lists invented for the test.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { asciiOnly, fuzzyCensor, referenceBlocklist, similarity, wholeWordMatch } from './reference-blocklist.ts';

type Case = { prompt: string; ascii: string; censored_with_hash?: string; blocked: boolean | string };
type Fixture = {
  fuzzy: { blocklist: string[]; whitelist: string[]; cases: Case[] };
  whole_word: { exact_match: string[]; letter_count: number; min_chars: number; cases: Case[] }[];
};
const path = new URL('../../../test/fixtures/parity/blocklist_reference_a.json', import.meta.url);
const fixture = JSON.parse(readFileSync(path, 'utf8')) as Fixture;

describe('reference lists', () => {
  const { blocklist: custom, whitelist, cases } = fixture.fuzzy;
  it.each(cases)('fuzzy: $prompt', ({ prompt, ascii, blocked, censored_with_hash: censored }) => {
    expect(asciiOnly(prompt)).toBe(ascii);
    const got = fuzzyCensor(ascii, { custom, whitelist });
    if (typeof blocked === 'string') expect(got).toBeUndefined();
    else expect(got?.includes('####')).toBe(blocked);
    const outcome = referenceBlocklist(prompt, { custom, whitelist, exactMatch: [] });
    if (prompt !== '') expect(outcome).toBe(typeof blocked === 'string' ? 'error' : blocked ? 'blocked' : 'passed');
    if (typeof blocked !== 'string' && whitelist.length === 0) expect(got).toBe(censored);
  });

  it('an empty prompt is blocked', () => {
    expect(referenceBlocklist('', { custom, whitelist, exactMatch: [] })).toBe('blocked');
  });

  it.each(fixture.whole_word)('whole words with tolerance $letter_count', (part) => {
    for (const { prompt, blocked } of part.cases) {
      const lists = { exactMatch: part.exact_match, minChars: part.min_chars, difference: part.letter_count };
      expect(wholeWordMatch(prompt, lists), prompt).toBe(blocked);
    }
  });

  it('similarity is that of the longest common blocks', () => {
    expect(similarity('snipers', 'sniper')).toBeCloseTo(12 / 13, 12);
    expect(similarity('abcd', 'bcde')).toBeCloseTo(0.75, 12);
  });
});
