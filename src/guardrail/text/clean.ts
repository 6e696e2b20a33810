// The first step of normalisation: one canonical string with the place of every character in the original text.

/** Canonical text. */
export type CleanText = {
  /** Lower case, NFKC, without invisible characters and stray marks. */
  readonly text: string;
  /** Index in the original text of each UTF-16 unit of `text`. */
  readonly offsets: Uint32Array;
};

/** Format characters, variation selectors, fillers and Arabic vowel signs: nothing that a reader needs. */
const INVISIBLE =
  /\p{Cf}|\u034f|[\u115f\u1160\u3164\uffa0\u0640]|[\u17b4\u17b5]|[\u180b-\u180e]|[\ufe00-\ufe0f]|[\u064b-\u0652]/u;
const MARK = /\p{M}/u;
const KEEPS_MARKS = /[\p{Script=Devanagari}\p{Script=Arabic}\p{Script=Hiragana}\p{Script=Katakana}]/u;
/** Greek signs whose compatibility form is another letter than the Latin one that they imitate. */
const AS_WRITTEN = /[\u03f2\u03f9\u03f3\u03fc]/;
const SPACE = /[\s\p{Z}]/u;
const PLAIN = /^[\x20-\x7e\n\t\r]*$/;

/** Cleans a text. Linear in its length. */
export function cleanText(original: string): CleanText {
  if (PLAIN.test(original)) {
    const offsets = new Uint32Array(original.length);
    for (let i = 0; i < offsets.length; i++) offsets[i] = i;
    return { text: original.toLowerCase(), offsets };
  }
  const parts: string[] = [];
  const offsets: number[] = [];
  let at = 0;
  let base = '';
  for (const c of original) {
    const from = at;
    at += c.length;
    if (INVISIBLE.test(c)) continue;
    // Marks on letters that do not need them are decoration; composed letters arrive as one character.
    if (MARK.test(c) && !KEEPS_MARKS.test(c)) {
      const composed = (base + c).normalize('NFC');
      if (base !== '' && composed.length === 1 && /\p{Script=Latin}/u.test(composed)) {
        parts[parts.length - 1] = composed.toLowerCase();
        base = '';
      }
      continue;
    }
    const folded = SPACE.test(c) ? ' ' : (AS_WRITTEN.test(c) ? c : c.normalize('NFKC')).toLowerCase();
    base = folded.length === 1 ? folded : '';
    parts.push(folded);
    for (let i = 0; i < folded.length; i++) offsets.push(from);
  }
  return { text: parts.join(''), offsets: Uint32Array.from(offsets) };
}

/** Without accents: é → e, ñ → n, ß → ss. For Latin letters only. */
export const bare = (word: string): string =>
  isAscii(word)
    ? word
    : word
        .normalize('NFD')
        .replace(/[\u0300-\u036f]/g, '')
        .replace(/ß/g, 'ss')
        .replace(/œ/g, 'oe')
        .replace(/æ/g, 'ae');

/** True for words of seven-bit characters only. */
export function isAscii(word: string): boolean {
  for (let i = 0; i < word.length; i++) if (word.charCodeAt(i) > 127) return false;
  return true;
}

/** True for words of the letters a to z only; they need none of the work that other scripts and signs ask for. */
export function isPlainLetters(word: string): boolean {
  for (let i = 0; i < word.length; i++) {
    const c = word.charCodeAt(i);
    if (c < 97 || c > 122) return false;
  }
  return word.length > 0;
}
