// GeneralDIT, the Predict1 diffusion transformer (Text2World, Video2World, camera, multi-view, action): one evaluation of the raw network F.
// Token order is time, rows, columns. Weight names are those of the public checkpoints below `net.`.
import { assert, InputError, sizeOf } from '../../base/index.ts';
import {
  add,
  attention,
  chunk,
  concat,
  constantF32,
  constantInts,
  cos,
  expand,
  gather,
  gelu,
  geluTanh,
  layerNorm,
  linear,
  matmul,
  mul,
  repeat,
  reshape,
  rmsNorm,
  rope,
  silu,
  sin,
  slice,
  type Tensor,
  transpose,
} from '../../graph/index.ts';
import { type Block, type Init, plainBlock, scoped, type Weights } from '../orrery/weights.ts';
import type { GeneralDitConfig, TokenCondition, ViewsConfig } from './general-dit-config.ts';
import { learnedPositions, sineCosinePositions } from './positions.ts';
import { type Grid, type RopeTables, ropeAngles, ropeTables } from './rope.ts';

/** What the network sees; names in brackets are those of the public code. */
export type GeneralDitInputs = {
  /** c_in·noisy latent [B, C, T, H, W] (x). */
  readonly x: Tensor;
  /** c_noise = ¼ ln σ, [B] (timesteps); Predict2: one value per latent frame, [B, T]. */
  readonly timesteps: Tensor;
  /** Text [B, M, contextWidth]; places past the prompt are zero vectors and take part (crossattn_emb). */
  readonly context: Tensor;
  /** Frames per second [B]; all equal, the first counts. Absent: plain positions, for images. */
  readonly fps?: Tensor;
  /** 1 = padding, pixel resolution [B or 1, 1, Hpix, Wpix] (padding_mask). */
  readonly paddingMask?: Tensor;
  /** 1 = given frame [B, 1, T, H, W] (condition_video_input_mask). */
  readonly conditionMask?: Tensor;
  /** Plücker rays [B, 6, T, H, W]; more frames are cut (condition_video_pose). */
  readonly cameraRays?: Tensor;
  /** c_noise of the given frames' noise level, [B] (condition_video_augment_sigma). */
  readonly augmentNoise?: Tensor;
  /** Frames that stand still at the start of each view, divided by 10: [B, V]; absent: none (frame_repeat). */
  readonly frameRepeat?: Tensor;
  /** Camera path [B, 192] (trajectory). */
  readonly trajectory?: Tensor;
  /** Codes of the same video, int32 [B, 1, T, Hc, Wc]; all 0: no condition. */
  readonly codes?: Tensor;
  /** Robot actions [B, n, 7]; only the first acts (action). */
  readonly action?: Tensor;
};

/** Sees intermediate values by name, for comparison with a reference. */
export type DitTap = (name: string, value: Tensor) => void;

const ZEROS: Init = { kind: 'zeros' };
const ONES: Init = { kind: 'constant', value: 1 };
const SMALL: Init = { kind: 'normal', std: 0.02 };

