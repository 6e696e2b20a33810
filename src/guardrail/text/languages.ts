// Which language a text or a word is in: by script where the script decides, by little words among the Latin ones.

import { isAscii } from './clean.ts';

/** Languages that the prompt guard has words for. */
export const LANGUAGES = ['en', 'es', 'fr', 'de', 'it', 'pt', 'ru', 'ar', 'hi', 'zh', 'ja'] as const;
export type Language = (typeof LANGUAGES)[number];

/** Frequent little words; those that several languages share decide nothing and are left out. */
const LITTLE: Readonly<Record<string, string>> = {
  en: 'the of and to in is are with on for that it as at by from an be this or into while who how his her their my you i was not have has what when where without make show video someone over under up down out off people man woman person into onto through',
  es: 'el los las del y en con por para que una un al como su sin lo más pero está mi sus este esta es muy se hay cómo vídeo muestra hombre mujer donde desde hasta sobre mientras unos unas',
  fr: 'le les des du et dans avec pour que une un sur au aux est sont par ce cette qui pas plus sans mon ma son ses leur vous je il elle comment vidéo montre homme femme où se en d l qu',
  de: 'der die das und ist mit auf für ein eine einen einem einer von zu im den dem des nicht wie ich sich er sie es auch aus bei nach vor über durch ohne wird man zeige mann frau dass ihr mein meine',
  it: 'il lo gli della dello dei delle e di che un una con per in su al alla come non è sono da senza mio mia suo sua nel nella dal questo questa si uomo donna mostra mentre dove ti sei',
  pt: 'o os as da do das dos e em com por para que um uma no na nos nas como não é são sem meu minha seu sua ao à se mais você mostre homem mulher enquanto onde numa num isso esta este te',
};

/** Little word → its languages, by place in `LATIN`. */
const LATIN = Object.keys(LITTLE) as readonly Language[];
const OWNERS = new Map<string, number[]>();
for (const [k, language] of LATIN.entries()) {
  for (const word of new Set(LITTLE[language]!.split(' '))) OWNERS.set(word, [...(OWNERS.get(word) ?? []), k]);
}

/** Letters with marks that point to a language, and how much. */
const MARKS: readonly (readonly [language: Language, letters: RegExp, weight: number])[] = [
  ['de', /[äöüß]/, 0.5],
  ['es', /[ñáíóú¿¡]/, 0.35],
  ['pt', /[ãõçâê]/, 0.5],
  ['fr', /[èêëîïôûœàùç]/, 0.35],
  ['it', /[èìòù]$/, 0.35],
];
const LONGEST_LITTLE = Math.max(...[...OWNERS.keys()].map((word) => word.length));

/** The language that a word's script names; undefined for Latin and for what is no word. */
export function scriptLanguage(word: string): Language | undefined {
  if (isAscii(word)) return undefined;
  if (/[\u3040-\u30ff\uff66-\uff9d]/.test(word)) return 'ja';
  if (/\p{Script=Han}/u.test(word)) return 'zh';
  if (/\p{Script=Cyrillic}/u.test(word)) return 'ru';
  if (/\p{Script=Arabic}/u.test(word)) return 'ar';
  if (/\p{Script=Devanagari}/u.test(word)) return 'hi';
  return undefined;
}

/** The language of the Latin words of a text; English unless another one has clearly more little words. */
export function latinLanguage(words: readonly string[]): Language {
  const score: number[] = LATIN.map((language) => (language === 'en' ? 0.3 : 0));
  for (const word of words) {
    const owners = word.length > LONGEST_LITTLE ? undefined : OWNERS.get(word);
    if (owners !== undefined) for (const k of owners) score[k]! += 1;
    if (isAscii(word)) continue;
    for (const [language, letters, weight] of MARKS) if (letters.test(word)) score[LATIN.indexOf(language)]! += weight;
  }
  return LATIN[score.indexOf(Math.max(...score))]!;
}
