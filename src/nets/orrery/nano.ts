// orrery-nano: a small diffusion transformer over the latents of orrery-tokenizer, after the DiT family (Peebles & Xie 2023;
// Cosmos Predict1). One call makes the next two latent frames (8 video frames) from three before them; longer videos are many
// calls. It models what changes: the target is the latent minus the latent of a world in which nothing happens ("base": the
// given frames, then the last one held), so its zero output is the repeat-last-frame prediction.
import {
  add,
  attention,
  concat,
  constantF32,
  cos,
  gather,
  gatherRows,
  layerNorm,
  linear,
  mul,
  type Neighbourhood,
  reshape,
  rmsNorm,
  rope,
  silu,
  sin,
  split,
  type Tensor,
  transpose,
} from '../../graph/index.ts';
import { cellsOf, type Grid } from './tokenizer.ts';
import { type Init, scoped, type Weights } from './weights.ts';

export type OrreryNanoConfig = {
  readonly kind: 'orrery-nano';
  /** Latent frames that one call makes, rows, columns. */
  readonly grid: Grid;
  /** Latent frames K that it sees before them. */
  readonly context: number;
  /** Latent channels C. */
  readonly channels: number;
  /** Latent cells per token, both axes. */
  readonly patch: number;
  /** Width D. */
  readonly width: number;
  readonly heads: number;
  readonly blocks: number;
  readonly mlpRatio: number;
  /** Width of the cell stages before and after the transformer, and their blocks. */
  readonly cellWidth: number;
  readonly cellBlocksIn: number;
  readonly cellBlocksOut: number;
  readonly textWidth: number;
  /** Words of a caption. */
  readonly textLength: number;
  readonly textBlocks: number;
  /** Rows of the word table. */
  readonly words: number;
  /** What the network is told of a robot's actions; absent in generalists. */
  readonly actions?: NanoActions;
};

/** Actions as an input: one per video frame that a call makes. */
export type NanoActions = {
  /** Frames F of one call. */
  readonly frames: number;
  /** Width of their embedding. */
  readonly width: number;
  /** Factor of each number of an action, so that usual ones are about 1; its length is the size S of an action. */
  readonly scale: readonly number[];
};

export type NanoInputs = {
  /** c_in-scaled noisy residual [B, L, C], L = t·h·w cells of the frames to make. */
  readonly x: Tensor;
  /** Normalised base latents of the same cells [B, L, C]; zeros without given frames. */
  readonly base: Tensor;
  /** Normalised latents of the frames before [B, K·h·w, C]; zeros where nothing is given. */
  readonly context: Tensor;
  /** Which of 9, 1 or 0 frames are given, one-hot [B, 3]. */
  readonly given: Tensor;
  /** c_noise = ln σ / 4, [B, 1]. */
  readonly noise: Tensor;
  /** Word numbers int64 [B, textLength]. */
  readonly words: Tensor;
  /** Scaled actions with a flag that says whether each is known [B, F, S + 1]; only with `actions` in the configuration. */
  readonly actions?: Tensor;
};

const ZEROS: Init = { kind: 'zeros' };
const ONES: Init = { kind: 'constant', value: 1 };

/** Tokens per latent frame. */
const tokensPerFrame = (c: OrreryNanoConfig): number => (c.grid.h / c.patch) * (c.grid.w / c.patch);

