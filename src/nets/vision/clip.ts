// The image tower of CLIP (Radford et al. 2021, arXiv 2103.00020; ViT of Dosovitskiy et al. 2021) with its projection, and the
// linear aesthetic head that was trained on its features. Weight names are those of the public checkpoints.
import {
  add,
  attention,
  concat,
  conv,
  expand,
  layerNorm,
  linear,
  mul,
  reciprocal,
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

/** Sizes of a tower. */
export type ClipConfig = {
  readonly width: number;
  readonly heads: number;
  readonly mlpWidth: number;
  readonly layers: number;
  /** Side of the square picture, pixels. */
  readonly imageSize: number;
  readonly patch: number;
  /** Length of the features. */
  readonly features: number;
};

/** openai/clip-vit-large-patch14. */
export const CLIP_VIT_L14: ClipConfig = {
  width: 1024,
  heads: 16,
  mlpWidth: 4096,
  layers: 24,
  imageSize: 224,
  patch: 14,
  features: 768,
};

/** Mean and deviation of the pixels that the tower was trained with, per colour, of values 0…1. */
export const CLIP_MEAN: readonly number[] = [0.48145466, 0.4578275, 0.40821073];
export const CLIP_STD: readonly number[] = [0.26862954, 0.26130258, 0.27577711];

/**
 * Unit-length features of pictures.
 * @param pixels [B, 3, S, S], normalised by `CLIP_MEAN` and `CLIP_STD`
 * @returns [B, features]
 */
export function clipVision(pixels: Tensor, c: ClipConfig, weights: Weights): Tensor {
  const b = pixels.shape[0]!;
  const side = Math.floor(c.imageSize / c.patch);
  const tower = scoped(weights, 'vision_model');
  const embed = scoped(tower, 'embeddings');
  const kernel = embed('patch_embedding.weight', [c.width, 3, c.patch, c.patch]);
  const patches = conv(pixels, kernel, undefined, { strides: [c.patch, c.patch] });
  const rows = transpose(reshape(patches, [b, c.width, side * side]), [0, 2, 1]); // [B, L, C]
  const own = expand(reshape(embed('class_embedding', [c.width]), [1, 1, c.width]), [b, 1, c.width]);
  const places = embed('position_embedding.weight', [side * side + 1, c.width]);
  let x = add(concat([own, rows], 1), reshape(places, [1, side * side + 1, c.width]));
  // The public checkpoints spell it so.
  x = norm(x, c, scoped(tower, 'pre_layrnorm'));
  for (let i = 0; i < c.layers; i++) x = layer(x, c, scoped(tower, `encoder.layers.${i}`));
  const pooled = norm(reshape(slice(x, 1, 0, 1), [b, c.width]), c, scoped(tower, 'post_layernorm'));
  const y = linear(pooled, weights('visual_projection.weight', [c.features, c.width]));
  return mul(y, reciprocal(sqrt(sum(square(y), [1], true))));
}

const norm = (x: Tensor, c: ClipConfig, w: Weights): Tensor =>
  layerNorm(x, { weight: w('weight', [c.width]), bias: w('bias', [c.width]), eps: 1e-5 });

const dense = (x: Tensor, out: number, w: Weights): Tensor =>
  linear(x, w('weight', [out, x.shape[x.shape.length - 1]!]), w('bias', [out]));

/** x·σ(1.702·x), the approximation of GELU that CLIP was trained with. */
const quickGelu = (x: Tensor): Tensor => mul(x, sigmoid(mul(x, 1.702)));

function layer(x: Tensor, c: ClipConfig, w: Weights): Tensor {
  const [b, l] = [x.shape[0]!, x.shape[1]!];
  const y = norm(x, c, scoped(w, 'layer_norm1'));
  const at = scoped(w, 'self_attn');
  const part = (name: string): Tensor =>
    reshape(dense(y, c.width, scoped(at, name)), [b, l, c.heads, c.width / c.heads]); // [B, L, N, D]
  const mixed = reshape(attention(part('q_proj'), part('k_proj'), part('v_proj')), x.shape);
  const x1 = add(x, dense(mixed, c.width, scoped(at, 'out_proj')));
  const z = norm(x1, c, scoped(w, 'layer_norm2'));
  return add(x1, dense(quickGelu(dense(z, c.mlpWidth, scoped(w, 'mlp.fc1'))), c.width, scoped(w, 'mlp.fc2')));
}

/** Widths of the aesthetic head behind the features; no activation between them (only dropout in training). */
const HEAD = [1024, 128, 64, 16, 1] as const;
/** Numbers of the layers in the public head, `ttj/sac-logos-ava1-l14-linearMSE`. */
const HEAD_LAYERS = [0, 2, 4, 6, 7] as const;

/** Aesthetic score of unit features, about 1…10: [B, F] → [B, 1]. Keys `layers.{0,2,4,6,7}.{weight,bias}`. */
export function aestheticHead(features: Tensor, weights: Weights): Tensor {
  return HEAD_LAYERS.reduce((x, n, i) => dense(x, HEAD[i]!, scoped(weights, `layers.${n}`)), features);
}