/** The raw output F of EDM, [B, outChannels, T, H, W]. */
export function generalDit(
  inputs: GeneralDitInputs,
  c: GeneralDitConfig,
  weights: Weights,
  tap: DitTap = () => {},
  block: Block = plainBlock,
): Tensor {
  const [b, , T, H, W] = inputs.x.shape as [number, number, number, number, number];
  const views = c.views?.count ?? 1;
  const grid: Grid = { t: T / views / c.patchTemporal, h: H / c.patchSpatial, w: W / c.patchSpatial };
  checkGrid(grid, c);
  const frames = views * grid.t;
  const tokens = (x: Tensor): Tensor => reshape(x, [x.shape[0]!, frames, grid.h, grid.w, c.width]);

  const channels = withConditions(inputs, c, weights);
  tap('patch_input_channels', channels);
  let x = linear(patchify(channels, c), weights('x_embedder.proj.1.weight', [c.width, patchWidth(c)])); // [B, L, D]
  tap('x_embedder_BTHWD', tokens(x));

  const positions = extraPositions(grid, c, scoped(weights, 'extra_pos_embedder'));
  if (positions !== undefined)
    tap('extra_pos_emb_BTHWD', expand(tokens(positions), [b, frames, grid.h, grid.w, c.width]));
  const angles = ropeAngles(grid, c.width / c.heads, c.ropeRatios, { fps: inputs.fps, views });
  tap('rope_angles_LD', concat([angles, angles], 1));
  const rotary = ropeTables(angles);

  const time = timeEmbedding(inputs, c, weights, tap);
  const context = projectContext(inputs.context, c, weights);
  for (let i = 0; i < c.blocks; i++) {
    if (c.skippedBlocks?.includes(i)) continue;
    const { activated, shared } = time;
    const seen = { x, context, activated, cos: rotary.cos, sin: rotary.sin, shared, positions };
    const names = (Object.keys(seen) as (keyof typeof seen)[]).filter((name) => seen[name] !== undefined);
    const build = (inputs: readonly Tensor[], w: Weights): readonly Tensor[] => {
      const s = Object.fromEntries(names.map((name, k) => [name, inputs[k]!])) as Record<keyof typeof seen, Tensor>;
      const parts: BlockContext = {
        context: s.context,
        time: { activated: s.activated, ...(shared === undefined ? {} : { shared: s.shared }) },
        rotary: { cos: s.cos, sin: s.sin },
      };
      // The extra embedding comes back in every block.
      let y = positions === undefined ? s.x : add(s.x, s.positions);
      for (const [j, kind] of c.subBlocks.entries()) {
        y = subBlock(kind, y, parts, c, scoped(w, `blocks.${j}`));
        if (i === 0) tap(`block0_sub${j}_${kind}_BTHWD`, tokens(y));
      }
      return [y];
    };
    const inputs = names.map((name) => seen[name]!);
    x = block(build, inputs, weights, `blocks.block${i}`)[0]!;
    tap(`block${i}_out_BTHWD`, tokens(x));
  }

  const y = finalLayer(x, time, c, scoped(weights, 'final_layer'));
  tap('final_layer_out', reshape(y, [b * frames, grid.h * grid.w, y.shape[2]!]));
  return unpatchify(y, { ...grid, t: frames }, c);
}

/** Channels in front of the patch embedder: latent, condition mask, camera, padding mask, views, trajectory. */
function withConditions(inputs: GeneralDitInputs, c: GeneralDitConfig, weights: Weights): Tensor {
  const { x, conditionMask, cameraRays, paddingMask } = inputs;
  const [b, , T, H, W] = x.shape as [number, number, number, number, number];
  const parts = [x];
  if (conditionMask !== undefined) parts.push(conditionMask);
  if (cameraRays !== undefined) parts.push(slice(cameraRays, 2, 0, T));
  const given = parts.reduce((n, p) => n + p.shape[1]!, 0);
  // Images carry no conditions: the missing channels are zeros.
  if (T === 1 && conditionMask === undefined && given < c.inChannels) {
    const missing = [b, c.inChannels - given, T, H, W];
    parts.push(constantF32(missing, new Float32Array(missing.reduce((n, d) => n * d, 1))));
  }
  const channels = parts.reduce((n, p) => n + p.shape[1]!, 0);
  if (channels !== c.inChannels) {
    throw new InputError('network input', {
      got: `${channels} channels`,
      need: `${c.inChannels}: latent, then condition mask, then camera rays`,
    });
  }
  if (c.tokenCondition !== undefined) parts.push(codeChannels(inputs, c.tokenCondition, weights));
  if (c.hasPaddingMask) {
    if (paddingMask === undefined)
      throw new InputError('paddingMask', { got: undefined, need: 'a mask, zeros for no padding' });
    const nearest = resizeNearest(paddingMask, H, W); // [B or 1, 1, H, W]
    parts.push(expand(reshape(nearest, [nearest.shape[0]!, 1, 1, H, W]), [b, 1, T, H, W]));
  }
  if (c.views !== undefined) parts.push(...viewChannels(inputs, c.views, weights));
  return concat(parts, 1);
}

