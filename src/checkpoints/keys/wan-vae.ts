// The Wan video autoencoder of Predict2: keys of its original file and of diffusers, and the architecture read off the shapes. The keys of
// the network are those of diffusers.
import { OrreryError } from '../../base/index.ts';
import { input } from '../../graph/index.ts';
import { decodeWan, encodeWan, listWeights, type WanConfig } from '../../nets/index.ts';
import { type Expected, prefixOf, type Spelling, type Tensors } from '../types.ts';

/** Recognises the autoencoder by the attention in its middle. */
export function recogniseWan(keys: readonly string[]): Spelling | undefined {
  const family = 'wan-vae';
  const diffusers = prefixOf(keys, '(?:encoder|decoder)\\.mid_block\\.attentions\\.0\\.to_qkv\\.weight$');
  if (diffusers !== undefined) return { family, layout: 'diffusers', prefix: diffusers };
  const original = prefixOf(keys, '(?:encoder|decoder)\\.middle\\.1\\.to_qkv\\.weight$');
  return original === undefined ? undefined : { family, layout: 'original', prefix: original };
}

/** Every weight of the network. */
export function wanWeights(c: WanConfig): Expected[] {
  const frames = 1 + 2 ** c.timeSteps.filter(Boolean).length;
  const side = 2 ** c.timeSteps.length;
  return listWeights((w) => {
    encodeWan(input('x', [1, 3, frames, side, side]), c, w);
    return decodeWan(input('z', [1, c.latentChannels, 2, 1, 1]), c, w);
  });
}

const RESIDUAL: Readonly<Record<string, string>> = {
  'norm1.gamma': 'residual.0.gamma',
  'conv1.': 'residual.2.',
  'norm2.gamma': 'residual.3.gamma',
  'conv2.': 'residual.6.',
  'conv_shortcut.': 'shortcut.',
};

/** Key of the original file for the key of the network. */
export function wanOriginalName(key: string, { resBlocks }: WanConfig): string {
  // Up-sampling steps count on from block to block: residual blocks, then the step itself.
  const step = (block: string, within: number): number => Number(block) * (resBlocks + 2) + within;
  let name = key
    .replace(/^quant_conv\./, 'conv1.')
    .replace(/^post_quant_conv\./, 'conv2.')
    .replace(/^(encoder|decoder)\.conv_in\./, '$1.conv1.')
    .replace(/^(encoder|decoder)\.norm_out\./, '$1.head.0.')
    .replace(/^(encoder|decoder)\.conv_out\./, '$1.head.2.')
    .replace(/\.mid_block\.attentions\.0\./, '.middle.1.')
    .replace(/\.mid_block\.resnets\.([01])\./, (_, i: string) => `.middle.${2 * Number(i)}.`)
    .replace(/\.up_blocks\.(\d+)\.resnets\.(\d+)\./, (_, i: string, j: string) => `.upsamples.${step(i, Number(j))}.`)
    .replace(/\.up_blocks\.(\d+)\.upsamplers\.0\./, (_, i: string) => `.upsamples.${step(i, resBlocks + 1)}.`)
    .replace('.down_blocks.', '.downsamples.');
  if (/\.(middle\.[02]|downsamples\.\d+|upsamples\.\d+)\./.test(name)) {
    for (const [from, to] of Object.entries(RESIDUAL)) name = name.replace(`.${from}`, `.${to}`);
  }
  return name;
}

/**
 * Reads the architecture off the shapes, under the keys of diffusers or of the original file.
 * @param path where the tensors come from
 */
export function wanConfigOf(tensors: Tensors, { layout }: Spelling, path: string): WanConfig {
  const isOriginal = layout === 'original';
  const shape = (key: string): readonly number[] => {
    const found = tensors.get(key)?.shape;
    if (found !== undefined) return found;
    throw new OrreryError(
      'model',
      `${path}: no tensor ${key}, without which the size of the autoencoder is unknown; fetch the file again`,
    );
  };
  const width = shape(isOriginal ? 'encoder.conv1.weight' : 'encoder.conv_in.weight')[0]!;
  const last = shape(isOriginal ? 'decoder.head.0.gamma' : 'decoder.norm_out.gamma')[0]!;
  const latentChannels = shape(isOriginal ? 'conv2.weight' : 'post_quant_conv.weight')[0]!;
  const down = isOriginal ? 'encoder.downsamples' : 'encoder.down_blocks';
  const conv = isOriginal ? 'residual.2.weight' : 'conv1.weight';
  const factors: number[] = [];
  const timeSteps: boolean[] = [];
  let [resBlocks, inLevel] = [0, 0];
  for (let i = 0; i < MOST_PLACES; i++) {
    const block = tensors.get(`${down}.${i}.${conv}`)?.shape;
    if (block !== undefined) {
      if (inLevel++ === 0) factors.push(block[0]! / width);
      resBlocks = Math.max(resBlocks, inLevel);
    } else if (tensors.has(`${down}.${i}.resample.1.weight`)) {
      timeSteps.push(tensors.has(`${down}.${i}.time_conv.weight`));
      inLevel = 0;
    } else break;
  }
  return { kind: 'wan-vae', width, decoderWidth: last / factors[0]!, latentChannels, factors, resBlocks, timeSteps };
}

/** More steps than any encoder has. */
const MOST_PLACES = 200;
