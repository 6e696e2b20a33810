// The text checkers of the default policy. A text is read once; the checkers share the words.
import type { GuardCategory } from '../../base/index.ts';
import { CATEGORY_CODES } from '../categories.ts';
import type { Checker } from '../runner.ts';
import { type Blocklist, findPhrases } from './blocklist.ts';
import { conceptsOf } from './lexicon.ts';
import type { PromptClassifier } from './prompt-classifier.ts';
import { type ReadingKnowledge, readWords, type Word } from './read.ts';

/** A text, its words and their concepts, read on first demand. */
export type ReadText = {
  readonly text: string;
  words(): readonly Word[];
  concepts(): readonly (readonly number[])[];
};

export function readOnce(text: string, knowledge: ReadingKnowledge): ReadText {
  let words: readonly Word[] | undefined;
  let concepts: readonly (readonly number[])[] | undefined;
  const read: ReadText = {
    text,
    words: () => {
      words ??= readWords(text, knowledge);
      return words;
    },
    concepts: () => {
      concepts ??= conceptsOf(read.words(), knowledge.lexicon);
      return concepts;
    },
  };
  return read;
}

/** Keyword blocking. */
export function blocklistChecker(list: Blocklist, knowledge: ReadingKnowledge, version: string): Checker<ReadText> {
  return {
    name: 'blocklist',
    version,
    check(subject) {
      const hits = findPhrases(subject.words(), list, knowledge.lexicon, subject.concepts);
      const [category, ...also] = hits.map((hit) => hit.category);
      if (category === undefined) return { verdict: 'safe', reason: 'no list phrase' };
      // The phrase itself stays inside: telling it would teach how to get around it.
      return { verdict: 'unsafe', category, also, score: 1, reason: 'a list phrase' };
    },
  };
}

/** Categories whose own score reaches their own threshold, highest score first. @param scores of O1…O13, 0…1 */
export function categoriesFrom(
  scores: readonly number[],
  thresholdOf: (category: GuardCategory) => number,
): { readonly code: GuardCategory; readonly score: number }[] {
  return CATEGORY_CODES.map((code, k) => ({ code, score: scores[k]! }))
    .filter(({ code, score }) => score > 0 && score >= thresholdOf(code))
    .sort((a, b) => b.score - a.score);
}

/** The semantic classifier with one threshold, or one per category; each category is held against its own score. */
export function classifierChecker(
  classifier: PromptClassifier,
  options: { readonly threshold?: number; readonly thresholds?: Readonly<Record<string, number>> },
): Checker<ReadText> {
  const standard = options.threshold ?? classifier.threshold;
  const thresholdOf = (category: GuardCategory): number => options.thresholds?.[category] ?? standard;
  return {
    name: 'classifier',
    version: classifier.version,
    async check(subject) {
      const { probability, category, categories } = await classifier.score(subject.words(), subject.concepts());
      const [first, ...rest] = categoriesFrom(categories, thresholdOf);
      if (first === undefined) {
        const reason = `probability ${probability.toFixed(3)}, threshold ${thresholdOf(category)}`;
        return { verdict: 'safe', score: probability, reason };
      }
      const reason = `probability ${first.score.toFixed(3)}, threshold ${thresholdOf(first.code)}`;
      return { verdict: 'unsafe', category: first.code, also: rest.map((f) => f.code), score: probability, reason };
    },
  };
}