/** Embedded codes, spread bilinearly over the latent's rows and columns: [B, width, T, H, W]. */
function codeChannels({ x, codes }: GeneralDitInputs, { vocabulary, width }: TokenCondition, weights: Weights): Tensor {
  const [b, , T, H, W] = x.shape as [number, number, number, number, number];
  if (codes === undefined)
    throw new InputError('codes', { got: undefined, need: 'an int32 [B, 1, T, rows, columns] tensor' });
  const [, , t, h, w] = codes.shape as [number, number, number, number, number];
  if (t !== T) throw new InputError('codes', { got: `${t} frames`, need: `${T}, as many as the latent has` });
  const table = weights('token_embedder.weight', [vocabulary, width], ZEROS);
  const embedded = gather(table, reshape(codes, [b, t, h, w])); // [B, T, h, w, width]
  const planes = transpose(embedded, [0, 1, 4, 2, 3]); // [B, T, width, h, w]
  const rows = matmul(bilinear(h, H), planes); // [B, T, width, H, w]
  return transpose(matmul(rows, bilinear(w, W), { transB: true }), [0, 2, 1, 3, 4]);
}

/** Linear interpolation from n to size points as a matrix [size, n]: centres of cells, edges held. */
function bilinear(n: number, size: number): Tensor {
  const data = new Float32Array(size * n);
  for (let i = 0; i < size; i++) {
    const at = Math.max(0, ((i + 0.5) * n) / size - 0.5);
    const low = Math.min(n - 1, Math.floor(at));
    const share = at - low;
    data[i * n + low]! += 1 - share;
    data[i * n + Math.min(n - 1, low + 1)]! += share;
  }
  return constantF32([size, n], data);
}

/** Channels that tell the views apart, constant over a view, and those of the trajectory, constant everywhere. */
function viewChannels({ x, frameRepeat, trajectory }: GeneralDitInputs, v: ViewsConfig, weights: Weights): Tensor[] {
  const [b, , T, H, W] = x.shape as [number, number, number, number, number];
  const parts: Tensor[] = [];
  if (v.width > 0) {
    let perView = reshape(weights('view_embeddings.weight', [v.count, v.width], { kind: 'normal', std: 1 }), [
      1,
      v.count,
      v.width,
    ]);
    if (v.hasFrameRepeat) {
      const w = weights('repeat_frame_embedding.weight', [v.width, 1]);
      const bias = weights('repeat_frame_embedding.bias', [v.width], ZEROS);
      const repeats = frameRepeat ?? constantF32([b, v.count], new Float32Array(b * v.count)); // the bias acts without repeats too
      perView = add(perView, linear(reshape(repeats, [b, v.count, 1]), w, bias)); // [B, V, dv]
    }
    const column = transpose(perView, [0, 2, 1]); // [B, dv, V]
    const spread = reshape(column, [column.shape[0]!, v.width, v.count, 1, 1, 1]);
    parts.push(reshape(expand(spread, [b, v.width, v.count, T / v.count, H, W]), [b, v.width, T, H, W]));
  }
  if (v.trajectoryWidth > 0) {
    if (trajectory === undefined) throw new InputError('trajectory', { got: undefined, need: 'a [B, 192] tensor' });
    const w = weights('traj_embeddings.weight', [v.trajectoryWidth, trajectory.shape[1]!]);
    const embedded = linear(trajectory, w, weights('traj_embeddings.bias', [v.trajectoryWidth], ZEROS));
    parts.push(expand(reshape(embedded, [b, v.trajectoryWidth, 1, 1, 1]), [b, v.trajectoryWidth, T, H, W]));
  }
  return parts;
}

