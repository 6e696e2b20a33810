// Finite scalar quantisation (Mentzer et al. 2023): each channel is rounded to a few values; all channels together are one index.
import {
  add,
  cast,
  constantF32,
  div,
  floor,
  mul,
  reshape,
  round,
  stopGradient,
  sub,
  sum,
  type Tensor,
  tanh,
} from '../../graph/index.ts';

const EPS = 1e-3;

/** Numbers per channel as a tensor that broadcasts over [B, C, ...space]. */
const perChannel = (values: readonly number[], rank: number): Tensor =>
  constantF32([1, values.length, ...new Array<number>(rank - 2).fill(1)], values);

/** Steps on each side of zero: ⌊L/2⌋. */
const halves = (levels: readonly number[]): number[] => levels.map((l) => Math.floor(l / 2));

/** Place values of the channels in an index; channel 0 counts ones. */
export function fsqBasis(levels: readonly number[]): number[] {
  return levels.map((_, i) => levels.slice(0, i).reduce((a, b) => a * b, 1));
}

/** b = tanh(z + shift)·half − offset: z [B, C, ...] squeezed so that rounding gives L values. */
export function fsqBound(z: Tensor, levels: readonly number[]): Tensor {
  const half = levels.map((l) => ((l - 1) * (1 + EPS)) / 2);
  const offset = levels.map((l) => (l % 2 === 0 ? 0.5 : 0));
  const shift = half.map((h, i) => Math.atanh(offset[i]! / h));
  const rank = z.shape.length;
  const squeezed = mul(tanh(add(z, perChannel(shift, rank))), perChannel(half, rank));
  return sub(squeezed, perChannel(offset, rank));
}

/**
 * Quantised codes −1…1 of z [B, C, ...]. Half-way values go to the even neighbour.
 * @param options `straightThrough`: gradients pass as if nothing were rounded (then the code carries the rounding of one addition)
 */
export function fsqCodes(z: Tensor, levels: readonly number[], options: { straightThrough?: boolean } = {}): Tensor {
  const b = fsqBound(z, levels);
  const r = round(b);
  const rounded = options.straightThrough === true ? add(b, stopGradient(sub(r, b))) : r;
  return div(rounded, perChannel(halves(levels), z.shape.length));
}

/** Index of each code: [B, C, ...] → int32 [B, ...]. */
export function fsqIndices(codes: Tensor, levels: readonly number[]): Tensor {
  const half = perChannel(halves(levels), codes.shape.length);
  const digits = add(mul(codes, half), half);
  return cast(sum(mul(digits, perChannel(fsqBasis(levels), codes.shape.length)), [1]), 'i32');
}

/** Codes of indices: int32 [B, ...] → [B, C, ...]. */
export function fsqCodesOf(indices: Tensor, levels: readonly number[]): Tensor {
  const [b, ...space] = indices.shape as [number, ...number[]];
  const rank = space.length + 2;
  const column = reshape(cast(indices, 'f32'), [b, 1, ...space]);
  const l = perChannel(levels, rank);
  const shifted = floor(div(column, perChannel(fsqBasis(levels), rank)));
  const digits = sub(shifted, mul(floor(div(shifted, l)), l));
  const half = perChannel(halves(levels), rank);
  return div(sub(digits, half), half);
}

/**
 * Residual FSQ: each layer quantises what the earlier ones left.
 * @returns the summed codes [B, C, ...] and the indices of all layers [B, q, ...]
 */
export function residualFsq(
  z: Tensor,
  levels: readonly number[],
  layers: number,
): { codes: Tensor; indices: readonly Tensor[] } {
  let rest = z;
  let codes: Tensor | undefined;
  const indices: Tensor[] = [];
  for (let i = 0; i < layers; i++) {
    const code = fsqCodes(rest, levels);
    indices.push(fsqIndices(code, levels));
    codes = codes === undefined ? code : add(codes, code);
    rest = sub(rest, code);
  }
  return { codes: codes!, indices };
}
