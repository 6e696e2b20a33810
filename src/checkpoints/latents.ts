// Latent statistics: mean and deviation per channel and latent frame, checked before any latent is divided by them.
import { OrreryError } from '../base/index.ts';
import type { LatentTable } from './types.ts';

/** Checks two lists of numbers. @param source file for messages @param channels latent channels of the tokenizer */
export function latentTable(mean: unknown, std: unknown, channels: number, source: string): LatentTable {
  const wrong = (problem: string): OrreryError =>
    new OrreryError(
      'model',
      `${source}: latent statistics: ${problem}; they belong to another tokenizer or are damaged: fetch the file that came with this tokenizer`,
    );
  const list = (value: unknown, name: string): number[] => {
    if (!Array.isArray(value) || !value.every((v) => typeof v === 'number'))
      throw wrong(`${name} is not a list of numbers`);
    const bad = value.findIndex((v) => !Number.isFinite(v));
    if (bad >= 0) throw wrong(`${name} has ${value[bad]} at place ${bad}, need finite numbers`);
    return value as number[];
  };
  const [m, s] = [list(mean, 'mean'), list(std, 'std')];
  if (m.length !== s.length) throw wrong(`mean has ${m.length} values and std ${s.length}, need the same number`);
  if (m.length === 0 || m.length % channels !== 0)
    throw wrong(`${m.length} values, need a multiple of the ${channels} latent channels`);
  const low = s.findIndex((v) => v <= 0);
  if (low >= 0) throw wrong(`std has ${s[low]} at place ${low}, need positive numbers`);
  return { channels, frames: m.length / channels, mean: m, std: s };
}

/** Refuses a tokenizer whose latents do not fit a diffusion transformer. */
export function requirePair(
  transformer: { readonly name: string; readonly latentChannels: number },
  tokenizer: {
    readonly name: string;
    readonly kind: string;
    readonly latentChannels: number;
    readonly isDiscrete: boolean;
  },
): void {
  if (tokenizer.isDiscrete) {
    throw new OrreryError(
      'model',
      `${tokenizer.name} is a discrete tokenizer (${tokenizer.kind}), ${transformer.name} needs a continuous one with ${transformer.latentChannels} latent channels, such as Cosmos-Tokenize1-CV8x8x8-720p`,
    );
  }
  if (tokenizer.latentChannels !== transformer.latentChannels) {
    throw new OrreryError(
      'model',
      `${tokenizer.name} makes ${tokenizer.latentChannels} latent channels, ${transformer.name} needs ${transformer.latentChannels}; it is a model for another tokenizer`,
    );
  }
}