/** Nearest neighbour: output i takes source ⌊i·n/size⌋. */
function resizeNearest(mask: Tensor, height: number, width: number): Tensor {
  const pick = (n: number, size: number): Tensor =>
    constantInts(
      [size],
      Array.from({ length: size }, (_, i) => Math.floor((i * n) / size)),
    );
  const rows = gather(mask, pick(mask.shape[2]!, height), 2);
  return gather(rows, pick(mask.shape[3]!, width), 3);
}

const patchWidth = (c: GeneralDitConfig): number =>
  (c.inChannels +
    (c.hasPaddingMask ? 1 : 0) +
    (c.tokenCondition?.width ?? 0) +
    (c.views?.width ?? 0) +
    (c.views?.trajectoryWidth ?? 0)) *
  c.patchTemporal *
  c.patchSpatial ** 2;

/** [B, C, T, H, W] → [B, L, C·pt·p·p], channel slowest. */
function patchify(x: Tensor, { patchTemporal: pt, patchSpatial: p }: GeneralDitConfig): Tensor {
  const [b, channels, T, H, W] = x.shape as [number, number, number, number, number];
  const [t, h, w] = [T / pt, H / p, W / p];
  const cut = reshape(x, [b, channels, t, pt, h, p, w, p]);
  return reshape(transpose(cut, [0, 2, 4, 6, 1, 3, 5, 7]), [b, t * h * w, channels * pt * p * p]);
}

/** [B, L, p·p·pt·C], channel fastest → [B, C, T, H, W]: not the nesting of `patchify`. */
function unpatchify(
  y: Tensor,
  { t, h, w }: Grid,
  { patchTemporal: pt, patchSpatial: p, outChannels }: GeneralDitConfig,
): Tensor {
  const b = y.shape[0]!;
  const cut = reshape(y, [b, t, h, w, p, p, pt, outChannels]);
  return reshape(transpose(cut, [0, 7, 1, 6, 2, 4, 3, 5]), [b, outChannels, t * pt, h * p, w * p]);
}

function extraPositions(grid: Grid, c: GeneralDitConfig, weights: Weights): Tensor | undefined {
  switch (c.extraPositions) {
    case 'none':
      return undefined;
    case 'sincos':
      return sineCosinePositions(grid, c.width, c.extraRatios, c.views?.count);
    case 'learned':
      return learnedPositions(grid, maxGrid(c), c.width, weights);
  }
}

const maxGrid = ({ maxLatent, patchSpatial, patchTemporal }: GeneralDitConfig): Grid => ({
  t: Math.floor(maxLatent.t / patchTemporal),
  h: Math.floor(maxLatent.h / patchSpatial),
  w: Math.floor(maxLatent.w / patchSpatial),
});

/** Predict2.5: text features of many encoder layers, through one layer with GELU, before all blocks. */
function projectContext(context: Tensor, c: GeneralDitConfig, weights: Weights): Tensor {
  if (c.contextProjection === undefined) return context;
  const w = weights('crossattn_proj.0.weight', [c.contextWidth, c.contextProjection]);
  return gelu(linear(context, w, weights('crossattn_proj.0.bias', [c.contextWidth], ZEROS)));
}

/** e and L of the modulation; R = 1 row per sample, or one per latent frame. */
type TimeEmbedding = {
  /** SiLU(e) [B, R, D]. */
  readonly activated: Tensor;
  /** L [B, R, 3D], added in every sub-block; absent at full rank. */
  readonly shared?: Tensor;
};

function timeEmbedding(inputs: GeneralDitInputs, c: GeneralDitConfig, weights: Weights, tap: DitTap): TimeEmbedding {
  const { embedding, shared } = embedTimestep(inputs.timesteps, c, scoped(weights, 't_embedder.1'));
  tap('timestep_sincos_BD', embedding);
  if (shared !== undefined) tap('adaln_lora_B3D', shared);
  const steered =
    c.hasAction === true && shared !== undefined ? add(shared, actionModulation(inputs, c, weights)) : shared;
  let e = embedding;
  if (c.hasAugmentSigma) {
    if (inputs.augmentNoise === undefined) {
      throw new InputError('augmentNoise', { got: undefined, need: 'c_noise of the given frames, one per sample' });
    }
    // With low-rank modulation only the sinusoids of this embedder act; its layers stay for the checkpoint.
    e = add(e, embedTimestep(inputs.augmentNoise, c, scoped(weights, 'augment_sigma_embedder.1')).embedding);
  }
  if (c.hasEmbeddingNorm) e = rmsNorm(e, weights('affline_norm.weight', [c.width], ONES));
  tap('affline_emb_BD', e);
  const b = inputs.timesteps.shape[0]!;
  const row = (t: Tensor): Tensor => reshape(t, [b, t.shape[0]! / b, t.shape[1]!]);
  return { activated: silu(row(e)), ...(steered === undefined ? {} : { shared: row(steered) }) };
}

