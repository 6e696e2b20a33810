// Options of the Cosmos tokenizers, and the reader of their public spelling. Data only; the networks are in cosmos-video.ts.
import { InputError } from '../../base/index.ts';
import type { PatchMethod } from './haar.ts';

/** Everything that fixes the architecture of one tokenizer. */
export type CosmosTokenizerConfig = {
  /** Continuous or discrete, image or video. */
  readonly kind: 'CI' | 'CV' | 'DI' | 'DV';
  /** Width before the level factors. */
  readonly channels: number;
  /** Width factor of each level, from the pixels down. */
  readonly channelsMult: readonly number[];
  readonly resBlocks: number;
  readonly patch: number;
  readonly patchMethod: PatchMethod;
  /** Pixels per latent cell along an edge. */
  readonly spatialCompression: number;
  /** Frames per latent frame; 1 for images. */
  readonly temporalCompression: number;
  /** Channels between encoder and latent projection. */
  readonly zChannels: number;
  /** 2: the encoder predicts mean and log variance. */
  readonly zFactor: 1 | 2;
  /** Channels of the latent or, for discrete kinds, of the code. */
  readonly latentChannels: number;
  /** Nominal sizes at which a level has attention; released models never reach one. */
  readonly attentionResolutions: readonly number[];
  /** Nominal picture size that those are counted from. */
  readonly resolution: number;
  /** Old placement of the temporal up-sampling. */
  readonly isLegacy: boolean;
  /** Levels per code channel of discrete kinds. */
  readonly levels?: readonly number[];
};

/** The architecture of `nvidia/Cosmos-Tokenize1-CV8x8x8-720p`. */
export const COSMOS_CV8X8X8: CosmosTokenizerConfig = {
  kind: 'CV',
  channels: 128,
  channelsMult: [2, 4, 4],
  resBlocks: 2,
  patch: 4,
  patchMethod: 'haar',
  spatialCompression: 8,
  temporalCompression: 8,
  zChannels: 16,
  zFactor: 1,
  latentChannels: 16,
  attentionResolutions: [32],
  resolution: 1024,
  isLegacy: false,
};

const KINDS = ['CI', 'CV', 'DI', 'DV'] as const;

/** Reads the options under their public names, such as `channels_mult`; absent ones have the released values. */
export function cosmosTokenizerConfig(options: Readonly<Record<string, unknown>>): CosmosTokenizerConfig {
  const kind = options.kind ?? options.name;
  if (!KINDS.includes(kind as 'CV')) throw new InputError('kind', { got: kind, need: `one of ${KINDS.join(', ')}` });
  const method = options.patch_method ?? 'haar';
  if (method !== 'haar' && method !== 'rearrange') {
    throw new InputError('patch_method', { got: method, need: '"haar" or "rearrange"' });
  }
  const isVideo = kind === 'CV' || kind === 'DV';
  const isDiscrete = kind === 'DI' || kind === 'DV';
  const levels = numbers(options, 'levels', [8, 8, 8, 5, 5, 5]);
  return {
    kind: kind as CosmosTokenizerConfig['kind'],
    channels: number(options, 'channels', 128),
    channelsMult: numbers(options, 'channels_mult', [2, 4, 4]),
    resBlocks: number(options, 'num_res_blocks', 2),
    patch: number(options, 'patch_size', 4),
    patchMethod: method,
    spatialCompression: number(options, 'spatial_compression', 8),
    temporalCompression: isVideo ? number(options, 'temporal_compression', 8) : 1,
    zChannels: number(options, 'z_channels', 16),
    zFactor: number(options, 'z_factor', 1) === 2 ? 2 : 1,
    latentChannels: isDiscrete ? levels.length : number(options, 'latent_channels', 16),
    attentionResolutions: numbers(options, 'attn_resolutions', [32]),
    resolution: number(options, 'resolution', 1024),
    isLegacy: options.legacy_mode === true,
    ...(isDiscrete ? { levels } : {}),
  };
}

function number(options: Readonly<Record<string, unknown>>, name: string, standard: number): number {
  const value = options[name] ?? standard;
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw new InputError(name, { got: value, need: 'a number' });
  return value;
}

function numbers(
  options: Readonly<Record<string, unknown>>,
  name: string,
  standard: readonly number[],
): readonly number[] {
  const value = options[name] ?? standard;
  if (!Array.isArray(value) || !value.every((v) => typeof v === 'number')) {
    throw new InputError(name, { got: value, need: 'a list of numbers' });
  }
  return value as readonly number[];
}

/** Levels, and how many of them halve space (S) and time (Tm); one halving per factor of two that the patch leaves. */
export function samplingSteps(c: CosmosTokenizerConfig): { levels: number; spatial: number; temporal: number } {
  const levels = c.channelsMult.length;
  const spatial = Math.log2(c.spatialCompression / c.patch);
  const temporal = Math.max(0, Math.log2(c.temporalCompression / c.patch));
  if (!(Number.isInteger(spatial) && spatial >= 0 && spatial <= levels)) {
    throw new InputError('spatial_compression', {
      got: c.spatialCompression,
      need: `the patch size ${c.patch} times 1 to ${2 ** levels}, a power of two`,
    });
  }
  if (!(Number.isInteger(temporal) && temporal <= levels)) {
    throw new InputError('temporal_compression', {
      got: c.temporalCompression,
      need: `the patch size ${c.patch} times 1 to ${2 ** levels}, a power of two`,
    });
  }
  return { levels, spatial, temporal };
}

/**
 * Keys that files hold and networks never use: wavelet and codebook buffers, and the convolutions of re-sampling layers that do nothing
 * (kept by the first code line). A loader drops them.
 */
export function isUnusedTokenizerKey(key: string): boolean {
  return (
    /(^|\.)(wavelets|_arange|patch_size_buffer|_levels|_basis|implicit_codebook)$/.test(key) ||
    /\.(down|up)\.\d+\.(downsample|upsample)\.conv[123]\.conv3d\.(weight|bias)$/.test(key)
  );
}
