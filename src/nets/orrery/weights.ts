// How networks ask for their weights: by checkpoint key and shape, with the start value used when training from scratch.
import { param, type Tensor } from '../../graph/index.ts';

/** Start value of a weight. `normal` has mean 0 and the given deviation; `xavier` is uniform ±√(6/(in + out)). */
export type Init =
  | { readonly kind: 'zeros' }
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly std: number }
  | { readonly kind: 'xavier' };

/** Gives the symbolic weight of a key. */
export type Weights = (key: string, shape: readonly number[], init?: Init) => Tensor;

/**
 * How a network's repeated blocks are put into the graph. `build` makes the outputs of one block from its inputs; everything that it reads
 * is among them or is a weight below `prefix`. Training puts blocks so that they are computed again in the backward pass.
 */
export type Block = (
  build: (inputs: readonly Tensor[], weights: Weights) => readonly Tensor[],
  inputs: readonly Tensor[],
  weights: Weights,
  prefix: string,
) => readonly Tensor[];

/** Blocks as they are, their inner values kept. */
export const plainBlock: Block = (build, inputs, weights, prefix) => build(inputs, scoped(weights, prefix));

/** Weights as named leaves of the graph. */
export const namedWeights: Weights = (key, shape) => param(key, shape);

/** The same weights under a longer name: `scoped(w, 'encoder')('in.weight', …)` is `encoder.in.weight`. */
export const scoped =
  (weights: Weights, prefix: string): Weights =>
  (key, shape, init) =>
    weights(`${prefix}.${key}`, shape, init);

/** A weight found while a network was built. */
export type WeightSpec = { readonly key: string; readonly shape: readonly number[]; readonly init: Init };

/** Builds a network once and lists the weights that it asked for, in order of first use. */
export function listWeights(build: (weights: Weights) => unknown): WeightSpec[] {
  const specs = new Map<string, WeightSpec>();
  build((key, shape, init = { kind: 'xavier' }) => {
    if (!specs.has(key)) specs.set(key, { key, shape, init });
    return param(key, shape);
  });
  return [...specs.values()];
}
