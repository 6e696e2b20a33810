// Disguises of our own for training and for red-team runs: what people do to words so that filters miss them.
import type { RandomStream } from '../../base/index.ts';

export const DISGUISES = [
  'misspelling',
  'leetspeak',
  'homoglyph',
  'spacing',
  'zero_width',
  'repeats',
  'mixed',
] as const;
export type Disguise = (typeof DISGUISES)[number];

const LEET: readonly Readonly<Record<string, string>>[] = [
  { a: '4', b: '8', e: '3', g: '9', i: '1', o: '0', s: '5', t: '7', z: '2' },
  { a: '@', c: '(', e: '3', i: '!', l: '1', o: '0', s: '$', t: '+', h: '#', b: '8' },
];
const GLYPHS: Readonly<Record<string, string>> = {
  a: 'аαɑ',
  c: 'сϲ',
  d: 'ԁ',
  e: 'еє',
  g: 'ɡց',
  h: 'һհ',
  i: 'іι',
  j: 'ј',
  k: 'кκ',
  l: 'ӏⅼ',
  n: 'ոп',
  o: 'оοօ',
  p: 'рρ',
  s: 'ѕ',
  u: 'υս',
  v: 'ѵν',
  w: 'ѡԝ',
  x: 'х',
  y: 'уγ',
};
const INVISIBLE = ['\u200b', '\u200c', '\u200d', '\u2060', '\ufeff', '\u00ad'];
const SEPARATORS = [' ', '.', '-', '_', '*'];
const SOUNDS: readonly (readonly [string, string])[] = [
  ['ph', 'f'],
  ['ck', 'k'],
  ['f', 'ph'],
  ['c', 'k'],
  ['s', 'z'],
  ['ee', 'ea'],
  ['i', 'y'],
  ['ei', 'ie'],
];

/** Disguises the longer words of a text; `share` of them, at least one. */
export function disguise(text: string, how: Disguise, random: RandomStream, share = 0.7): string {
  const words = text.split(' ');
  const long = words.flatMap((word, i) => (/^[a-z]{4,}[.,!?"]*$/i.test(word) ? [i] : []));
  const chosen = long.filter(() => random.uniform() < share);
  if (chosen.length === 0 && long.length > 0) chosen.push(random.pick(long));
  for (const i of chosen) {
    const kind = how === 'mixed' ? random.pick(DISGUISES.slice(0, -1)) : how;
    words[i] = words[i]!.replace(/[a-z]{4,}/i, (word) => one(word, kind, random));
  }
  return words.join(' ');
}

function one(word: string, how: Disguise, random: RandomStream): string {
  switch (how) {
    case 'misspelling':
      return misspell(word, random);
    case 'leetspeak': {
      const table = random.pick(LEET);
      return word.replace(/[a-z]/gi, (c) => (random.uniform() < 0.85 ? (table[c.toLowerCase()] ?? c) : c));
    }
    case 'homoglyph':
      return word.replace(/[a-z]/gi, (c) => {
        const list = GLYPHS[c.toLowerCase()];
        return list !== undefined && random.uniform() < 0.7 ? random.pick([...list]) : c;
      });
    case 'spacing':
      return [...word].join(random.pick(SEPARATORS));
    case 'zero_width':
      return [...word].map((c, i) => (i > 0 && random.uniform() < 0.5 ? random.pick(INVISIBLE) + c : c)).join('');
    case 'repeats': {
      const at = random.integer(1, word.length - 1);
      return word.slice(0, at) + word[at]!.repeat(random.integer(3, 5)) + word.slice(at + 1);
    }
    default:
      return word;
  }
}

function misspell(word: string, random: RandomStream): string {
  const at = random.integer(1, word.length - 2);
  const roll = random.integer(0, 3);
  if (roll === 0) return word.slice(0, at) + word[at + 1]! + word[at]! + word.slice(at + 2);
  if (roll === 1) return word.slice(0, at) + word.slice(at + 1);
  if (roll === 2) return word.slice(0, at) + word[at]! + word.slice(at);
  const sound = SOUNDS.find(([from]) => word.toLowerCase().includes(from));
  return sound === undefined ? misspell(word, random) : word.toLowerCase().replace(sound[0], sound[1]);
}
