// Letters of other scripts, small capitals and ornaments that look like Latin letters. Only for folding words that mix scripts
// or pretend to be Latin; never for real words of those scripts.

/** Latin letter → its look-alikes. */
const LOOKALIKES: Readonly<Record<string, string>> = {
  a: 'аɑαἀ⍺ᴀꭺᎪⲁӑӓȧ∂',
  b: 'ЬвʙᏏƅьβɓⲃ฿Ƀƀᖯ',
  c: 'сϲᴄⅽⲥꮯᏟƈȼ¢',
  d: 'ԁɗᴅᏧⅾđժɖᗞ',
  e: 'еҽєεᴇℯꬲⲉёɛ℮ҿ∈',
  f: 'ƒꜰғϝքꬵẝſᖴ',
  g: 'ɡɢցǥɠԍᏀɣ',
  h: 'һհнʜнᏂℎⲏђћηԋ',
  i: 'іιɩıɪїἰɨͺᎥⲓ¡ίւ',
  j: 'јյʝᴊϳɉ',
  k: 'кκᴋƙⲕқҝĸᏦкԟ',
  l: 'ӏⅼʟɭłƖǀℓℓיןוا|ⲗᏞ',
  m: 'мᴍⅿɱⲙოʍ',
  n: 'пոռηɴиⲛɳή',
  o: 'оοօσᴏⲟөӧ০୦οჿ๏ഠ௦ѻøɵοօ◯○',
  p: 'рρᴘƿⲣϼҏþ',
  q: 'ԛզգɋʠ',
  r: 'гɾʀᴦⲅяꭇɍг',
  s: 'ѕꜱʂƽⲋƨՏꮪ',
  t: 'тτᴛŧƭⲧեţ†ҭт',
  u: 'υսᴜцʊʋμꭎմџύ',
  v: 'νѵᴠⅴѷⱱᐯ',
  w: 'ѡԝᴡωɯшщաⲱ',
  x: 'хχⅹⲭҳӿ×ꭓ',
  y: 'уүγʏყуўӱⲩყვч',
  z: 'ᴢʐƶżᏃʑȥზ',
};

const FOLD = new Map<string, string>();
for (const [latin, list] of Object.entries(LOOKALIKES)) {
  for (const one of list.normalize('NFC')) if (!FOLD.has(one)) FOLD.set(one, latin);
}

const LATIN = /\p{Script=Latin}/u;
const LETTER = /\p{L}/u;

/** True when every letter outside Latin has a Latin look-alike. */
export function isFoldable(word: string): boolean {
  for (const c of word) if (LETTER.test(c) && !LATIN.test(c) && !FOLD.has(c)) return false;
  return true;
}

/** True for words that hold Latin letters and look-alikes of other scripts at once. */
export function isMixed(word: string): boolean {
  let hasLatin = false;
  let hasOther = false;
  for (const c of word) {
    if (LATIN.test(c) && !FOLD.has(c)) hasLatin = true;
    else if (FOLD.has(c)) hasOther = true;
  }
  return hasLatin && hasOther;
}

/** The word with look-alikes replaced by Latin letters. */
export function foldLookalikes(word: string): string {
  let out = '';
  for (const c of word) out += FOLD.get(c) ?? c;
  return out;
}
