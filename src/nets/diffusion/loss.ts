// Training loss of the Predict1 networks: EDM with learned uncertainty (Karras et al. 2024), and the composition of given frames.
import {
  add,
  constantF32,
  cos,
  div,
  exp,
  linear,
  log,
  mean,
  mul,
  neg,
  reshape,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
} from '../../graph/index.ts';
import type { Weights } from '../orrery/weights.ts';

/** A raw network with its other inputs bound: (c_in·x, c_noise) → F. */
export type RawNetwork = (scaledInput: Tensor, noise: Tensor) => Tensor;

/** Frames that the network is given, at a noise level of their own. */
export type TrainingCondition = {
  /** I: 1 = given, [1 or B, 1, T, 1, 1]. */
  readonly indicator: Tensor;
  /** σ_aug [B]. */
  readonly sigmaAug: Tensor;
  /** ε_aug [B, C, T, H, W]. */
  readonly noise: Tensor;
  /** What a dropped condition leaves in the region: zeros, or the noisy latent; "kept": not dropped. Default "kept". */
  readonly dropped?: 'kept' | 'zeros' | 'noisy';
  /** The same for each run: 1 = shown, 0 = zeros in the region, [1]. Default 1. */
  readonly keep?: Tensor;
  /** Also learn the given frames. Default false: they are replaced by the truth before the loss. */
  readonly isLossInRegion?: boolean;
};

export type EdmLossInputs = {
  /** Clean latents x0 [B, C, T, H, W], already times σ_data. */
  readonly x0: Tensor;
  /** Unit noise of the same shape. */
  readonly epsilon: Tensor;
  /** σ [B]. */
  readonly sigma: Tensor;
  readonly condition?: TrainingCondition;
};

/** All parts of the loss; train on `lossMean` (recipes) or `lossSum` (class default). */
export type EdmLoss = {
  /** Mean over all elements of w·(x0 − x̂0)²·e^(−u) + u. */
  readonly lossMean: Tensor;
  /** Sum per sample, mean over the batch. */
  readonly lossSum: Tensor;
  /** Mean of (x0 − x̂0)². */
  readonly mseMean: Tensor;
  /** Mean of w·(x0 − x̂0)². */
  readonly edmLossMean: Tensor;
  /** x̂0. */
  readonly predicted: Tensor;
  /** u(σ) [B, 1]. */
  readonly logVariance: Tensor;
  /** w(σ) [B]. */
  readonly weightsPerSigma: Tensor;
  /** x0 + σ·ε. */
  readonly noisy: Tensor;
};

/**
 * The loss of one batch.
 * @param weights look-up of `logvar.…`
 */
export function edmLoss(inputs: EdmLossInputs, net: RawNetwork, weights: Weights, sigmaData = 0.5): EdmLoss {
  const { x0, epsilon, sigma, condition } = inputs;
  const b = x0.shape[0]!;
  const over = (t: Tensor): Tensor => reshape(t, [b, 1, 1, 1, 1]);
  const variance = add(square(sigma), sigmaData * sigmaData);
  const cSkip = div(sigmaData * sigmaData, variance);
  const cOut = div(mul(sigma, sigmaData), sqrt(variance));
  const cIn = div(1, sqrt(variance));
  const cNoise = mul(log(sigma), 0.25);

  const noisy = add(x0, mul(over(sigma), epsilon));
  const seen = condition === undefined ? noisy : withCondition(noisy, x0, condition, cIn, sigmaData);
  const output = net(mul(seen, over(cIn)), cNoise);
  let predicted = add(mul(over(cSkip), seen), mul(over(cOut), output));
  if (condition !== undefined && condition.isLossInRegion !== true)
    predicted = select(condition.indicator, x0, predicted);

  const squared = square(sub(x0, predicted));
  const w = div(variance, square(mul(sigma, sigmaData)));
  const weighted = mul(over(w), squared);
  const u = logVariance(cNoise, weights); // [B, 1]
  const element = add(mul(weighted, over(exp(neg(u)))), over(u));
  return {
    lossMean: mean(element),
    lossSum: mean(sum(element, [1, 2, 3, 4])),
    mseMean: mean(squared),
    edmLossMean: mean(weighted),
    predicted,
    logVariance: u,
    weightsPerSigma: w,
    noisy,
  };
}

