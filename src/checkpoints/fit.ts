// Do the tensors of a checkpoint fit a network? Missing, extra and wrong-shape keys by name; values that cannot be weights.
import { OrreryError } from '../base/index.ts';
import type { StoredDType } from '../formats/index.ts';
import type { Expected, Tensors } from './types.ts';

/** What does not fit; empty lists when all does. */
export type Misfit = {
  readonly missing: readonly Expected[];
  readonly extra: readonly { readonly key: string; readonly shape: readonly number[] }[];
  readonly wrong: readonly {
    readonly key: string;
    readonly found: readonly number[];
    readonly need: readonly number[];
  }[];
};

/** Compares keys and shapes. */
export function compareKeys(tensors: Tensors, expected: readonly Expected[]): Misfit {
  const need = new Map(expected.map(({ key, shape }) => [key, shape]));
  const wrong: { key: string; found: readonly number[]; need: readonly number[] }[] = [];
  for (const [key, shape] of need) {
    const found = tensors.get(key)?.shape;
    if (found !== undefined && found.join() !== shape.join()) wrong.push({ key, found, need: shape });
  }
  return {
    missing: expected.filter(({ key }) => !tensors.has(key)),
    extra: [...tensors].filter(([key]) => !need.has(key)).map(([key, { shape }]) => ({ key, shape })),
    wrong,
  };
}

/** Throws a `model` error that names the keys. @param hint the next step */
export function requireFit(
  misfit: Misfit,
  options: { readonly path: string; readonly network: string; readonly hint: string; readonly allowExtra?: boolean },
): void {
  const { missing, wrong } = misfit;
  const extra = options.allowExtra === true ? [] : misfit.extra;
  const total = missing.length + extra.length + wrong.length;
  if (total === 0) return;
  const some = <T>(list: readonly T[], what: string, line: (one: T) => string): string[] =>
    list.length === 0
      ? []
      : [`${list.length} ${what}: ${list.slice(0, 3).map(line).join(', ')}${list.length > 3 ? ', …' : ''}`];
  const parts = [
    ...some(missing, 'missing', ({ key, shape }) => `${key} [${shape}]`),
    ...some(wrong, 'of another shape', ({ key, found, need }) => `${key} [${found}], need [${need}]`),
    ...some(extra, 'unknown', ({ key, shape }) => `${key} [${shape}]`),
  ];
  throw new OrreryError(
    'model',
    `${options.path}: ${total} keys do not fit ${options.network}: ${parts.join('; ')}. ${options.hint}`,
    {
      details: { missing, extra, wrong },
    },
  );
}

/** What is wrong with the values of a tensor: NaN, infinite, or all zero; undefined when nothing is. */
export type ValueProblem =
  | { readonly kind: 'nan' | 'infinite'; readonly count: number; readonly first: number }
  | { readonly kind: 'zero' };

/** Exponent and fraction bits of a word; a word whose exponent bits are all set is not finite. */
const WORDS = {
  f16: [0x7c00, 0x03ff],
  bf16: [0x7f80, 0x007f],
  f32: [0x7f800000, 0x007fffff],
} as const;

/** Looks at every value of stored bytes. Integers are never a problem. */
export function valueProblem(dtype: StoredDType, bytes: Uint8Array): ValueProblem | undefined {
  if (dtype === 'f64') {
    const values = new Float64Array(bytes.slice().buffer);
    const first = values.findIndex((v) => !Number.isFinite(v));
    if (first >= 0)
      return {
        kind: Number.isNaN(values[first]) ? 'nan' : 'infinite',
        count: values.filter((v) => !Number.isFinite(v)).length,
        first,
      };
    return values.length > 0 && values.every((v) => v === 0) ? { kind: 'zero' } : undefined;
  }
  if (dtype !== 'f16' && dtype !== 'bf16' && dtype !== 'f32') return undefined;
  const [exponent, fraction] = WORDS[dtype];
  const width = dtype === 'f32' ? 4 : 2;
  const aligned = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  const words =
    dtype === 'f32'
      ? new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4)
      : new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length / 2);
  let count = 0;
  let first = -1;
  let isNan = false;
  let any = 0;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    any |= word & (exponent | fraction);
    if ((word & exponent) !== exponent) continue;
    count++;
    if (first < 0) first = i;
    if ((word & fraction) !== 0) isNan = true;
  }
  if (count > 0) return { kind: isNan ? 'nan' : 'infinite', count, first };
  return words.length > 0 && any === 0 ? { kind: 'zero' } : undefined;
}

/** Throws for values that no trained weight has: NaN, infinite, or a matrix of nothing but zeros. */
export function requireValues(
  key: string,
  dtype: StoredDType,
  shape: readonly number[],
  bytes: Uint8Array,
  path: string,
  allowZero: boolean,
): void {
  const problem = valueProblem(dtype, bytes);
  if (problem === undefined) return;
  if (problem.kind !== 'zero') {
    const what = problem.kind === 'nan' ? 'NaN' : 'infinite';
    throw new OrreryError(
      'model',
      `${path}: tensor ${key} has ${problem.count} ${what} values, the first at place ${problem.first}, need finite numbers; the training diverged or the file is damaged: take an earlier checkpoint or fetch it again`,
    );
  }
  // A bias may well be zero; a matrix of zeros was never trained or not saved.
  if (shape.length >= 2 && !allowZero) {
    throw new OrreryError(
      'model',
      `${path}: tensor ${key} [${shape}] holds only zeros, need trained values; the file is incomplete: fetch it again, or pass --lenient when zeros are meant`,
    );
  }
}
