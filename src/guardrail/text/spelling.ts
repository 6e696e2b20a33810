// Nearest known word within a budget of edits (Damerau–Levenshtein, adjacent swaps count one), found through deletion
// neighbourhoods (the idea of SymSpell): both sides drop up to k letters and meet in a table. The table is two number arrays,
// made when the first unknown word comes: most prompts never need it, and a map of strings took a tenth of a second to fill.

/**
 * Edits allowed for a dictionary word of this length: 0 below 4 letters, 1 up to 8, 2 from 9. Four letters get one because
 * only words that no dictionary knows are mended at all.
 */
export const editBudget = (length: number): number => (length < 4 ? 0 : length < 9 ? 1 : 2);

/** Restricted Damerau–Levenshtein distance; stops above `limit`. */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      let d = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) d = Math.min(d, before[j - 2]! + 1);
      next.push(d);
      least = Math.min(least, d);
    }
    if (least > limit) return limit + 1;
    [before, row] = [row, next];
  }
  return row[b.length]!;
}

export type Speller = {
  /** The nearest word within the budget, or undefined. */
  nearest(word: string): string | undefined;
};

/** Letters at the front that the table is made of; the whole words are compared afterwards. */
const FRONT = 7;

/** Longest word looked at; longer ones are no slips of the pen. */
const LONGEST = 24;

/** Words by the sums of their shortened fronts: heads of chains, then per link the word and the next link, 0 = end. */
type Fronts = {
  readonly words: readonly string[];
  readonly heads: Int32Array;
  readonly sums: Uint32Array;
  readonly owner: Int32Array;
  readonly next: Int32Array;
};

function frontsOf(all: Iterable<string>): Fronts {
  const words = [...all].filter((word) => editBudget(word.length) > 0 && word.length <= LONGEST);
  const links = words.length * (FRONT + 1) + 1;
  const heads = new Int32Array(2 ** Math.ceil(Math.log2(2 * links)));
  const sums = new Uint32Array(links);
  const owner = new Int32Array(links);
  const next = new Int32Array(links);
  let link = 0;
  // Backwards, so that chains name the words in the order of the list.
  for (let w = words.length - 1; w >= 0; w--) {
    const front = words[w]!.slice(0, FRONT);
    // One letter dropped on this side, up to two on the other: nearly all slips meet.
    for (let cut = -1; cut < front.length; cut++) {
      const sum = frontSum(front, cut);
      const slot = sum & (heads.length - 1);
      link++;
      sums[link] = sum;
      owner[link] = w;
      next[link] = heads[slot]!;
      heads[slot] = link;
    }
  }
  return { words, heads, sums, owner, next };
}

/** Sum of a text without the letters at two places; -1 = none. The same numbers as `hash32` of the shortened text. */
function frontSum(text: string, cut: number, cutToo = -1): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    if (i !== cut && i !== cutToo) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  }
  return h >>> 0;
}

/** Sums of a front and of what is left after dropping up to `k` of its letters, 1 or 2. */
function shortenedSums(front: string, k: 1 | 2): Set<number> {
  const sums = new Set<number>();
  for (let a = -1; a < front.length; a++) sums.add(frontSum(front, a));
  if (k === 1) return sums;
  for (let a = 0; a < front.length; a++) {
    for (let b = a + 1; b < front.length; b++) sums.add(frontSum(front, a, b));
  }
  return sums;
}

/** Makes a speller. @param words word → weight; among equally near words the heavier one is taken */
export function makeSpeller(words: ReadonlyMap<string, number>): Speller {
  let fronts: Fronts | undefined;
  return {
    nearest(word) {
      if (word.length < 4 || word.length > LONGEST + 2) return undefined;
      let best: string | undefined;
      let bestRank = Number.POSITIVE_INFINITY;
      fronts ??= frontsOf(words.keys());
      const { heads, sums, owner, next } = fronts;
      const seen = new Set<number>();
      for (const sum of shortenedSums(word.slice(0, FRONT), word.length < 8 ? 1 : 2)) {
        for (let link = heads[sum & (heads.length - 1)]!; link !== 0; link = next[link]!) {
          if (sums[link] !== sum || seen.has(owner[link]!)) continue;
          seen.add(owner[link]!);
          const candidate = fronts.words[owner[link]!]!;
          const budget = editBudget(candidate.length);
          const d = editDistance(word, candidate, budget);
          if (d > budget) continue;
          // Short words keep their first letter, unless two letters were swapped or a silent one dropped.
          const keepsFirst =
            sounds(word) === sounds(candidate) || word === candidate.slice(1) || isSwap(word, candidate);
          if (!keepsFirst && candidate.length < 9) continue;
          const rank = d * 1000 - Math.min(500, words.get(candidate)!) + (word[0] === candidate[0] ? 0 : 400);
          if (rank < bestRank) [best, bestRank] = [candidate, rank];
        }
      }
      return best;
    },
  };
}

/** First sound: letters that are written for each other count as one. */
function sounds(word: string): string {
  const c = word[0]!;
  if ('ckqsz'.includes(c)) return 's';
  if (c === 'f' || word.startsWith('ph')) return 'f';
  return c === 'j' || c === 'g' ? 'g' : c;
}

const isSwap = (a: string, b: string): boolean => a.length === b.length && a[0] === b[1] && a[1] === b[0];
