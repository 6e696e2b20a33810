// Numbers that the classifier sees: per word a few ids into one table of embeddings.
import { hash32 } from '../../base/index.ts';
import { conceptsOf, type Lexicon } from './lexicon.ts';
import type { Word } from './read.ts';

/** Sizes of the input. Id 0 is "nothing"; ids up to `concepts` are concepts; the rest are hash buckets. */
export type FeatureConfig = {
  /** Words of one window. */
  readonly words: number;
  /** Ids of one word. */
  readonly ids: number;
  /** Concept ids. */
  readonly concepts: number;
  /** Size of the whole table. */
  readonly table: number;
};

/** Kinds of ids: their places in the row of a word. */
const PLACES = { word: 0, stem: 1, concepts: 2, grams: 5 } as const;

/** Ids of each word, `ids` long, zeros behind. */
export function wordIds(
  words: readonly Word[],
  lexicon: Lexicon,
  config: FeatureConfig,
  concepts: readonly (readonly number[])[] = conceptsOf(words, lexicon),
): Int32Array[] {
  const room = config.table - 1 - config.concepts;
  const bucket = (text: string): number => 1 + config.concepts + (hash32(text) % room);
  type Known = { readonly word: Word; readonly concepts: readonly number[]; readonly row: Int32Array };
  const seen = new Map<string, Known[]>();
  return words.map((word, i) => {
    const own = concepts[i]!;
    const like = seen.get(word.text) ?? [];
    const known = like.find((k) => k.word.stem === word.stem && isSame(k.concepts, own));
    if (known !== undefined) return known.row;
    const row = new Int32Array(config.ids);
    if (like.push({ word, concepts: own, row }) === 1) seen.set(word.text, like);
    row[PLACES.word] = bucket(`w:${word.text}`);
    row[PLACES.stem] = bucket(`s:${word.stem}`);
    for (const [k, concept] of own.slice(0, PLACES.grams - PLACES.concepts).entries()) {
      row[PLACES.concepts + k] = 1 + concept;
    }
    const grams = gramsOf(word.text, config.ids - PLACES.grams);
    for (const [k, gram] of grams.entries()) row[PLACES.grams + k] = bucket(`g:${gram}`);
    return row;
  });
}

const isSame = (a: readonly number[], b: readonly number[]): boolean =>
  a === b || (a.length === b.length && a.every((v, i) => v === b[i]));

/** Up to `most` character groups of a word with its borders, spread evenly: fours, or twos and threes of short words. */
function gramsOf(word: string, most: number): string[] {
  const marked = `<${word}>`;
  const n = /\p{Script=Han}|[\u3040-\u30ff]/u.test(word) ? 1 : marked.length <= 5 ? 3 : 4;
  const all = Array.from({ length: Math.max(1, marked.length - n + 1) }, (_, i) => marked.slice(i, i + n));
  if (all.length <= most) return all;
  return Array.from({ length: most }, (_, k) => all[Math.round((k * (all.length - 1)) / (most - 1))]!);
}

/** Steps between windows overlap by a quarter, so that no phrase is cut everywhere. */
export function windowStarts(count: number, words: number): number[] {
  const starts = [0];
  const step = Math.max(1, Math.floor((words * 3) / 4));
  while (starts[starts.length - 1]! + words < count) starts.push(starts[starts.length - 1]! + step);
  return starts;
}

/** Fills one window [words, ids] of a batch. */
export function fillWindow(out: Int32Array, rows: readonly Int32Array[], start: number, config: FeatureConfig): void {
  for (let t = 0; t < config.words; t++) {
    const row = rows[start + t];
    if (row !== undefined) out.set(row, t * config.ids);
  }
}
