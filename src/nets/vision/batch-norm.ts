// Batch normalisation with stored statistics (eval mode), and the convolution unit that detectors are made of.
import {
  add,
  conv,
  depthwiseConv,
  maximum,
  mul,
  reciprocal,
  relu,
  reshape,
  sqrt,
  sub,
  type Tensor,
} from '../../graph/index.ts';
import type { Weights } from '../orrery/weights.ts';

/** y = (x − mean)/√(var + ε)·w + b over axis 1: x [B, C, …]. Keys weight, bias, running_mean, running_var. Default ε 1e-5. */
export function batchNorm(x: Tensor, weights: Weights, eps = 1e-5): Tensor {
  const c = x.shape[1]!;
  const column = [1, c, ...x.shape.slice(2).map(() => 1)];
  const at = (key: string): Tensor => weights(key, [c]);
  const scale = mul(at('weight'), reciprocal(sqrt(add(at('running_var'), eps)))); // [C]
  const shift = sub(at('bias'), mul(at('running_mean'), scale));
  return add(mul(x, reshape(scale, column)), reshape(shift, column));
}

/** max(x, slope·x): LeakyReLU for 0 < slope < 1, ReLU for slope 0. */
export const leakyRelu = (x: Tensor, slope: number): Tensor => (slope === 0 ? relu(x) : maximum(x, mul(x, slope)));

/** Key scopes of a convolution without bias and of the normalisation behind it. */
export type ConvNorm = {
  readonly conv: Weights;
  readonly norm: Weights;
  /** Output channels. */
  readonly out: number;
  /** Side of the square kernel; padding keeps the size at stride 1. */
  readonly kernel: number;
  readonly stride?: number;
  /** Convolution of each channel by itself. */
  readonly isDepthwise?: boolean;
};

/** Convolution without bias, then batch normalisation: x [B, C, H, W] → [B, out, H', W']. */
export function convNorm(x: Tensor, c: ConvNorm): Tensor {
  const { kernel, stride = 1 } = c;
  const pad = (kernel - 1) / 2;
  const w = c.conv('weight', [c.out, c.isDepthwise === true ? 1 : x.shape[1]!, kernel, kernel]);
  if (c.isDepthwise === true) return batchNorm(depthwiseConv(x, w, { stride, padding: pad }), c.norm);
  const geometry = { strides: [stride, stride], padBefore: [pad, pad], padAfter: [pad, pad] };
  return batchNorm(conv(x, w, undefined, geometry), c.norm);
}
