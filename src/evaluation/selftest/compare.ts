// The measure of the self-test: relative L2 error with a tolerance per kind of output.
import { type NdArray, toF32 } from '../../base/index.ts';
import type { ParityCase } from './case.ts';

/** A computed output: a tensor, or doubles with a shape. */
export type Computed =
  | NdArray
  | { readonly dtype: 'f64'; readonly shape: readonly number[]; readonly data: Float64Array };

/** ‖got − want‖/‖want‖, or ‖got‖ where want is zero; NaN when the shapes differ. Integers are compared without rounding. */
export function relativeL2(got: Computed, want: Computed): number {
  if (got.shape.length !== want.shape.length || got.shape.some((d, i) => d !== want.shape[i])) return Number.NaN;
  const a = wide(got);
  const b = wide(want);
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return size === 0 ? Math.sqrt(difference) : Math.sqrt(difference / size);
}

/** The values as numbers. */
export function wide(array: Computed): ArrayLike<number> {
  if (array.dtype === 'f64') return array.data;
  const isFloat = array.dtype === 'f32' || array.dtype === 'f16' || array.dtype === 'bf16';
  return isFloat ? toF32(array) : Float64Array.from(array.data as ArrayLike<number | bigint>, Number);
}

/** The bound of one output: integers and codes exact, gradients 1e-3, loss scalars 1e-5, all else 1e-4 or what the case asks if stricter. */
export function toleranceOf(c: ParityCase, output: string, want: NdArray): number {
  const isInteger = want.dtype !== 'f32' && want.dtype !== 'f16' && want.dtype !== 'bf16';
  // Codes, tables that are rounded, and weights that are only moved have no tolerance.
  if (isInteger || /^codes($|_)|bf16_rounded$|^te\.|^tp\d+of\d+\./.test(output)) return 0;
  if (output.startsWith('grad.')) return 1e-3;
  if (/(^|_)(loss|mse)(_|$)/.test(output) && want.data.length === 1) return 1e-5;
  const stated = Number(/<=?\s*([0-9.]+(?:e-?[0-9]+)?)/.exec(String(c.options.tolerance ?? ''))?.[1]);
  return stated > 0 && stated < 1e-4 ? stated : 1e-4;
}
