// Single blocks of the tokenizers; several modules in one case, each with inputs of its own.
import { InputError, type NdArray, OrreryError } from '../../../base/index.ts';
import { input, type Tensor } from '../../../graph/index.ts';
import {
  causalConv3d,
  frameNorm,
  hybridDown,
  hybridUp,
  imageAttention,
  imageResnetBlock,
  type Kernel,
  resnetBlock,
  scoped,
  spatialAttention,
  temporalAttention,
  type Weights,
} from '../../../nets/index.ts';
import { isRecord, type ParityCase } from '../case.ts';
import { runOnce, strictWeights } from '../engine.ts';
import type { CaseKind } from './kind.ts';

export const tokenizerModules: CaseKind = {
  name: 'tokenizer block',
  matches: (c) => isRecord(c.options.inputs) && c.weights.size > 0,
  async run(c, runtime) {
    const uses = c.options.inputs as Record<string, string>;
    const strict = strictWeights(c.weights);
    const outputs: Record<string, Tensor> = {};
    const feeds: Record<string, NdArray> = {};
    for (const [name, module] of Object.entries(uses)) {
      const array = c.inputs.get(name);
      if (array === undefined) throw new OrreryError('data', `no tensor input.${name}`);
      // An input and its output share their name.
      feeds[`in.${name}`] = array;
      outputs[name] = build(c, module, input(`in.${name}`, array.shape), scoped(strict.weights, module));
    }
    strict.check();
    return runOnce(runtime, outputs, feeds, c.weights);
  },
};

/** The block that the keys and options of a module describe. */
function build(c: ParityCase, module: string, x: Tensor, weights: Weights): Tensor {
  const options = isRecord(c.config[module]) ? c.config[module] : {};
  const shapeOf = (key: string): readonly number[] | undefined => c.weights.get(`${module}.${key}`)?.shape;
  const flag = (name: string): boolean => options[name] === true;
  if ('spatial_down' in options || 'temporal_down' in options) {
    return hybridDown(x, { spatial: flag('spatial_down'), temporal: flag('temporal_down') }, weights);
  }
  if ('spatial_up' in options || 'temporal_up' in options) {
    return hybridUp(x, { spatial: flag('spatial_up'), temporal: flag('temporal_up') }, weights);
  }
  const kernel = shapeOf('conv3d.weight');
  if (kernel !== undefined) {
    const number = (name: string, standard: number): number => Number(options[name] ?? standard);
    const [to, from, ...size] = kernel as [number, number, ...number[]];
    return causalConv3d(x, [from, to], size as unknown as Kernel, weights, {
      padding: number('padding', 1),
      stride: number('stride', 1),
      dilation: number('dilation', 1),
      timeStride: number('time_stride', 1),
      timeDilation: number('time_dilation', 1),
    });
  }
  if (shapeOf('q.conv3d.weight') !== undefined) {
    // Both kinds of attention have the same keys; only the module's name tells them apart.
    return (/temp|time|causal/i.test(module) ? temporalAttention : spatialAttention)(x, weights);
  }
  if (shapeOf('q.weight') !== undefined) return imageAttention(x, weights);
  const wide = shapeOf('conv1.0.conv3d.weight');
  if (wide !== undefined) return resnetBlock(x, wide[0]!, weights);
  const flat = shapeOf('conv1.weight');
  if (flat !== undefined) return imageResnetBlock(x, flat[0]!, weights);
  if (shapeOf('norm.weight') !== undefined) return frameNorm(x, weights, Number(options.num_groups ?? 1));
  throw new InputError(
    'tokenizer block',
    { got: module, need: 'a convolution, attention, residual, norm or re-sampling block' },
    'unsupported',
  );
}
