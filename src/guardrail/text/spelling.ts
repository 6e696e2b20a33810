// Nearest known word within a budget of edits (Damerau–Levenshtein, adjacent swaps count one), found through deletion
// neighbourhoods (the idea of SymSpell): both sides drop up to k letters and meet in a table.

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

/** The word and everything left after dropping up to k letters. */
function deletions(word: string, k: number): Set<string> {
  const found = new Set([word]);
  let last = [word];
  for (let round = 0; round < k; round++) {
    const next: string[] = [];
    for (const w of last) {
      for (let i = 0; i < w.length; i++) {
        const cut = w.slice(0, i) + w.slice(i + 1);
        if (!found.has(cut)) {
          found.add(cut);
          next.push(cut);
        }
      }
    }
    last = next;
  }
  return found;
}

export type Speller = {
  /** The nearest word within the budget, or undefined. */
  nearest(word: string): string | undefined;
};

/** Letters at the front that the table is made of; the whole words are compared afterwards. */
const FRONT = 7;

/** Longest word looked at; longer ones are no slips of the pen. */
const LONGEST = 24;

/** Makes a speller. @param words word → weight; among equally near words the heavier one is taken */
export function makeSpeller(words: ReadonlyMap<string, number>): Speller {
  const table = new Map<string, string[]>();
  for (const word of words.keys()) {
    const budget = editBudget(word.length);
    if (budget === 0 || word.length > LONGEST) continue;
    // One letter dropped on this side, up to two on the other: nearly all slips meet, and the table opens fast.
    for (const key of deletions(word.slice(0, FRONT), 1)) {
      const list = table.get(key);
      if (list === undefined) table.set(key, [word]);
      else list.push(word);
    }
  }
  return {
    nearest(word) {
      if (word.length < 4 || word.length > LONGEST + 2) return undefined;
      let best: string | undefined;
      let bestRank = Number.POSITIVE_INFINITY;
      const seen = new Set<string>();
      for (const key of deletions(word.slice(0, FRONT), word.length < 8 ? 1 : 2)) {
        for (const candidate of table.get(key) ?? []) {
          if (seen.has(candidate)) continue;
          seen.add(candidate);
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
