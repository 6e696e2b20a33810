// One evaluation of a transformer in the diffusers spelling: Predict1, Predict2 (a noise level per frame), Predict2.5 (text projection).
import { f32, type NdArray } from '../../../base/index.ts';
import { diffusersDitConfig, diffusersDitKey, type GeneralDitInputs, generalDit } from '../../../nets/index.ts';
import { inputOf } from '../case.ts';
import { inputsFor, runOnce, strictWeights } from '../engine.ts';
import type { CaseKind } from './kind.ts';

export const diffusersNet: CaseKind = {
  name: 'diffusion network in diffusers layout',
  matches: (c) =>
    c.config.num_attention_heads !== undefined && c.inputs.has('hidden_states') && c.inputs.has('timestep'),
  async run(c, runtime) {
    const time = inputOf(c, 'timestep');
    const feeds: Partial<Record<keyof GeneralDitInputs, NdArray>> & {
      x: NdArray;
      timesteps: NdArray;
      context: NdArray;
    } = {
      x: inputOf(c, 'hidden_states'),
      // [B] or [B, 1, T, 1, 1].
      timesteps: f32(time.shape.length === 5 ? [time.shape[0]!, time.shape[2]!] : time.shape, time.data),
      context: inputOf(c, 'encoder_hidden_states'),
    };
    if (c.inputs.has('padding_mask')) feeds.paddingMask = inputOf(c, 'padding_mask');
    if (c.inputs.has('condition_mask')) feeds.conditionMask = inputOf(c, 'condition_mask');
    if (typeof c.options.fps === 'number') feeds.fps = f32([1], [c.options.fps]);
    const strict = strictWeights(c.weights);
    const tensors = inputsFor(feeds as Record<string, NdArray>) as unknown as GeneralDitInputs;
    const sample = generalDit(tensors, diffusersDitConfig(c.config), (key, shape) =>
      strict.weights(diffusersDitKey(key), shape),
    );
    strict.check();
    return runOnce(runtime, { sample }, feeds as Record<string, NdArray>, c.weights);
  },
};
