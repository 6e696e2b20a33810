// Training loss of the autoregressive models: next-token cross-entropy and the z-loss that keeps logits small.
import { type NdArray, OrreryError } from '../../base/index.ts';
import {
  add,
  cast,
  constantInts,
  div,
  equal,
  exp,
  gatherElements,
  log,
  max,
  maximum,
  mean,
  mul,
  not,
  reshape,
  square,
  stopGradient,
  sub,
  sum,
  type Tensor,
  where,
} from '../../graph/index.ts';
import { type AutoregressiveConfig, VIDEO_PAD } from './config.ts';

/** How labels are made and weighed. */
export type AutoregressiveLossOptions = {
  /** Label that is not learned. Default 64002, the padding token. */
  readonly ignore?: number;
  /** Weight of the z-loss. Default 1e-4. */
  readonly zWeight?: number;
};

/** Positions at the start that are given, not learned: tokens of the condition frames less one, since a target lies one place on. */
export function ignoredPositions(c: AutoregressiveConfig, conditionFrames = 1): number {
  if (c.latent === undefined) return 0;
  return c.latent.h * c.latent.w * conditionFrames - 1;
}

/**
 * Labels of sequences: the tokens one place on; the first `ignoreFirst` are not learned.
 * @param tokens int64 [B, S]
 * @returns int64 [B, S − 1]
 */
export function nextTokenLabels(
  tokens: NdArray,
  options: { readonly ignoreFirst: number; readonly ignore?: number },
): NdArray {
  const [b, s] = tokens.shape as [number, number];
  const { ignoreFirst, ignore = VIDEO_PAD } = options;
  if (tokens.dtype !== 'i64' || tokens.shape.length !== 2 || s < 2) {
    throw new OrreryError(
      'input',
      `tokens: got ${tokens.dtype} [${tokens.shape}], need int64 [B, S] with S of 2 or more`,
    );
  }
  const source = tokens.data as BigInt64Array;
  const data = new BigInt64Array(b * (s - 1));
  for (let row = 0; row < b; row++) {
    for (let i = 0; i < s - 1; i++) {
      data[row * (s - 1) + i] = i < ignoreFirst ? BigInt(ignore) : source[row * s + i + 1]!;
    }
  }
  return { dtype: 'i64', shape: [b, s - 1], data };
}

/** Parts of the loss, scalars; train on `total`. */
export type AutoregressiveLoss = {
  readonly total: Tensor;
  /** Mean over the labels that count of −ln p(label). */
  readonly crossEntropy: Tensor;
  /** zWeight × the mean over all positions of (ln Σ eˣ)². */
  readonly zLoss: Tensor;
};

/**
 * The loss of one batch.
 * @param logits [B, S, V]
 * @param labels int64 [B, S]
 */
export function autoregressiveLoss(
  logits: Tensor,
  labels: Tensor,
  options: AutoregressiveLossOptions = {},
): AutoregressiveLoss {
  const { ignore = VIDEO_PAD, zWeight = 1e-4 } = options;
  const [b, s] = labels.shape as [number, number];
  const top = stopGradient(max(logits, [2], true)); // [B, S, 1]; any shift gives the same sum
  const logSum = add(log(sum(exp(sub(logits, top)), [2], true)), top);
  const isIgnored = equal(labels, constantInts([], [ignore]));
  const safe = where(isIgnored, constantInts([], [0]), labels);
  const chosen = gatherElements(logits, reshape(safe, [b, s, 1]), 2);
  const counts = reshape(cast(not(isIgnored), 'f32'), [b, s, 1]);
  const supervised = maximum(sum(counts), 1);
  const crossEntropy = div(sum(mul(sub(logSum, chosen), counts)), supervised);
  const zLoss = mul(mean(square(logSum)), zWeight);
  return { total: add(crossEntropy, zLoss), crossEntropy, zLoss };
}
