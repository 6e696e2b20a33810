// Blocks of the Cosmos video tokenizers: causal convolution, per-frame norm, residual block, attention pair, hybrid re-sampling.
// Every block maps video to video [B, C, T, H, W]. Convolutions are lowered to two-dimensional ones, which run fastest.
import { assert } from '../../base/index.ts';
import {
  add,
  attention,
  avgPool,
  concat,
  conv,
  linear,
  mean,
  mul,
  repeat,
  reshape,
  rsqrt,
  silu,
  slice,
  square,
  sub,
  type Tensor,
  transpose,
} from '../../graph/index.ts';
import { type Init, scoped, type Weights } from '../orrery/weights.ts';
import { nearest2 } from './haar.ts';

const ZEROS: Init = { kind: 'zeros' };
const ONES: Init = { kind: 'constant', value: 1 };
const SWAP = [0, 2, 1, 3, 4] as const;

/** [B, C, T, H, W] → frames [B·T, C, H, W]. Undoes `fromFrames` without cost. */
export function toFrames(x: Tensor): Tensor {
  const [b, c, t, h, w] = x.shape as [number, number, number, number, number];
  const { op, inputs, attrs } = x.node;
  const isSwapped = op.name === 'transpose' && (attrs as { perm: readonly number[] }).perm.join() === SWAP.join();
  return reshape(isSwapped ? inputs[0]! : transpose(x, SWAP), [b * t, c, h, w]);
}

/** Frames [B·T, C, H, W] → [B, C, T, H, W]. */
export function fromFrames(x: Tensor, t: number): Tensor {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  return transpose(reshape(x, [n / t, t, c, h, w]), SWAP);
}

/** Geometry of a causal convolution; everything defaults to 1, `padding` to 0. */
export type CausalGeometry = {
  /** Spatial stride and dilation. */
  readonly stride?: number;
  readonly dilation?: number;
  readonly timeStride?: number;
  readonly timeDilation?: number;
  /** Zeros on all four sides. */
  readonly padding?: number;
  /** Further zeros at the right and bottom. */
  readonly padEnd?: number;
};

/** Kernel sizes [time, height, width]. */
export type Kernel = readonly [number, number, number];

/**
 * CausalConv3d: copies of the first frame before the clip, zeros around the picture, then an ordinary convolution.
 * @param channels [in, out]
 */
export function causalConv3d(
  x: Tensor,
  channels: readonly [number, number],
  kernel: Kernel,
  weights: Weights,
  geometry: CausalGeometry = {},
): Tensor {
  const { stride = 1, dilation = 1, timeStride = 1, timeDilation = 1, padding = 0, padEnd = 0 } = geometry;
  const [kt, kh, kw] = kernel;
  const [from, to] = channels;
  const w = weights('conv3d.weight', [to, from, ...kernel]);
  const bias = weights('conv3d.bias', [to], ZEROS);
  // A stride shortens the padding: with kt 3 and stride 2 only one frame is added.
  const long = repeatFirst(x, Math.max(0, timeDilation * (kt - 1) + 1 - timeStride));
  const [b, , t, height, width] = long.shape as [number, number, number, number, number];
  const isPointwise = kh === 1 && kw === 1 && stride === 1 && padding + padEnd === 0;
  if (isPointwise) {
    const rows = reshape(long, [b, from, t, height * width]);
    const y = conv(rows, reshape(w, [to, from, kt, 1]), bias, {
      strides: [timeStride, 1],
      dilations: [timeDilation, 1],
    });
    return reshape(y, [b, to, y.shape[2]!, height, width]);
  }
  const padBefore = [padding, padding];
  const padAfter = [padding + padEnd, padding + padEnd];
  if (kt === 1 && timeStride === 1) {
    const y = conv(toFrames(long), reshape(w, [to, from, kh, kw]), bias, {
      strides: [stride, stride],
      padBefore,
      padAfter,
      dilations: [dilation, dilation],
    });
    return fromFrames(y, t);
  }
  return conv(long, w, bias, {
    strides: [timeStride, stride, stride],
    padBefore: [0, ...padBefore],
    padAfter: [0, ...padAfter],
    dilations: [timeDilation, dilation, dilation],
  });
}

