// The Cosmos image tokenizers (CI, DI): like the video ones, but two-dimensional, with 32 norm groups, spatial attention only and
// another placement of the up-sampling.
import { add, attention, conv, linear, reshape, silu, type Tensor, transpose } from '../../graph/index.ts';
import { type Init, scoped, type Weights } from '../orrery/weights.ts';
import { groupNormWith } from './blocks.ts';
import { type CosmosTokenizerConfig, samplingSteps } from './cosmos-config.ts';
import type { Tap } from './cosmos-video.ts';
import { nearest2, patch2d, unpatch2d } from './haar.ts';

const GROUPS = 32;
const ZEROS: Init = { kind: 'zeros' };
const ONES: Init = { kind: 'constant', value: 1 };
const unseen: Tap = () => {};

/** k×k convolution of an image [B, C, H, W], k odd, same size. */
function conv2d(x: Tensor, to: number, k: number, weights: Weights): Tensor {
  const side = (k - 1) / 2;
  return conv(x, weights('weight', [to, x.shape[1]!, k, k]), weights('bias', [to], ZEROS), {
    padBefore: [side, side],
    padAfter: [side, side],
  });
}

function norm(x: Tensor, weights: Weights): Tensor {
  const c = x.shape[1]!;
  return groupNormWith(x, GROUPS, weights('weight', [c], ONES), weights('bias', [c], ZEROS));
}

/** x' + conv2(SiLU(norm2(conv1(SiLU(norm1(x)))))), 3×3 convolutions. */
export function imageResnetBlock(x: Tensor, to: number, weights: Weights): Tensor {
  let y = conv2d(silu(norm(x, scoped(weights, 'norm1'))), to, 3, scoped(weights, 'conv1'));
  y = conv2d(silu(norm(y, scoped(weights, 'norm2'))), to, 3, scoped(weights, 'conv2'));
  return add(x.shape[1] === to ? x : conv2d(x, to, 1, scoped(weights, 'nin_shortcut')), y);
}

/** x + attention over all places, one head. */
export function imageAttention(x: Tensor, weights: Weights): Tensor {
  const [b, c, h, w] = x.shape as [number, number, number, number];
  const tokens = transpose(reshape(norm(x, scoped(weights, 'norm')), [b, c, h * w]), [0, 2, 1]); // [B, H·W, C]
  const project = (t: Tensor, name: string): Tensor =>
    linear(t, reshape(weights(`${name}.weight`, [c, c, 1, 1]), [c, c]), weights(`${name}.bias`, [c], ZEROS));
  const head = (name: string): Tensor => reshape(project(tokens, name), [b, h * w, 1, c]);
  const mixed = attention(head('q'), head('k'), head('v'));
  const y = project(reshape(mixed, [b, h * w, c]), 'proj_out');
  return add(x, reshape(transpose(y, [0, 2, 1]), [b, c, h, w]));
}

/** Halves the picture: zeros at the right and bottom, 3×3 convolution of stride 2. */
function imageDown(x: Tensor, weights: Weights): Tensor {
  const c = x.shape[1]!;
  return conv(x, weights('conv.weight', [c, c, 3, 3]), weights('conv.bias', [c], ZEROS), {
    strides: [2, 2],
    padAfter: [1, 1],
  });
}

/** Image → latent: [B, 3, H, W] in −1…1 → [B, latentChannels, h, w]. */
export function encodeImage(image: Tensor, c: CosmosTokenizerConfig, weights: Weights, tap = unseen): Tensor {
  const z = imageEncoder(image, c, scoped(weights, 'encoder'), tap);
  return conv2d(z, c.latentChannels * (c.levels === undefined ? c.zFactor : 1), 1, scoped(weights, 'quant_conv'));
}

/** Latent (or quantised code) → image, not clamped. */
export function decodeImage(latent: Tensor, c: CosmosTokenizerConfig, weights: Weights, tap = unseen): Tensor {
  const z = conv2d(latent, c.zChannels, 1, scoped(weights, 'post_quant_conv'));
  tap('post_quant_conv', z);
  return imageDecoder(z, c, scoped(weights, 'decoder'), tap);
}

function imageEncoder(image: Tensor, c: CosmosTokenizerConfig, w: Weights, tap: Tap): Tensor {
  const { spatial } = samplingSteps(c);
  let nominal = Math.floor(c.resolution / c.patch); // halves only where the level halves
  let x = patch2d(image, { patch: c.patch, method: c.patchMethod });
  tap('enc.patcher', x);
  x = conv2d(x, c.channels, 3, scoped(w, 'conv_in'));
  tap('enc.conv_in', x);
  for (const [i, mult] of c.channelsMult.entries()) {
    const level = scoped(w, `down.${i}`);
    for (let b = 0; b < c.resBlocks; b++) {
      x = imageResnetBlock(x, mult * c.channels, scoped(level, `block.${b}`));
      tap(`enc.down.${i}.block.${b}`, x);
      if (c.attentionResolutions.includes(nominal)) x = imageAttention(x, scoped(level, `attn.${b}`));
    }
    if (i < spatial) {
      x = imageDown(x, scoped(level, 'downsample'));
      nominal = Math.floor(nominal / 2);
      tap(`enc.down.${i}.downsample`, x);
    }
  }
  x = middle(x, scoped(w, 'mid'), 'enc', tap);
  x = conv2d(silu(norm(x, scoped(w, 'norm_out'))), c.zChannels * c.zFactor, 3, scoped(w, 'conv_out'));
  tap('enc.conv_out', x);
  return x;
}

function imageDecoder(z: Tensor, c: CosmosTokenizerConfig, w: Weights, tap: Tap): Tensor {
  const { spatial, levels } = samplingSteps(c);
  let nominal = Math.floor(Math.floor(c.resolution / c.patch) / 2 ** (levels - 1));
  let x = conv2d(z, c.channelsMult[levels - 1]! * c.channels, 3, scoped(w, 'conv_in'));
  tap('dec.conv_in', x);
  x = middle(x, scoped(w, 'mid'), 'dec', tap);
  for (let i = levels - 1; i >= 0; i--) {
    const level = scoped(w, `up.${i}`);
    for (let b = 0; b <= c.resBlocks; b++) {
      x = imageResnetBlock(x, c.channelsMult[i]! * c.channels, scoped(level, `block.${b}`));
      tap(`dec.up.${i}.block.${b}`, x);
      if (c.attentionResolutions.includes(nominal)) x = imageAttention(x, scoped(level, `attn.${b}`));
    }
    if (i >= levels - spatial) {
      x = conv2d(nearest2(x), x.shape[1]!, 3, scoped(level, 'upsample.conv'));
      nominal *= 2;
      tap(`dec.up.${i}.upsample`, x);
    }
  }
  x = conv2d(silu(norm(x, scoped(w, 'norm_out'))), 3 * c.patch ** 2, 3, scoped(w, 'conv_out'));
  tap('dec.conv_out', x);
  return unpatch2d(x, { patch: c.patch, method: c.patchMethod });
}

function middle(x: Tensor, w: Weights, side: string, tap: Tap): Tensor {
  const width = x.shape[1]!;
  let y = imageResnetBlock(x, width, scoped(w, 'block_1'));
  tap(`${side}.mid.block_1`, y);
  y = imageAttention(y, scoped(w, 'attn_1'));
  tap(`${side}.mid.attn_1`, y);
  y = imageResnetBlock(y, width, scoped(w, 'block_2'));
  tap(`${side}.mid.block_2`, y);
  return y;
}