/** Action → addition to L [B, 3D], two layers with tanh GELU. The D-wide twin is in the checkpoints but never acts. */
function actionModulation({ action }: GeneralDitInputs, c: GeneralDitConfig, weights: Weights): Tensor {
  if (action === undefined) throw new InputError('action', { got: undefined, need: 'a [B, n, 7] tensor' });
  const d = c.width;
  const first = reshape(slice(action, 1, 0, 1), [action.shape[0]!, action.shape[2]!]); // [B, 7]
  const mlp = (name: string, out: number): Tensor => {
    const w = scoped(weights, name);
    const hidden = linear(first, w('fc1.weight', [4 * d, first.shape[1]!]), w('fc1.bias', [4 * d], ZEROS));
    return linear(geluTanh(hidden), w('fc2.weight', [out, 4 * d]), w('fc2.bias', [out], ZEROS));
  };
  mlp('action_embedder_B_D', d);
  return mlp('action_embedder_B_3D', 3 * d);
}

/** s = (cos τf, sin τf), f_k = 10000^(−k/(D/2)). Low rank: e = s, L = W2·SiLU(W1·s). Full rank: e = W2·SiLU(W1·s + b1) + b2. */
function embedTimestep(
  timesteps: Tensor,
  c: GeneralDitConfig,
  weights: Weights,
): { embedding: Tensor; shared?: Tensor } {
  const d = c.width;
  const frequencies = Array.from({ length: d / 2 }, (_, k) => Math.exp((-Math.log(10000) * k) / (d / 2)));
  const phase = mul(reshape(timesteps, [sizeOf(timesteps.shape), 1]), constantF32([1, d / 2], frequencies));
  const s = concat([cos(phase), sin(phase)], 1); // [B, D]
  const isLowRank = c.adalnRank !== undefined;
  const bias = (name: string): Tensor | undefined => (isLowRank ? undefined : weights(name, [d], ZEROS));
  const hidden = silu(linear(s, weights('linear_1.weight', [d, d], SMALL), bias('linear_1.bias')));
  const out = linear(hidden, weights('linear_2.weight', [isLowRank ? 3 * d : d, d], SMALL), bias('linear_2.bias'));
  return isLowRank ? { embedding: s, shared: out } : { embedding: out };
}

/** `parts`·D modulation values [B, R, parts·D] from SiLU(e); the last layer starts at `init` when training from scratch. */
function modulation(
  { activated, shared }: TimeEmbedding,
  parts: number,
  c: GeneralDitConfig,
  w: Weights,
  init?: Init,
): Tensor {
  const d = c.width;
  if (c.adalnRank === undefined) return linear(activated, w('adaLN_modulation.1.weight', [parts * d, d], init));
  const low = linear(activated, w('adaLN_modulation.1.weight', [c.adalnRank, d]));
  const high = linear(low, w('adaLN_modulation.2.weight', [parts * d, c.adalnRank], init));
  assert(shared !== undefined, 'low-rank modulation without its shared part');
  return add(high, slice(shared, 2, 0, parts * d));
}

/** Rows per latent frame, repeated for the tokens of the frame; one row per sample broadcasts by itself. */
const spread = (m: Tensor, x: Tensor): Tensor => (m.shape[1] === 1 ? m : repeat(m, 1, x.shape[1]! / m.shape[1]!));