/** The raw network output F [B, L, C] (EDM preconditioning is the caller's). */
export function nano(inputs: NanoInputs, c: OrreryNanoConfig, weights: Weights): Tensor {
  const b = inputs.x.shape[0]!;
  const { t } = c.grid;
  const perFrame = tokensPerFrame(c);
  const text = textEncoder(inputs.words, c, scoped(weights, 'text')); // [B, M, textWidth]

  // Noise level and pooled caption → one shared modulation; each block adds its own offset (PixArt-α, section 2.3).
  const told = add(
    add(noiseEmbedding(inputs.noise, c, weights), linear(inputs.given, weights('embed.given', [c.width, 3]))),
    linear(text.pooled, weights('embed.caption', [c.width, c.textWidth], ZEROS)),
  );
  const act = actionEmbedding(inputs.actions, c, scoped(weights, 'actions'));
  const e = act === undefined ? told : add(told, act.level);
  const shared = linear(silu(e), weights('modulation.weight', [9 * c.width, c.width], { kind: 'normal', std: 0.01 })); // [B, 9D]

  // Cells: noisy residual and base, and at the same place all that is known of the frames before. A place that looks the same
  // in all of them stands still; what differs between them is motion.
  const space = c.grid.h * c.grid.w;
  const before = reshape(transpose(reshape(inputs.context, [b, c.context, space, c.channels]), [0, 2, 1, 3]), [
    b,
    1,
    space,
    c.context * c.channels,
  ]);
  const cells = reshape(concat([inputs.x, inputs.base], 2), [b, t, space, 2 * c.channels]);
  const own = linear(
    cells,
    weights('cells.weight', [c.cellWidth, 2 * c.channels]),
    weights('cells.bias', [c.cellWidth], ZEROS),
  );
  const seen = linear(before, weights('cells.context', [c.cellWidth, c.context * c.channels])); // [B, 1, h·w, E]
  const slot = weights('cells.slot', [1, t, 1, c.cellWidth], { kind: 'normal', std: 0.1 });
  const places = add(add(own, seen), slot);
  let h = reshape(act === undefined ? places : add(places, act.cells), [b, t * space, c.cellWidth]);
  const table = spaceTimeNeighbourhood(c.grid);
  for (let i = 0; i < c.cellBlocksIn; i++) h = cellBlock(h, table, e, scoped(weights, `cells.in.${i}`));

  // Tokens: p×p cells each, with a learned place.
  const frame = reshape(weights('embed.frame', [t, c.width], { kind: 'normal', std: 0.02 }), [1, t, 1, c.width]);
  const place = weights('embed.place', [1, 1, perFrame, c.width], { kind: 'normal', std: 0.02 });
  const grouped = toTokens(h, c); // [B, N, p²·E]
  let x = linear(
    grouped,
    weights('embed.weight', [c.width, grouped.shape[2]!]),
    weights('embed.bias', [c.width], ZEROS),
  );
  const tokens = add(add(reshape(x, [b, t, perFrame, c.width]), frame), place);
  x = reshape(act === undefined ? tokens : add(tokens, act.tokens), [b, t * perFrame, c.width]);
  const tables = ropeTables(c);
  for (let i = 0; i < c.blocks; i++) x = block(x, text.tokens, shared, tables, c, scoped(weights, `blocks.${i}`));

  // Back to cells: what the tokens say is added to what the cells kept, so fine detail and noise need not pass the tokens.
  const final = linear(silu(e), weights('final.modulation', [2 * c.width, c.width], ZEROS));
  const [shift, scale] = split(reshape(final, [b, 1, 2 * c.width]), [c.width, c.width], 2) as [Tensor, Tensor];
  const y = modulate(layerNorm(x), shift, scale);
  const wide = c.patch * c.patch * c.cellWidth;
  const spread = linear(y, weights('final.weight', [wide, c.width]), weights('final.bias', [wide], ZEROS));
  h = add(h, fromTokens(spread, c));
  for (let i = 0; i < c.cellBlocksOut; i++) h = cellBlock(h, table, e, scoped(weights, `cells.out.${i}`));
  const normed = rmsNorm(h, weights('cells.norm', [c.cellWidth], ONES));
  return linear(
    normed,
    weights('cells.head', [c.channels, c.cellWidth], ZEROS),
    weights('cells.head_bias', [c.channels], ZEROS),
  );
}

/**
 * What the actions add: to the modulation [B, D], and to the cells and tokens of each latent frame [B, t, 1, E] and [B, t, 1, D].
 * All three start at zero: a generalist with this new input behaves as before.
 */
function actionEmbedding(
  actions: Tensor | undefined,
  c: OrreryNanoConfig,
  w: Weights,
): { level: Tensor; cells: Tensor; tokens: Tensor } | undefined {
  if (c.actions === undefined || actions === undefined) return undefined;
  const { width } = c.actions;
  const { t } = c.grid;
  const [b, frames, size] = actions.shape as [number, number, number];
  const flat = reshape(actions, [b, frames * size]);
  const hidden = silu(linear(flat, w('in', [width, frames * size]), w('in_bias', [width], ZEROS)));
  const a = silu(linear(hidden, w('hidden', [width, width]), w('hidden_bias', [width], ZEROS)));
  return {
    level: linear(a, w('level', [c.width, width], ZEROS)),
    cells: reshape(linear(a, w('cells', [t * c.cellWidth, width], ZEROS)), [b, t, 1, c.cellWidth]),
    tokens: reshape(linear(a, w('tokens', [t * c.width, width], ZEROS)), [b, t, 1, c.width]),
  };
}

/** A cell, its eight neighbours in the frame, and itself in the frames before and after; −1 outside. */
function spaceTimeNeighbourhood(g: Grid): Neighbourhood {
  const places: [number, number, number][] = [];
  for (let dy = -1; dy <= 1; dy++) for (let dx = -1; dx <= 1; dx++) places.push([0, dy, dx]);
  places.push([-1, 0, 0], [1, 0, 0]);
  const index = new Int32Array(cellsOf(g) * places.length);
  let at = 0;
  for (let t = 0; t < g.t; t++) {
    for (let y = 0; y < g.h; y++) {
      for (let x = 0; x < g.w; x++) {
        for (const [dt, dy, dx] of places) {
          const [u, v, w] = [t + dt, y + dy, x + dx];
          const inside = u >= 0 && u < g.t && v >= 0 && v < g.h && w >= 0 && w < g.w;
          index[at++] = inside ? (u * g.h + v) * g.w + w : -1;
        }
      }
    }
  }
  return { index, width: places.length, sources: cellsOf(g) };
}

