// Nearest known word within a budget of edits (Damerau–Levenshtein, adjacent swaps count one), found through deletion
// neighbourhoods (the idea of SymSpell): both sides drop up to k letters and meet in a table. The table is two number arrays,
// made when the first unknown word comes: most prompts never need it, and a map of strings took a tenth of a second to fill.

/**
 * Edits allowed for a dictionary word of this length: 0 below 4 letters, 1 up to 8, 2 from 9. Four letters get one because
 * only words that no dictionary knows are mended at all.
 */
export const editBudget = (length: number): number => (length < 4 ? 0 : length < 9 ? 1 : 2);

/** Longest texts that are compared in the rows below; longer ones get rows of their own. */
const ROOM = 32;
const ROWS = [new Uint8Array(ROOM + 1), new Uint8Array(ROOM + 1), new Uint8Array(ROOM + 1)] as const;

/** Restricted Damerau–Levenshtein distance; stops above `limit`. */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  const fits = b.length <= ROOM && a.length <= ROOM;
  let [before, row, next]: readonly (Uint8Array | Uint16Array)[] = fits
    ? ROWS
    : [0, 1, 2].map(() => new Uint16Array(b.length + 1));
  for (let j = 0; j <= b.length; j++) row![j] = j;
  let last = 0;
  for (let i = 1; i <= a.length; i++) {
    const c = a.charCodeAt(i - 1);
    next![0] = i;
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const other = b.charCodeAt(j - 1);
      let d = row![j - 1]! + (c === other ? 0 : 1);
      if (row![j]! + 1 < d) d = row![j]! + 1;
      if (next![j - 1]! + 1 < d) d = next![j - 1]! + 1;
      if (i > 1 && j > 1 && c === b.charCodeAt(j - 2) && last === other && before![j - 2]! + 1 < d)
        d = before![j - 2]! + 1;
      next![j] = d;
      if (d < least) least = d;
    }
    if (least > limit) return limit + 1;
    last = c;
    [before, row, next] = [row, next, before];
  }
  return row![b.length]!;
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
  readonly weights: Float64Array;
  readonly heads: Int32Array;
  readonly sums: Uint32Array;
  readonly owner: Int32Array;
  readonly next: Int32Array;
};

function frontsOf(all: ReadonlyMap<string, number>): Fronts {
  const words = [...all.keys()].filter((word) => editBudget(word.length) > 0 && word.length <= LONGEST);
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
  const weights = Float64Array.from(words, (word) => all.get(word)!);
  return { words, weights, heads, sums, owner, next };
}

/** Sum of a text without the letters at two places; -1 = none. The same numbers as `hash32` of the shortened text. */
function frontSum(text: string, cut: number, cutToo = -1): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    if (i !== cut && i !== cutToo) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  }
  return h >>> 0;
}

/** Sums of a front and of what is left after dropping up to two of its letters: at most 1 + 7 + 21. */
const SUMS = new Uint32Array(1 + FRONT + (FRONT * (FRONT - 1)) / 2);

/** Fills `SUMS` with the sums of a front without up to `k` of its letters, 1 or 2, each once. Returns their number. */
function shortenedSums(front: string, k: 1 | 2): number {
  let count = 0;
  const add = (sum: number): void => {
    for (let i = 0; i < count; i++) if (SUMS[i] === sum) return;
    SUMS[count++] = sum;
  };
  for (let a = -1; a < front.length; a++) add(frontSum(front, a));
  if (k === 1) return count;
  for (let a = 0; a < front.length; a++) {
    for (let b = a + 1; b < front.length; b++) add(frontSum(front, a, b));
  }
  return count;
}

/** Makes a speller. @param words word → weight; among equally near words the heavier one is taken */
export function makeSpeller(words: ReadonlyMap<string, number>): Speller {
  let fronts: Fronts | undefined;
  // Number of the search that looked at a word last.
  let seen = new Uint32Array(0);
  let search = 0;
  return {
    nearest(word) {
      if (word.length < 4 || word.length > LONGEST + 2) return undefined;
      let best: string | undefined;
      let bestRank = Number.POSITIVE_INFINITY;
      fronts ??= frontsOf(words);
      const { heads, sums, owner, next } = fronts;
      if (seen.length === 0) seen = new Uint32Array(fronts.words.length);
      if (++search > 0xffff_fff0) [search] = [1, seen.fill(0)];
      const count = shortenedSums(word.slice(0, FRONT), word.length < 8 ? 1 : 2);
      for (let k = 0; k < count; k++) {
        const sum = SUMS[k]!;
        for (let link = heads[sum & (heads.length - 1)]!; link !== 0; link = next[link]!) {
          const at = owner[link]!;
          if (sums[link] !== sum || seen[at] === search) continue;
          seen[at] = search;
          const candidate = fronts.words[at]!;
          const budget = editBudget(candidate.length);
          if (Math.abs(candidate.length - word.length) > budget) continue;
          // Short words keep their first letter, unless two letters were swapped or a silent one dropped.
          if (candidate.length < 9 && !keepsFirst(word, candidate)) continue;
          const d = editDistance(word, candidate, budget);
          if (d > budget) continue;
          const rank = d * 1000 - Math.min(500, fronts.weights[at]!) + (word[0] === candidate[0] ? 0 : 400);
          if (rank < bestRank) [best, bestRank] = [candidate, rank];
        }
      }
      return best;
    },
  };
}

const keepsFirst = (word: string, candidate: string): boolean =>
  sounds(word) === sounds(candidate) ||
  (word.length + 1 === candidate.length && candidate.startsWith(word, 1)) ||
  isSwap(word, candidate);

/** First sound: letters that are written for each other count as one. */
function sounds(word: string): string {
  const c = word[0]!;
  if ('ckqsz'.includes(c)) return 's';
  if (c === 'f' || word.startsWith('ph')) return 'f';
  return c === 'j' || c === 'g' ? 'g' : c;
}

const isSwap = (a: string, b: string): boolean => a.length === b.length && a[0] === b[1] && a[1] === b[0];
