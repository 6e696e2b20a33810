// The small prompt classifier: bags of hashed ids per word (Bojanowski et al. 2017), two convolutions over words (Kim 2014),
// largest and mean value over the window, one hidden layer, and 14 logits: unsafe, then one per category.
import {
  cast,
  concat,
  div,
  gather,
  greater,
  linear,
  max,
  maximum,
  minimum,
  mul,
  pad,
  relu,
  reshape,
  slice,
  sum,
  type Tensor,
} from '../../graph/index.ts';
import type { Weights } from '../orrery/weights.ts';

export type PromptNetConfig = {
  /** Words of a window, ids of a word, rows of the table. */
  readonly words: number;
  readonly ids: number;
  readonly table: number;
  /** Width of an embedding, of the convolutions and of the hidden layer. */
  readonly width: number;
  readonly channels: number;
  readonly hidden: number;
  /** Logits: 1 + categories. */
  readonly outputs: number;
};

/** Logits [B, outputs] of windows ids [B, words, ids] (int32; 0 = nothing). */
export function promptNet(ids: Tensor, c: PromptNetConfig, weights: Weights): Tensor {
  const b = ids.shape[0]!;
  const table = weights('table.weight', [c.table, c.width], { kind: 'normal', std: 0.1 });
  const isThere = cast(greater(cast(ids, 'f32'), 0), 'f32'); // [B, L, F]
  const rows = mul(gather(table, cast(ids, 'i64')), reshape(isThere, [b, c.words, c.ids, 1])); // [B, L, F, C]
  const total = sum(isThere, [2], true); // [B, L, 1]
  const bag = div(sum(rows, [2]), maximum(mul(reshape(total, [b, c.words, 1]), 0.5), 1)); // [B, L, C]
  const isWord = minimum(reshape(total, [b, c.words, 1]), 1); // [B, L, 1]

  const first = mul(relu(neighbours(bag, 1, c.channels, 'conv1', weights)), isWord);
  const second = mul(relu(neighbours(first, 2, c.channels, 'conv2', weights)), isWord);
  const both = concat([first, second], 2); // [B, L, 2C]
  const top = max(both, [1]);
  const mean = div(sum(both, [1]), maximum(sum(isWord, [1]), 4));
  const hidden = relu(dense(concat([top, mean], 1), c.hidden, 'hidden', weights));
  return dense(hidden, c.outputs, 'out', weights);
}

function dense(x: Tensor, out: number, name: string, weights: Weights): Tensor {
  const w = weights(`${name}.weight`, [out, x.shape[x.shape.length - 1]!]);
  return linear(x, w, weights(`${name}.bias`, [out], { kind: 'zeros' }));
}

/** Convolution over three words, `gap` apart: the words before and after are put beside each word. */
function neighbours(x: Tensor, gap: number, out: number, name: string, weights: Weights): Tensor {
  const padded = pad(x, { before: [0, gap, 0], after: [0, gap, 0] });
  const beside = [0, gap, 2 * gap].map((k) => slice(padded, 1, k, x.shape[1]!));
  return dense(concat(beside, 2), out, name, weights);
}
