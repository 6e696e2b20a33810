// Training loss of a diffusion transformer with the gradients of every weight.
import { InputError, type NdArray } from '../../../base/index.ts';
import { gradients, reshape, type Tensor } from '../../../graph/index.ts';
import { edmLoss, type TrainingCondition } from '../../../nets/index.ts';
import { inputsFor, runOnce, strictWeights } from '../engine.ts';
import { ditConfig, ditFrom, isUnusedDitKey } from './diffusion-net.ts';
import type { CaseKind } from './kind.ts';

/** Inputs of the loss; all others go to the network. */
const LOSS_INPUTS = new Set(['x0', 'epsilon', 'sigma', 'augment_sigma', 'augment_noise', 'condition_video_indicator']);

const DROPPED: Readonly<Record<string, 'zeros' | 'noisy'>> = {
  zero_condition_region_condition_mask: 'zeros',
  noise_x_condition_region: 'noisy',
};

export const trainingLoss: CaseKind = {
  name: 'training loss',
  matches: (c) =>
    c.outputs.has('loss_mean') && c.inputs.has('x0') && c.inputs.has('sigma') && c.weights.has('logvar.1.weight'),
  async run(c, runtime) {
    const feeds: Record<string, NdArray> = Object.fromEntries(c.inputs);
    const t = inputsFor(feeds) as Readonly<Record<string, Tensor>>;
    const config = ditConfig(c);
    const strict = strictWeights(c.weights);
    const conditions = Object.fromEntries(Object.entries(t).filter(([name]) => !LOSS_INPUTS.has(name)));
    const { x0, epsilon, sigma } = t as { x0: Tensor; epsilon: Tensor; sigma: Tensor };

    let condition: TrainingCondition | undefined;
    if (t.condition_video_indicator !== undefined) {
      const isDropped = c.options.video_cond_bool === false;
      const way = String(c.options.cfg_unconditional_type ?? 'zero_condition_region_condition_mask');
      const dropped = DROPPED[way];
      if (isDropped && dropped === undefined) {
        throw new InputError(
          'cfg_unconditional_type',
          { got: way, need: Object.keys(DROPPED).join(' or ') },
          'unsupported',
        );
      }
      condition = {
        indicator: t.condition_video_indicator,
        sigmaAug: t.augment_sigma!,
        noise: t.augment_noise!,
        dropped: isDropped ? dropped! : 'kept',
        isLossInRegion: c.options.compute_loss_for_condition_region === true,
      };
    }
    const loss = edmLoss(
      condition === undefined ? { x0, epsilon, sigma } : { x0, epsilon, sigma, condition },
      (x, timesteps) => ditFrom({ ...conditions, x, timesteps }, config, strict.weights),
      strict.weights,
      typeof c.options.sigma_data === 'number' ? c.options.sigma_data : 0.5,
    );
    strict.check(isUnusedDitKey);
    const keys = [...c.outputs.keys()].filter((name) => name.startsWith('grad.')).map((name) => name.slice(5));
    const found = gradients(
      c.options.gradients_of === 'loss_sum' ? loss.lossSum : loss.lossMean,
      keys.map(strict.param),
    );
    return runOnce(
      runtime,
      {
        loss_mean: reshape(loss.lossMean, [1]),
        loss_sum: reshape(loss.lossSum, [1]),
        mse_mean: reshape(loss.mseMean, [1]),
        edm_loss_mean: reshape(loss.edmLossMean, [1]),
        x0_pred: loss.predicted,
        logvar: loss.logVariance,
        weights_per_sigma: loss.weightsPerSigma,
        xt: loss.noisy,
        ...Object.fromEntries(keys.map((key, i) => [`grad.${key}`, found[i]!])),
      },
      feeds,
      c.weights,
    );
  },
};
