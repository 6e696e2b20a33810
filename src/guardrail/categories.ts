// The thirteen categories by code, with the public names, and the words that frames and decoders use for them.
import type { GuardCategory } from '../base/index.ts';

/** Code → name. */
export const CATEGORIES: Readonly<Record<string, string>> = {
  O1: 'violence',
  O2: 'sexual content',
  O3: 'criminal planning or confession',
  O4: 'guns and illegal weapons',
  O5: 'controlled substances',
  O6: 'suicide and self-harm',
  O7: 'sexual content about minors',
  O8: 'hate',
  O9: 'privacy',
  O10: 'harassment',
  O11: 'threat',
  O12: 'profanity',
  O13: 'needs caution',
};

/** All codes, in order. */
export const CATEGORY_CODES = Object.keys(CATEGORIES) as readonly GuardCategory[];

/** `O1 (violence)`. */
export const describeCategory = (code: GuardCategory): string =>
  CATEGORIES[code] === undefined ? code : `${code} (${CATEGORIES[code]})`;