/** x += W_b·neighbours(SiLU(W_a·m(x))) + MLP(m(x)), m(x) = norm(x)·(1 + scale) + shift by the noise level. x [B, L, E]. */
function cellBlock(x: Tensor, table: Neighbourhood, e: Tensor, w: Weights): Tensor {
  const [b, , d] = x.shape as [number, number, number];
  const narrow = d / 2;
  const m = linear(silu(e), w('modulation', [2 * d, e.shape[1]!], ZEROS));
  const [shift, scale] = split(reshape(m, [b, 1, 2 * d]), [d, d], 2) as [Tensor, Tensor];
  const n = modulate(rmsNorm(x, w('norm', [d], ONES)), shift, scale);
  const a = silu(linear(n, w('mix.in', [narrow, d]), w('mix.in_bias', [narrow], ZEROS)));
  const mixed = linear(gatherRows(a, table), w('mix.out', [d, narrow * table.width], { kind: 'normal', std: 0.02 }));
  const hidden = silu(linear(n, w('mlp.in', [2 * d, d]), w('mlp.in_bias', [2 * d], ZEROS)));
  return add(
    x,
    add(mixed, linear(hidden, w('mlp.out', [d, 2 * d], { kind: 'normal', std: 0.02 }), w('mlp.out_bias', [d], ZEROS))),
  );
}

const modulate = (x: Tensor, shift: Tensor, scale: Tensor): Tensor => add(mul(x, add(scale, 1)), shift);

type RopeTables = { readonly cos: Tensor; readonly sin: Tensor };

/** x += gate·F(LN(x)·(1 + scale) + shift) for F = self-attention, cross-attention, MLP. */
function block(x: Tensor, text: Tensor, shared: Tensor, tables: RopeTables, c: OrreryNanoConfig, w: Weights): Tensor {
  const [b, , d] = x.shape as [number, number, number];
  // Gates start at 0.3: open enough to learn at once, small enough to be stable.
  const offset = w('modulation', [9, d], ZEROS);
  const gates = constantF32([9, 1], [0, 0, 0.3, 0, 0, 0.3, 0, 0, 0.3]);
  const all = add(reshape(shared, [b, 9, d]), add(offset, gates)); // [B, 9, D]
  const m = split(all, [1, 1, 1, 1, 1, 1, 1, 1, 1], 1) as readonly Tensor[]; // each [B, 1, D]
  let y = x;
  y = add(y, mul(m[2]!, selfAttention(modulate(layerNorm(y), m[0]!, m[1]!), tables, c, scoped(w, 'self'))));
  y = add(y, mul(m[5]!, crossAttention(modulate(layerNorm(y), m[3]!, m[4]!), text, c, scoped(w, 'cross'))));
  const inner = Math.round(d * c.mlpRatio);
  const hidden = silu(
    linear(modulate(layerNorm(y), m[6]!, m[7]!), w('mlp.in', [inner, d]), w('mlp.in_bias', [inner], ZEROS)),
  );
  return add(y, mul(m[8]!, linear(hidden, w('mlp.out', [d, inner]), w('mlp.out_bias', [d], ZEROS))));
}

function selfAttention(x: Tensor, tables: RopeTables, c: OrreryNanoConfig, w: Weights): Tensor {
  const [b, n, d] = x.shape as [number, number, number];
  const width = d / c.heads;
  const [q, k, v] = split(linear(x, w('qkv', [3 * d, d])), [d, d, d], 2).map((t) =>
    reshape(t, [b, n, c.heads, width]),
  ) as [Tensor, Tensor, Tensor];
  const turn = (t: Tensor, name: string): Tensor => rope(rmsNorm(t, w(name, [width], ONES)), tables.cos, tables.sin);
  const y = attention(turn(q, 'q_norm'), turn(k, 'k_norm'), v); // [B, N, heads, width]
  return linear(reshape(y, [b, n, d]), w('out', [d, d]));
}

function crossAttention(x: Tensor, text: Tensor, c: OrreryNanoConfig, w: Weights): Tensor {
  const [b, n, d] = x.shape as [number, number, number];
  const m = text.shape[1]!;
  const width = d / c.heads;
  const q = rmsNorm(reshape(linear(x, w('q', [d, d])), [b, n, c.heads, width]), w('q_norm', [width], ONES));
  const [k, v] = split(linear(text, w('kv', [2 * d, c.textWidth])), [d, d], 2).map((t) =>
    reshape(t, [b, m, c.heads, width]),
  ) as [Tensor, Tensor];
  const y = attention(q, rmsNorm(k, w('k_norm', [width], ONES)), v);
  return linear(reshape(y, [b, n, d]), w('out', [d, d]));
}

