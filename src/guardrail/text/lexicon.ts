// The concept lexicon: words of eleven languages → shared concepts, and the tokens that its entries are compared as.
import { OrreryError } from '../../base/index.ts';
import { LANGUAGES, type Language } from './languages.ts';
import { stemOf } from './stem.ts';

/** Concepts of one language, ready to look up. */
type LanguageLexicon = {
  /** Stem → concepts of single words. */
  readonly stems: ReadonlyMap<string, readonly number[]>;
  /** Beginning of a word → concepts. */
  readonly beginnings: ReadonlyMap<string, readonly number[]>;
  /** First stem → phrases. */
  readonly phrases: ReadonlyMap<string, readonly Phrase[]>;
  /** First two letters → lengths of the beginnings that start with them, shortest first. */
  readonly lengths: ReadonlyMap<string, readonly number[]>;
  /** Words of languages without spaces, for the longest match, by first character. */
  readonly strings: ReadonlyMap<string, readonly string[]>;
  /** Words as written, for spelling and splitting. */
  readonly words: ReadonlySet<string>;
};

type Phrase = { readonly rest: readonly Part[]; readonly concept: number };
type Part = { readonly stem: string; readonly isBeginning: boolean };

export type Lexicon = {
  readonly concepts: readonly string[];
  /** Per concept: true when more than one language has words for it. */
  readonly isShared: readonly boolean[];
  /** The words of one language; stemmed when it is asked for first, since most texts need one language only. */
  of(language: Language): LanguageLexicon;
};

const hasSpaces = (language: Language): boolean => language !== 'zh' && language !== 'ja';

