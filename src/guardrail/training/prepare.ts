// Makes the word files of a guard model: the filter of known English words and the vocabulary of words that matter.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { OrreryError, randomStream } from '../../base/index.ts';
import { writeFileAtomic } from '../../formats/index.ts';
import { KNOWLEDGE_FILES } from '../knowledge.ts';
import { parseLexicon } from '../text/lexicon.ts';
import { stemOf } from '../text/stem.ts';
import { buildWordFilter } from '../text/words.ts';
import { type Block, compose } from './corpus.ts';

/** About 11 bits a word and 7 places: one unknown word in 150 passes for known. */
const FILTER = { bits: 8 * 380_000, count: 7 } as const;

/** Shorter words of the word list are left out: any two letters of a disguise would pass for a word. */
const LEAST_LETTERS = 2;

/** Writes `words.bloom` and `vocabulary.txt` into a model folder that holds the lexicon. */
export function prepareWords(dir: string, blocks: readonly Block[]): { known: number; vocabulary: number } {
  const path = (name: keyof typeof KNOWLEDGE_FILES): string => join(dir, KNOWLEDGE_FILES[name]);
  const lexicon = parseLexicon(readFileSync(path('lexicon'), 'utf8'), path('lexicon'));
  const counts = new Map<string, number>();
  const random = randomStream(1, 'vocabulary');
  for (const block of blocks) {
    if (block.language !== 'en') continue;
    for (let i = 0; i < 60; i++) {
      for (const word of compose(block, random)
        .text.toLowerCase()
        .match(/[a-z]{2,}/g) ?? []) {
        counts.set(word, (counts.get(word) ?? 0) + 1);
      }
    }
  }
  const english = lexicon.of('en');
  const known = knownWords();
  const list = new Set(known);
  for (const word of english.words) {
    if (word.length >= 3 && /^[a-z]+$/.test(word)) counts.set(word, Math.max(3, counts.get(word) ?? 0));
  }
  // Beginnings stand for all dictionary words that start with them.
  for (const word of known) {
    if (word.length < 5 || word.length > 16) continue;
    for (let n = 4; n <= word.length; n++) {
      if (english.beginnings.has(word.slice(0, n))) {
        counts.set(word, Math.max(2, counts.get(word) ?? 0));
        break;
      }
    }
  }
  const words = [...counts].filter(([w]) => list.has(w) || english.words.has(w) || counts.get(w)! > 20);
  words.sort(([a], [b]) => (a < b ? -1 : 1));
  const line = ([word, count]: readonly [string, number]): string => {
    const stem = stemOf(word, 'en');
    return `${word} ${Math.min(999, count)} ${stem === word ? '=' : stem}\n`;
  };
  writeFileAtomic(path('vocabulary'), words.map(line).join(''));
  writeFileAtomic(path('known'), buildWordFilter(known, FILTER.bits, FILTER.count));
  return { known: known.length, vocabulary: words.length };
}

/** Ordinary English words: known, not too long, and in none of the concepts that matter to a category. */
export function plainWords(dir: string): string[] {
  const path = join(dir, KNOWLEDGE_FILES.lexicon);
  const english = parseLexicon(readFileSync(path, 'utf8'), path).of('en');
  const random = randomStream(2, 'plain words');
  const isFree = (word: string): boolean => {
    if (english.words.has(word) || english.stems.has(word)) return false;
    for (let n = 3; n <= word.length; n++) if (english.beginnings.has(word.slice(0, n))) return false;
    return true;
  };
  const words = knownWords().filter((w) => w.length >= 3 && w.length <= 10 && isFree(w));
  return random.shuffle(words).slice(0, 40_000);
}

/** English words of the development dependency `word-list`. */
function knownWords(): string[] {
  let path: string;
  try {
    path = join(dirname(createRequire(import.meta.url).resolve('word-list')), 'words.txt');
  } catch (cause) {
    throw new OrreryError('data', 'no package word-list; install the development dependencies first', { cause });
  }
  const words = readFileSync(path, 'utf8').split('\n');
  return words.filter((w) => w.length >= LEAST_LETTERS && w.length <= 18 && /^[a-z]+$/.test(w));
}
