// The diffusers spelling of the Predict1, Predict2 and Predict2.5 transformers: key map and config reader. No tensor changes its layout.
import { InputError } from '../../base/index.ts';
import type { GeneralDitConfig } from './general-dit-config.ts';

const BLOCK_PARTS: readonly (readonly [RegExp, string])[] = [
  [/^blocks\.block(\d+)\.blocks\.([012])\.adaLN_modulation\.([12])\./, 'transformer_blocks.$1.norm#$2.linear_$3.'],
  [/^blocks\.block(\d+)\.blocks\.([01])\.block\.attn\.to_([qk])\.1\./, 'transformer_blocks.$1.attn#$2.norm_$3.'],
  [/^blocks\.block(\d+)\.blocks\.([01])\.block\.attn\.to_([qkv])\.0\./, 'transformer_blocks.$1.attn#$2.to_$3.'],
  [/^blocks\.block(\d+)\.blocks\.([01])\.block\.attn\.to_out\.0\./, 'transformer_blocks.$1.attn#$2.to_out.0.'],
  [/^blocks\.block(\d+)\.blocks\.2\.block\.layer1\./, 'transformer_blocks.$1.ff.net.0.proj.'],
  [/^blocks\.block(\d+)\.blocks\.2\.block\.layer2\./, 'transformer_blocks.$1.ff.net.2.'],
  [/^x_embedder\.proj\.1\./, 'patch_embed.proj.'],
  [/^extra_pos_embedder\./, 'learnable_pos_embed.'],
  [/^t_embedder\.1\./, 'time_embed.t_embedder.'],
  [/^affline_norm\./, 'time_embed.norm.'],
  [/^final_layer\.adaLN_modulation\.([12])\./, 'norm_out.linear_$1.'],
  [/^final_layer\.linear\./, 'proj_out.'],
];

/** Original key, with or without `net.` → key of the diffusers `transformer/` files. */
export function diffusersDitKey(key: string): string {
  const bare = key.replace(/^net\./, '');
  for (const [pattern, replacement] of BLOCK_PARTS) {
    // Sub-blocks count from 0, the diffusers norms and attentions from 1.
    if (pattern.test(bare))
      return bare.replace(pattern, replacement).replace(/#(\d)/, (_, i: string) => String(Number(i) + 1));
  }
  return bare;
}

/** Config of the diffusers `transformer/config.json`. */
export function diffusersDitConfig(options: Readonly<Record<string, unknown>>): GeneralDitConfig {
  const number = (name: string): number => {
    const value = options[name];
    if (typeof value !== 'number') throw new InputError(name, { got: value, need: 'a number' });
    return value;
  };
  const triple = (name: string): { t: number; h: number; w: number } => {
    const value = options[name];
    if (!Array.isArray(value) || value.length !== 3)
      throw new InputError(name, { got: value, need: 'three numbers, t, h, w' });
    const [t, h, w] = value as [number, number, number];
    return { t, h, w };
  };
  const patch = triple('patch_size');
  const extra = options.extra_pos_embed_type ?? null;
  if (extra !== null && extra !== 'learnable') {
    throw new InputError('extra_pos_embed_type', { got: extra, need: '"learnable" or null' }, 'unsupported');
  }
  return {
    kind: 'general-dit',
    maxLatent: triple('max_size'),
    inChannels: number('in_channels'),
    outChannels: number('out_channels'),
    patchSpatial: patch.h,
    patchTemporal: patch.t,
    hasPaddingMask: options.concat_padding_mask !== false,
    subBlocks: ['fa', 'ca', 'mlp'],
    width: number('num_attention_heads') * number('attention_head_dim'),
    blocks: number('num_layers'),
    heads: number('num_attention_heads'),
    mlpRatio: number('mlp_ratio'),
    contextWidth: number('text_embed_dim'),
    ...(options.use_crossattn_projection === true ? { contextProjection: number('crossattn_proj_in_channels') } : {}),
    hasEmbeddingNorm: true,
    adalnRank: number('adaln_lora_dim'),
    ropeRatios: triple('rope_scale'),
    extraPositions: extra === 'learnable' ? 'learned' : 'none',
    // All Predict1 transformers of that library have the table, none of the later ones.
    ...(extra === 'learnable'
      ? {}
      : { flow: options.use_crossattn_projection === true ? ('predict2.5' as const) : ('predict2' as const) }),
    extraRatios: { t: 1, h: 1, w: 1 },
    hasAugmentSigma: false,
    // The default of that library's attention class; the original has 1e-6.
    queryKeyEps: 1e-5,
  };
}
