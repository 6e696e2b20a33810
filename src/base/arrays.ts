// Tensors in memory: a flat typed array with its shape. Nothing here computes.

/** Element types of tensors in memory and on disk. */
export type DType = 'f32' | 'f16' | 'bf16' | 'i64' | 'i32' | 'u8' | 'i8' | 'bool';

/** Bytes of one element. */
export const DTYPE_BYTES: Readonly<Record<DType, number>> = {
  f32: 4,
  f16: 2,
  bf16: 2,
  i64: 8,
  i32: 4,
  u8: 1,
  i8: 1,
  bool: 1,
};

/** Backing stores; `f16` and `bf16` are raw 16-bit words in a `Uint16Array`, `bool` is 0 or 1 in a `Uint8Array`. */
export type TypedData = Float32Array | Uint16Array | BigInt64Array | Int32Array | Uint8Array | Int8Array;

/** A tensor in memory: row-major `data` with `shape`; `dtype` tells how to read `data`. */
export type NdArray = {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TypedData;
};

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  let n = 1;
  for (const d of shape) n *= d;
  return n;
}

/** A float32 tensor from numbers. */
export function f32(
  shape: readonly number[],
  data?: Float32Array | readonly number[],
): NdArray & { data: Float32Array } {
  const array =
    data === undefined
      ? new Float32Array(sizeOf(shape))
      : data instanceof Float32Array
        ? data
        : Float32Array.from(data);
  return { dtype: 'f32', shape, data: array };
}

const STORE = {
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i64: BigInt64Array,
  i32: Int32Array,
  u8: Uint8Array,
  i8: Int8Array,
  bool: Uint8Array,
} as const;

/** A tensor of zeros. */
export function zeros(dtype: DType, shape: readonly number[]): NdArray {
  return { dtype, shape, data: new STORE[dtype](sizeOf(shape)) };
}

const f32Word = new Float32Array(1);
const u32Word = new Uint32Array(f32Word.buffer);

/** Widens one IEEE half (16 raw bits) to a number. */
export function halfToNumber(h: number): number {
  if ((h & 0x7c00) === 0x7c00) return h & 0x3ff ? Number.NaN : h & 0x8000 ? -Infinity : Infinity;
  // The bits moved to their float32 places are the value times 2⁻¹¹², subnormal halves included; no power is computed.
  u32Word[0] = ((h & 0x8000) << 16) | ((h & 0x7fff) << 13);
  return f32Word[0]! * 2 ** 112;
}

/** Rounds a number to IEEE half (nearest, ties to even); overflow becomes infinity. */
export function numberToHalf(value: number): number {
  f32Word[0] = value;
  const bits = u32Word[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal half: scale so that the fraction becomes an integer, rounding to even.
    const scaled = Math.abs(f32Word[0]!) * 2 ** 24;
    const low = Math.floor(scaled);
    const rest = scaled - low;
    return sign | (rest > 0.5 || (rest === 0.5 && low & 1) ? low + 1 : low);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** Widens raw half words to float32. */
export function halfToF32(words: Uint16Array): Float32Array {
  const out = new Float32Array(words.length);
  for (let i = 0; i < words.length; i++) out[i] = halfToNumber(words[i]!);
  return out;
}

/** Rounds float32 to raw half words. */
export function f32ToHalf(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = numberToHalf(values[i]!);
  return out;
}

/** Widens raw bfloat16 words to float32 (exact). */
export function bfloatToF32(words: Uint16Array): Float32Array {
  const out = new Uint32Array(words.length);
  for (let i = 0; i < words.length; i++) out[i] = words[i]! << 16;
  return new Float32Array(out.buffer);
}

/** Rounds float32 to raw bfloat16 words: nearest, ties to even. */
export function f32ToBfloat(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  // NaN stays NaN: rounding up its fraction could carry into the exponent.
  return Uint16Array.from(bits, (b) =>
    (b & 0x7fffffff) > 0x7f800000 ? (b >>> 16) | 0x40 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16,
  );
}

/** Any float or integer tensor as float32; returns the same array when it already is. */
export function toF32(array: NdArray): Float32Array {
  switch (array.dtype) {
    case 'f32':
      return array.data as Float32Array;
    case 'f16':
      return halfToF32(array.data as Uint16Array);
    case 'bf16':
      return bfloatToF32(array.data as Uint16Array);
    default:
      return Float32Array.from(array.data as ArrayLike<number | bigint>, Number);
  }
}