/** Word embeddings, places, and a few pre-norm transformer blocks. Padding (word 0) is a word like any other. */
function textEncoder(words: Tensor, c: OrreryNanoConfig, w: Weights): { tokens: Tensor; pooled: Tensor } {
  const [b, m] = words.shape as [number, number];
  const d = c.textWidth;
  const heads = Math.max(1, Math.round(d / 32));
  let x = add(
    gather(w('words', [c.words, d], { kind: 'normal', std: 0.3 }), words),
    w('place', [m, d], { kind: 'normal', std: 0.1 }),
  );
  for (let i = 0; i < c.textBlocks; i++) {
    const s = scoped(w, `blocks.${i}`);
    const qkv = split(linear(rmsNorm(x, s('norm1', [d], ONES)), s('qkv', [3 * d, d])), [d, d, d], 2);
    const [q, k, v] = qkv.map((t) => reshape(t, [b, m, heads, d / heads])) as [Tensor, Tensor, Tensor];
    x = add(x, linear(reshape(attention(q, k, v), [b, m, d]), s('out', [d, d])));
    const hidden = silu(linear(rmsNorm(x, s('norm2', [d], ONES)), s('mlp.in', [2 * d, d])));
    x = add(x, linear(hidden, s('mlp.out', [d, 2 * d])));
  }
  const tokens = rmsNorm(x, w('norm', [d], ONES));
  // The first place pools: position 0 attends to all words.
  const [first] = split(tokens, [1, m - 1], 1) as [Tensor, Tensor];
  return { tokens, pooled: reshape(first, [b, d]) };
}

/** Sinusoids of the noise level, then an MLP: [B, 1] → [B, D]. */
function noiseEmbedding(noise: Tensor, c: OrreryNanoConfig, w: Weights): Tensor {
  const half = 64;
  // c_noise lies in about −1.5…1.1; angles up to 50 rad resolve it well.
  const frequencies = Float32Array.from({ length: half }, (_, k) => 50 * Math.exp((-Math.log(1000) * k) / half));
  const angles = mul(noise, constantF32([1, half], frequencies));
  const s = concat([cos(angles), sin(angles)], 1);
  return linear(
    silu(linear(s, w('noise.in', [c.width, 2 * half]), w('noise.in_bias', [c.width], ZEROS))),
    w('noise.out', [c.width, c.width]),
  );
}

/** 3-D rotary tables of the token grid: t, h, w parts as in Cosmos; angles [N, headWidth/2]. */
function ropeTables(c: OrreryNanoConfig): RopeTables {
  const width = c.width / c.heads;
  const dh = 2 * Math.floor(width / 6);
  const parts = [width - 2 * dh, dh, dh];
  const rows = c.grid.h / c.patch;
  const columns = c.grid.w / c.patch;
  const angles: number[] = [];
  for (let t = 0; t < c.grid.t; t++) {
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        for (const [axis, position] of [t, y, x].entries()) {
          // Base 100 instead of 10000: the grid is at most a few dozen places long.
          for (let k = 0; k < parts[axis]! / 2; k++) angles.push(position * 100 ** ((-2 * k) / parts[axis]!));
        }
      }
    }
  }
  const shape = [c.grid.t * rows * columns, width / 2];
  return { cos: constantF32(shape, angles.map(Math.cos)), sin: constantF32(shape, angles.map(Math.sin)) };
}

/** Cells [B, t·h·w, E] → tokens [B, t·(h/p)·(w/p), p·p·E]. */
function toTokens(x: Tensor, c: OrreryNanoConfig): Tensor {
  const { t, h, w } = c.grid;
  const p = c.patch;
  const [b, , d] = x.shape as [number, number, number];
  const cut = reshape(x, [b * t, h / p, p, w / p, p, d]);
  return reshape(transpose(cut, [0, 1, 3, 2, 4, 5]), [b, t * tokensPerFrame(c), p * p * d]);
}

/** The inverse of `toTokens`. */
function fromTokens(x: Tensor, c: OrreryNanoConfig): Tensor {
  const { t, h, w } = c.grid;
  const p = c.patch;
  const b = x.shape[0]!;
  const d = x.shape[2]! / (p * p);
  const cut = reshape(x, [b * t, h / p, w / p, p, p, d]);
  return reshape(transpose(cut, [0, 1, 3, 2, 4, 5]), [b, t * h * w, d]);
}
