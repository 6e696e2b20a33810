// Cosmos tokenizers: keys of the original files (also TorchScript) and of diffusers, and the architecture read off the shapes.
// The keys of the network are those of the original files without what stands before them.
import { OrreryError } from '../../base/index.ts';
import { input } from '../../graph/index.ts';
import {
  type CosmosTokenizerConfig,
  cosmosTokenizerConfig,
  decodeImage,
  decodeVideo,
  diffusersTokenizerKey,
  encodeImage,
  encodeVideo,
  listWeights,
} from '../../nets/index.ts';
import { countOf, type Expected, prefixOf, type Spelling, type Tensors } from '../types.ts';

/** Recognises a tokenizer by its first convolution. */
export function recogniseTokenizer(keys: readonly string[]): Spelling | undefined {
  const family = 'cosmos-tokenizer';
  const diffusers = prefixOf(keys, '(?:encoder|decoder)\\.conv_in\\.conv_s\\.weight$');
  if (diffusers !== undefined) return { family, layout: 'diffusers', prefix: diffusers };
  const original = prefixOf(keys, '(?:encoder|decoder)\\.conv_in\\.(?:0\\.conv3d\\.)?weight$');
  return original === undefined ? undefined : { family, layout: 'original', prefix: original };
}

/** Keys of one layout for the key of the network. */
export function tokenizerName(key: string, layout: Spelling['layout'], config: CosmosTokenizerConfig): string {
  return layout === 'diffusers' ? diffusersTokenizerKey(key, config.channelsMult.length) : key;
}

/** Every weight of the network. */
export function tokenizerWeights(c: CosmosTokenizerConfig): Expected[] {
  const s = c.spatialCompression;
  const isVideo = c.kind === 'CV' || c.kind === 'DV';
  return listWeights((w) => {
    if (isVideo) {
      encodeVideo(input('x', [1, 3, 1 + c.temporalCompression, 2 * s, 2 * s]), c, w);
      return decodeVideo(input('z', [1, c.latentChannels, 2, 2, 2]), c, w);
    }
    encodeImage(input('x', [1, 3, 2 * s, 2 * s]), c, w);
    return decodeImage(input('z', [1, c.latentChannels, 2, 2]), c, w);
  });
}

/**
 * Reads the architecture off the shapes. The up-sampling convolutions of the first code line hide the compression: then the
 * name of the file or folder must tell it, as in `Cosmos-Tokenizer-CV8x8x8`.
 * @param path where the tensors come from
 */
export function tokenizerConfigOf(tensors: Tensors, path: string): CosmosTokenizerConfig {
  const keys = [...tensors.keys()];
  const shape = (key: string): readonly number[] => {
    const found =
      tensors.get(`${key}.weight`) ?? tensors.get(`${key}.conv3d.weight`) ?? tensors.get(`${key}.0.conv3d.weight`);
    if (found === undefined)
      throw new OrreryError(
        'model',
        `${path}: no tensor ${key}; it holds half a tokenizer, name the folder or the file with encoder and decoder`,
      );
    return found.shape;
  };
  const convIn = shape('encoder.conv_in');
  const isVideo = convIn.length === 5;
  const patch = Math.round((convIn[1]! / 3) ** (isVideo ? 1 / 3 : 1 / 2));
  const channels = convIn[0]!;
  const levels = countOf(keys, /^encoder\.down\.(\d+)\./, 8);
  const quant = shape('quant_conv');
  const postQuant = shape('post_quant_conv');
  const isDiscrete = quant[0] === 6 && postQuant[1] === 6;
  const down = (i: number, conv: string): boolean =>
    keys.some((key) => key.startsWith(`encoder.down.${i}.downsample.${conv}.`));
  const counted = (conv: string): number =>
    Array.from({ length: levels }, (_, i) => down(i, conv)).filter(Boolean).length;
  const [spatial, temporal] = isVideo
    ? compressionOf({ spatial: counted('conv1'), temporal: counted('conv2'), levels, patch }, path)
    : [patch * 2 ** counted('conv'), 1];
  const attention = Array.from({ length: levels }, (_, i) => i).filter((i) =>
    keys.some((key) => key.startsWith(`encoder.down.${i}.attn.`)),
  );
  return cosmosTokenizerConfig({
    kind: `${isDiscrete ? 'D' : 'C'}${isVideo ? 'V' : 'I'}`,
    channels,
    channels_mult: Array.from({ length: levels }, (_, i) => shape(`encoder.down.${i}.block.0.conv1`)[0]! / channels),
    num_res_blocks: countOf(keys, /^encoder\.down\.0\.block\.(\d+)\./, 16),
    patch_size: patch,
    spatial_compression: spatial,
    temporal_compression: temporal,
    z_channels: postQuant[0],
    z_factor: !isDiscrete && quant[0] === 2 * postQuant[1]! ? 2 : 1,
    latent_channels: postQuant[1],
    // Nominal sizes halve from level to level, starting at resolution / patch.
    attn_resolutions: attention.length === 0 ? [32] : attention.map((i) => Math.floor(1024 / patch / 2 ** i)),
  });
}

function compressionOf(
  found: { readonly spatial: number; readonly temporal: number; readonly levels: number; readonly patch: number },
  path: string,
): [spatial: number, temporal: number] {
  const { spatial, temporal, levels, patch } = found;
  // The first code line keeps all convolutions at every level; no published tokenizer halves time twice at patch 4.
  const isHidden = spatial === temporal && temporal === levels - 1 && (levels === 2 || temporal > 1);
  if (!isHidden) return [patch * 2 ** spatial, patch * 2 ** temporal];
  const named = /[CD]V[-_]?(\d+)x(\d+)x\2/i.exec(path.split(/[/\\]/).slice(-4).join('/'));
  if (named === null) {
    throw new OrreryError(
      'model',
      `${path}: the compression cannot be read off its tensors, which hold the unused convolutions of the first release; ` +
        'put it into a folder named after the model, such as Cosmos-Tokenizer-CV8x8x8, or pass --config',
    );
  }
  return [Number(named[2]), Number(named[1])];
}

/** `vae/config.json` of diffusers. */
export function diffusersTokenizerOptions(
  c: CosmosTokenizerConfig,
  latents?: { mean: readonly number[]; std: readonly number[] },
): Record<string, unknown> {
  if (c.kind !== 'CV' || c.patchMethod !== 'haar' || c.zFactor !== 1) {
    throw new OrreryError(
      'unsupported',
      `diffusers has no class for ${c.kind} tokenizers, only for continuous video; write --layout original or orrery`,
    );
  }
  const widths = c.channelsMult.map((m) => m * c.channels);
  return {
    _class_name: 'AutoencoderKLCosmos',
    in_channels: 3,
    out_channels: 3,
    latent_channels: c.latentChannels,
    encoder_block_out_channels: [c.channels, ...widths],
    decode_block_out_channels: [...widths, widths.at(-1)],
    attention_resolutions: c.attentionResolutions,
    resolution: c.resolution,
    num_layers: c.resBlocks,
    patch_size: c.patch,
    patch_type: c.patchMethod,
    scaling_factor: 1,
    spatial_compression_ratio: c.spatialCompression,
    temporal_compression_ratio: c.temporalCompression,
    latents_mean: latents?.mean ?? null,
    latents_std: latents?.std ?? null,
  };
}
