// Loads the files of a guard model folder: lexicon, known words, vocabulary. Sums are checked by the hub before.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OrreryError } from '../base/index.ts';
import { parseLexicon } from './text/lexicon.ts';
import type { ReadingKnowledge } from './text/read.ts';
import { makeSpeller } from './text/spelling.ts';
import { rememberStems } from './text/stem.ts';
import { readWordFilter } from './text/words.ts';

/** Files of a guard model folder besides the weights. */
export const KNOWLEDGE_FILES = {
  lexicon: 'lexicon.txt',
  known: 'words.bloom',
  vocabulary: 'vocabulary.txt',
  blocklist: 'blocklist.txt',
} as const;

/** Reads what reading needs from a folder. */
export function loadKnowledge(dir: string): ReadingKnowledge {
  const path = (name: keyof typeof KNOWLEDGE_FILES): string => join(dir, KNOWLEDGE_FILES[name]);
  const read = (name: keyof typeof KNOWLEDGE_FILES): Buffer => {
    try {
      return readFileSync(path(name));
    } catch (cause) {
      throw new OrreryError('model', `cannot read ${path(name)}; restore the model folder from the package`, { cause });
    }
  };
  const { words: vocabulary, stems } = parseVocabulary(read('vocabulary').toString('utf8'), path('vocabulary'));
  rememberStems(stems, 'en');
  return {
    lexicon: parseLexicon(read('lexicon').toString('utf8'), path('lexicon')),
    known: readWordFilter(read('known'), path('known')),
    vocabulary,
    speller: makeSpeller(vocabulary),
  };
}

/** Lines "word weight" or "word weight stem"; "=" for a word that is its own stem. */
export function parseVocabulary(
  text: string,
  source: string,
): { readonly words: Map<string, number>; readonly stems: Map<string, string> } {
  const words = new Map<string, number>();
  const stems = new Map<string, string>();
  for (const [i, line] of text.trimEnd().split('\n').entries()) {
    const match = /^(\S+) (\d+)(?: (\S+))?$/.exec(line);
    if (match === null) throw new OrreryError('model', `${source}:${i + 1}: need a word, its weight and its stem`);
    const [, word, weight, stem] = match;
    words.set(word!, Number(weight));
    if (stem !== undefined) stems.set(word!, stem === '=' ? word! : stem);
  }
  return { words, stems };
}
