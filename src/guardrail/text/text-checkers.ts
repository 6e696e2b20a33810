// The text checkers of the default policy. A text is read once; the checkers share the words.
import type { GuardCategory } from '../../base/index.ts';
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

/** The semantic classifier with one threshold, or one per category. */
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
      const { probability, category } = await classifier.score(subject.words(), subject.concepts());
      const isUnsafe = probability >= thresholdOf(category);
      const reason = `probability ${probability.toFixed(3)}, threshold ${thresholdOf(category)}`;
      return { verdict: isUnsafe ? 'unsafe' : 'safe', category: isUnsafe ? category : '-', score: probability, reason };
    },
  };
}
