// From a text to canonical words: cleaned, disguises undone, spelling mended, language and stem of each word found.
import { bare, type CleanText, cleanText, isPlainLetters } from './clean.ts';
import { foldLookalikes, isFoldable, isMixed } from './confusables.ts';
import { collapsed, hasSigns, isMeasure, readings, segment } from './disguise.ts';
import { type Language, latinLanguage, scriptLanguage } from './languages.ts';
import { type Lexicon, longestWord } from './lexicon.ts';
import type { Speller } from './spelling.ts';
import { stemOf } from './stem.ts';
import type { WordFilter } from './words.ts';

/** A canonical word. */
export type Word = {
  readonly text: string;
  readonly stem: string;
  readonly language: Language;
  /** Place in the original text, in UTF-16 units. */
  readonly start: number;
  readonly end: number;
  /** True when the word was written in disguise: signs, look-alikes, letters apart. */
  readonly isDisguised: boolean;
};

/** What reading needs to know. */
export type ReadingKnowledge = {
  readonly lexicon: Lexicon;
  /** Known English words: never mended. */
  readonly known: WordFilter;
  /** English words that matter, with weights: what disguised words are read as. */
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly speller: Speller;
};

type Chunk = { readonly text: string; readonly start: number; readonly end: number };
type Piece = { readonly text: string; readonly start: number; readonly end: number; readonly isDisguised: boolean };

const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ー々]+/gu;
const LETTERS_ONLY = /^[\p{L}\p{M}]+$/u;
const LETTER = /\p{L}/u;
const LATIN = /\p{Script=Latin}/u;

/** Reads a text. Linear in its length but for short words in disguise; repeated words are read once. */
export function readWords(original: string, knowledge: ReadingKnowledge): Word[] {
  const clean = cleanText(original);
  const latinShare = shareOfLatin(clean.text);
  const pieces: Piece[] = [];
  const memory = new Map<string, readonly string[]>();
  const seen = new Map<string, readonly Piece[]>();
  const chunks = chunksOf(clean);
  for (let i = 0; i < chunks.length; i++) {
    const chunk = chunks[i]!;
    const run = chunk.text.length > 4 ? i : singleLetters(chunks, i);
    if (run > i + 2) {
      pieces.push(...spelledOut(chunks.slice(i, run), knowledge));
      i = run - 1;
      continue;
    }
    const known = seen.get(chunk.text);
    if (known !== undefined) {
      const { start, end } = chunk;
      for (const { text, isDisguised } of known) pieces.push({ text, start, end, isDisguised });
      continue;
    }
    const read = readChunk(chunk, latinShare, knowledge, memory);
    seen.set(chunk.text, read);
    pieces.push(...read);
  }
  const latin = latinLanguage(pieces.map((p) => p.text));
  const place = (at: number): number => clean.offsets[Math.min(at, clean.offsets.length - 1)] ?? 0;
  const meant = new Map<string, readonly Pick<Word, 'text' | 'stem' | 'language'>[]>();
  const meaning = (piece: Piece): readonly Pick<Word, 'text' | 'stem' | 'language'>[] => {
    const language = scriptLanguage(piece.text) ?? latin;
    const texts = language === 'en' ? mend(piece, knowledge, memory) : [piece.text];
    return texts.map((text) => ({ text, stem: stemOf(text, language), language }));
  };
  const words: Word[] = [];
  for (const piece of pieces) {
    const list = meant.get(piece.text) ?? meaning(piece);
    meant.set(piece.text, list);
    const [start, end] = [place(piece.start), place(piece.end - 1) + 1];
    const { isDisguised } = piece;
    for (const { text, stem, language } of list) words.push({ text, stem, language, start, end, isDisguised });
  }
  return words;
}

function shareOfLatin(text: string): number {
  let latin = 0;
  let all = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 128) {
      const isPlain = (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
      if (isPlain) latin++;
      if (isPlain) all++;
      continue;
    }
    const c = String.fromCodePoint(text.codePointAt(i)!);
    i += c.length - 1;
    if (LETTER.test(c)) all++;
    if (LATIN.test(c)) latin++;
  }
  return all === 0 ? 1 : latin / all;
}

function chunksOf({ text }: CleanText): Chunk[] {
  const chunks: Chunk[] = [];
  for (let start = 0; start < text.length; ) {
    if (isGap(text.charCodeAt(start))) {
      start++;
      continue;
    }
    let end = start + 1;
    while (end < text.length && !isGap(text.charCodeAt(end))) end++;
    chunks.push({ text: text.slice(start, end), start, end });
    start = end;
  }
  return chunks;
}

/** Space, tabulator and line ends. */
const isGap = (c: number): boolean => c === 32 || c === 10 || c === 13 || c === 9;

