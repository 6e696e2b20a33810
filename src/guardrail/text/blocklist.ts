// The keyword list: phrases by stem in a trie that is walked with all open matches at once (Aho & Corasick 1975, with several
// symbols per word: its stem and its known beginnings), gaps, and contexts in which a phrase does not count.
import { type GuardCategory, OrreryError } from '../../base/index.ts';
import { CATEGORIES } from '../categories.ts';
import { LANGUAGES, type Language } from './languages.ts';
import { conceptsOf, entryWords, type Lexicon, lengthsOf } from './lexicon.ts';
import type { Word } from './read.ts';
import { stemOf } from './stem.ts';

type Ending = { readonly category: GuardCategory; readonly inContext: boolean };
type Trie = {
  /** Word symbols: stems, or beginnings marked with a star. */
  readonly next: Map<string, Trie>;
  /** Continuation after up to `GAP` other words. */
  gap?: Trie;
  readonly endings: Ending[];
};

/** Phrases of one language. */
type LanguageList = {
  readonly trie: Trie;
  /** Beginnings of words that the phrases use, and their lengths by the first two letters. */
  readonly beginnings: ReadonlySet<string>;
  readonly lengths: ReadonlyMap<string, readonly number[]>;
};

export type Blocklist = {
  /** The phrases of one language; stemmed when it is asked for first. Undefined when there are none. */
  of(language: Language): LanguageList | undefined;
  /** Texts for languages without spaces. */
  readonly strings: ReadonlyMap<Language, readonly (Ending & { readonly text: string })[]>;
  readonly size: number;
};

/** A phrase found. `first` and `last` are word places. */
export type BlocklistHit = Ending & { readonly first: number; readonly last: number };

/** Most words between the parts of a phrase that may stand apart. */
const GAP = 6;

/** Concepts that speak of teaching, history, healing, acting and play. */
const CONTEXTS = ['SAFETYED', 'HISTORY', 'FILM', 'GAME', 'MEDICAL', 'SPORT'] as const;

const newTrie = (): Trie => ({ next: new Map(), endings: [] });

/** Reads list files; later files add to earlier ones. */
export function parseBlocklist(files: readonly { readonly text: string; readonly source: string }[]): Blocklist {
  const phrases = new Map<Language, (Ending & { readonly plain: string })[]>();
  const strings = new Map<Language, (Ending & { text: string })[]>();
  let size = 0;
  for (const { text, source } of files) {
    for (const [i, line] of text.split('\n').entries()) {
      if (line.trim() === '' || line.startsWith('#')) continue;
      const match = /^(O\d{1,2}) ([a-z]{2}): (.+)$/.exec(line);
      const language = match?.[2] as Language | undefined;
      if (match === null || CATEGORIES[match[1]!] === undefined || !LANGUAGES.includes(language!)) {
        throw new OrreryError(
          'data',
          `${source}:${i + 1}: need a line such as "O4 en: pipe bomb, ~plant+bomb"; restore the file or mend the line`,
        );
      }
      for (const entry of match[3]!.split(',')) {
        const phrase = entry.trim().normalize('NFKC').toLowerCase();
        if (phrase === '' || phrase === '~') continue;
        const ending = { category: match[1] as GuardCategory, inContext: !phrase.startsWith('~') };
        const plain = phrase.replace(/^~/, '');
        if (language === 'zh' || language === 'ja') {
          strings.set(language, [...(strings.get(language) ?? []), { ...ending, text: plain.replace(/[\s+*]/g, '') }]);
        } else phrases.set(language!, [...(phrases.get(language!) ?? []), { ...ending, plain }]);
        size++;
      }
    }
  }
  if (size === 0) throw new OrreryError('data', 'the word lists are empty; restore the model folder from the package');
  const lists = new Map<Language, LanguageList>();
  return {
    of(language) {
      const entries = phrases.get(language);
      if (entries === undefined) return undefined;
      const list = lists.get(language) ?? buildList(language, entries);
      lists.set(language, list);
      return list;
    },
    strings,
    size,
  };
}

