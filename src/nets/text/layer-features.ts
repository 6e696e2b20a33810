// The text features of Predict2.5: what comes out of every layer of a language model, each normalised over its channels, side by side.
import { add, concat, div, mean, mul, sqrt, square, sub, sum, type Tensor } from '../../graph/index.ts';
import type { Weights } from '../orrery/weights.ts';
import { llamaStates } from './llama.ts';
import type { LlamaConfig } from './llama-config.ts';

/** Channels of the features. */
export const layerFeatureWidth = ({ layers, width }: LlamaConfig): number => layers * width;

/** ids [B, L] (int64) → [B, L, layers·C]. The last layer counts behind the final norm. */
export function layerFeatures(ids: Tensor, c: LlamaConfig, weights: Weights): Tensor {
  return concat(llamaStates(ids, c, weights).map(standardised), 2);
}

/** (x − mean)/(deviation + 1e-8) over the channels; the deviation is that of a sample (n − 1). */
function standardised(x: Tensor): Tensor {
  const channels = x.shape[2]!;
  const centred = sub(x, mean(x, [2], true));
  const variance = mul(sum(square(centred), [2], true), 1 / (channels - 1));
  return div(centred, add(sqrt(variance), 1e-8));
}
