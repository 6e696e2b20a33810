// Which language a text or a word is in: by script where the script decides, by little words among the Latin ones.

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

const SETS: readonly (readonly [Language, ReadonlySet<string>])[] = Object.entries(LITTLE).map(([language, words]) => [
  language as Language,
  new Set(words.split(' ')),
]);

/** The language that a word's script names; undefined for Latin and for what is no word. */
export function scriptLanguage(word: string): Language | undefined {
  if (/[\u3040-\u30ff\uff66-\uff9d]/.test(word)) return 'ja';
  if (/\p{Script=Han}/u.test(word)) return 'zh';
  if (/\p{Script=Cyrillic}/u.test(word)) return 'ru';
  if (/\p{Script=Arabic}/u.test(word)) return 'ar';
  if (/\p{Script=Devanagari}/u.test(word)) return 'hi';
  return undefined;
}

/** The language of the Latin words of a text; English unless another one has clearly more little words. */
export function latinLanguage(words: readonly string[]): Language {
  let best: Language = 'en';
  const score = (language: Language, set: ReadonlySet<string>): number => {
    let n = 0;
    for (const word of words) {
      if (set.has(word)) n += 1;
      if (language === 'de' && /[äöüß]/.test(word)) n += 0.5;
      if (language === 'es' && /[ñáíóú¿¡]/.test(word)) n += 0.35;
      if (language === 'pt' && /[ãõçâê]/.test(word)) n += 0.5;
      if (language === 'fr' && /[èêëîïôûœàùç]/.test(word)) n += 0.35;
      if (language === 'it' && /[èìòù]$/.test(word)) n += 0.35;
    }
    return n;
  };
  let top = 0;
  for (const [language, set] of SETS) {
    const n = score(language, set) + (language === 'en' ? 0.3 : 0);
    if (n > top) [best, top] = [language, n];
  }
  return best;
}
