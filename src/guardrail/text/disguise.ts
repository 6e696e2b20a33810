// Undoing disguises of single words: digits and signs for letters, letters apart, letters repeated, words glued together.
// A reading counts only when it gives a known word; otherwise the word stays as it is.

/** Signs and groups of signs that stand for letters, longest first; several readings are tried in order. */
const SIGNS: readonly (readonly [sign: string, letters: readonly string[]])[] = [
  ['/\\/\\', ['m']],
  ['|\\/|', ['m']],
  ['\\/\\/', ['w']],
  ['|\\|', ['n']],
  ['/\\/', ['n']],
  ['|-|', ['h']],
  [']-[', ['h']],
  ['|_|', ['u']],
  ['/\\', ['a']],
  ['/-\\', ['a']],
  ['\\/', ['v']],
  ['|)', ['d']],
  ['|>', ['p', 'd']],
  ['|<', ['k']],
  ['|{', ['k']],
  ['|3', ['b']],
  ['|2', ['r']],
  ['|_', ['l']],
  ['|=', ['f']],
  ['ph', ['f', 'ph']],
  ['><', ['x']],
  ['()', ['o']],
  ['[]', ['o']],
  ['vv', ['w', 'vv']],
  ['0', ['o']],
  ['1', ['i', 'l']],
  ['2', ['z', 'r']],
  ['3', ['e']],
  ['4', ['a']],
  ['5', ['s']],
  ['6', ['g', 'b']],
  ['7', ['t', 'l']],
  ['8', ['b']],
  ['9', ['g', 'q']],
  ['@', ['a']],
  ['$', ['s']],
  ['!', ['i', 'l']],
  ['|', ['l', 'i']],
  ['+', ['t']],
  ['(', ['c']],
  ['<', ['c', 'k']],
  ['{', ['c']],
  ['[', ['c']],
  ['€', ['e']],
  ['£', ['l', 'e']],
  ['¥', ['y']],
  ['%', ['x']],
  ['#', ['h']],
  ['&', ['a', 'e']],
  ['^', ['a', 'v']],
  ['*', ['a', 'e', 'i', 'o', 'u', '']],
  ['?', ['']],
  ['=', ['e']],
  ['§', ['s']],
  ['ß', ['b', 'ss']],
  ['µ', ['u']],
  ['×', ['x']],
  ['°', ['o']],
];

const BY_FIRST = new Map<string, (readonly [string, readonly string[]])[]>();
for (const row of SIGNS) BY_FIRST.set(row[0][0]!, [...(BY_FIRST.get(row[0][0]!) ?? []), row]);

/** True for words in which signs stand between or beside letters. */
export const hasSigns = (word: string): boolean => /[0-9@$!|+(<{[€£¥%#&^*/\\=§ßµ×°]/.test(word) && word.length >= 2;

/** Sizes, times, ranks and rates: `3pm`, `4k`, `1080p`, `2nd`, `60fps`. */
const MEASURE =
  /^[#$€£~]?\d+(?:[.,:x/]\d+)*(?:am|pm|k|km|m|cm|mm|kg|g|s|ms|fps|p|d|th|st|nd|rd|x|hz|mph|kmh|v|w|gb|mb|in|ft|min|h|%|°)?$/;

/** Longest word that is read, and most readings followed at a time. */
const LONGEST = 32;
const WIDTH = 48;

/** Readings of a word with signs as plain letters, most literal first. */
export function readings(word: string): string[] {
  if (word.length > LONGEST) return [];
  let open: (readonly [text: string, at: number])[] = [['', 0]];
  const done: string[] = [];
  while (open.length > 0 && done.length < WIDTH) {
    const next: (readonly [string, number])[] = [];
    for (const [text, at] of open) {
      if (at >= word.length) {
        done.push(text);
        continue;
      }
      for (const [sign, letters] of BY_FIRST.get(word[at]!) ?? []) {
        if (word.startsWith(sign, at)) for (const l of letters) next.push([text + l, at + sign.length]);
      }
      if (/\p{L}/u.test(word[at]!)) next.push([text + word[at]!, at + 1]);
    }
    open = next.slice(0, WIDTH);
  }
  return [...new Set(done)];
}

/** True for numbers with units and the like, which are no disguise. */
export const isMeasure = (word: string): boolean => MEASURE.test(word);

/** The ways to read letters that are repeated three times or more: each run as two, then as one. */
export function collapsed(word: string): string[] {
  if (!/(\p{L})\1\1/u.test(word)) return [];
  return [word.replace(/(\p{L})\1{2,}/gu, '$1$1'), word.replace(/(\p{L})\1{2,}/gu, '$1')];
}

/** Splits glued letters into known words of at least `least` letters ("a" and "i" count too); undefined when it does not go. */
export function segment(letters: string, isWord: (w: string) => boolean, least = 3): string[] | undefined {
  const n = letters.length;
  if (n > 64) return undefined;
  // Fewest words win: best[i] = way to read the first i letters.
  const best: (readonly string[] | undefined)[] = [[]];
  for (let end = 1; end <= n; end++) {
    for (let start = Math.max(0, end - 16); start < end; start++) {
      const before = best[start];
      if (before === undefined) continue;
      const word = letters.slice(start, end);
      if (!(word.length >= least || word === 'a' || word === 'i') || !isWord(word)) continue;
      if (best[end] === undefined || before.length + 1 < best[end]!.length) best[end] = [...before, word];
    }
  }
  return best[n] === undefined ? undefined : [...best[n]];
}
