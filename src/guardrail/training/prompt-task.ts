// The training task of the prompt classifier: batches of words as ids from the endless text source, binary cross-entropy,
// and validation on blocks that the training never sees.
import { type NdArray, type RandomStream, randomStream } from '../../base/index.ts';
import { input, mean, mul, softplus, sub, type Tensor } from '../../graph/index.ts';
import { type PromptNetConfig, promptNet } from '../../nets/index.ts';
import type { TrainingTask } from '../../training/index.ts';
import { type FeatureConfig, fillWindow, wordIds } from '../text/features.ts';
import type { Language } from '../text/languages.ts';
import type { Lexicon } from '../text/lexicon.ts';
import { type ReadingKnowledge, readWords } from '../text/read.ts';
import { areaUnderCurve } from './calibrate.ts';
import { type Block, type LabelledText, textSource } from './corpus.ts';
import { DISGUISES, disguise } from './disguises.ts';

export type PromptTaskOptions = {
  readonly net: PromptNetConfig;
  readonly features: FeatureConfig;
  readonly knowledge: ReadingKnowledge;
  readonly train: readonly Block[];
  readonly heldOut: readonly Block[];
  readonly batch: number;
  /** Of texts and batches of the training. */
  readonly seed: number;
  /** Of the texts that are scored; default: `seed`. Members of an ensemble are scored on the same texts. */
  readonly heldOutSeed?: number;
  /** Ordinary words, see `textSource`. */
  readonly plainWords: readonly string[];
  /** Gets the scores of the held-out texts at each validation. */
  readonly onScores?: (scores: readonly Scored[]) => void;
  /** Distinct texts of the training set. */
  readonly texts: number;
  /** Texts that are scored. */
  readonly heldOutTexts: number;
};

/** A text as rows of ids. */
type Example = { readonly rows: readonly Int32Array[]; readonly category: number; readonly language: Language };

/** Share of English texts in disguise: few while learning, since the reader undoes most; half of those that are scored. */
const DISGUISED = { train: 0.15, heldOut: 0.5 } as const;

export function promptTask(options: PromptTaskOptions): TrainingTask {
  const { net, batch, plainWords } = options;
  const train = { label: 'train', count: options.texts, plainWords, disguised: DISGUISED.train };
  const examples = makeExamples(options, options.train, train);
  // No dictionary frames among the scored texts: they are easy, and would make the refusals look rarer than they are.
  const scored = { label: 'held out', count: options.heldOutTexts, plainWords: [], disguised: DISGUISED.heldOut };
  const heldOut = makeExamples({ ...options, seed: options.heldOutSeed ?? options.seed }, options.heldOut, scored);
  return {
    name: 'orrery-guard',
    loss(weights) {
      const ids = input('ids', [batch, net.words, net.ids], 'i32');
      const labels = input('labels', [batch, net.outputs]);
      const share = input('share', [batch, net.outputs]);
      const logits = promptNet(ids, net, weights);
      return { loss: crossEntropy(logits, labels, share), metrics: {} };
    },
    batch(step) {
      const random = randomStream(options.seed, `batch ${step}`);
      const picked = Array.from({ length: batch }, () => examples[random.integer(0, examples.length - 1)]!);
      return feedsOf(picked, options, random);
    },
    async validate(model) {
      const session = await model.session('guard-validation', (weights) => ({
        logits: promptNet(input('ids', [batch, net.words, net.ids], 'i32'), net, weights),
      }));
      const scores: Scored[] = [];
      for (let i = 0; i + batch <= heldOut.length; i += batch) {
        const part = heldOut.slice(i, i + batch);
        const { ids } = feedsOf(part, options) as { ids: NdArray };
        const { logits } = await session.run({ ids });
        for (const [k, one] of part.entries()) {
          const score = (logits!.data as Float32Array)[k * net.outputs]!;
          scores.push({ score, isUnsafe: one.category > 0, language: one.language });
        }
      }
      options.onScores?.(scores);
      const auc = areaUnderCurve(scores);
      return { score: auc, auc, missAt5: missRate(scores, 0.05) };
    },
  };
}

/** Mean of softplus(z) − y·z with weights per logit. */
function crossEntropy(logits: Tensor, labels: Tensor, share: Tensor): Tensor {
  return mean(mul(sub(softplus(logits), mul(labels, logits)), share));
}