/** Puts `count` copies of the first frame before the clip. */
function repeatFirst(x: Tensor, count: number): Tensor {
  if (count === 0) return x;
  return concat([...new Array<Tensor>(count).fill(slice(x, 2, 0, 1)), x], 2);
}

/** 1×3×3 in→out, then 3×1×1 out→out, nothing between. */
export function factorizedConv(x: Tensor, from: number, to: number, weights: Weights): Tensor {
  const y = causalConv3d(x, [from, to], [1, 3, 3], scoped(weights, '0'), { padding: 1 });
  return causalConv3d(y, [to, to], [3, 1, 1], scoped(weights, '1'));
}

/** 1×1×1 convolution. */
export const pointConv = (x: Tensor, from: number, to: number, weights: Weights): Tensor =>
  causalConv3d(x, [from, to], [1, 1, 1], weights);

/**
 * GroupNorm with one group per frame: mean and variance over C, H, W; affine per channel; ε = 1e-6. With more groups the statistics
 * run over the whole clip, as in the old "Base" networks.
 */
export function frameNorm(x: Tensor, weights: Weights, groups = 1): Tensor {
  if (groups === 1) return fromFrames(groupNorm(toFrames(x), 1, weights), x.shape[2]!);
  const [b, c, t, h, w] = x.shape as [number, number, number, number, number];
  return reshape(groupNorm(reshape(x, [b, c, t * h, w]), groups, weights), [b, c, t, h, w]);
}

/** GroupNorm of [N, C, H, W] with weights `norm.weight` and `norm.bias`. */
function groupNorm(x: Tensor, groups: number, weights: Weights): Tensor {
  const c = x.shape[1]!;
  return groupNormWith(x, groups, weights('norm.weight', [c], ONES), weights('norm.bias', [c], ZEROS));
}

/** (x − mean)/√(var + 1e-6)·w + b, statistics over each group of channels and all places: x [N, C, H, W], w and b [C]. */
export function groupNormWith(x: Tensor, groups: number, weight: Tensor, bias: Tensor): Tensor {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const grouped = reshape(x, [n, groups, (c / groups) * h * w]);
  const centred = sub(grouped, mean(grouped, [2], true));
  const r = rsqrt(add(mean(square(centred), [2], true), 1e-6));
  const unit = reshape(mul(centred, r), [n, c, h, w]);
  return add(mul(unit, reshape(weight, [1, c, 1, 1])), reshape(bias, [1, c, 1, 1]));
}

/** SiLU(norm(x)), kept in frame layout for the 1×3×3 convolution that follows. */
export function normSilu(x: Tensor, weights: Weights): Tensor {
  return fromFrames(silu(groupNorm(toFrames(x), 1, weights)), x.shape[2]!);
}

/** x' + conv2(SiLU(norm2(conv1(SiLU(norm1(x)))))), x' = x or its 1×1×1 projection when the width changes. */
export function resnetBlock(x: Tensor, to: number, weights: Weights): Tensor {
  const from = x.shape[1]!;
  let y = factorizedConv(normSilu(x, scoped(weights, 'norm1')), from, to, scoped(weights, 'conv1'));
  y = factorizedConv(normSilu(y, scoped(weights, 'norm2')), to, to, scoped(weights, 'conv2'));
  return add(from === to ? x : pointConv(x, from, to, scoped(weights, 'nin_shortcut')), y);
}

/** Projects tokens [..., C] by the 1×1×1 convolution of that name. */
function project(tokens: Tensor, name: string, weights: Weights): Tensor {
  const c = tokens.shape[tokens.shape.length - 1]!;
  const w = weights(`${name}.conv3d.weight`, [c, c, 1, 1, 1]);
  return linear(tokens, reshape(w, [c, c]), weights(`${name}.conv3d.bias`, [c], ZEROS));
}

