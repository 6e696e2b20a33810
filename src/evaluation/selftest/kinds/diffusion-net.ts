// One evaluation of a Predict1 diffusion transformer, inner values included.
import { InputError, type NdArray } from '../../../base/index.ts';
import type { Tensor } from '../../../graph/index.ts';
import {
  type GeneralDitConfig,
  type GeneralDitInputs,
  generalDit,
  generalDitConfig,
  scoped,
  type Weights,
} from '../../../nets/index.ts';
import type { ParityCase } from '../case.ts';
import { inputsFor, runOnce, strictWeights } from '../engine.ts';
import type { CaseKind } from './kind.ts';

/** Public input names → names of the graph function. */
const INPUTS: Readonly<Record<string, keyof GeneralDitInputs>> = {
  x: 'x',
  timesteps: 'timesteps',
  crossattn_emb: 'context',
  fps: 'fps',
  padding_mask: 'paddingMask',
  condition_video_input_mask: 'conditionMask',
  condition_video_pose: 'cameraRays',
  condition_video_augment_sigma: 'augmentNoise',
  frame_repeat: 'frameRepeat',
  trajectory: 'trajectory',
  action: 'action',
};

/** Classes of the public code that `generalDit` stands for. */
const CLASSES = new Set([
  'GeneralDIT',
  'VideoExtendGeneralDIT',
  'MultiviewGeneralDIT',
  'MultiviewVideoExtendGeneralDIT',
  'ActionConditionalVideoExtendGeneralDIT',
]);

/** Keys of a file that no network needs. */
export const isUnusedDitKey = (key: string): boolean =>
  /(^|\.)pos_embedder\.(seq|dim_\w+_range)$|_extra_state$/.test(key);

/** The network options of a case; throws `unsupported` for other networks. */
export function ditConfig(c: ParityCase): GeneralDitConfig {
  const name = String(c.config.class ?? 'GeneralDIT')
    .split('.')
    .pop()!;
  if (!CLASSES.has(name)) {
    throw new InputError('network class', { got: name, need: `one of ${[...CLASSES].join(', ')}` }, 'unsupported');
  }
  const config = generalDitConfig(c.config);
  // The multi-view class adds the condition mask to its `in_channels` by itself.
  const hasMask = c.inputs.has('condition_video_input_mask') || c.inputs.has('condition_latent');
  return config.views !== undefined && hasMask ? { ...config, inChannels: config.inChannels + 1 } : config;
}

/** Builds the network from public input names. */
export function ditFrom(
  tensors: Readonly<Record<string, Tensor>>,
  config: GeneralDitConfig,
  weights: Weights,
  tap?: (name: string, value: Tensor) => void,
): Tensor {
  const inputs: Partial<Record<keyof GeneralDitInputs, Tensor>> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const known = INPUTS[name];
    if (known === undefined)
      throw new InputError('network input', { got: name, need: Object.keys(INPUTS).join(', ') }, 'unsupported');
    inputs[known] = tensor;
  }
  return generalDit(inputs as GeneralDitInputs, config, scoped(weights, 'net'), tap);
}

export const diffusionNet: CaseKind = {
  name: 'diffusion network',
  matches: (c) => c.outputs.has('net_output') && c.inputs.has('timesteps') && c.inputs.has('crossattn_emb'),
  async run(c, runtime) {
    const feeds: Record<string, NdArray> = Object.fromEntries(c.inputs);
    const strict = strictWeights(c.weights);
    const outputs: Record<string, Tensor> = {};
    const net = ditFrom(inputsFor(feeds), ditConfig(c), strict.weights, (name, value) => {
      if (c.outputs.has(`debug.${name}`)) outputs[`debug.${name}`] = value;
    });
    strict.check(isUnusedDitKey);
    return runOnce(runtime, { ...outputs, net_output: net }, feeds, c.weights);
  },
};
