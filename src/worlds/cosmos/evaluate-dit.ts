// Evaluations of a diffusion transformer at one size, for both texts of guidance. One per run, so that cancelling takes one evaluation.
import { f32, InputError, type NdArray } from '../../base/index.ts';
import { input } from '../../graph/index.ts';
import { type GeneralDitConfig, type GeneralDitInputs, generalDit, namedWeights } from '../../nets/index.ts';
import type { Branch } from '../../sampling/index.ts';
import type { Component } from './component.ts';
import { ditNetwork } from './networks.ts';
import { damagedWeight, requireFinite } from './require-finite.ts';
import type { Sessions } from './sessions.ts';

type Feeds = Readonly<Record<string, NdArray>>;

export type DitEvaluationOptions = {
  readonly component: Component<GeneralDitConfig>;
  readonly sessions: Sessions;
  /** Inputs that stay the same in all evaluations. */
  readonly fixed: Feeds;
  /** Latents and times of one evaluation; only their shapes count here. */
  readonly example: Feeds;
  readonly context: NdArray;
  /** Text of the other branch. Default: zeros. */
  readonly negative?: NdArray | undefined;
  /** Inputs that the other branch sees in place of the fixed ones. */
  readonly others?: Feeds;
  readonly signal?: AbortSignal | undefined;
};

/** @returns evaluates latents and times in each branch; the results in the same order */
export async function openDitEvaluations(
  o: DitEvaluationOptions,
): Promise<(changing: Feeds, branches: readonly Branch[]) => Promise<Float32Array[]>> {
  const { component, context, fixed, others = {}, negative = f32(context.shape) } = o;
  const { config } = component;
  if (negative.shape.join() !== context.shape.join()) {
    throw new InputError('negative text', { got: `[${negative.shape}]`, need: `[${context.shape}]` });
  }
  const all = Object.entries({ ...fixed, ...o.example, context });
  const shapes = Object.fromEntries(all.map(([name, a]) => [name, a.shape]));
  const session = await o.sessions.get(JSON.stringify(shapes), () => {
    const symbols = Object.fromEntries(all.map(([name, a]) => [name, input(name, a.shape, a.dtype)]));
    return { f: generalDit(symbols as unknown as GeneralDitInputs, config, namedWeights) };
  });
  const feeds: Record<Branch, Feeds> = {
    cond: { ...fixed, context },
    uncond: { ...fixed, ...others, context: negative },
  };
  return async (changing, branches) => {
    const results: Float32Array[] = [];
    for (const branch of branches) {
      const { f } = await session.run(
        { ...feeds[branch], ...changing },
        o.signal === undefined ? {} : { signal: o.signal },
      );
      const values = f!.data as Float32Array;
      requireFinite(values, 'the diffusion transformer', () => damagedWeight(component, ditNetwork(config)));
      results.push(values);
    }
    return results;
  };
}
