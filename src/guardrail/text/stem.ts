// Stems: Snowball where it has the language, a table of irregular English forms before it, a light suffix list for Hindi.
// Chinese and Japanese words have no endings to take off here; the lexicon lists their forms.
import { createRequire } from 'node:module';
import type { Language } from './languages.ts';

type Stemmer = { stem(word: string): string };
const snowball = createRequire(import.meta.url)('snowball-stemmers') as { newStemmer(name: string): Stemmer };

const NAMES: Partial<Record<Language, string>> = {
  en: 'english',
  es: 'spanish',
  fr: 'french',
  de: 'german',
  it: 'italian',
  pt: 'portuguese',
  ru: 'russian',
  ar: 'arabic',
};

/** Irregular English forms by their base, those that matter for what people do to each other and in kitchens and workshops. */
const IRREGULAR = new Map(
  `shoot:shot kill:slain slay:slew beat:beaten hang:hung bleed:bled steal:stole,stolen break:broke,broken tear:tore,torn
  throw:threw,thrown drive:drove,driven ride:rode,ridden run:ran bite:bit,bitten fight:fought buy:bought sell:sold bring:brought
  teach:taught catch:caught think:thought hide:hid,hidden drink:drank,drunken eat:ate,eaten give:gave,given take:took,taken
  fall:fell,fallen freeze:froze,frozen speak:spoke,spoken wear:wore,worn write:wrote,written strike:struck,stricken sing:sang,sung
  swim:swam,swum sink:sank,sunk shrink:shrank burn:burnt,burned dig:dug stick:stuck swing:swung sting:stung spin:spun cling:clung
  wind:wound build:built bend:bent send:sent spend:spent lose:lost shine:shone sleep:slept keep:kept weep:wept creep:crept leave:left
  feel:felt deal:dealt meet:met feed:fed flee:fled lead:led hold:held tell:told blow:blew,blown fly:flew,flown grow:grew,grown
  know:knew,known draw:drew,drawn show:shown see:saw,seen go:went,gone do:did,done make:made sit:sat stand:stood win:won
  knife:knives wife:wives life:lives thief:thieves child:children man:men woman:women foot:feet tooth:teeth goose:geese mouse:mice
  leaf:leaves wolf:wolves calf:calves half:halves loaf:loaves shelf:shelves person:people swear:swore,sworn choose:chose,chosen
  wake:woke,woken rise:rose,risen shake:shook,shaken forgive:forgave forget:forgot,forgotten get:got,gotten begin:began,begun`
    .split(/\s+/)
    .flatMap((entry) => {
      const [base, forms] = entry.split(':') as [string, string];
      return forms.split(',').map((form) => [form, base] as const);
    }),
);

/** Endings of Hindi words, longest first. */
const HINDI = 'ियों ियाँ ियां ाओं ाएँ ाएं ुओं ुएँ ने ना नी ता ते ती या ये यी कर ों ें ीं ाँ ां ूँ ूं ओं ो े ी ा ि ु ू'.split(' ');

const stemmers = new Map<Language, Stemmer>();
const caches = new Map<Language, Map<string, string>>();
const CACHE_LIMIT = 50_000;

/** The stem of a lower-case word. */
export function stemOf(word: string, language: Language): string {
  const cache = cacheOf(language);
  const known = cache.get(word);
  if (known !== undefined) return known;
  if (cache.size >= CACHE_LIMIT) cache.clear();
  const stem = compute(word, language);
  cache.set(word, stem);
  return stem;
}

/** Stems that were found before: stemming a word costs more than reading its stem from a file. */
export function rememberStems(stems: Iterable<readonly [word: string, stem: string]>, language: Language): void {
  const cache = cacheOf(language);
  for (const [word, stem] of stems) cache.set(word, stem);
}

function cacheOf(language: Language): Map<string, string> {
  let cache = caches.get(language);
  if (cache === undefined) {
    cache = new Map();
    caches.set(language, cache);
  }
  return cache;
}

function compute(word: string, language: Language): string {
  if (word.length > 40) return word;
  if (language === 'hi') {
    const ending = HINDI.find((e) => word.endsWith(e) && word.length - e.length >= 2);
    return ending === undefined ? word : word.slice(0, -ending.length);
  }
  const name = NAMES[language];
  if (name === undefined) return word;
  let stemmer = stemmers.get(language);
  if (stemmer === undefined) {
    stemmer = snowball.newStemmer(name);
    stemmers.set(language, stemmer);
  }
  const base = language === 'en' ? (IRREGULAR.get(word) ?? word) : word;
  return stemmer.stem(base);
}
