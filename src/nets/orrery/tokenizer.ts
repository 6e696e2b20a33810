// orrery-tokenizer: a continuous, causal video tokenizer on patch tokens. The first frame stands alone, so an image is a
// video of one frame. A linear path (started as principal components) runs parallel to a token network that corrects it;
// a light convolution on the assembled frames removes the block grid.
import { assert } from '../../base/index.ts';
import {
  add,
  cast,
  concat,
  conv,
  gatherRows,
  linear,
  mul,
  type Neighbourhood,
  reshape,
  rmsNorm,
  silu,
  slice,
  sub,
  type Tensor,
  transpose,
} from '../../graph/index.ts';
import { scoped, type Weights } from './weights.ts';

export type OrreryTokenizerConfig = {
  readonly kind: 'orrery-tokenizer';
  /** Pixels per token, both axes. */
  readonly patch: number;
  /** Frames per latent frame after the first. */
  readonly timePatch: number;
  /** Channels of a latent cell. */
  readonly channels: number;
  /** Width D of the token network. */
  readonly width: number;
  readonly encoderBlocks: number;
  readonly decoderBlocks: number;
  /** Channels of the convolution on assembled frames; 0 = none. */
  readonly smoothing: number;
};

/** Latent frames × rows × columns. */
export type Grid = { readonly t: number; readonly h: number; readonly w: number };

/** The latent grid of a video; throws when the size does not fit. */
export function gridOf(c: OrreryTokenizerConfig, frames: number, height: number, width: number): Grid {
  const fits = (frames - 1) % c.timePatch === 0 && height % c.patch === 0 && width % c.patch === 0;
  assert(
    fits,
    `a video of ${frames} frames, ${width}×${height}, does not fit ${c.timePatch}×${c.patch}×${c.patch} tokens`,
  );
  return { t: 1 + (frames - 1) / c.timePatch, h: height / c.patch, w: width / c.patch };
}

/** Number of cells of a grid. */
export const cellsOf = (g: Grid): number => g.t * g.h * g.w;

/**
 * The 14 places that a token mixes with: its 3×3 surroundings in its own latent frame, and itself with its four neighbours
 * in the frame before. Nothing comes from later frames.
 */
export function causalNeighbourhood(g: Grid): Neighbourhood {
  const places: [number, number, number][] = [];
  for (let dy = -1; dy <= 1; dy++) for (let dx = -1; dx <= 1; dx++) places.push([0, dy, dx]);
  places.push([-1, 0, 0], [-1, -1, 0], [-1, 1, 0], [-1, 0, -1], [-1, 0, 1]);
  const index = new Int32Array(cellsOf(g) * places.length);
  let at = 0;
  for (let t = 0; t < g.t; t++) {
    for (let y = 0; y < g.h; y++) {
      for (let x = 0; x < g.w; x++) {
        for (const [dt, dy, dx] of places) {
          const inside = t + dt >= 0 && y + dy >= 0 && y + dy < g.h && x + dx >= 0 && x + dx < g.w;
          index[at++] = inside ? ((t + dt) * g.h + y + dy) * g.w + x + dx : -1;
        }
      }
    }
  }
  return { index, width: places.length, sources: cellsOf(g) };
}

/** x += W_b·neighbours(SiLU(W_a·norm(x))), then x += MLP(norm(x)). x [B, L, D]. */
function block(x: Tensor, table: Neighbourhood, w: Weights): Tensor {
  const d = x.shape[2]!;
  const narrow = d / 4;
  const ones = { kind: 'constant', value: 1 } as const;
  const zeros = { kind: 'zeros' } as const;
  const a = silu(
    linear(rmsNorm(x, w('mix.norm', [d], ones)), w('mix.in', [narrow, d]), w('mix.in_bias', [narrow], zeros)),
  );
  const mixed = gatherRows(a, table); // [B, L, 14·D/4]
  const y = add(x, linear(mixed, w('mix.out', [d, narrow * table.width]), w('mix.out_bias', [d], zeros)));
  const hidden = silu(
    linear(rmsNorm(y, w('mlp.norm', [d], ones)), w('mlp.in', [3 * d, d]), w('mlp.in_bias', [3 * d], zeros)),
  );
  return add(y, linear(hidden, w('mlp.out', [d, 3 * d]), w('mlp.out_bias', [d], zeros)));
}

/** Runs one linear on the tokens of the first frame and another on the rest: first [B, h·w, a], rest [B, (t−1)·h·w, b]. */
function perFrameKind(parts: Parts, w: Weights, name: string, out: number, init?: 'zeros'): Tensor {
  const one = (x: Tensor, which: string): Tensor =>
    linear(
      x,
      w(`${name}.${which}`, [out, x.shape[2]!], init === 'zeros' ? { kind: 'zeros' } : { kind: 'xavier' }),
      w(`${name}.${which}_bias`, [out], { kind: 'zeros' }),
    );
  const first = one(parts.first, 'first');
  return parts.rest === undefined ? first : concat([first, one(parts.rest, 'rest')], 1);
}

type Parts = { readonly first: Tensor; readonly rest: Tensor | undefined };

