// From held-out logits to probabilities and a threshold.
import type { Scored } from './prompt-task.ts';

/** Platt 1999: probability = sigmoid(slope·logit + offset), fitted by Newton steps on the log-likelihood. */
export function fitSigmoid(scores: readonly Scored[]): { readonly slope: number; readonly offset: number } {
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
  scores: readonly Scored[],
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
export function balancedThreshold(scores: readonly Scored[], ratio: number): number {
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
