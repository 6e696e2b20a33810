// The SigLIP vision tower (Zhai et al. 2023, sigmoid loss for language–image training; ViT of Dosovitskiy et al. 2021) with
// its attention-pooling head. Weight names are those of the public checkpoints below `vision_model.`.
import {
  add,
  attention,
  conv,
  expand,
  geluTanh,
  layerNorm,
  linear,
  reshape,
  slice,
  type Tensor,
  transpose,
} from '../../graph/index.ts';
import { scoped, type Weights } from '../orrery/weights.ts';

/** Sizes of a tower; names in brackets are those of the public `config.json`. */
export type SiglipConfig = {
  /** Token width (hidden_size). */
  readonly width: number;
  readonly heads: number;
  /** Width inside the MLP (intermediate_size). */
  readonly mlpWidth: number;
  readonly layers: number;
  /** Side of the square picture in pixels (image_size). */
  readonly imageSize: number;
  readonly patch: number;
  /** Default 1e-6 (layer_norm_eps). */
  readonly eps: number;
};

/** The tower of the public video safety filter, so400m-patch14-384. */
export const SIGLIP_SO400M: SiglipConfig = {
  width: 1152,
  heads: 16,
  mlpWidth: 4304,
  layers: 27,
  imageSize: 384,
  patch: 14,
  eps: 1e-6,
};

/** What the tower gives. */
export type SiglipOutputs = {
  /** Tokens after the position embedding [B, L, C], L = ⌊imageSize/patch⌋², rows first. */
  readonly embeddings: Tensor;
  /** Tokens after each layer, each [B, L, C]. */
  readonly hidden: readonly Tensor[];
  /** Tokens after the last normalisation [B, L, C]. */
  readonly tokens: Tensor;
  /** The pooled picture [B, C]. */
  readonly pooled: Tensor;
};

/** Runs the tower on pictures [B, 3, S, S], RGB, values −1…1. Pixels past the last whole patch are not seen. */
export function siglipVision(pixels: Tensor, c: SiglipConfig, weights: Weights): SiglipOutputs {
  const b = pixels.shape[0]!;
  const side = Math.floor(c.imageSize / c.patch);
  const embed = scoped(weights, 'embeddings');
  const w = embed('patch_embedding.weight', [c.width, 3, c.patch, c.patch]);
  const patches = conv(pixels, w, embed('patch_embedding.bias', [c.width]), { strides: [c.patch, c.patch] });
  const rows = transpose(reshape(patches, [b, c.width, side * side]), [0, 2, 1]); // [B, L, C]
  const positions = embed('position_embedding.weight', [side * side, c.width]);
  const embeddings = add(rows, reshape(positions, [1, side * side, c.width]));

  const hidden: Tensor[] = [];
  let x = embeddings;
  for (let i = 0; i < c.layers; i++) {
    x = layer(x, c, scoped(weights, `encoder.layers.${i}`));
    hidden.push(x);
  }
  const tokens = norm(x, c, scoped(weights, 'post_layernorm'));
  return { embeddings, hidden, tokens, pooled: pool(tokens, c, scoped(weights, 'head')) };
}

const norm = (x: Tensor, c: SiglipConfig, w: Weights): Tensor =>
  layerNorm(x, { weight: w('weight', [c.width]), bias: w('bias', [c.width]), eps: c.eps });

const dense = (x: Tensor, out: number, w: Weights): Tensor =>
  linear(x, w('weight', [out, x.shape[x.shape.length - 1]!]), w('bias', [out]));

const mlp = (x: Tensor, c: SiglipConfig, w: Weights): Tensor =>
  dense(geluTanh(dense(x, c.mlpWidth, scoped(w, 'fc1'))), c.width, scoped(w, 'fc2'));

const split = (x: Tensor, heads: number): Tensor => reshape(x, [x.shape[0]!, x.shape[1]!, heads, x.shape[2]! / heads]); // [B, L, N, D]

function layer(x: Tensor, c: SiglipConfig, w: Weights): Tensor {
  const y = norm(x, c, scoped(w, 'layer_norm1'));
  const at = scoped(w, 'self_attn');
  const part = (name: string): Tensor => split(dense(y, c.width, scoped(at, name)), c.heads);
  const mixed = reshape(attention(part('q_proj'), part('k_proj'), part('v_proj')), x.shape);
  const x1 = add(x, dense(mixed, c.width, scoped(at, 'out_proj')));
  return add(x1, mlp(norm(x1, c, scoped(w, 'layer_norm2')), c, scoped(w, 'mlp')));
}

/** Multi-head attention of one learned probe over all tokens, then out = a + mlp(norm(a)). */
function pool(tokens: Tensor, c: SiglipConfig, w: Weights): Tensor {
  const b = tokens.shape[0]!;
  const weight = w('attention.in_proj_weight', [3 * c.width, c.width]);
  const bias = w('attention.in_proj_bias', [3 * c.width]);
  const project = (x: Tensor, i: number): Tensor =>
    split(linear(x, slice(weight, 0, i * c.width, c.width), slice(bias, 0, i * c.width, c.width)), c.heads);
  const probe = expand(w('probe', [1, 1, c.width]), [b, 1, c.width]);
  const mixed = attention(project(probe, 0), project(tokens, 1), project(tokens, 2));
  const a = dense(reshape(mixed, [b, 1, c.width]), c.width, scoped(w, 'attention.out_proj'));
  return reshape(add(a, mlp(norm(a, c, scoped(w, 'layernorm')), c, scoped(w, 'mlp'))), [b, c.width]);
}

/** Sizes from the public `config.json` (its `vision_config` where it has one). Missing values are those of so400m. */
export function siglipConfig(json: Readonly<Record<string, unknown>>): SiglipConfig {
  const nested = json['vision_config'];
  const from = typeof nested === 'object' && nested !== null ? (nested as Record<string, unknown>) : json;
  const number = (name: string, standard: number): number =>
    typeof from[name] === 'number' ? (from[name] as number) : standard;
  return {
    width: number('hidden_size', SIGLIP_SO400M.width),
    heads: number('num_attention_heads', SIGLIP_SO400M.heads),
    mlpWidth: number('intermediate_size', SIGLIP_SO400M.mlpWidth),
    layers: number('num_hidden_layers', SIGLIP_SO400M.layers),
    imageSize: number('image_size', SIGLIP_SO400M.imageSize),
    patch: number('patch_size', SIGLIP_SO400M.patch),
    eps: number('layer_norm_eps', SIGLIP_SO400M.eps),
  };
}
