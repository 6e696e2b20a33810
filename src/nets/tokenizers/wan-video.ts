// The Wan 2.1 video autoencoder (Wan Team 2025): causal 3D convolutions with zeros before the clip, RMS norms over channels, the first
// frame kept out of every halving of time. Weight names are those of the diffusers files.
// A clip runs whole, or frame group by frame group with what the causal layers remember as further inputs and outputs: same numbers,
// and memory that does not grow with the length of the clip.
import { assert } from '../../base/index.ts';
import {
  add,
  attention,
  concat,
  conv,
  input,
  maximum,
  mul,
  pad,
  reshape,
  rsqrt,
  silu,
  slice,
  square,
  sum,
  type Tensor,
  transpose,
} from '../../graph/index.ts';
import { type Init, scoped, type Weights } from '../orrery/weights.ts';
import { fromFrames, toFrames } from './blocks.ts';
import { nearest2 } from './haar.ts';
import type { WanConfig } from './wan-config.ts';

const ZEROS: Init = { kind: 'zeros' };
const ONES: Init = { kind: 'constant', value: 1 };

/** What the causal layers keep between groups of frames; graph inputs `past.NAME`, outputs `next.NAME`. */
export type WanMemory = {
  /** `whole`: the clip at once, nothing is kept. `first`: its first frame. `next`: a later group. */
  readonly part: 'whole' | 'first' | 'next';
  /** Outputs that the next group needs, by name. */
  readonly kept: Record<string, Tensor>;
};

/** A memory of one graph. */
export const wanMemory = (part: WanMemory['part']): WanMemory => ({ part, kept: {} });

/** Name of the input that an output becomes in the next run. */
export const wanPastOf = (next: string): string => next.replace(/^next\./, 'past.');

/**
 * Pixels → mean and log variance of the latent. [B, 3, T, H, W] in −1…1 → [B, 2·latentChannels, t, h, w]; T = 1 + k·time compression,
 * 1 for a first group, k·time compression for a later one.
 */
export function encodeWan(video: Tensor, c: WanConfig, weights: Weights, memory = wanMemory('whole')): Tensor {
  const w = scoped(weights, 'encoder');
  const widths = c.factors.map((f) => f * c.width);
  let x = causal(video, c.width, [3, 3, 3], scoped(w, 'conv_in'), 'encoder.conv_in', memory);
  let place = 0;
  for (const [i, width] of widths.entries()) {
    for (let b = 0; b < c.resBlocks; b++) {
      x = residual(x, width, scoped(w, `down_blocks.${place}`), `encoder.down_blocks.${place}`, memory);
      place++;
    }
    if (i === widths.length - 1) break;
    x = halved(x, c.timeSteps[i]!, scoped(w, `down_blocks.${place}`), `encoder.down_blocks.${place}`, memory);
    place++;
  }
  x = middle(x, scoped(w, 'mid_block'), 'encoder.mid_block', memory);
  x = silu(channelNorm(x, scoped(w, 'norm_out')));
  x = causal(x, 2 * c.latentChannels, [3, 3, 3], scoped(w, 'conv_out'), 'encoder.conv_out', memory);
  return pointwise(x, 2 * c.latentChannels, scoped(weights, 'quant_conv'));
}

/** Latent → pixels, not clamped. [B, latentChannels, t, h, w] → [B, 3, T, H, W]; t = 1 for a first group. */
export function decodeWan(latent: Tensor, c: WanConfig, weights: Weights, memory = wanMemory('whole')): Tensor {
  const w = scoped(weights, 'decoder');
  const widths = [...c.factors].reverse().map((f) => f * c.decoderWidth);
  const timeSteps = [...c.timeSteps].reverse();
  let x = pointwise(latent, c.latentChannels, scoped(weights, 'post_quant_conv'));
  x = causal(x, widths[0]!, [3, 3, 3], scoped(w, 'conv_in'), 'decoder.conv_in', memory);
  x = middle(x, scoped(w, 'mid_block'), 'decoder.mid_block', memory);
  for (const [i, width] of widths.entries()) {
    const block = scoped(w, `up_blocks.${i}`);
    for (let b = 0; b <= c.resBlocks; b++) {
      x = residual(x, width, scoped(block, `resnets.${b}`), `decoder.up_blocks.${i}.resnets.${b}`, memory);
    }
    if (i === widths.length - 1) break;
    x = doubled(x, timeSteps[i]!, scoped(block, 'upsamplers.0'), `decoder.up_blocks.${i}.upsamplers.0`, memory);
  }
  x = silu(channelNorm(x, scoped(w, 'norm_out')));
  return causal(x, 3, [3, 3, 3], scoped(w, 'conv_out'), 'decoder.conv_out', memory);
}

