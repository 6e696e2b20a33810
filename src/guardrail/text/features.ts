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
export function wordIds(words: readonly Word[], lexicon: Lexicon, config: FeatureConfig): Int32Array[] {
  const concepts = conceptsOf(words, lexicon);
  const room = config.table - 1 - config.concepts;
  const bucket = (text: string): number => 1 + config.concepts + (hash32(text) % room);
  const seen = new Map<string, Int32Array>();
  return words.map((word, i) => {
    const key = `${word.language}:${word.text}:${concepts[i]!.join()}`;
    const known = seen.get(key);
    if (known !== undefined) return known;
    const row = new Int32Array(config.ids);
    seen.set(key, row);
    row[PLACES.word] = bucket(`w:${word.text}`);
    row[PLACES.stem] = bucket(`s:${word.stem}`);
    for (const [k, concept] of concepts[i]!.slice(0, PLACES.grams - PLACES.concepts).entries()) {
      row[PLACES.concepts + k] = 1 + concept;
    }
    const grams = gramsOf(word.text, config.ids - PLACES.grams);
    for (const [k, gram] of grams.entries()) row[PLACES.grams + k] = bucket(`g:${gram}`);
    return row;
  });
}

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
