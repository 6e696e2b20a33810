// From held-out logits to probabilities and a threshold.
import type { Language } from '../text/languages.ts';
import type { Scored } from './prompt-task.ts';

/** Probability of "unsafe" = sigmoid(slope·logit + offset + languages[language]). */
export type Calibration = {
  readonly slope: number;
  readonly offset: number;
  /** Shift of each language that was among the texts. */
  readonly languages: Readonly<Partial<Record<Language, number>>>;
};

/** Spread that the shifts of languages are expected to have: a language with few texts stays near the common offset. */
const SPREAD = 0.7;

/** Fits slope and offset on all texts, then a shift per language. */
export function fitCalibration(scores: readonly Scored[]): Calibration {
  const { slope, offset } = fitSigmoid(scores);
  const languages: Partial<Record<Language, number>> = {};
  for (const language of new Set(scores.map((s) => s.language))) {
    const own = scores.filter((s) => s.language === language);
    languages[language] = Math.round(1000 * fitShift(own, slope, offset)) / 1000;
  }
  return { slope, offset, languages };
}

/** The scores as probabilities. */
export function calibrated(scores: readonly Scored[], { slope, offset, languages }: Calibration): Scored[] {
  return scores.map((s) => {
    const shift = languages[s.language] ?? 0;
    return { ...s, score: 1 / (1 + Math.exp(-(slope * s.score + offset + shift))) };
  });
}

/** Newton steps on the log-likelihood of one shift with a normal prior around zero. */
function fitShift(scores: readonly Scored[], slope: number, offset: number): number {
  let shift = 0;
  for (let round = 0; round < 50; round++) {
    let gradient = shift / SPREAD ** 2;
    let curvature = 1 / SPREAD ** 2;
    for (const { score, isUnsafe } of scores) {
      const p = 1 / (1 + Math.exp(-(slope * score + offset + shift)));
      gradient += p - (isUnsafe ? 1 : 0);
      curvature += p * (1 - p);
    }
    const step = gradient / curvature;
    shift -= step;
    if (Math.abs(step) < 1e-9) break;
  }
  return shift;
}

/** Platt 1999: probability = sigmoid(slope·logit + offset), fitted by Newton steps on the log-likelihood. */
export function fitSigmoid(scores: readonly Pick<Scored, 'score' | 'isUnsafe'>[]): {
  readonly slope: number;
  readonly offset: number;
} {
  let [a, b] = [1, 0];
  for (let round = 0; round < 50; round++) {
    let [ga, gb, haa, hab, hbb] = [1e-6 * a, 0, 1e-6, 0, 1e-6];
    for (const { score, isUnsafe } of scores) {
      const p = 1 / (1 + Math.exp(-(a * score + b)));
      const error = p - (isUnsafe ? 1 : 0);
      const weight = Math.max(1e-9, p * (1 - p));
      ga += error * score;
      gb += error;
      haa += weight * score * score;
      hab += weight * score;
      hbb += weight;
    }
    const determinant = haa * hbb - hab * hab;
    const stepA = (hbb * ga - hab * gb) / determinant;
    const stepB = (haa * gb - hab * ga) / determinant;
    a -= stepA;
    b -= stepB;
    if (Math.abs(stepA) + Math.abs(stepB) < 1e-9) break;
  }
  return { slope: Math.max(1e-3, a), offset: b };
}

/** Missed unsafe texts and refused safe texts at a threshold. */
export function ratesAt(
  scores: readonly Pick<Scored, 'score' | 'isUnsafe'>[],
  threshold: number,
): { readonly missed: number; readonly refused: number } {
  const unsafe = scores.filter((s) => s.isUnsafe);
  const safe = scores.filter((s) => !s.isUnsafe);
  return {
    missed: unsafe.filter((s) => s.score < threshold).length / Math.max(1, unsafe.length),
    refused: safe.filter((s) => s.score >= threshold).length / Math.max(1, safe.length),
  };
}

/** The threshold at which misses are `ratio` times as frequent as refusals. */
export function balancedThreshold(scores: readonly Pick<Scored, 'score' | 'isUnsafe'>[], ratio: number): number {
  const candidates = [...new Set(scores.map((s) => s.score))].sort((a, b) => a - b);
  let [low, high] = [0, candidates.length - 1];
  // Misses grow and refusals fall with the threshold: one crossing.
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const { missed, refused } = ratesAt(scores, candidates[middle]!);
    if (missed < ratio * refused) low = middle + 1;
    else high = middle;
  }
  return candidates[low] ?? 0;
}

/** Share of pairs in which the unsafe text scores higher; NaN without texts of both kinds. */
export function areaUnderCurve(scores: readonly Pick<Scored, 'score' | 'isUnsafe'>[]): number {
  const sorted = [...scores].sort((a, b) => a.score - b.score);
  let rankSum = 0;
  let unsafe = 0;
  for (const [i, one] of sorted.entries()) {
    if (!one.isUnsafe) continue;
    rankSum += i + 1;
    unsafe++;
  }
  const safe = sorted.length - unsafe;
  return unsafe === 0 || safe === 0 ? Number.NaN : (rankSum - (unsafe * (unsafe + 1)) / 2) / (unsafe * safe);
}
