// What the metric kinds share: doubles as outputs, and measures of difference other than relative L2.
import { type Computed, wide } from '../compare.ts';
import type { Judgement } from './kind.ts';

/** One number as a scalar output. */
export const scalar = (value: number): Computed => ({ dtype: 'f64', shape: [], data: Float64Array.of(value) });

/** Numbers with a shape; default a vector. */
export function doubles(values: ArrayLike<number>, shape: readonly number[] = [values.length]): Computed {
  return { dtype: 'f64', shape, data: Float64Array.from(values) };
}

/** Largest |got − want| / (absolute + relative·|want|) as the error, tolerance 1. NaN when shapes differ. */
export function within(got: Computed, want: Computed, absolute: number, relative = 0): Judgement {
  const measure = `error over its bound of ${absolute} + ${relative}·|value|:`;
  if (got.shape.join() !== want.shape.join()) return { error: Number.NaN, tolerance: 1, measure };
  const a = wide(got);
  const b = wide(want);
  let error = 0;
  for (let i = 0; i < b.length; i++) {
    const e = Math.abs(a[i]! - b[i]!) / (absolute + relative * Math.abs(b[i]!));
    // NaN must not be lost in a maximum.
    error = Number.isNaN(e) ? Number.NaN : Math.max(error, e);
    if (Number.isNaN(error)) break;
  }
  return { error, tolerance: 1, measure };
}

/** Share of values that differ. */
export function differing(got: Computed, want: Computed, tolerance: number): Judgement {
  const measure = 'share of differing values';
  if (got.shape.join() !== want.shape.join()) return { error: Number.NaN, tolerance, measure };
  const a = wide(got);
  const b = wide(want);
  let count = 0;
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) count++;
  return { error: b.length === 0 ? 0 : count / b.length, tolerance, measure };
}
