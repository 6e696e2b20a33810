// Choosing the next token from logits: temperature, top-k, top-p, and the draw as a race of exponential clocks.
import { hash32, InputError } from '../base/index.ts';
import { philox } from './noise.ts';

/** How a token is chosen. At most one of `topP` and `topK`. */
export type TokenSampling = {
  /** Divides the logits; 0: always the largest. Default 1. */
  readonly temperature?: number;
  /** Keep the most likely tokens until their sum passes this share, 0…1. */
  readonly topP?: number;
  /** Keep this many of the largest logits; ties with the last one stay. */
  readonly topK?: number;
};

/** The choices of the published examples: base models 0.8, Video2World 0.7. */
export const PREDICT1_TOKENS: TokenSampling = { temperature: 1, topP: 0.8 };

/** What can be drawn: probabilities in the order in which the race runs. */
export type TokenDistribution = {
  /** Token ids: falling probability for top-p, the order of the vocabulary otherwise. */
  readonly ids: Int32Array;
  /** Of the same length; they sum to 1. Zero: cannot be drawn. */
  readonly probabilities: Float64Array;
};

/** Checks the settings; throws an `input` error. */
export function checkTokenSampling({ temperature = 1, topP, topK }: TokenSampling): void {
  if (!(temperature >= 0 && Number.isFinite(temperature))) {
    throw new InputError('temperature', { got: temperature, need: 'a number from 0' });
  }
  if (topP !== undefined && topK !== undefined) {
    throw new InputError('top-p and top-k', { got: `both (${topP} and ${topK})`, need: 'one of them' });
  }
  if (topP !== undefined && !(topP >= 0 && topP <= 1)) {
    throw new InputError('top-p', { got: topP, need: 'a number from 0 to 1' });
  }
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) {
    throw new InputError('top-k', { got: topK, need: 'a whole number from 1' });
  }
}

/** Index of the largest logit; the first one of equals. */
export function largest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/** The distribution that a setting draws from. With temperature 0 it is the largest logit alone. */
export function tokenDistribution(logits: Float32Array, sampling: TokenSampling): TokenDistribution {
  checkTokenSampling(sampling);
  const { temperature = 1, topP, topK } = sampling;
  if (temperature === 0) return { ids: Int32Array.of(largest(logits)), probabilities: Float64Array.of(1) };
  if (topP !== undefined) return nucleus(logits, temperature, topP);
  const ids = Int32Array.from(logits, (_, i) => i);
  const threshold = topK === undefined || topK >= logits.length ? Number.NEGATIVE_INFINITY : kthLargest(logits, topK);
  const kept = Float64Array.from(logits, (v) => (v < threshold ? Number.NEGATIVE_INFINITY : v));
  return { ids, probabilities: softmax(kept, Math.max(temperature, 1e-5)) };
}

/** Top-p: entries by falling probability; one is dropped when the sum before it is already above p. */
function nucleus(logits: Float32Array, temperature: number, topP: number): TokenDistribution {
  const all = softmax(Float64Array.from(logits), temperature);
  // Entries below (1 − p)/n sum to less than 1 − p, so the others alone pass p: only they need sorting.
  const floor = (0.999 * (1 - topP)) / logits.length;
  const candidates: number[] = [];
  for (let i = 0; i < all.length; i++) if (all[i]! >= floor) candidates.push(i);
  const order = Int32Array.from(candidates).sort((a, b) => all[b]! - all[a]! || a - b);
  let before = 0;
  let count = 0;
  while (count < order.length && before <= topP) before += all[order[count++]!]!;
  const ids = order.slice(0, count);
  return { ids, probabilities: Float64Array.from(ids, (id) => all[id]! / before) };
}

function softmax(values: Float64Array, temperature: number): Float64Array {
  let top = Number.NEGATIVE_INFINITY;
  for (const v of values) if (v > top) top = v;
  const out = values.map((v) => Math.exp((v - top) / temperature));
  let total = 0;
  for (const v of out) total += v;
  return out.map((v) => v / total);
}

const kthLargest = (logits: Float32Array, k: number): number => logits.slice().sort()[logits.length - k]!;

/**
 * Draws one id: with q = −ln u per entry, the largest p/q wins.
 * @param uniform the u of each place of the distribution, in (0, 1)
 */
export function drawToken({ ids, probabilities }: TokenDistribution, uniform: (place: number) => number): number {
  let best = 0;
  let bestScore = -1;
  for (let i = 0; i < ids.length; i++) {
    const p = probabilities[i]!;
    if (p <= 0) continue;
    const score = p / -Math.log(uniform(i));
    if (score > bestScore) {
      best = i;
      bestScore = score;
    }
  }
  return ids[best]!;
}

/**
 * A source of uniform numbers for one step of a run: counter-based, so that step k of a seed can be drawn again alone.
 * @returns u(place) in (0, 1), from the Philox block with counter [place div 4, 0, step, 0]
 */
export function tokenUniforms(seed: number, step: number): (place: number) => number {
  const words = new Uint32Array(4);
  const stream = hash32('tokens');
  let block = -1;
  return (place) => {
    const wanted = Math.floor(place / 4);
    if (wanted !== block) {
      philox(words, wanted, 0, step >>> 0, 0, seed, stream);
      block = wanted;
    }
    return (words[place % 4]! + 0.5) * 2 ** -32;
  };
}

/** The next token of step `step` of a run with seed `seed`. */
export function sampleToken(
  logits: Float32Array,
  sampling: TokenSampling,
  key: { seed: number; step: number },
): number {
  const bad = logits.findIndex((v) => Number.isNaN(v));
  if (bad >= 0) {
    throw new InputError(
      'logits',
      { got: `NaN at token ${bad}`, need: 'numbers', why: 'damaged weights or an overflow' },
      'model',
    );
  }
  return drawToken(tokenDistribution(logits, sampling), tokenUniforms(key.seed, key.step));
}
