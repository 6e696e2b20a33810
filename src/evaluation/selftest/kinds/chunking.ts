// Long clips through a video tokenizer: plain chunks and overlapping windows, with statistics per latent frame.
import { InputError, type NdArray } from '../../../base/index.ts';
import { add, constantF32, div, mul, slice, sub, type Tensor } from '../../../graph/index.ts';
import {
  codeChunks,
  cosmosTokenizerConfig,
  decodeVideo,
  decodeWindows,
  encodeVideo,
  encodeWindows,
  isUnusedTokenizerKey,
} from '../../../nets/index.ts';
import { inputOf, isRecord, type ParityCase } from '../case.ts';
import { inputsFor, runOnce, strictWeights } from '../engine.ts';
import type { CaseKind } from './kind.ts';

export const chunkedTokenizer: CaseKind = {
  name: 'chunked tokenizer',
  matches: (c) => isRecord(c.options.chunking) && c.inputs.has('latent_mean'),
  async run(c, runtime) {
    const config = cosmosTokenizerConfig(c.config);
    const windows = {
      window: option(c, 'chunk_duration'),
      overlap: option(c, 'overlap_size'),
      timeCompression: config.temporalCompression,
    };
    const strict = strictWeights(c.weights);
    // Tables hold one column per latent frame of a chunk; shorter chunks use the first ones.
    const table = (name: string, t: number): Tensor => {
      const { shape, data } = inputOf(c, name);
      return slice(constantF32(shape, data), 2, 0, t);
    };
    const encode = (x: Tensor): Tensor => {
      const z = encodeVideo(x, config, strict.weights);
      return div(sub(z, table('latent_mean', z.shape[2]!)), table('latent_std', z.shape[2]!));
    };
    const decode = (z: Tensor): Tensor =>
      decodeVideo(
        add(mul(z, table('latent_std', z.shape[2]!)), table('latent_mean', z.shape[2]!)),
        config,
        strict.weights,
      );

    const feeds: Record<string, NdArray> = Object.fromEntries(
      [...c.inputs].filter(([name]) => name.startsWith('video')),
    );
    const { video, video_plain: plain } = inputsFor(feeds) as Record<string, Tensor>;
    const outputs: Record<string, Tensor> = {};
    if (video !== undefined) {
      const z = encodeWindows(video, windows, encode);
      outputs['overlap.latent'] = z;
      outputs['overlap.recon'] = decodeWindows(z, windows, { encode, decode });
      const short = slice(z, 2, 0, z.shape[2]! - 1);
      outputs['overlap.recon_short_latent'] = decodeWindows(short, windows, { encode, decode });
    }
    if (plain !== undefined) {
      const z = codeChunks(plain, windows.window, encode);
      outputs['plain.latent'] = z;
      outputs['plain.recon'] = codeChunks(z, (windows.window - 1) / windows.timeCompression + 1, decode);
    }
    strict.check(isUnusedTokenizerKey);
    return runOnce(runtime, outputs, feeds, c.weights);
  },
};

function option(c: ParityCase, name: string): number {
  const value = (c.options.chunking as Record<string, unknown>)[name];
  if (typeof value !== 'number')
    throw new InputError(`${c.name}: chunking.${name}`, { got: value, need: 'a number' }, 'data');
  return value;
}
