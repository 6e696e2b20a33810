// One network of a pipeline: its architecture and where its weights lie. Loaders make these; pipelines run them.
import { type NdArray, OrreryError } from '../../base/index.ts';
import type { TensorType, WeightSource } from '../../graph/index.ts';
import type { LoadOptions } from '../../runtime/index.ts';

/** A network with its weights, not loaded yet. */
export type Component<Config> = {
  readonly config: Config;
  /** Values by the key of the network. */
  readonly weights: (name: string, type: TensorType) => WeightSource;
  /** Folder of the files that `weights` names. */
  readonly load?: LoadOptions;
  /** When weights that are stored in 16 bits become float32: once at load (default), or at every use. */
  readonly widen?: 'load' | 'use';
  /** True: some weights are in blocks. */
  readonly hasBlocks?: boolean;
  /** True: weights are read from the disk piece by piece in every run and do not stay in memory. */
  readonly isStreamed?: boolean;
};

/** Mean and deviation of latents per channel and latent frame of a chunk, each [channels · frames], channel by channel. */
export type LatentTable = {
  readonly channels: number;
  readonly frames: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
};

/** A component over tensors in memory. */
export function componentOf<Config>(config: Config, tensors: ReadonlyMap<string, NdArray>): Component<Config> {
  return {
    config,
    weights: (name) => {
      const value = tensors.get(name);
      if (value === undefined) throw new OrreryError('model', `the weights have no tensor ${name}`);
      return { kind: 'value', value };
    },
  };
}
