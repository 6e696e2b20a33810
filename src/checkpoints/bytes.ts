// Cutting and joining stored tensors along an axis without decoding them.
import { bfloatToF32, f32ToHalf, halfToF32, OrreryError, sizeOf } from '../base/index.ts';
import { STORED_BYTES, type StoredDType } from '../formats/index.ts';
import type { CheckpointTensor } from './types.ts';

/** Rows [start, start + count) of the first axis. */
export function rowsOf(tensor: CheckpointTensor, start: number, count: number): CheckpointTensor {
  const { dtype, shape } = tensor;
  const rowBytes = sizeOf(shape.slice(1)) * STORED_BYTES[dtype];
  return {
    dtype,
    shape: [count, ...shape.slice(1)],
    readBytes: () => tensor.readBytes().subarray(start * rowBytes, (start + count) * rowBytes),
  };
}

/** The rows of a tensor in another order: row i of the result is row `order[i]`. */
export function reorderRows(tensor: CheckpointTensor, order: readonly number[]): CheckpointTensor {
  const { dtype, shape } = tensor;
  const rowBytes = sizeOf(shape.slice(1)) * STORED_BYTES[dtype];
  return {
    dtype,
    shape: [order.length, ...shape.slice(1)],
    readBytes: () => {
      const from = tensor.readBytes();
      const out = new Uint8Array(order.length * rowBytes);
      for (const [i, row] of order.entries())
        out.set(from.subarray(row * rowBytes, (row + 1) * rowBytes), i * rowBytes);
      return out;
    },
  };
}

/** Tensors side by side along an axis; types and all other sizes must agree. @param name for messages */
export function joinTensors(parts: readonly CheckpointTensor[], axis: 0 | 1, name: string): CheckpointTensor {
  const [first] = parts;
  if (first === undefined) throw new OrreryError('internal', `${name}: nothing to join`);
  for (const part of parts) {
    const fits =
      part.dtype === first.dtype &&
      part.shape.length === first.shape.length &&
      part.shape.every((d, i) => i === axis || d === first.shape[i]);
    if (!fits) {
      throw new OrreryError(
        'model',
        `${name}: pieces of ${first.dtype} [${first.shape}] and ${part.dtype} [${part.shape}] do not join along axis ${axis}; the files are of two models`,
      );
    }
  }
  const size = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
  const shape = first.shape.map((d, i) => (i === axis ? size : d));
  return {
    dtype: first.dtype,
    shape,
    readBytes: () => {
      const width = STORED_BYTES[first.dtype];
      const out = new Uint8Array(sizeOf(shape) * width);
      const rows = axis === 0 ? 1 : shape[0]!;
      const rowBytes = out.length / rows;
      let column = 0;
      for (const part of parts) {
        const from = part.readBytes();
        const piece = from.length / rows;
        for (let r = 0; r < rows; r++) out.set(from.subarray(r * piece, (r + 1) * piece), r * rowBytes + column);
        column += piece;
      }
      return out;
    },
  };
}

/** The mean of copies of one tensor; equal copies come back bit for bit. */
export function averageTensors(parts: readonly CheckpointTensor[], name: string): CheckpointTensor {
  const [first] = parts;
  if (first === undefined) throw new OrreryError('internal', `${name}: nothing to average`);
  for (const part of parts) {
    if (part.dtype !== first.dtype || part.shape.join() !== first.shape.join()) {
      throw new OrreryError(
        'model',
        `${name}: copies of ${first.dtype} [${first.shape}] and ${part.dtype} [${part.shape}]; the files are of two models`,
      );
    }
  }
  return {
    dtype: first.dtype,
    shape: first.shape,
    readBytes: () => {
      const all = parts.map((part) => part.readBytes());
      if (all.every((bytes) => Buffer.compare(bytes, all[0]!) === 0)) return all[0]!;
      const values = all.map((bytes) => floatsOf(first.dtype, bytes, name));
      const mean = values[0]!.map((_, i) => values.reduce((sum, v) => sum + v[i]!, 0) / values.length);
      return bytesOfFloats(first.dtype, mean);
    },
  };
}

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
  if (dtype === 'bf16') {
    const words = new Uint32Array(Float32Array.from(values).buffer);
    // NaN stays NaN: rounding up its fraction could carry into the exponent.
    const half = Uint16Array.from(words, (w) =>
      (w & 0x7fffffff) > 0x7f800000 ? (w >>> 16) | 0x40 : (w + 0x7fff + ((w >>> 16) & 1)) >>> 16,
    );
    return new Uint8Array(half.buffer);
  }
  return new Uint8Array(Float32Array.from(values).buffer);
}
