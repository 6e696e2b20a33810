// The classifier behind the SigLIP tower of the public video safety filter: two hidden layers with batch normalisation.
import { div, linear, relu, sqrt, square, sum, type Tensor } from '../../graph/index.ts';
import { scoped, type Weights } from '../orrery/weights.ts';
import { batchNorm } from './batch-norm.ts';

/** Classes of the public head, in its order. */
export const FRAME_CLASSES = [
  'Safe',
  'Sexual_Content',
  'Violence',
  'Drugs',
  'Child_Abuse',
  'Hate_and_Harassment',
  'Self-Harm',
] as const;

/** Widths of a head: [embedding, hidden, hidden, classes]; the public one is [1152, 512, 256, 7]. */
export type SafetyHeadConfig = { readonly widths: readonly [number, number, number, number] };

/** x/‖x‖₂ over the last axis. */
export const unitLength = (x: Tensor): Tensor => div(x, sqrt(sum(square(x), [-1], true)));

/** Class logits [B, classes] of unit-length embeddings [B, C]. Keys `network.layers.N.…` as in the public file. */
export function safetyHead(x: Tensor, { widths }: SafetyHeadConfig, weights: Weights): Tensor {
  const at = (n: number): Weights => scoped(weights, `network.layers.${n}`);
  const dense = (y: Tensor, n: number, out: number): Tensor =>
    linear(y, at(n)('weight', [out, y.shape[1]!]), at(n)('bias', [out]));
  const first = relu(batchNorm(dense(x, 0, widths[1]), at(1)));
  const second = relu(batchNorm(dense(first, 3, widths[2]), at(4)));
  return dense(second, 6, widths[3]);
}

/** Widths of a stored head, read from the shapes of its three linear layers. */
export function safetyHeadConfig(shapeOf: (key: string) => readonly number[]): SafetyHeadConfig {
  const [a, b, c] = [0, 3, 6].map((n) => shapeOf(`network.layers.${n}.weight`)) as [number[], number[], number[]];
  return { widths: [a[1]!, a[0]!, b[0]!, c[0]!] };
}
