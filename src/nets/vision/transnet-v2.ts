// TransNet V2 (Souček and Lokoč 2020, arXiv 2008.04838): finds shot boundaries in windows of 48x27 pictures. Three stacked
// blocks of dilated separable 3D convolutions, and two looks at how alike frames are. Weight names are those of the public
// PyTorch port.
import {
  add,
  avgPool,
  concat,
  conv,
  linear,
  matmul,
  mean,
  mul,
  pad,
  reciprocal,
  relu,
  reshape,
  sigmoid,
  slice,
  sqrt,
  square,
  sum,
  type Tensor,
  transpose,
} from '../../graph/index.ts';
import { scoped, type Weights } from '../orrery/weights.ts';
import { batchNorm } from './batch-norm.ts';

/** Sizes of the network. The public weights have all of the defaults. */
export type TransnetConfig = {
  /** Filters of the first block; each further one has twice as many. */
  readonly filters: number;
  /** Width of the looks at similar frames. */
  readonly similarity: number;
  /** Width of the layer before the head. */
  readonly dense: number;
  /** Frames before and after that a frame is compared with. */
  readonly reach: number;
  /** Size of the pictures. */
  readonly height: number;
  readonly width: number;
};

/** The public network. */
export const TRANSNET_V2: TransnetConfig = {
  filters: 16,
  similarity: 128,
  dense: 1024,
  reach: 50,
  height: 27,
  width: 48,
};

const DILATIONS = [1, 2, 4, 8] as const;
const BLOCKS = 3;
/** Bins of a colour histogram: three bits of each of red, green, blue. */
export const TRANSNET_BINS = 512;

/**
 * Probability that a frame belongs to a transition.
 * @param frames uint8 RGB as float [B, T, H, W, 3], 0…255
 * @param histograms unit-length colour histograms [B, T, 512], see `colourHistogram`
 * @returns probabilities [B, T]
 */
export function transnetV2(frames: Tensor, histograms: Tensor, c: TransnetConfig, weights: Weights): Tensor {
  const [b, t] = [frames.shape[0]!, frames.shape[1]!];
  let x = transpose(mul(frames, 1 / 255), [0, 4, 1, 2, 3]); // [B, 3, T, H, W]
  const seen: Tensor[] = [];
  for (let i = 0; i < BLOCKS; i++) {
    x = block(x, c.filters * 2 ** i, scoped(weights, `SDDCNN.${i}.DDCNN`));
    seen.push(mean(x, [3, 4])); // [B, 4F, T]
  }
  const flat = reshape(transpose(x, [0, 2, 3, 4, 1]), [b, t, x.shape[3]! * x.shape[4]! * x.shape[1]!]); // H, W, C
  const like = frameSimilarity(transpose(concat(seen, 1), [0, 2, 1]), c, scoped(weights, 'frame_sim_layer'));
  const colours = window(histograms, c, scoped(weights, 'color_hist_layer'));
  const all = concat([colours, like, flat], 2);
  const dense = scoped(weights, 'fc1');
  const h = relu(linear(all, dense('weight', [c.dense, all.shape[2]!]), dense('bias', [c.dense])));
  const head = scoped(weights, 'cls_layer1');
  return reshape(sigmoid(linear(h, head('weight', [1, c.dense]), head('bias', [1]))), [b, t]);
}

/** y = relu(unit₂(unit₁(x))) + unit₁(x), averaged over 2x2 pixels; a last odd row or column falls away. */
function block(x: Tensor, filters: number, weights: Weights): Tensor {
  const first = relu(unit(x, filters, scoped(weights, '0')));
  const y = add(relu(unit(first, filters, scoped(weights, '1'))), first);
  const [h, w] = [y.shape[3]!, y.shape[4]!];
  return avgPool(slice(slice(y, 3, 0, h - (h % 2)), 4, 0, w - (w % 2)), [1, 2, 2]);
}

/** Four branches with time dilation 1, 2, 4, 8: space to 2F channels, then time to F; batch normalisation over all of them. */
function unit(x: Tensor, filters: number, weights: Weights): Tensor {
  const branches = DILATIONS.map((d) => {
    const layers = scoped(weights, `Conv3D_${d}.layers`);
    const space = layers('0.weight', [2 * filters, x.shape[1]!, 1, 3, 3]);
    const time = layers('1.weight', [filters, 2 * filters, 3, 1, 1]);
    const y = conv(x, space, undefined, { padBefore: [0, 1, 1], padAfter: [0, 1, 1] });
    return conv(y, time, undefined, { padBefore: [d, 0, 0], padAfter: [d, 0, 0], dilations: [d, 1, 1] });
  });
  return batchNorm(concat(branches, 1), scoped(weights, 'bn'), 1e-3);
}

function frameSimilarity(x: Tensor, c: TransnetConfig, weights: Weights): Tensor {
  const projection = scoped(weights, 'projection');
  const z = linear(x, projection('weight', [c.similarity, x.shape[2]!]), projection('bias', [c.similarity]));
  const length = sqrt(add(sum(square(z), [2], true), 1e-24));
  return window(mul(z, reciprocal(length)), c, weights);
}

/** Products of each frame with those up to `reach` before and after it (zero outside), then a layer with ReLU. */
function window(x: Tensor, c: TransnetConfig, weights: Weights): Tensor {
  const [b, t] = [x.shape[0]!, x.shape[1]!];
  const size = 2 * c.reach + 1;
  const width = t + 2 * c.reach;
  const edge = [0, 0, c.reach];
  const products = pad(matmul(x, x, { transB: true }), { before: edge, after: edge }); // [B, T, P]
  // Row t is read from column t on: rows of length P + 1 over the same numbers.
  const line = pad(reshape(products, [b, t * width]), { before: [0, 0], after: [0, t] });
  const band = slice(reshape(line, [b, t, width + 1]), 2, 0, size); // [B, T, 2·reach + 1]
  const fc = scoped(weights, 'fc');
  return relu(linear(band, fc('weight', [c.similarity, size]), fc('bias', [c.similarity])));
}

/** Colour histogram of a picture of RGB bytes, unit length [512]; bin (R>>5)<<6 | (G>>5)<<3 | (B>>5). */
export function colourHistogram(rgb: Uint8Array): Float32Array {
  const bins = new Float32Array(TRANSNET_BINS);
  for (let p = 0; p + 2 < rgb.length; p += 3)
    bins[((rgb[p]! >> 5) << 6) | ((rgb[p + 1]! >> 5) << 3) | (rgb[p + 2]! >> 5)]!++;
  let squares = 0;
  for (const n of bins) squares += n * n;
  const scale = squares > 0 ? 1 / Math.sqrt(squares) : 0;
  return bins.map((n) => n * scale);
}