/** Signs that may stand for one letter, or a letter. */
const ONE_LETTER = /^[.\-_*~"'(]?(?:\p{L}\p{M}*|[0-9@$!|+€£#])[.\-_*~,"')!?:;]?$/u;

/** End of the run of single letters that starts at chunk i: "k i l l". */
function singleLetters(chunks: readonly Chunk[], i: number): number {
  let end = i;
  while (end < chunks.length && ONE_LETTER.test(chunks[end]!.text) && scriptLanguage(chunks[end]!.text) !== 'zh') end++;
  return end;
}

/** Joins single letters and reads the words in them; an article beside the run may have been caught by it. */
function spelledOut(chunks: readonly Chunk[], knowledge: ReadingKnowledge): Piece[] {
  const letters = chunks.map((c) => foldLookalikes(c.text.replace(/^[.\-_*~"'(]|[.\-_*~,"')?:;]$/gu, '') || c.text));
  const whole = { start: chunks[0]!.start, end: chunks[chunks.length - 1]!.end };
  for (const text of readings(letters.join('')).slice(0, 12)) {
    const words = wordsIn(text, knowledge);
    if (words !== undefined) return words.map((word) => ({ text: word, ...whole, isDisguised: true }));
  }
  return [{ text: letters.join('').replace(/[^\p{L}\p{M}]/gu, '') || letters.join(''), ...whole, isDisguised: true }];
}

/** A word of the vocabulary, or a known English word of at least four letters. */
const knows = (word: string, { vocabulary, known }: ReadingKnowledge): boolean =>
  vocabulary.has(word) || (word.length >= 4 && known.has(word));

/** One known word, or several that are glued together; undefined when it is neither. */
const wordsIn = (letters: string, knowledge: ReadingKnowledge): string[] | undefined =>
  knows(letters, knowledge) ? [letters] : segment(letters, (w) => knows(w, knowledge));

function readChunk(
  chunk: Chunk,
  latinShare: number,
  knowledge: ReadingKnowledge,
  memory: Map<string, readonly string[]>,
): Piece[] {
  let text = chunk.text;
  let isDisguised = false;
  if (isPlainLetters(text)) return [{ text, start: chunk.start, end: chunk.end, isDisguised }];
  // Look-alikes: in words that mix scripts, and in whole words that pretend to be Latin inside a Latin text.
  if (
    isMixed(text) ||
    (latinShare > 0.5 && /[^\x20-\x7e]/.test(text) && isFoldable(text) && !/^\p{Script=Latin}+$/u.test(text))
  ) {
    const folded = foldLookalikes(text);
    const isRealWord = scriptLanguage(text) !== undefined && !isMixed(text) && !knows(strip(folded), knowledge);
    if (!isRealWord && folded !== text) [text, isDisguised] = [folded, true];
  }
  const at = { start: chunk.start, end: chunk.end };
  const one = (word: string, disguised = isDisguised): Piece => ({ text: word, ...at, isDisguised: disguised });
  if (LETTERS_ONLY.test(text)) return unspaced(text, at, isDisguised, knowledge.lexicon);
  const bareWord = strip(text);
  if (
    LETTERS_ONLY.test(bareWord) &&
    bareWord === text.replace(/^\P{L}+|[.,;:?!"'…)\]]+$/gu, '') &&
    !/[|@$€£+]/.test(text)
  ) {
    return unspaced(bareWord, at, isDisguised, knowledge.lexicon);
  }
  const key = `chunk ${text}`;
  const remembered = memory.get(key);
  if (remembered !== undefined) return remembered.map((word) => one(word, true));
  const undone = undo(text, knowledge);
  if (undone !== undefined) {
    memory.set(key, undone);
    return undone.map((word) => one(word, true));
  }
  // An ordinary compound: parts between hyphens, apostrophes, slashes and the like.
  return (text.match(/[\p{L}\p{M}]+|\d+/gu) ?? []).flatMap((part) =>
    LETTERS_ONLY.test(part) ? unspaced(part, at, isDisguised, knowledge.lexicon) : [],
  );
}

/** Without punctuation around it; signs that may be letters stay. */
const strip = (text: string): string => text.replace(/^["'“”‘’«»„([{<.,;:¿¡…*_~-]+|["'“”‘’«»)\]}>.,;:!?…*_~-]+$/gu, '');

/** The words behind signs or inner separators; undefined when there are none. */
function undo(text: string, knowledge: ReadingKnowledge): string[] | undefined {
  const trimmed = text.replace(/[.,;:?"'”’…)\]]+$/u, '').replace(/^["'“‘«]+/u, '');
  const joined = trimmed.replace(/[.\-_*·•~+/\\|,:'’]/gu, '');
  // k.i.l.l, k-i-l-l, ki_ll: letters parted by signs give one known word.
  const parts = trimmed.split(/[.\-_*·•~+/|]+/u);
  const isSpelled = parts.length >= 3 && parts.filter((p) => p.length <= 1).length >= parts.length - 1;
  if (isSpelled && joined.length >= 3) {
    for (const letters of readings(joined).slice(0, 8)) {
      const words = wordsIn(letters, knowledge);
      if (words !== undefined) return words;
      const near = knowledge.speller.nearest(letters);
      if (near !== undefined) return [near];
    }
  }
  const hasInner = /\p{L}[._*~|+·•]+\p{L}/u.test(trimmed);
  if (hasInner && LETTERS_ONLY.test(joined) && knows(joined, knowledge)) return [joined];
  if (!hasSigns(trimmed) || isMeasure(trimmed)) return undefined;
  const candidates = [trimmed, trimmed.replace(/[!*_~.-]+$/u, ''), trimmed.replace(/^[*_~#.(-]+|[!*_~.-]+$/gu, '')];
  let fallback: string | undefined;
  for (const candidate of new Set(candidates)) {
    const all = readings(candidate);
    const important = all.find((r) => knowledge.vocabulary.has(r));
    if (important !== undefined && !LETTERS_ONLY.test(candidate)) return [important];
    const known = all.find((r) => knows(r, knowledge));
    if (known !== undefined && !LETTERS_ONLY.test(candidate)) return [known];
    for (const reading of all.slice(0, 12)) {
      fallback ??= reading.length >= 5 ? knowledge.speller.nearest(reading) : undefined;
      if (fallback !== undefined) break;
    }
    // A hyphenated compound in disguise: each part by itself.
    if (/-/.test(candidate) && fallback === undefined) {
      const each = candidate
        .split('-')
        .map((part) => (LETTERS_ONLY.test(part) ? part : readings(part).find((r) => knows(r, knowledge))));
      if (each.every((part) => part !== undefined && part !== '')) return each as string[];
    }
  }
  return fallback === undefined ? undefined : [fallback];
}

/** Texts without spaces between words: lexicon words where they fit, the segmenter of the platform for the rest. */
function unspaced(
  text: string,
  at: { readonly start: number; readonly end: number },
  isDisguised: boolean,
  lexicon: Lexicon,
): Piece[] {
  const first = text.search(UNSPACED);
  if (first < 0) return [{ text, ...at, isDisguised }];
  const pieces: Piece[] = [];
  let last = 0;
  const plain = (word: string): void => {
    for (const part of word.match(/[\p{L}\p{M}]+/gu) ?? []) pieces.push({ text: part, ...at, isDisguised });
  };
  for (const match of text.matchAll(UNSPACED)) {
    plain(text.slice(last, match.index));
    last = match.index + match[0].length;
    const language = /[\u3040-\u30ff]/.test(text) ? 'ja' : 'zh';
    pieces.push(...splitRun(match[0], language, lexicon).map((word) => ({ text: word, ...at, isDisguised })));
  }
  plain(text.slice(last));
  return pieces;
}

const segmenters = new Map<string, Intl.Segmenter>();

function splitRun(run: string, language: 'zh' | 'ja', lexicon: Lexicon): string[] {
  const words: string[] = [];
  let rest = '';
  const flush = (): void => {
    if (rest === '') return;
    const segmenter = segmenters.get(language) ?? new Intl.Segmenter(language, { granularity: 'word' });
    segmenters.set(language, segmenter);
    for (const { segment: word } of segmenter.segment(rest)) words.push(word);
    rest = '';
  };
  for (let i = 0; i < run.length; ) {
    const word = longestWord(run, i, language, lexicon);
    if (word === '') rest += run[i++]!;
    else {
      flush();
      words.push(word);
      i += word.length;
    }
  }
  flush();
  return words;
}

/** An English word as it was meant: repeats collapsed, glued words parted, slips mended. Known words stay. */
function mend(piece: Piece, knowledge: ReadingKnowledge, memory: Map<string, readonly string[]>): readonly string[] {
  const { text } = piece;
  if (text.length < 4 || knowledge.vocabulary.has(text) || knowledge.known.has(text)) return [text];
  const remembered = memory.get(text);
  if (remembered !== undefined) return remembered;
  const found = mended(text, knowledge);
  memory.set(text, found);
  return found;
}

function mended(text: string, knowledge: ReadingKnowledge): readonly string[] {
  const plain = bare(text);
  if (plain !== text && knows(plain, knowledge)) return [plain];
  const shortened = collapsed(text);
  const known = shortened.find((shorter) => knows(shorter, knowledge));
  if (known !== undefined) return [known];
  for (const shorter of shortened) {
    const near = knowledge.speller.nearest(shorter);
    if (near !== undefined) return [near];
  }
  const near = knowledge.speller.nearest(text);
  if (near !== undefined) return [near];
  if (text.length >= 8) {
    const parts = segment(text, (w) => knowledge.vocabulary.has(w) || (w.length >= 5 && knowledge.known.has(w)), 3);
    if (parts !== undefined) return parts;
  }
  return [text];
}
