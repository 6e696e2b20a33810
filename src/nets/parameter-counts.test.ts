// The published models by their parameter counts: one wrong width, missing bias or extra level shows here.
import { describe, expect, it } from 'vitest';
import { input } from '../graph/index.ts';
import {
  autoregressive,
  cosmosTokenizerConfig,
  decodeImage,
  decodeVideo,
  encodeImage,
  encodeVideo,
  type GeneralDitConfig,
  generalDit,
  listWeights,
  PREDICT1_7B,
  PREDICT1_14B,
  PREDICT1_AR,
  type WeightSpec,
} from './index.ts';

const count = (specs: readonly WeightSpec[]): number =>
  specs.reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0);

describe('tokenizers', () => {
  const image = (c: ReturnType<typeof cosmosTokenizerConfig>): boolean => c.kind === 'CI' || c.kind === 'DI';
  const sizes = (options: Record<string, unknown>): [number, number] => {
    const c = cosmosTokenizerConfig(options);
    const z = c.levels?.length ?? c.latentChannels;
    const encoder = listWeights((w) =>
      image(c) ? encodeImage(input('x', [1, 3, 32, 32]), c, w) : encodeVideo(input('x', [1, 3, 9, 32, 32]), c, w),
    );
    const decoder = listWeights((w) =>
      image(c) ? decodeImage(input('z', [1, z, 2, 2]), c, w) : decodeVideo(input('z', [1, z, 2, 2, 2]), c, w),
    );
    return [count(encoder), count(decoder)];
  };

  it.each([
    ['CV8x8x8 720p', { kind: 'CV' }, 42_914_592, 62_738_560],
    ['DV8x16x16 720p', { kind: 'DV', spatial_compression: 16 }, 45_537_056, 65_361_024],
    ['CV4x8x8 360p', { kind: 'CV', patch_size: 2, temporal_compression: 4 }, 45_343_520, 64_864_752],
    ['DV4x8x8 360p', { kind: 'DV', patch_size: 2, temporal_compression: 4, z_channels: 256 }, 46_645_760, 65_970_672],
    ['CI8x8 360p', { kind: 'CI', patch_size: 2 }, 33_471_888, 47_912_204],
    ['CI16x16 360p', { kind: 'CI', patch_size: 2, spatial_compression: 16 }, 35_831_696, 48_502_284],
    ['DI8x8 360p', { kind: 'DI', patch_size: 2, z_channels: 256 }, 34_578_048, 49_018_124],
    ['DI16x16 360p', { kind: 'DI', patch_size: 2, spatial_compression: 16, z_channels: 256 }, 36_937_856, 49_608_204],
  ])('%s', (_, options, encoder, decoder) => {
    const [e, d] = sizes(options);
    const c = cosmosTokenizerConfig(options);
    // The published halves count `encoder.` and `decoder.` alone, without the two projections between them.
    const z = c.levels?.length ?? c.latentChannels;
    const quant = c.zChannels * z + z;
    const postQuant = c.zChannels * z + c.zChannels;
    expect([e - quant, d - postQuant]).toEqual([encoder, decoder]);
  });
});

describe('diffusion transformers', () => {
  const size = (c: GeneralDitConfig): number =>
    count(
      listWeights((w) =>
        generalDit(
          {
            x: input('x', [1, 16, 1, 2, 2]),
            timesteps: input('t', [1]),
            context: input('context', [1, 1, c.contextWidth]),
            paddingMask: input('mask', [1, 1, 16, 16]),
          },
          c,
          w,
        ),
      ),
    );
  const predict2 = { ropeRatios: { t: 1, h: 3, w: 3 }, extraPositions: 'none', inChannels: 17 } as const;

  it.each([
    ['7B Text2World', PREDICT1_7B, 7_236_192_256],
    ['7B Video2World', { ...PREDICT1_7B, inChannels: 17 }, 7_236_208_640],
    ['14B Text2World', PREDICT1_14B, 14_267_149_312],
    ['14B Video2World', { ...PREDICT1_14B, inChannels: 17 }, 14_267_169_792],
    ['Predict2 2B Video2World', { ...PREDICT1_7B, ...predict2, width: 2048, heads: 16 }, 1_956_413_440],
    ['Predict2 14B Video2World', { ...PREDICT1_14B, ...predict2 }, 14_265_285_632],
  ])('%s', (_, config, expected) => {
    expect(size(config)).toBe(expected);
  });
});

describe('autoregressive models', () => {
  it.each([
    ['4B', 4.01e9],
    ['12B', 11.56e9],
    ['5B', 4.58e9],
    ['13B', 13.3e9],
  ] as const)('%s', (name, expected) => {
    const c = PREDICT1_AR[name];
    const found = count(
      listWeights((w) => {
        const half = c.headWidth / 2;
        const positions = {
          cos: input('cos', [1, half]),
          sin: input('sin', [1, half]),
          absolute: input('absolute', [1, c.width]),
        };
        const context = input('context', [1, 1, 1024]);
        return autoregressive({ tokens: input('tokens', [1, 1], 'i64'), positions, context }, c, w);
      }),
    );
    // Published to three digits.
    expect(found / expected).toBeGreaterThan(0.995);
    expect(found / expected).toBeLessThan(1.005);
  });
});