/** Splits a lexicon entry or a list entry the way texts are split. */
export const entryWords = (entry: string): string[] =>
  entry
    .toLowerCase()
    .split(/[\s\-'’,]+/u)
    .filter((w) => w !== '');

/** Reads the lexicon file; every line must be whole. */
export function parseLexicon(text: string, source: string): Lexicon {
  const concepts: string[] = [];
  const lines: (readonly string[])[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const match = /^([A-Z]+): (.*)$/.exec(line);
    const columns = (match?.[2] ?? '').split(';');
    if (match === null || columns.length !== LANGUAGES.length) {
      throw new OrreryError('model', `${source}:${i + 1}: need NAME: and ${LANGUAGES.length} word lists parted by ";"`);
    }
    concepts.push(match[1]!);
    lines.push(columns);
  }
  if (concepts.length === 0) throw new OrreryError('model', `${source}: no concept in the file`);
  const tables = new Map<Language, LanguageLexicon>();
  return {
    concepts,
    isShared: lines.map((columns) => columns.filter((words) => words.trim() !== '').length > 1),
    of(language) {
      const known = tables.get(language);
      if (known !== undefined) return known;
      const table = emptyTable();
      const column = LANGUAGES.indexOf(language);
      for (const [concept, columns] of lines.entries()) {
        for (const entry of columns[column]!.split(',')) {
          if (entry.trim() !== '') addEntry(table, language, entry.trim().normalize('NFKC'), concept);
        }
      }
      const whole = { ...table, lengths: lengthsOf([...table.beginnings.keys(), ...startsOf(table.phrases)]) };
      tables.set(language, whole);
      return whole;
    },
  };
}

/** Beginnings that phrases start with. */
const startsOf = (phrases: ReadonlyMap<string, unknown>): string[] =>
  [...phrases.keys()].filter((key) => key.endsWith('*')).map((key) => key.slice(0, -1));

/** Lengths of beginnings by their first two letters, shortest first: most words share no first letters with any. */
export function lengthsOf(beginnings: Iterable<string>): Map<string, number[]> {
  const lengths = new Map<string, number[]>();
  for (const beginning of beginnings) {
    const n = beginning.length;
    if (n < BEGINNING.least || n > BEGINNING.most) continue;
    const key = beginning.slice(0, BEGINNING.least);
    const list = lengths.get(key) ?? [];
    if (!list.includes(n))
      lengths.set(
        key,
        [...list, n].sort((a, b) => a - b),
      );
  }
  return lengths;
}

type Table = {
  stems: Map<string, number[]>;
  beginnings: Map<string, number[]>;
  phrases: Map<string, Phrase[]>;
  strings: Map<string, string[]>;
  words: Set<string>;
};
const emptyTable = (): Table => ({
  stems: new Map(),
  beginnings: new Map(),
  phrases: new Map(),
  strings: new Map(),
  words: new Set(),
});

function push<V>(map: Map<string, V[]>, key: string, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else if (!list.includes(value)) list.push(value);
}

function addEntry(table: Table, language: Language, entry: string, concept: number): void {
  if (!hasSpaces(language)) {
    push(table.stems, entry, concept);
    push(table.strings, entry[0]!, entry);
    table.words.add(entry);
    return;
  }
  const words = entryWords(entry);
  for (const w of words) table.words.add(w.replace('*', ''));
  const parts = words.map((w) =>
    w.endsWith('*') ? { stem: w.slice(0, -1), isBeginning: true } : { stem: stemOf(w, language), isBeginning: false },
  );
  const first = parts[0]!;
  if (parts.length === 1) push(first.isBeginning ? table.beginnings : table.stems, first.stem, concept);
  else push(table.phrases, first.isBeginning ? `${first.stem}*` : first.stem, { rest: parts.slice(1), concept });
}

/** Shortest and longest beginning that is looked up. */
const BEGINNING = { least: 2, most: 16 } as const;

/** A word as the lexicon sees it. */
export type LexiconWord = { readonly text: string; readonly stem: string; readonly language: Language };

/** Concepts of each word of a text; phrases give their concept to all their words. */
export function conceptsOf(words: readonly LexiconWord[], lexicon: Lexicon): (readonly number[])[] {
  // Words without concepts, nearly all of a long text, share one empty list.
  const found: (number[] | undefined)[] = new Array(words.length);
  const add = (at: number, concept: number): void => {
    const list = found[at];
    if (list === undefined) found[at] = [concept];
    else if (!list.includes(concept)) list.push(concept);
  };
  const seen = new Map<Language, Map<string, Alone>>();
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const own = seen.get(word.language) ?? new Map<string, Alone>();
    seen.set(word.language, own);
    const known = own.get(word.text);
    const { phrases, concepts } = known ?? alone(word, lexicon);
    if (known === undefined) own.set(word.text, { phrases, concepts });
    for (const phrase of phrases) {
      if (!phrase.rest.every((part, k) => fits(words[i + 1 + k], part))) continue;
      for (let k = 0; k <= phrase.rest.length; k++) add(i + k, phrase.concept);
    }
    for (const concept of concepts) add(i, concept);
  }
  return Array.from(found, (list) => list ?? NONE);
}

const NONE: readonly number[] = [];

/** What a word gives by itself: its concepts, and the phrases that may start with it. */
type Alone = { readonly phrases: readonly Phrase[]; readonly concepts: readonly number[] };

function alone(word: LexiconWord, lexicon: Lexicon): Alone {
  const table = lexicon.of(word.language);
  const keys = keysOf(word, table);
  const phrases = keys.flatMap((key) => table.phrases.get(key) ?? []);
  const beginnings = keys.filter((key) => key.endsWith('*'));
  const concepts = [
    ...(table.stems.get(word.stem) ?? []),
    ...beginnings.flatMap((key) => table.beginnings.get(key.slice(0, -1)) ?? []),
  ];
  return { phrases, concepts };
}

const fits = (word: LexiconWord | undefined, part: Part): boolean =>
  word !== undefined && (part.isBeginning ? word.text.startsWith(part.stem) : word.stem === part.stem);

/** The stem, and every beginning that the table knows, marked with a star. */
function keysOf(word: LexiconWord, table: LanguageLexicon): string[] {
  const keys = [word.stem];
  for (const n of table.lengths.get(word.text.slice(0, BEGINNING.least)) ?? NONE) {
    if (n > word.text.length) break;
    const beginning = word.text.slice(0, n);
    if (table.beginnings.has(beginning) || table.phrases.has(`${beginning}*`)) keys.push(`${beginning}*`);
  }
  return keys;
}

/** Longest lexicon word at a place of a text without spaces, or ''. */
export function longestWord(text: string, at: number, language: Language, lexicon: Lexicon): string {
  let best = '';
  for (const word of lexicon.of(language).strings.get(text[at]!) ?? []) {
    if (word.length > best.length && text.startsWith(word, at)) best = word;
  }
  return best;
}
