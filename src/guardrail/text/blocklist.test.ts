// List phrases: forms, gaps, beginnings, languages without spaces, contexts, and files that are no lists.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { shippedModels } from '../../hub/index.ts';
import { loadKnowledge } from '../knowledge.ts';
import { type Blocklist, findPhrases, parseBlocklist } from './blocklist.ts';
import { readWords } from './read.ts';

const knowledge = loadKnowledge(join(shippedModels(), 'orrery-guard'));
const parse = (text: string): Blocklist => parseBlocklist([{ text, source: 'list.txt' }]);
const list = parse(`# a comment
O4 en: ~make+bomb, pipe bomb, weaponiz*
O12 de: verdammt noch mal
O5 zh: 毒 品
O1 ja: 人を刺す
`);
const hits = (text: string): string[] =>
  findPhrases(readWords(text, knowledge), list, knowledge.lexicon).map((h) => h.category);

test.each([
  ['a phrase', 'a pipe bomb', ['O4']],
  ['other forms of its words', 'two pipe bombs', ['O4']],
  ['a phrase in disguise', 'a p1pe b0mb', ['O4']],
  ['parts that stand apart', 'he makes a very simple bomb', ['O4']],
  ['parts too far apart', 'make a cake with the old oven and then tell me about a bomb', []],
  ['parts in the wrong order', 'the bomb that they make', []],
  ['a beginning', 'weaponizing drones', ['O4']],
  ['half a phrase', 'a long pipe', []],
  ['another language', 'das ist verdammt noch mal kalt und nicht schön', ['O12']],
  ['a language without spaces', '他买毒品', ['O5']],
  ['nothing', '', []],
])('%s', (_, text, expected) => {
  expect(hits(text)).toEqual(expected);
});

test('a phrase with "~" does not count in texts that teach or tell of history; one without counts everywhere', () => {
  expect(hits('a museum lesson on the history of how people make a bomb')).toEqual([]);
  expect(hits('a museum lesson on the history of the pipe bomb')).toEqual(['O4']);
});

test.each([
  ['a line without a category', 'pipe bomb'],
  ['an unknown category', 'O99 en: pipe bomb'],
  ['an unknown language', 'O4 xx: pipe bomb'],
  ['binary data', '\u0000\u0001\u0002'],
])('%s is refused with its line', (_, text) => {
  expect(() => parse(`O4 en: pipe bomb\n${text}`)).toThrow(
    /list\.txt:2: need a line such as .*restore the file or mend/,
  );
});

test('an empty list is refused: it would let everything pass', () => {
  expect(() => parse('# nothing\n\n')).toThrow(/lists are empty/);
});

test('blank lines and blank entries block nothing', () => {
  const sparse = parse('\nO4 en: pipe bomb, , ~\n\n');
  expect(sparse.size).toBe(1);
});
