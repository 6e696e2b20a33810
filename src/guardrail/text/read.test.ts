// Reading: disguises are undone, ordinary words and real words of other scripts stay, places point into the original text.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { shippedModels } from '../../hub/index.ts';
import { loadKnowledge } from '../knowledge.ts';
import { cleanText } from './clean.ts';
import { readWords } from './read.ts';
import { editDistance } from './spelling.ts';
import { stemOf } from './stem.ts';

const knowledge = loadKnowledge(join(shippedModels(), 'orrery-guard'));
const read = (text: string): string =>
  readWords(text, knowledge)
    .map((w) => w.text)
    .join(' ');

test.each([
  ['ordinary words stay', 'A robot lifts a box', 'a robot lifts a box'],
  ['invisible characters', 'ki\u200bll the \u2060sol\u00addier', 'kill the soldier'],
  ['full width and mathematical letters', 'ｋｉｌｌ 𝐭𝐡𝐞 𝓼𝓸𝓵𝓭𝓲𝓮𝓻', 'kill the soldier'],
  ['look-alikes of other scripts', 'kіll thе sоldіеr', 'kill the soldier'],
  ['signs for letters', 'k1ll th3 s0ld!er', 'kill the soldier'],
  ['letters apart', 'k i l l the s.o.l.d.i.e.r', 'kill the soldier'],
  ['letters apart by dashes and stars', 'k-i-l-l the s*o*l*d*i*e*r', 'kill the soldier'],
  ['repeated letters', 'kiiiill the soldierrrr', 'kill the soldier'],
  ['swapped, dropped and doubled letters', 'kidnpaping a solddier', 'kidnapping a soldier'],
  ['combining marks', 'k\u0336i\u0336l\u0336l', 'kill'],
])('%s', (_, text, expected) => {
  expect(read(text)).toBe(expected);
});

test.each([
  ['numbers and measures', 'at 3pm in 4k on the 2nd floor, 60fps', /^at 3pm|^at/],
  ['exclamation marks', 'a house! what a house!!', /^a house what a house$/],
])('%s are no disguise', (_, text, expected) => {
  expect(read(text)).toMatch(expected);
});

test('real words of other scripts keep their script and language', () => {
  const words = readWords('кошка спит на диване', knowledge);
  expect(words.map((w) => w.text)).toEqual(['кошка', 'спит', 'на', 'диване']);
  expect(new Set(words.map((w) => w.language))).toEqual(new Set(['ru']));
  expect(readWords('子供が公園で遊ぶ', knowledge).every((w) => w.language === 'ja' || w.language === 'zh')).toBe(true);
  expect(readWords('el perro corre por la playa con los niños', knowledge)[0]!.language).toBe('es');
});

test('places point into the original text, surrogate pairs included', () => {
  const text = '🚗 a k\u200bi\u200bl\u200bl!';
  const word = readWords(text, knowledge).find((w) => w.text === 'kill')!;
  expect(text.slice(word.start, word.end)).toMatch(/^k.*l!?$/su);
});

test('empty and strange texts are read without an exception', () => {
  for (const text of ['', ' ', '\0\0', '\ud800', '🎥🎥', '((((((', 'a'.repeat(5000), '1 2 3 4 5', '\u0300\u0300', 'ﷺ'])
    expect(Array.isArray(readWords(text, knowledge))).toBe(true);
});

test('cleaning keeps one offset for each character', () => {
  const clean = cleanText('Ａ\u200bﬁ c');
  expect(clean.text).toBe('afi c');
  expect([...clean.offsets]).toEqual([0, 2, 2, 3, 4]);
});

test('distances count swaps once and stop above the limit', () => {
  expect(editDistance('weapon', 'waepon', 2)).toBe(1);
  expect(editDistance('weapon', 'weapons', 2)).toBe(1);
  expect(editDistance('weapon', 'apple', 1)).toBe(2);
});

test('the speller mends within its budget and leaves short words alone', () => {
  expect(knowledge.speller.nearest('explosve')).toBe('explosive');
  expect(knowledge.speller.nearest('wepaon')).toBe('weapon');
  expect(knowledge.speller.nearest('gnu')).toBeUndefined();
  expect(knowledge.speller.nearest('qqqqqqq')).toBeUndefined();
});

test('stems join forms, irregular ones too', () => {
  expect(stemOf('shot', 'en')).toBe(stemOf('shoot', 'en'));
  expect(stemOf('knives', 'en')).toBe(stemOf('knife', 'en'));
  expect(stemOf('niños', 'es')).toBe(stemOf('niño', 'es'));
  expect(stemOf('лодки', 'ru')).toBe(stemOf('лодка', 'ru'));
});