type BlockContext = { readonly context: Tensor; readonly time: TimeEmbedding; readonly rotary: RopeTables };

/** X + gate·F(LN(X)·(1 + scale) + shift). */
function subBlock(
  kind: GeneralDitConfig['subBlocks'][number],
  x: Tensor,
  { context, time, rotary }: BlockContext,
  c: GeneralDitConfig,
  weights: Weights,
): Tensor {
  const [shift, scale, gate] = chunk(spread(modulation(time, 3, c, weights, ZEROS), x), 3, 2) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const y = add(mul(layerNorm(x), add(scale, 1)), shift);
  const f =
    kind === 'mlp'
      ? mlp(y, c, scoped(weights, 'block'))
      : kind === 'fa'
        ? multiHead(y, y, rotary, c, scoped(weights, 'block.attn'))
        : crossAttention(y, context, c, scoped(weights, 'block.attn'));
  return add(x, mul(gate, f));
}

/** W2·GELU(W1·y), exact GELU. */
function mlp(y: Tensor, c: GeneralDitConfig, weights: Weights): Tensor {
  const hidden = Math.floor(c.width * c.mlpRatio);
  return linear(
    gelu(linear(y, weights('layer1.weight', [hidden, c.width]))),
    weights('layer2.weight', [c.width, hidden]),
  );
}

/** Video tokens ask the text; each view sees its own part of the context only. */
function crossAttention(y: Tensor, context: Tensor, c: GeneralDitConfig, weights: Weights): Tensor {
  const views = c.views?.count ?? 1;
  const perView = (t: Tensor): Tensor => reshape(t, [t.shape[0]! * views, t.shape[1]! / views, t.shape[2]!]);
  return reshape(multiHead(perView(y), perView(context), undefined, c, weights), y.shape);
}

/** Attention with RMS-normalised queries and keys; norm, then rotation. y [B, L, D], source [B, M, ·]. */
function multiHead(y: Tensor, source: Tensor, rotary: RopeTables | undefined, c: GeneralDitConfig, w: Weights): Tensor {
  const [, , d] = y.shape as [number, number, number];
  const width = d / c.heads;
  const heads = (from: Tensor, name: string): Tensor =>
    reshape(linear(from, w(`${name}.0.weight`, [d, from.shape[2]!])), [from.shape[0]!, from.shape[1]!, c.heads, width]);
  const turned = (from: Tensor, name: string): Tensor => {
    const t = rmsNorm(heads(from, name), w(`${name}.1.weight`, [width], ONES), c.queryKeyEps); // one weight for all heads
    return rotary === undefined ? t : rope(t, rotary.cos, rotary.sin);
  };
  const mixed = attention(turned(y, 'to_q'), turned(source, 'to_k'), heads(source, 'to_v')); // [B, L, N, D/N]
  return linear(reshape(mixed, y.shape), w('to_out.0.weight', [d, d]));
}

/** Lin(LN(X)·(1 + scale) + shift); only the first two thirds of L act. */
function finalLayer(x: Tensor, time: TimeEmbedding, c: GeneralDitConfig, weights: Weights): Tensor {
  const [shift, scale] = chunk(spread(modulation(time, 2, c, weights), x), 2, 2) as [Tensor, Tensor];
  const y = add(mul(layerNorm(x), add(scale, 1)), shift);
  return linear(y, weights('linear.weight', [c.patchSpatial ** 2 * c.patchTemporal * c.outChannels, c.width]));
}

function checkGrid(grid: Grid, c: GeneralDitConfig): void {
  const max = maxGrid(c);
  for (const axis of ['t', 'h', 'w'] as const) {
    const isWhole = Number.isInteger(grid[axis]) && grid[axis] >= 1;
    if (!isWhole || (c.extraPositions === 'learned' && grid[axis] > max[axis])) {
      throw new InputError(`latent size along ${axis}`, {
        got: `${grid[axis]} patches`,
        need: `a whole number from 1 to ${max[axis]}`,
      });
    }
  }
}
