// The Cosmos video tokenizers (CV, DV): causal encoder and decoder around Haar patches, factorised convolutions, attention in the middle.
// Graphs only. Latent statistics and chunking are the caller's.
import { chunk, clamp, type Tensor } from '../../graph/index.ts';
import { scoped, type Weights } from '../orrery/weights.ts';
import {
  attentionPair,
  factorizedConv,
  hybridDown,
  hybridUp,
  normSilu,
  pointConv,
  type Resample,
  resnetBlock,
} from './blocks.ts';
import { type CosmosTokenizerConfig, samplingSteps } from './cosmos-config.ts';
import { patch3d, unpatch3d } from './haar.ts';

/** Sees intermediate values by name, for comparison with a reference. */
export type Tap = (name: string, value: Tensor) => void;
const unseen: Tap = () => {};

/** What each level re-samples after its blocks, on the way down. */
export function downSchedule(c: CosmosTokenizerConfig): Resample[] {
  const { levels, spatial, temporal } = samplingSteps(c);
  return c.channelsMult.map((_, i) => ({
    spatial: i < spatial && i < levels - 1,
    temporal: i < temporal && i < levels - 1,
  }));
}

/** What each level re-samples on the way up; the deepest level (the last entry) runs first. */
export function upSchedule(c: CosmosTokenizerConfig): Resample[] {
  const { levels, spatial, temporal } = samplingSteps(c);
  return c.channelsMult.map((_, i) => {
    const r = levels - 1 - i; // 0 for the deepest
    const time = c.isLegacy ? r < temporal : r > 0 && r < temporal + 1;
    const space = time || (r < spatial && spatial > temporal);
    return { spatial: i > 0 && space, temporal: i > 0 && time };
  });
}

/** Levels with attention after each block: nominal sizes halve from level to level, whatever the real input. */
function attentionLevels(c: CosmosTokenizerConfig, direction: 'down' | 'up'): boolean[] {
  const n = c.channelsMult.length;
  const top = Math.floor(c.resolution / c.patch);
  const deepest = Math.floor(top / 2 ** (n - 1));
  return c.channelsMult.map((_, i) =>
    c.attentionResolutions.includes(direction === 'down' ? Math.floor(top / 2 ** i) : deepest * 2 ** (n - 1 - i)),
  );
}

/**
 * Pixels → latent: encoder and `quant_conv`.
 * @param video [B, 3, T, H, W] in −1…1; T = 1 + k·temporal compression
 * @returns [B, latentChannels, t, h, w], not normalised; with zFactor 2 mean and log variance one after the other
 */
export function encodeVideo(video: Tensor, c: CosmosTokenizerConfig, weights: Weights, tap = unseen): Tensor {
  const z = videoEncoder(video, c, scoped(weights, 'encoder'), tap);
  const out = c.latentChannels * (c.levels === undefined ? c.zFactor : 1);
  return pointConv(z, z.shape[1]!, out, scoped(weights, 'quant_conv'));
}

/** Latent (or quantised code) → pixels: `post_quant_conv` and decoder. Not clamped. [B, C, t, h, w] → [B, 3, T, H, W]. */
export function decodeVideo(latent: Tensor, c: CosmosTokenizerConfig, weights: Weights, tap = unseen): Tensor {
  const z = pointConv(latent, c.latentChannels, c.zChannels, scoped(weights, 'post_quant_conv'));
  tap('post_quant_conv', z);
  return videoDecoder(z, c, scoped(weights, 'decoder'), tap);
}

/** Mean and log variance (−30…20) of a zFactor-2 encoder. */
export function splitMoments(moments: Tensor): { mean: Tensor; logVariance: Tensor } {
  const [mean, logVariance] = chunk(moments, 2, 1) as [Tensor, Tensor];
  return { mean, logVariance: clamp(logVariance, -30, 20) };
}

function videoEncoder(video: Tensor, c: CosmosTokenizerConfig, w: Weights, tap: Tap): Tensor {
  const widths = c.channelsMult.map((m) => m * c.channels);
  const deepest = widths[widths.length - 1]!;
  const schedule = downSchedule(c);
  const hasAttention = attentionLevels(c, 'down');

  let x = patch3d(video, { patch: c.patch, method: c.patchMethod }); // [B, 3p³, t', H/p, W/p]
  tap('enc.patcher', x);
  x = factorizedConv(x, x.shape[1]!, c.channels, scoped(w, 'conv_in'));
  tap('enc.conv_in', x);
  for (const [i, width] of widths.entries()) {
    const level = scoped(w, `down.${i}`);
    for (let b = 0; b < c.resBlocks; b++) {
      x = resnetBlock(x, width, scoped(level, `block.${b}`));
      tap(`enc.down.${i}.block.${b}`, x);
      if (hasAttention[i]) x = attentionPair(x, scoped(level, `attn.${b}`));
    }
    if (i < widths.length - 1) {
      x = hybridDown(x, schedule[i]!, scoped(level, 'downsample'));
      tap(`enc.down.${i}.downsample`, x);
    }
  }
  x = middle(x, scoped(w, 'mid'), 'enc', tap);
  x = factorizedConv(normSilu(x, scoped(w, 'norm_out')), deepest, c.zChannels * c.zFactor, scoped(w, 'conv_out'));
  tap('enc.conv_out', x);
  return x;
}

function videoDecoder(z: Tensor, c: CosmosTokenizerConfig, w: Weights, tap: Tap): Tensor {
  const widths = c.channelsMult.map((m) => m * c.channels);
  const deepest = widths[widths.length - 1]!;
  const schedule = upSchedule(c);
  const hasAttention = attentionLevels(c, 'up');

  let x = factorizedConv(z, c.zChannels, deepest, scoped(w, 'conv_in'));
  tap('dec.conv_in', x);
  x = middle(x, scoped(w, 'mid'), 'dec', tap);
  for (let i = widths.length - 1; i >= 0; i--) {
    const level = scoped(w, `up.${i}`);
    for (let b = 0; b <= c.resBlocks; b++) {
      x = resnetBlock(x, widths[i]!, scoped(level, `block.${b}`));
      tap(`dec.up.${i}.block.${b}`, x);
      if (hasAttention[i]) x = attentionPair(x, scoped(level, `attn.${b}`));
    }
    if (i > 0) {
      x = hybridUp(x, schedule[i]!, scoped(level, 'upsample'));
      tap(`dec.up.${i}.upsample`, x);
    }
  }
  x = factorizedConv(normSilu(x, scoped(w, 'norm_out')), widths[0]!, 3 * c.patch ** 3, scoped(w, 'conv_out'));
  tap('dec.conv_out', x);
  return unpatch3d(x, { patch: c.patch, method: c.patchMethod });
}

/** Residual block, attention pair, residual block at the deepest width. */
function middle(x: Tensor, w: Weights, side: string, tap: Tap): Tensor {
  const width = x.shape[1]!;
  let y = resnetBlock(x, width, scoped(w, 'block_1'));
  tap(`${side}.mid.block_1`, y);
  y = attentionPair(y, scoped(w, 'attn_1'));
  tap(`${side}.mid.attn_1`, y);
  y = resnetBlock(y, width, scoped(w, 'block_2'));
  tap(`${side}.mid.block_2`, y);
  return y;
}
