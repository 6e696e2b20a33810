// Captions as word numbers: a vocabulary taken from the training captions, and a few shared slots for all other words.

/** Slots of words outside the vocabulary; each such word always falls into the same one. */
export const UNKNOWN_SLOTS = 32;
const PADDING = 0;

/** Lower-case words of a caption without punctuation; plural and verb endings stay. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** The vocabulary of some captions: words by falling frequency, then by spelling. */
export function vocabularyOf(captions: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const caption of captions) for (const word of wordsOf(caption)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([word]) => word);
}

/** Rows of the embedding table: padding, unknown slots, then the vocabulary. */
export const tableRows = (vocabulary: readonly string[]): number => 1 + UNKNOWN_SLOTS + vocabulary.length;

/**
 * Word numbers of a text, padded with 0 to `length`; longer texts are cut.
 * @returns int64 [length]
 */
export function wordIds(text: string, vocabulary: ReadonlyMap<string, number>, length: number): BigInt64Array {
  const ids = new BigInt64Array(length).fill(BigInt(PADDING));
  for (const [i, word] of wordsOf(text).slice(0, length).entries()) {
    const known = vocabulary.get(word);
    ids[i] = BigInt(known === undefined ? 1 + (hashWord(word) % UNKNOWN_SLOTS) : 1 + UNKNOWN_SLOTS + known);
  }
  return ids;
}

function hashWord(word: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < word.length; i++) h = Math.imul(h ^ word.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