function buildList(language: Language, entries: readonly (Ending & { readonly plain: string })[]): LanguageList {
  const trie = newTrie();
  const beginnings = new Set<string>();
  for (const { plain, ...ending } of entries) addPhrase(trie, beginnings, language, plain, ending);
  return { trie, beginnings, lengths: lengthsOf(beginnings) };
}

function addPhrase(trie: Trie, known: Set<string>, language: Language, phrase: string, ending: Ending): void {
  let node = trie;
  for (const [p, part] of phrase.split('+').entries()) {
    if (p > 0) node = node.gap ??= newTrie();
    for (const word of entryWords(part)) {
      const symbol = word.endsWith('*') ? word : stemOf(word, language);
      if (symbol.endsWith('*')) known.add(symbol.slice(0, -1));
      const next = node.next.get(symbol) ?? newTrie();
      node.next.set(symbol, next);
      node = next;
    }
  }
  node.endings.push(ending);
}

/** All list phrases in a text. Work is linear in its length times the open matches, which are few. */
export function findPhrases(
  words: readonly Word[],
  list: Blocklist,
  lexicon: Lexicon,
  concepts: () => readonly (readonly number[])[] = () => conceptsOf(words, lexicon),
): BlocklistHit[] {
  const hits: BlocklistHit[] = [];
  type Open = { readonly node: Trie; readonly first: number; readonly until: number };
  let open: Open[] = [];
  const seen = new Map<Language, Map<string, readonly string[]>>(LANGUAGES.map((language) => [language, new Map()]));
  for (const [i, word] of words.entries()) {
    const own = list.of(word.language);
    const known = seen.get(word.language)!;
    const symbols = known.get(word.text) ?? symbolsOf(word, own);
    known.set(word.text, symbols);
    const next: Open[] = [];
    const step = ({ node, first, until }: Open): void => {
      for (const symbol of symbols) {
        const child = node.next.get(symbol);
        if (child === undefined) continue;
        for (const ending of child.endings) hits.push({ ...ending, first, last: i });
        if (child.next.size > 0) next.push({ node: child, first, until: -1 });
        if (child.gap !== undefined) next.push({ node: child.gap, first, until: i + GAP + 1 });
      }
      if (until > i) next.push({ node, first, until });
    };
    for (const one of open) step(one);
    if (own !== undefined) step({ node: own.trie, first: i, until: -1 });
    open = next.length > 64 ? next.slice(0, 64) : next;
  }
  hits.push(...findStrings(words, list));
  if (hits.every((hit) => hit.inContext)) return hits;
  const wanted = new Set(CONTEXTS.map((name) => lexicon.concepts.indexOf(name)));
  const isTaught = concepts().some((own) => own.some((concept) => wanted.has(concept)));
  return hits.filter((hit) => hit.inContext || !isTaught);
}

function symbolsOf(word: Word, list: LanguageList | undefined): string[] {
  const symbols = [word.stem];
  for (const n of list?.lengths.get(word.text.slice(0, 2)) ?? []) {
    const beginning = word.text.slice(0, n);
    if (n <= word.text.length && list!.beginnings.has(beginning)) symbols.push(`${beginning}*`);
  }
  return symbols;
}

/** Phrases of languages without spaces, across the borders of the words found in them. */
function findStrings(words: readonly Word[], list: Blocklist): BlocklistHit[] {
  const hits: BlocklistHit[] = [];
  if (!words.some((w) => w.language === 'zh' || w.language === 'ja')) return hits;
  let joined = '';
  const starts: number[] = [];
  for (const word of words) {
    starts.push(joined.length);
    joined += word.text;
  }
  const wordAt = (place: number): number => starts.findLastIndex((s) => s <= place);
  for (const entries of list.strings.values()) {
    for (const { text, ...ending } of entries) {
      const at = joined.indexOf(text);
      if (at >= 0) hits.push({ ...ending, first: wordAt(at), last: wordAt(at + text.length - 1) });
    }
  }
  return hits;
}
