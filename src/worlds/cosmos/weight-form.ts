// How the weights of a public model are held: as stored, or in blocks of 8 or 4 bits; in memory, or read from the disk in every run.

import { type BlockProgress, inBlocks } from './block-weights.ts';
import type { Component } from './component.ts';
import type { Outputs } from './networks.ts';

/** Forms of weights, from the most exact to the smallest. */
export const WEIGHT_FORMS = ['stored', '8bit', '4bit'] as const;
export type WeightForm = (typeof WEIGHT_FORMS)[number];

export type WeightOptions = {
  /** Default 'stored'. */
  readonly weights?: WeightForm;
  /** Read the weights piece by piece in every run: for networks larger than memory. Default false. */
  readonly offload?: boolean;
  readonly signal?: AbortSignal;
};

/**
 * The component in the form asked for. Blocks are made at first use, which reads the whole network and takes minutes for a large one; later
 * starts find them in the cache.
 * @param network the component's network in any size
 */
export async function* withWeights<Config>(
  component: Component<Config>,
  network: () => Outputs,
  { weights = 'stored', offload = false, signal }: WeightOptions,
): AsyncGenerator<BlockProgress, Component<Config>> {
  const how = { widen: 'use', ...(offload ? { isStreamed: true } : {}) } as const;
  if (weights === 'stored') return { ...component, ...how };
  const bits = weights === '8bit' ? 8 : 4;
  const made = yield* inBlocks(component, network(), { bits, ...(signal === undefined ? {} : { signal }) });
  return { ...made, ...how, hasBlocks: true };
}
