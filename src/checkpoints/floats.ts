// Float values of stored bytes and back.
import { bfloatToF32, f32ToBfloat, f32ToHalf, halfToF32, OrreryError } from '../base/index.ts';
import type { StoredDType } from '../formats/index.ts';

/** Float values of stored bytes. */
export function floatsOf(dtype: StoredDType, bytes: Uint8Array, name: string): Float32Array {
  const { buffer } = bytes.slice();
  switch (dtype) {
    case 'f32':
      return new Float32Array(buffer);
    case 'f64':
      return Float32Array.from(new Float64Array(buffer));
    case 'f16':
      return halfToF32(new Uint16Array(buffer));
    case 'bf16':
      return bfloatToF32(new Uint16Array(buffer));
    default:
      throw new OrreryError('model', `tensor ${name} is ${dtype}, need a float type`);
  }
}

/** Stored bytes of float values; bfloat16 by rounding to even. */
export function bytesOfFloats(dtype: StoredDType, values: Float32Array): Uint8Array {
  if (dtype === 'f64') return new Uint8Array(Float64Array.from(values).buffer);
  if (dtype === 'f16') return new Uint8Array(f32ToHalf(values).buffer);
  if (dtype === 'bf16') return new Uint8Array(f32ToBfloat(values).buffer);
  return new Uint8Array(Float32Array.from(values).buffer);
}