/** x + attention over the places of each frame, one head, scale C^−½. */
export function spatialAttention(x: Tensor, weights: Weights): Tensor {
  const [b, c, t, h, w] = x.shape as [number, number, number, number, number];
  const frames = toFrames(frameNorm(x, scoped(weights, 'norm'))); // [B·T, C, H, W]
  const tokens = transpose(reshape(frames, [b * t, c, h * w]), [0, 2, 1]); // [B·T, H·W, C]
  const head = (name: string): Tensor => reshape(project(tokens, name, weights), [b * t, h * w, 1, c]);
  const y = project(reshape(attention(head('q'), head('k'), head('v')), [b * t, h * w, c]), 'proj_out', weights);
  return add(x, fromFrames(reshape(transpose(y, [0, 2, 1]), [b * t, c, h, w]), t));
}

/** x + attention over time at each place, one head; a frame sees itself and earlier ones. */
export function temporalAttention(x: Tensor, weights: Weights): Tensor {
  const [b, c, t, h, w] = x.shape as [number, number, number, number, number];
  const frames = frameNorm(x, scoped(weights, 'norm'));
  const tokens = reshape(transpose(frames, [0, 3, 4, 2, 1]), [b * h * w, t, c]); // [B·H·W, T, C]
  const head = (name: string): Tensor => reshape(project(tokens, name, weights), [b * h * w, t, 1, c]);
  const mixed = attention(head('q'), head('k'), head('v'), { causal: true });
  const y = project(reshape(mixed, [b * h * w, t, c]), 'proj_out', weights);
  return add(x, transpose(reshape(y, [b, h, w, t, c]), [0, 4, 3, 1, 2]));
}

/** The pair that the networks use: spatial, then temporal. */
export const attentionPair = (x: Tensor, weights: Weights): Tensor =>
  temporalAttention(spatialAttention(x, scoped(weights, '0')), scoped(weights, '1'));

/** Which axes a re-sampling layer changes. */
export type Resample = { readonly spatial: boolean; readonly temporal: boolean };

/** Halves space and/or time: strided convolution plus mean pooling of the same windows. */
export function hybridDown(x: Tensor, { spatial, temporal }: Resample, weights: Weights): Tensor {
  if (!spatial && !temporal) return x;
  const c = x.shape[1]!;
  let y = x;
  if (spatial) {
    const [, , t, h, w] = y.shape as [number, number, number, number, number];
    assert(h % 2 === 0 && w % 2 === 0, `halving a picture of ${h}×${w}`);
    const strided = causalConv3d(y, [c, c], [1, 3, 3], scoped(weights, 'conv1'), { stride: 2, padEnd: 1 });
    // For even sizes the pooling windows never reach the zeros.
    y = fromFrames(add(toFrames(strided), avgPool(toFrames(y), [2, 2])), t);
  }
  if (temporal) {
    const long = repeatFirst(y, 1); // in addition to the frame that the convolution repeats itself
    const [b, , t, h, w] = long.shape as [number, number, number, number, number];
    const pairs = slice(reshape(long, [b, c, t, h * w]), 2, 0, 2 * Math.floor(t / 2));
    const pooled = avgPool(pairs, [2, 1]);
    const strided = causalConv3d(long, [c, c], [3, 1, 1], scoped(weights, 'conv2'), { timeStride: 2 });
    y = add(strided, reshape(pooled, [b, c, Math.floor(t / 2), h, w]));
  }
  return pointConv(y, c, c, scoped(weights, 'conv3'));
}

/** Doubles time (t → 2t − 1) and/or space: nearest copies plus a convolution of them. Time first, unlike on the way down. */
export function hybridUp(x: Tensor, { spatial, temporal }: Resample, weights: Weights): Tensor {
  if (!spatial && !temporal) return x;
  const c = x.shape[1]!;
  let y = x;
  if (temporal) {
    const t = y.shape[2]!;
    y = slice(repeat(y, 2, 2), 2, 1, 2 * t - 1);
    y = add(causalConv3d(y, [c, c], [3, 1, 1], scoped(weights, 'conv1')), y);
  }
  if (spatial) {
    const t = y.shape[2]!;
    y = fromFrames(nearest2(toFrames(y)), t);
    y = add(causalConv3d(y, [c, c], [1, 3, 3], scoped(weights, 'conv2'), { padding: 1 }), y);
  }
  return pointConv(y, c, c, scoped(weights, 'conv3'));
}