/** Frames uint8 [B, T, H, W, 3] to tokens: first [B, h·w, p·p·3], rest [B, (t−1)·h·w, tp·p·p·3], values −1…1. */
export function patchify(frames: Tensor, c: OrreryTokenizerConfig): Parts {
  const [b, t, height, width] = frames.shape as [number, number, number, number];
  const g = gridOf(c, t, height, width);
  const p = c.patch;
  const x = sub(mul(cast(frames, 'f32'), 1 / 127.5), 1);
  const cut = (part: Tensor, count: number, depth: number): Tensor => {
    const split = reshape(part, [b, count, depth, g.h, p, g.w, p, 3]);
    return reshape(transpose(split, [0, 1, 3, 5, 2, 4, 6, 7]), [b, count * g.h * g.w, depth * p * p * 3]);
  };
  const first = cut(slice(x, 1, 0, 1), 1, 1);
  return { first, rest: t === 1 ? undefined : cut(slice(x, 1, 1, t - 1), g.t - 1, c.timePatch) };
}

/** The inverse of `patchify`, without the change to uint8: → [B, T, H, W, 3]. */
function unpatchify(parts: Parts, c: OrreryTokenizerConfig, g: Grid): Tensor {
  const b = parts.first.shape[0]!;
  const p = c.patch;
  const join = (tokens: Tensor, count: number, depth: number): Tensor => {
    const split = reshape(tokens, [b, count, g.h, g.w, depth, p, p, 3]);
    return reshape(transpose(split, [0, 1, 4, 2, 5, 3, 6, 7]), [b, count * depth, g.h * p, g.w * p, 3]);
  };
  const first = join(parts.first, 1, 1);
  return parts.rest === undefined ? first : concat([first, join(parts.rest, g.t - 1, c.timePatch)], 1);
}

/** Frames uint8 [B, T, H, W, 3] → latents [B, t·h·w, C], cells in the order frame, row, column. */
export function encode(frames: Tensor, c: OrreryTokenizerConfig, weights: Weights): Tensor {
  const [, t, height, width] = frames.shape as [number, number, number, number];
  const g = gridOf(c, t, height, width);
  const w = scoped(weights, 'encoder');
  const parts = patchify(frames, c);
  const table = causalNeighbourhood(g);
  let x = perFrameKind(parts, w, 'embed', c.width);
  for (let i = 0; i < c.encoderBlocks; i++) x = block(x, table, scoped(w, `blocks.${i}`));
  const normed = rmsNorm(x, w('norm', [c.width], { kind: 'constant', value: 1 }));
  const correction = linear(normed, w('out', [c.channels, c.width], { kind: 'zeros' }));
  return add(perFrameKind(parts, w, 'linear', c.channels), correction);
}

/** Latents [B, t·h·w, C] → frames float32 [B, T, H, W, 3], about −1…1, not clamped. */
export function decode(latents: Tensor, c: OrreryTokenizerConfig, g: Grid, weights: Weights): Tensor {
  const w = scoped(weights, 'decoder');
  const space = g.h * g.w;
  const split = (x: Tensor): Parts => ({
    first: slice(x, 1, 0, space),
    rest: g.t === 1 ? undefined : slice(x, 1, space, (g.t - 1) * space),
  });
  const table = causalNeighbourhood(g);
  let x = perFrameKind(split(latents), w, 'embed', c.width);
  for (let i = 0; i < c.decoderBlocks; i++) x = block(x, table, scoped(w, `blocks.${i}`));
  const trunk = split(rmsNorm(x, w('norm', [c.width], { kind: 'constant', value: 1 })));
  const z = split(latents);
  const pixels = c.patch * c.patch * 3;
  const head = (which: 'first' | 'rest', size: number): Tensor | undefined => {
    const [zs, ts] = [z[which], trunk[which]];
    if (zs === undefined || ts === undefined) return undefined;
    const plain = linear(
      zs,
      w(`linear.${which}`, [size, c.channels]),
      w(`linear.${which}_bias`, [size], { kind: 'zeros' }),
    );
    return add(plain, linear(ts, w(`out.${which}`, [size, c.width], { kind: 'zeros' })));
  };
  const frames = unpatchify({ first: head('first', pixels)!, rest: head('rest', c.timePatch * pixels) }, c, g);
  return c.smoothing === 0 ? frames : smooth(frames, c, w);
}

/** frames += conv(SiLU(conv(frames))), 3×3 each, per frame: it sees across the borders of patches. */
function smooth(frames: Tensor, c: OrreryTokenizerConfig, w: Weights): Tensor {
  const [b, t, height, width] = frames.shape as [number, number, number, number];
  const same = { padBefore: [1, 1], padAfter: [1, 1] };
  const planes = reshape(transpose(frames, [0, 1, 4, 2, 3]), [b * t, 3, height, width]);
  const f = c.smoothing;
  const inner = silu(conv(planes, w('smooth.in', [f, 3, 3, 3]), w('smooth.in_bias', [f], { kind: 'zeros' }), same));
  const delta = conv(inner, w('smooth.out', [3, f, 3, 3], { kind: 'zeros' }), undefined, same);
  return add(frames, transpose(reshape(delta, [b, t, 3, height, width]), [0, 1, 3, 4, 2]));
}
