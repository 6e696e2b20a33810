// The diffusers spelling of the Cosmos video tokenizer (`AutoencoderKLCosmos`): key map and config reader.
import { InputError } from '../../base/index.ts';
import { type CosmosTokenizerConfig, cosmosTokenizerConfig } from './cosmos-config.ts';

/** Public key of the original layout → key of the diffusers file. `levels`: number of levels, whose order is reversed on the way up. */
export function diffusersTokenizerKey(key: string, levels: number): string {
  return key
    .replace(/\bdown\.(\d+)/, 'down_blocks.$1')
    .replace(/\bup\.(\d+)/, (_, i: string) => `up_blocks.${levels - 1 - Number(i)}`)
    .replace('.block.', '.resnets.')
    .replace('downsample.', 'downsamplers.0.')
    .replace('upsample.', 'upsamplers.0.')
    .replace('mid.block_1', 'mid_block.resnets.0')
    .replace('mid.attn_1.0', 'mid_block.attentions.0')
    .replace('mid.attn_1.1', 'mid_block.temp_attentions.0')
    .replace('mid.block_2', 'mid_block.resnets.1')
    .replace(/(blocks\.\d+)\.attn\.(\d+)\.0\./, '$1.attentions.$2.')
    .replace(/(blocks\.\d+)\.attn\.(\d+)\.1\./, '$1.temp_attentions.$2.')
    .replace(/\.([qkv])\.conv3d\./, '.to_$1.')
    .replace('.proj_out.conv3d.', '.to_out.0.')
    .replace('.0.conv3d.', '.conv_s.')
    .replace('.1.conv3d.', '.conv_t.')
    .replace(/(conv[123])\.conv3d\./, '$1.')
    .replace('nin_shortcut.conv3d', 'conv_shortcut')
    .replace('quant_conv.conv3d', 'quant_conv');
}

/** Config of the diffusers `vae/config.json`. */
export function diffusersTokenizerConfig(options: Readonly<Record<string, unknown>>): CosmosTokenizerConfig {
  const widths = options.encoder_block_out_channels;
  if (!Array.isArray(widths) || widths.length < 2 || !widths.every((v) => typeof v === 'number')) {
    throw new InputError('encoder_block_out_channels', {
      got: widths,
      need: 'the base width, then one width per level',
    });
  }
  const [base, ...levels] = widths as [number, ...number[]];
  return cosmosTokenizerConfig({
    kind: 'CV',
    channels: base,
    channels_mult: levels.map((w) => w / base),
    num_res_blocks: options.num_layers,
    patch_size: options.patch_size,
    patch_method: options.patch_type,
    spatial_compression: options.spatial_compression_ratio,
    temporal_compression: options.temporal_compression_ratio,
    z_channels: options.latent_channels,
    latent_channels: options.latent_channels,
    attn_resolutions: options.attention_resolutions,
    resolution: options.resolution,
  });
}
