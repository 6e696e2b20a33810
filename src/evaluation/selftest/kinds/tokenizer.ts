// Whole Cosmos tokenizers: encode, quantise, decode, with inner values; original key layout and that of diffusers.
import { type NdArray, sizeOf } from '../../../base/index.ts';
import { constantF32, div, input, sub, type Tensor } from '../../../graph/index.ts';
import {
  type CosmosTokenizerConfig,
  cosmosTokenizerConfig,
  decodeImage,
  decodeVideo,
  diffusersTokenizerConfig,
  diffusersTokenizerKey,
  encodeImage,
  encodeVideo,
  fsqCodes,
  fsqCodesOf,
  fsqIndices,
  isUnusedTokenizerKey,
  type Weights,
} from '../../../nets/index.ts';
import { inputOf, type ParityCase } from '../case.ts';
import { runOnce, strictWeights } from '../engine.ts';
import type { CaseKind } from './kind.ts';

const KIND_NAMES = ['CI', 'CV', 'DI', 'DV'];
const isDiffusers = (c: ParityCase): boolean => c.config.encoder_block_out_channels !== undefined;

export const tokenizer: CaseKind = {
  name: 'tokenizer',
  matches: (c) =>
    c.options.chunking === undefined &&
    [...c.weights.keys()].some((key) => key.startsWith('encoder.') && !key.startsWith('encoder.jit/')) &&
    (KIND_NAMES.includes(String(c.config.kind ?? c.config.name)) || isDiffusers(c)),
  async run(c, runtime) {
    const config = isDiffusers(c) ? diffusersTokenizerConfig(c.config) : cosmosTokenizerConfig(c.config);
    const strict = strictWeights(c.weights);
    const weights: Weights = isDiffusers(c)
      ? (key, shape) => strict.weights(diffusersTokenizerKey(key, config.channelsMult.length), shape)
      : strict.weights;
    const outputs: Record<string, Tensor> = {};
    const debugFrom = c.options.debug_from;
    const pictures = [...c.inputs].filter(([, a]) => a.dtype === 'f32' && a.shape.length === (isVideo(config) ? 5 : 4));
    for (const [name, array] of pictures) {
      const isSeen = debugFrom === name || (debugFrom === undefined && pictures.length === 1);
      const tap = (at: string, value: Tensor): void => {
        if (isSeen && c.outputs.has(`debug.${at}`)) outputs[`debug.${at}`] = value;
      };
      roundTrip(c, name, input(name, array.shape), { config, weights, tap }, outputs);
    }
    for (const [name, array] of c.inputs) {
      if (config.levels === undefined || (array.dtype !== 'i32' && array.dtype !== 'i64')) continue;
      const what = name.replace(/^indices_/, '');
      const codes = fsqCodesOf(input(name, array.shape, array.dtype), config.levels);
      outputs[`codes_${what}`] = codes;
      outputs[`recon_${what}`] = decode(codes, config, weights);
    }
    addNormalised(c, outputs);
    strict.check(isUnusedTokenizerKey);
    const wanted = Object.fromEntries(Object.entries(outputs).filter(([name]) => c.outputs.has(name)));
    return runOnce(runtime, wanted, Object.fromEntries(c.inputs), c.weights);
  },
};

const isVideo = (config: CosmosTokenizerConfig): boolean => config.kind === 'CV' || config.kind === 'DV';
type Tap = (name: string, value: Tensor) => void;

const encode = (x: Tensor, config: CosmosTokenizerConfig, weights: Weights, tap?: Tap): Tensor =>
  (isVideo(config) ? encodeVideo : encodeImage)(x, config, weights, tap);
const decode = (z: Tensor, config: CosmosTokenizerConfig, weights: Weights, tap?: Tap): Tensor =>
  (isVideo(config) ? decodeVideo : decodeImage)(z, config, weights, tap);

/** Outputs of one picture or clip: latent (or code and index), then its reconstruction. */
function roundTrip(
  c: ParityCase,
  name: string,
  x: Tensor,
  { config, weights, tap }: { config: CosmosTokenizerConfig; weights: Weights; tap: Tap },
  outputs: Record<string, Tensor>,
): void {
  const z = encode(x, config, weights, tap);
  // Continuous video cases shorten the name: video_9f gives latent_9f.
  const short = name.replace(/^video_/, '');
  const tag = c.outputs.has(`recon_${name}`) ? name : short;
  if (config.levels === undefined) {
    outputs[`latent_${tag}`] = z;
    outputs[`recon_${tag}`] = decode(z, config, weights, tap);
    return;
  }
  const codes = fsqCodes(z, config.levels);
  outputs[`debug.prequant_${name}`] = z;
  outputs[`codes_${tag}`] = codes;
  outputs[`indices_${tag}`] = fsqIndices(codes, config.levels);
  outputs[`recon_${tag}`] = decode(codes, config, weights, tap);
}

/** (z − mean)/std per channel and latent frame; tables are stored for more frames than a clip may have. */
function addNormalised(c: ParityCase, outputs: Record<string, Tensor>): void {
  const from = outputs[String(c.options.normalised_from)];
  if (from === undefined || !c.inputs.has('mean_std.mean')) return;
  const table = (name: string): Tensor => constantF32(...frameTable(inputOf(c, name), from.shape));
  outputs.latent_normalised = div(sub(from, table('mean_std.mean')), table('mean_std.std'));
}

/** The first t columns of a [C, frames] table as [1, C, t, 1, 1]. */
function frameTable(
  array: NdArray & { readonly data: Float32Array },
  latent: readonly number[],
): [number[], Float32Array] {
  const [, channels, t] = latent as [number, number, number];
  const frames = sizeOf(array.shape) / channels;
  const data = Float32Array.from({ length: channels * t }, (_, i) => array.data[Math.floor(i / t) * frames + (i % t)]!);
  return [[1, channels, t, 1, 1], data];
}