export type FlowLossInputs = {
  /** Clean latents x0 [B, C, T, H, W]. */
  readonly x0: Tensor;
  /** Unit noise of the same shape. */
  readonly epsilon: Tensor;
  /** s [B]: 0 is data, 1 is noise. */
  readonly time: Tensor;
  /** I: 1 = given clean, [1 or B, 1, T, 1, 1]. Given frames are not learned. */
  readonly indicator?: Tensor;
  /** σ of given frames; their time is σ/(σ + 1). */
  readonly cleanSigma: number;
};

/**
 * Flow matching of Predict2 and 2.5: x_s = (1 − s)·x0 + s·ε, the network learns ε − x0 (Liu et al. 2022, equation 1), all times alike.
 * Mean of the squared error over the frames that are not given.
 */
export function flowLoss(inputs: FlowLossInputs, net: RawNetwork): Tensor {
  const { x0, epsilon, time, indicator, cleanSigma } = inputs;
  const [b, , frames] = x0.shape as [number, number, number];
  const s = reshape(time, [b, 1, 1, 1, 1]);
  const between = add(mul(x0, sub(1, s)), mul(epsilon, s));
  if (indicator === undefined) return mean(square(sub(net(between, time), sub(epsilon, x0))));
  const perFrame = reshape(select(indicator, mul(s, 0), s), [b, frames]);
  const given = reshape(mul(indicator, cleanSigma / (cleanSigma + 1)), [indicator.shape[0]!, frames]);
  const error = square(sub(net(select(indicator, x0, between), add(perFrame, given)), sub(epsilon, x0)));
  const free = sub(1, indicator);
  return div(mean(mul(error, free)), mean(free));
}

/** u(σ) = W·√2·cos(c_noise·freqs + phases): fixed random features, one learned row. */
export function logVariance(cNoise: Tensor, weights: Weights, features = 128): Tensor {
  const freqs = weights('logvar.0.freqs', [features], { kind: 'normal', std: 2 * Math.PI });
  const phases = weights('logvar.0.phases', [features], { kind: 'normal', std: 2 * Math.PI });
  const angles = add(mul(reshape(cNoise, [cNoise.shape[0]!, 1]), freqs), phases);
  return linear(mul(cos(angles), constantF32([], [Math.SQRT2])), weights('logvar.1.weight', [1, features]));
}

/** x_in = I·(x0 + σ_aug·ε_aug)·c_in(σ_aug)/c_in(σ) + (1 − I)·x: given frames stand at their own preconditioning level. */
function withCondition(
  noisy: Tensor,
  x0: Tensor,
  condition: TrainingCondition,
  cIn: Tensor,
  sigmaData: number,
): Tensor {
  const { indicator, sigmaAug, noise, keep, dropped = 'kept' } = condition;
  if (dropped === 'noisy') return noisy;
  if (dropped === 'zeros') return mul(noisy, sub(1, indicator));
  const b = x0.shape[0]!;
  const over = (t: Tensor): Tensor => reshape(t, [b, 1, 1, 1, 1]);
  const augmented = add(x0, mul(over(sigmaAug), noise));
  const cInAug = div(1, sqrt(add(square(sigmaAug), sigmaData * sigmaData)));
  const shown = mul(augmented, over(div(cInAug, cIn)));
  return select(indicator, keep === undefined ? shown : mul(shown, reshape(keep, [1, 1, 1, 1, 1])), noisy);
}

/** I·a + (1 − I)·b. */
const select = (indicator: Tensor, a: Tensor, b: Tensor): Tensor => add(mul(indicator, a), mul(sub(1, indicator), b));
