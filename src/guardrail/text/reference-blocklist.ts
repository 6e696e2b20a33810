// The word lists of the public reference guardrail, outcome for outcome, defects included: a compatibility mode for people who
// bring those lists. An outcome that is an exception there is an error here, and blocks. Not our default.

/** Lists and settings of the reference. */
export type ReferenceLists = {
  readonly custom: readonly string[];
  readonly whitelist: readonly string[];
  readonly exactMatch: readonly string[];
  /** Shortest entry that is compared with a tolerance. Default 6. */
  readonly minChars?: number;
  /** Allowed difference in letters. Default 0.4. */
  readonly difference?: number;
};

export type ReferenceOutcome = 'blocked' | 'passed' | 'error';

/** What stands for a text character in the fuzzy list. */
const ACCEPTS: Readonly<Record<string, string>> = {
  a: 'a@*4',
  i: 'i*l1',
  o: 'o*0@',
  u: 'u*v',
  v: 'v*u',
  l: 'l1',
  e: 'e*3',
  s: 's$5',
  t: 't7',
};
const MARK = '####';
const ALLOWED = /[A-Za-z0-9@$*"'\p{L}]/u;

/** Each run of characters outside ASCII becomes one space. */
export const asciiOnly = (text: string): string => text.replace(/[^\x00-\x7f]+/g, ' ');

/** Steps 1, 2, 3 and 5 of the reference; its lemmatised second pass needs WordNet and is left out. */
export function referenceBlocklist(prompt: string, lists: ReferenceLists): ReferenceOutcome {
  if (prompt === '') return 'blocked';
  const text = asciiOnly(prompt);
  const censored = fuzzyCensor(text, lists);
  if (censored === undefined) return 'error';
  if (censored.includes(MARK)) return 'blocked';
  return wholeWordMatch(text, lists) ? 'blocked' : 'passed';
}

/** The text with hits of the fuzzy list replaced by a marker; undefined where the reference runs into an index error. */
export function fuzzyCensor(
  text: string,
  { custom, whitelist }: Pick<ReferenceLists, 'custom' | 'whitelist'>,
): string | undefined {
  const white = new Set(whitelist.map((w) => w.toLowerCase()));
  const entries = custom.map((w) => w.toLowerCase()).filter((w) => !white.has(w));
  const censored = censor(text, entries);
  const [given, made] = [text.split(/\s+/).filter((w) => w !== ''), censored.split(/\s+/).filter((w) => w !== '')];
  for (const [i, word] of given.entries()) {
    if (!white.has(word.replace(/^[!-/:-@[-`{-~]+|[!-/:-@[-`{-~]+$/g, '').toLowerCase())) continue;
    // The reference goes by position, which a hit over several words shifts.
    if (i >= made.length) return undefined;
    made[i] = word;
  }
  return whitelist.length === 0 ? censored : made.join(' ');
}

const isEntry = (word: string, entries: readonly string[]): boolean =>
  entries.some(
    (entry) =>
      entry.length === word.length && [...entry].every((c, i) => (ACCEPTS[c] ?? c).includes(word[i]!.toLowerCase())),
  );

function censor(whole: string, entries: readonly string[]): string {
  const start = nextWord(whole, 0);
  if (start >= whole.length - 1) return whole;
  const text = whole.slice(start);
  const most = Math.max(1, ...entries.map((e) => [...e].filter((c) => !ALLOWED.test(c)).length));
  let out = whole.slice(0, start);
  let word = '';
  let skip = -1;
  for (let i = 0; i < text.length; i++) {
    if (i < skip) continue;
    const c = text[i]!;
    if (ALLOWED.test(c)) {
      word += c;
      continue;
    }
    if (word === '') {
      out += c;
      continue;
    }
    const end = joinedHit(text, i, word, most, entries);
    if (end !== undefined) {
      out += MARK;
      skip = end;
    } else out += (isEntry(word, entries) ? MARK : word) + c;
    word = '';
  }
  if (word !== '' && skip < text.length - 1) out += isEntry(word, entries) ? MARK : word;
  return out;
}

/** End of the span when the word with one of the next words, joined directly or as written, is an entry. */
function joinedHit(
  text: string,
  at: number,
  word: string,
  most: number,
  entries: readonly string[],
): number | undefined {
  let direct = word;
  let written = word;
  let from = at;
  for (let n = 0; n < most; n++) {
    const start = nextWord(text, from);
    // A last word of one letter is never looked at.
    if (start >= text.length - 1) return undefined;
    let end = start;
    while (end < text.length && ALLOWED.test(text[end]!)) end++;
    direct += text.slice(start, end);
    written += text.slice(from, end);
    if (isEntry(direct, entries) || isEntry(written, entries)) return end;
    from = end;
  }
  return undefined;
}

function nextWord(text: string, from: number): number {
  let i = from;
  while (i < text.length && !ALLOWED.test(text[i]!)) i++;
  return i;
}

/** True when an entry stands in the text as a whole word, or nearly so. */
export function wholeWordMatch(
  text: string,
  lists: Pick<ReferenceLists, 'exactMatch' | 'minChars' | 'difference'>,
): boolean {
  const { exactMatch, minChars = 6, difference = 0.4 } = lists;
  const plain = text.toLowerCase().replace(/\s+/g, ' ').trim();
  const words = plain.split(' ');
  return exactMatch.some((raw) => {
    const entry = raw.toLowerCase();
    if (new RegExp(`\\b${entry.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\b`).test(plain)) return true;
    if (entry.length < minChars) return false;
    const count = entry.split(' ').length;
    for (let i = 0; i + count <= words.length; i++) {
      const window = words.slice(i, i + count).join(' ');
      if (similarity(window, entry) >= (entry.length - difference) / entry.length) return true;
    }
    return false;
  });
}

/** Ratcliff & Obershelp: 2·M/(|a| + |b|), M = letters in the longest common block and, recursively, beside it. */
export function similarity(a: string, b: string): number {
  return a.length + b.length === 0 ? 1 : (2 * matched(a, b)) / (a.length + b.length);
}

function matched(a: string, b: string): number {
  let best = { a: 0, b: 0, size: 0 };
  let before = new Map<number, number>();
  for (let i = 0; i < a.length; i++) {
    const row = new Map<number, number>();
    for (let j = 0; j < b.length; j++) {
      if (a[i] !== b[j]) continue;
      const size = (before.get(j - 1) ?? 0) + 1;
      row.set(j, size);
      if (size > best.size) best = { a: i - size + 1, b: j - size + 1, size };
    }
    before = row;
  }
  if (best.size === 0) return 0;
  const left = matched(a.slice(0, best.a), b.slice(0, best.b));
  return best.size + left + matched(a.slice(best.a + best.size), b.slice(best.b + best.size));
}
