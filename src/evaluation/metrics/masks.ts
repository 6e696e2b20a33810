// Overlap of object masks: intersection over union per frame and object, with the two conventions for empty unions.
import { InputError } from '../../base/index.ts';

/** Counts of one object in one frame. */
export type Overlap = { readonly intersection: number; readonly union: number };

/** Pixels in both and in any of two masks (non-zero = inside). */
export function maskOverlap(a: ArrayLike<number>, b: ArrayLike<number>): Overlap {
  if (a.length !== b.length) {
    throw new InputError('masks', { got: `${a.length} and ${b.length} pixels`, need: 'masks of one size' });
  }
  let intersection = 0;
  let union = 0;
  for (let i = 0; i < a.length; i++) {
    const p = a[i]! !== 0;
    const q = b[i]! !== 0;
    if (p && q) intersection++;
    if (p || q) union++;
  }
  return { intersection, union };
}

/** Intersection over union; undefined when both masks are empty. */
export const iouOf = ({ intersection, union }: Overlap): number | undefined =>
  union === 0 ? undefined : intersection / union;

export type IouSummary = {
  /** Mean over all (object, frame) with a non-empty union: the convention of the physics benchmark. NaN when there are none. */
  readonly meanDefined: number;
  /** Empty unions count 1: the convention of Physics-IQ. */
  readonly meanEmptyIsOne: number;
  /** Per object, over its frames with a non-empty union; NaN when it has none. */
  readonly perObject: readonly number[];
};

/** Means of IoU. @param rows [object][frame] */
export function summariseIou(rows: readonly (readonly Overlap[])[]): IouSummary {
  const all = rows.flatMap((row) => row.map(iouOf));
  const defined = (values: readonly (number | undefined)[]): number => {
    const there = values.filter((v) => v !== undefined);
    return there.length === 0 ? Number.NaN : there.reduce((s, v) => s + v, 0) / there.length;
  };
  return {
    meanDefined: defined(all),
    meanEmptyIsOne: all.length === 0 ? Number.NaN : all.reduce<number>((s, v) => s + (v ?? 1), 0) / all.length,
    perObject: rows.map((row) => defined(row.map(iouOf))),
  };
}
