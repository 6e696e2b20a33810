// The shot network: a small temporal convolution over rows of picture distances. Two answers per frame: "inside a
// transition" and "at the middle of one". Builds graphs only; the streaming form for use lies in curation/shots.
import { add, conv, relu, type Tensor } from '../../graph/index.ts';
import type { Weights } from '../orrery/weights.ts';

/** Sizes of the network. */
export type ShotNetConfig = {
  readonly kind: 'orrery-shots';
  /** Numbers per frame. */
  readonly features: number;
  readonly width: number;
  /** Time dilation of each residual block; a block sees that many frames to either side. */
  readonly dilations: readonly number[];
};

/**
 * h = ReLU(W·x + b); per block h += W₂·ReLU(W₁ ∗ h + b₁) + b₂ with a kernel of three frames; logits = W·h + b.
 * @param x normalised features [B, F, T]
 * @returns logits [B, 2, T]: inside, middle
 */
export function shotNet(x: Tensor, config: ShotNetConfig, weights: Weights): Tensor {
  const { features, width, dilations } = config;
  const zeros = { kind: 'zeros' } as const;
  const point = (y: Tensor, name: string, from: number, to: number): Tensor =>
    conv(y, weights(`${name}.weight`, [to, from, 1], { kind: 'xavier' }), weights(`${name}.bias`, [to], zeros));
  let h = relu(point(x, 'in', features, width));
  dilations.forEach((d, i) => {
    const kernel = weights(`blocks.${i}.time.weight`, [width, width, 3], { kind: 'xavier' });
    const bias = weights(`blocks.${i}.time.bias`, [width], zeros);
    const inner = relu(conv(h, kernel, bias, { padBefore: [d], padAfter: [d], dilations: [d] }));
    h = add(h, point(inner, `blocks.${i}.out`, width, width));
  });
  return point(h, 'head', width, 2);
}