/** The last `count` frames of the groups before, and a note of what the next group needs; undefined: nothing comes before. */
function past(x: Tensor, count: number, name: string, { part, kept }: WanMemory): Tensor | undefined {
  if (part === 'whole') return undefined;
  const [b, c, t, h, w] = x.shape as [number, number, number, number, number];
  const before = part === 'next' ? input(`past.${name}`, [b, c, count, h, w]) : undefined;
  const missing = Math.max(0, count - t);
  const all =
    missing === 0
      ? x
      : before === undefined
        ? pad(x, { before: [0, 0, missing, 0, 0], after: [0, 0, 0, 0, 0] })
        : concat([lastOf(before, missing), x], 2);
  kept[`next.${name}`] = lastOf(all, count);
  return before;
}

const lastOf = (x: Tensor, count: number): Tensor => slice(x, 2, x.shape[2]! - count, count);

/** Convolution that looks back in time: zeros before the clip, zeros around the picture. */
function causal(
  x: Tensor,
  to: number,
  [kt, kh, kw]: readonly [number, number, number],
  weights: Weights,
  name: string,
  memory: WanMemory,
): Tensor {
  const before = past(x, kt - 1, name, memory);
  const w = weights('weight', [to, x.shape[1]!, kt, kh, kw]);
  const [ph, pw] = [(kh - 1) / 2, (kw - 1) / 2];
  return conv(before === undefined ? x : concat([before, x], 2), w, weights('bias', [to], ZEROS), {
    padBefore: [before === undefined ? kt - 1 : 0, ph, pw],
    padAfter: [0, ph, pw],
  });
}

function pointwise(x: Tensor, to: number, weights: Weights): Tensor {
  return conv(x, weights('weight', [to, x.shape[1]!, 1, 1, 1]), weights('bias', [to], ZEROS));
}

/** x·√C·γ/‖x‖ over the channels, γ [C, 1, …]. */
function channelNorm(x: Tensor, weights: Weights, places = 3): Tensor {
  const channels = x.shape[1]!;
  const gamma = weights('gamma', [channels, ...new Array<number>(places).fill(1)], ONES);
  const r = rsqrt(maximum(sum(square(x), [1], true), 1e-24));
  return mul(
    mul(x, r),
    mul(reshape(gamma, [1, channels, ...new Array<number>(x.shape.length - 2).fill(1)]), channels ** 0.5),
  );
}

function residual(x: Tensor, to: number, weights: Weights, name: string, memory: WanMemory): Tensor {
  const y = causal(
    silu(channelNorm(x, scoped(weights, 'norm1'))),
    to,
    [3, 3, 3],
    scoped(weights, 'conv1'),
    `${name}.conv1`,
    memory,
  );
  const z = causal(
    silu(channelNorm(y, scoped(weights, 'norm2'))),
    to,
    [3, 3, 3],
    scoped(weights, 'conv2'),
    `${name}.conv2`,
    memory,
  );
  return add(x.shape[1] === to ? x : pointwise(x, to, scoped(weights, 'conv_shortcut')), z);
}

