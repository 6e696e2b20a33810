// Options of the Wan 2.1 video autoencoder, which Predict2 and Predict2.5 use in place of a Cosmos tokenizer. Data only.
import { InputError } from '../../base/index.ts';

/** Everything that fixes the architecture. Names in brackets are those of the public `vae/config.json`. */
export type WanConfig = {
  readonly kind: 'wan-vae';
  /** Width before the level factors (base_dim). */
  readonly width: number;
  /** The same of the decoder (decoder_base_dim). */
  readonly decoderWidth: number;
  /** z_dim */
  readonly latentChannels: number;
  /** Width factor of each level, from the pixels down (dim_mult). */
  readonly factors: readonly number[];
  /** num_res_blocks */
  readonly resBlocks: number;
  /** Which of the halvings of space, from the pixels down, halve time too (temperal_downsample). */
  readonly timeSteps: readonly boolean[];
};

/** The published autoencoder: 8×8 pixels and 4 frames per latent. */
export const WAN_2_1: WanConfig = {
  kind: 'wan-vae',
  width: 96,
  decoderWidth: 96,
  latentChannels: 16,
  factors: [1, 2, 4, 4],
  resBlocks: 2,
  timeSteps: [false, true, true],
};

/** Mean and deviation of its latents per channel, as published with it. */
export const WAN_2_1_LATENTS = {
  mean: [
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632, -0.1922,
    -0.9497, 0.2503, -0.2921,
  ],
  std: [
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253,
    2.8251, 1.916,
  ],
} as const;

/** Frames per latent frame, and pixels per latent along an edge. */
export const wanCompression = ({ timeSteps }: WanConfig): { time: number; space: number } => ({
  time: 2 ** timeSteps.filter(Boolean).length,
  space: 2 ** timeSteps.length,
});

/** Reads the public options; absent ones have the released values. Refuses what this network does not have. */
export function wanConfig(options: Readonly<Record<string, unknown>>): WanConfig {
  const number = (name: string, standard: number): number => {
    const value = options[name] ?? standard;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1)
      throw new InputError(name, { got: value, need: 'a whole number from 1' }, 'model');
    return value;
  };
  const only = (name: string, allowed: unknown, isAllowed: (value: unknown) => boolean): void => {
    const value = options[name] ?? allowed;
    if (!isAllowed(value)) throw new InputError(name, { got: value, need: String(allowed) }, 'unsupported');
  };
  only('is_residual', false, (v) => v === false);
  only('patch_size', 1, (v) => v === 1);
  only('in_channels', 3, (v) => v === 3);
  only('out_channels', 3, (v) => v === 3);
  only('attn_scales', 'none', (v) => v === 'none' || (Array.isArray(v) && v.length === 0));
  const factors = options.dim_mult ?? WAN_2_1.factors;
  if (!Array.isArray(factors) || factors.length < 2 || !factors.every((v) => Number.isInteger(v) && v >= 1)) {
    throw new InputError('dim_mult', { got: factors, need: 'two or more whole numbers' }, 'model');
  }
  const timeSteps = options.temperal_downsample ?? WAN_2_1.timeSteps;
  if (
    !Array.isArray(timeSteps) ||
    timeSteps.length !== factors.length - 1 ||
    !timeSteps.every((v) => typeof v === 'boolean')
  ) {
    throw new InputError(
      'temperal_downsample',
      { got: timeSteps, need: `${factors.length - 1} times true or false, one per step between levels` },
      'model',
    );
  }
  const width = number('base_dim', WAN_2_1.width);
  return {
    kind: 'wan-vae',
    width,
    decoderWidth: number('decoder_base_dim', width),
    latentChannels: number('z_dim', WAN_2_1.latentChannels),
    factors: factors as number[],
    resBlocks: number('num_res_blocks', WAN_2_1.resBlocks),
    timeSteps: timeSteps as boolean[],
  };
}

/** The public options of a config. */
export function wanOptions(
  c: WanConfig,
  latents: { readonly mean: readonly number[]; readonly std: readonly number[] },
): Record<string, unknown> {
  return {
    _class_name: 'AutoencoderKLWan',
    base_dim: c.width,
    decoder_base_dim: c.decoderWidth === c.width ? null : c.decoderWidth,
    z_dim: c.latentChannels,
    dim_mult: c.factors,
    num_res_blocks: c.resBlocks,
    attn_scales: [],
    temperal_downsample: c.timeSteps,
    latents_mean: latents.mean,
    latents_std: latents.std,
  };
}