type SetOptions = {
  readonly label: string;
  readonly count: number;
  readonly plainWords: readonly string[];
  readonly disguised: number;
};

function makeExamples(options: PromptTaskOptions, blocks: readonly Block[], set: SetOptions): Example[] {
  const source = textSource(blocks, { plainWords: set.plainWords });
  const random = randomStream(options.seed, `texts ${set.label}`);
  return Array.from({ length: set.count }, () => {
    const one = source(random);
    const isDisguised = one.language === 'en' && random.uniform() < set.disguised;
    const text = isDisguised ? disguise(one.text, random.pick(DISGUISES), random) : one.text;
    return { rows: rowsOf({ ...one, text }, options), category: one.category, language: one.language };
  });
}

function rowsOf({ text }: LabelledText, { knowledge, features }: PromptTaskOptions): Int32Array[] {
  return wordIds(readWords(text, knowledge), knowledge.lexicon, features);
}

/** Ids, labels and weights of a batch; with a random stream also the noise of training. */
function feedsOf(
  examples: readonly Example[],
  { net, features, knowledge }: PromptTaskOptions,
  random?: RandomStream,
): Record<string, NdArray> {
  const n = examples.length;
  const ids = new Int32Array(n * net.words * net.ids);
  const labels = new Float32Array(n * net.outputs);
  const share = new Float32Array(n * net.outputs);
  for (const [i, { rows, category }] of examples.entries()) {
    const window = ids.subarray(i * net.words * net.ids, (i + 1) * net.words * net.ids);
    const late = random === undefined ? 0 : random.integer(0, Math.max(0, rows.length - net.words));
    fillWindow(window, rows, late, features);
    if (random !== undefined) addNoise(window, net, features, knowledge.lexicon, random);
    // Soft labels: no text is certain.
    for (let k = 0; k < net.outputs; k++) {
      const isOne = k === 0 ? category > 0 : k === category;
      labels[i * net.outputs + k] = isOne ? 0.97 : 0.03;
      share[i * net.outputs + k] = k === 0 ? 4 : 0.4;
    }
  }
  return {
    ids: { dtype: 'i32', shape: [n, net.words, net.ids], data: ids },
    labels: { dtype: 'f32', shape: [n, net.outputs], data: labels },
    share: { dtype: 'f32', shape: [n, net.outputs], data: share },
  };
}

/**
 * Words and ids left out. In a sixth of the texts only concepts remain, in half of these only those that several languages
 * share, so that what is learned from English texts serves the others.
 */
function addNoise(
  window: Int32Array,
  net: PromptNetConfig,
  { concepts }: FeatureConfig,
  { isShared }: Lexicon,
  random: RandomStream,
): void {
  const roll = random.uniform();
  const onlyConcepts = roll < 0.17;
  const onlyShared = roll < 0.085;
  const noSpelling = roll > 0.85;
  for (let t = 0; t < net.words; t++) {
    const word = window.subarray(t * net.ids, (t + 1) * net.ids);
    if (word[0] === 0) continue;
    if (random.uniform() < 0.08) {
      word.fill(0);
      continue;
    }
    for (let f = 0; f < word.length; f++) {
      const isConcept = word[f]! > 0 && word[f]! <= concepts;
      if (onlyConcepts && !(isConcept && (!onlyShared || isShared[word[f]! - 1]))) word[f] = 0;
      else if (noSpelling && f < 2) word[f] = 0;
      else if (random.uniform() < (isConcept ? 0.1 : f < 2 ? 0.2 : 0.3)) word[f] = 0;
    }
  }
}

/** Logit of a held-out text, its label and language. */
export type Scored = { readonly score: number; readonly isUnsafe: boolean; readonly language: Language };

/** Share of unsafe texts below the threshold that refuses `refused` of the safe ones. */
export function missRate(scores: readonly Scored[], refused: number): number {
  const safe = scores
    .filter((s) => !s.isUnsafe)
    .map((s) => s.score)
    .sort((a, b) => b - a);
  const threshold = safe[Math.floor(refused * safe.length)] ?? 0;
  const unsafe = scores.filter((s) => s.isUnsafe);
  return unsafe.filter((s) => s.score <= threshold).length / Math.max(1, unsafe.length);
}