/** Residual block, attention within each frame, residual block. */
function middle(x: Tensor, weights: Weights, name: string, memory: WanMemory): Tensor {
  const width = x.shape[1]!;
  const first = residual(x, width, scoped(weights, 'resnets.0'), `${name}.resnets.0`, memory);
  const mixed = frameAttention(first, scoped(weights, 'attentions.0'));
  return residual(mixed, width, scoped(weights, 'resnets.1'), `${name}.resnets.1`, memory);
}

/** x + attention over the places of each frame, one head, scale C^−½. */
function frameAttention(x: Tensor, weights: Weights): Tensor {
  const [b, c, t, h, w] = x.shape as [number, number, number, number, number];
  const frames = channelNorm(toFrames(x), scoped(weights, 'norm'), 2);
  const all = conv(frames, weights('to_qkv.weight', [3 * c, c, 1, 1]), weights('to_qkv.bias', [3 * c], ZEROS));
  const rows = transpose(reshape(all, [b * t, 3 * c, h * w]), [0, 2, 1]); // [B·T, H·W, 3C]
  const head = (i: number): Tensor => reshape(slice(rows, 2, i * c, c), [b * t, h * w, 1, c]);
  const mixed = reshape(attention(head(0), head(1), head(2)), [b * t, h * w, c]);
  const picture = reshape(transpose(mixed, [0, 2, 1]), [b * t, c, h, w]);
  const y = conv(picture, weights('proj.weight', [c, c, 1, 1]), weights('proj.bias', [c], ZEROS));
  return add(x, fromFrames(y, t));
}

/** Halves space, and time behind the first frame. */
function halved(x: Tensor, isTime: boolean, weights: Weights, name: string, memory: WanMemory): Tensor {
  const c = x.shape[1]!;
  const w = weights('resample.1.weight', [c, c, 3, 3]);
  const small = conv(toFrames(x), w, weights('resample.1.bias', [c], ZEROS), { strides: [2, 2], padAfter: [1, 1] });
  const y = fromFrames(small, x.shape[2]!);
  if (!isTime) return y;
  const kernel = weights('time_conv.weight', [c, c, 3, 1, 1]);
  const bias = weights('time_conv.bias', [c], ZEROS);
  const before = past(y, 1, `${name}.time_conv`, memory);
  const pairs = (z: Tensor): Tensor => conv(z, kernel, bias, { strides: [2, 1, 1] });
  if (before !== undefined) return pairs(concat([before, y], 2));
  const first = slice(y, 2, 0, 1);
  return y.shape[2] === 1 ? first : concat([first, pairs(y)], 2);
}

/** Doubles space, and time behind the first frame; halves the channels. */
function doubled(x: Tensor, isTime: boolean, weights: Weights, name: string, memory: WanMemory): Tensor {
  const c = x.shape[1]!;
  const y = isTime ? twiceTheFrames(x, weights, name, memory) : x;
  const large = nearest2(toFrames(y));
  const w = weights('resample.1.weight', [c / 2, c, 3, 3]);
  const bias = weights('resample.1.bias', [c / 2], ZEROS);
  return fromFrames(conv(large, w, bias, { padBefore: [1, 1], padAfter: [1, 1] }), y.shape[2]!);
}

function twiceTheFrames(x: Tensor, weights: Weights, name: string, memory: WanMemory): Tensor {
  const [b, c, t, h, w] = x.shape as [number, number, number, number, number];
  const time = scoped(weights, 'time_conv');
  const twice = (z: Tensor, n: number): Tensor => {
    const both = reshape(causal(z, 2 * c, [3, 1, 1], time, `${name}.time_conv`, memory), [b, 2, c, n, h, w]);
    return reshape(transpose(both, [0, 2, 3, 1, 4, 5]), [b, c, 2 * n, h, w]);
  };
  if (memory.part === 'next') return twice(x, t);
  if (memory.part === 'first') {
    assert(t === 1, `the first group has one latent frame, got ${t}`);
    // The convolution does not look back at the first frame: the next group begins with zeros, which whoever runs it provides.
    return x;
  }
  const first = slice(x, 2, 0, 1);
  return t === 1 ? first : concat([first, twice(slice(x, 2, 1, t - 1), t - 1)], 2);
}
