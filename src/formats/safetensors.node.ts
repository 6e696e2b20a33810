// safetensors files on disk: ranged reads of single tensors, atomic and streaming writes. The format itself is in safetensors.ts.
import { fstatSync } from 'node:fs';
import { assert, type NdArray, OrreryError, show } from '../base/index.ts';
import { createPendingFile, diskError, openFileAccess, writeFully } from './files.node.ts';
import {
  checkTensor,
  decodeTensor,
  findEntry,
  headerLength,
  layoutSafetensors,
  parseHeader,
  type SafetensorsHeader,
  type TensorEntry,
  type TensorSpec,
  tensorBytesView,
} from './safetensors.ts';

/** An open safetensors file. Only the header is in memory; tensors are read when asked for. */
export type SafetensorsFile = SafetensorsHeader & {
  readonly path: string;
  /** Size of the file in bytes. */
  readonly sizeBytes: number;
  /** Reads one tensor. Types outside `DType` are widened, f64 is rounded to f32 (see `decodeTensor`). */
  read(name: string): NdArray;
  /** Reads an f64 or f32 tensor without rounding. */
  readF64(name: string): Float64Array;
  /**
   * Reads a run of rows along the first axis.
   * @param start first row @param count number of rows
   * @returns shape [count, ...rest]
   */
  readRows(name: string, start: number, count: number): NdArray;
  /** Reads the raw little-endian bytes of one tensor. */
  readBytes(name: string): Uint8Array;
  /** Closes the file. Twice is harmless; reading afterwards throws. */
  close(): void;
  [Symbol.dispose](): void;
};

/** Opens a file and checks its header in full. */
export function openSafetensors(path: string): SafetensorsFile {
  const file = openFileAccess(path);
  const { close, sizeBytes } = file;
  try {
    const length = headerLength(file.read(0, Math.min(8, sizeBytes)), sizeBytes, path);
    const header = parseHeader(file.read(8, length), sizeBytes, path);
    const bytesOf = (name: string): [TensorEntry, Uint8Array] => {
      const entry = findEntry(header.tensors, name, path);
      return [entry, file.read(entry.offset, entry.length)];
    };
    return {
      ...header,
      path,
      sizeBytes,
      read: (name) => decodeTensor(...bytesOf(name), `${path}: ${name}`),
      readF64: (name) => {
        const [entry, bytes] = bytesOf(name);
        if (entry.dtype === 'f64') return new Float64Array(bytes.slice().buffer);
        if (entry.dtype === 'f32') return Float64Array.from(new Float32Array(bytes.slice().buffer));
        throw new OrreryError('data', `${path}: tensor ${show(name)} is ${entry.dtype}, need f64 or f32`);
      },
      readRows: (name, start, count) => {
        const entry = findEntry(header.tensors, name, path);
        const rows = entry.shape[0] ?? 0;
        if (
          !(Number.isInteger(start) && Number.isInteger(count) && start >= 0 && count >= 0 && start + count <= rows)
        ) {
          throw new OrreryError(
            'input',
            `${path}: tensor ${show(name)} has ${rows} rows, asked for ${count} from ${start}`,
          );
        }
        const rowBytes = rows === 0 ? 0 : entry.length / rows;
        const bytes = file.read(entry.offset + start * rowBytes, count * rowBytes);
        return decodeTensor({ dtype: entry.dtype, shape: [count, ...entry.shape.slice(1)] }, bytes, `${path}: ${name}`);
      },
      readBytes: (name) => bytesOf(name)[1],
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

type Metadata = ReadonlyMap<string, string> | Readonly<Record<string, string>>;

/** Writes a file atomically. Same tensors and metadata in the same order give the same bytes. */
export function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, NdArray]>,
  metadata: Metadata = {},
): void {
  const list = [...tensors];
  const writer = createSafetensorsWriter(
    path,
    list.map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
    metadata,
  );
  try {
    for (const [name, array] of list) writer.write(name, array);
  } catch (error) {
    writer.abort();
    throw error;
  }
  writer.close();
}

/** Writes tensors one by one, so that the whole set never has to be in memory. */
export type SafetensorsWriter = {
  /** Where each tensor will lie. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** Writes one of the announced tensors, in any order, once. */
  write(name: string, array: NdArray): void;
  /** Checks that all tensors were written and gives the file its name. */
  close(): void;
  /** Drops the file. Harmless after `close`. */
  abort(): void;
};

/** Starts a file whose tensors are announced first; nothing appears under `path` before `close`. */
export function createSafetensorsWriter(
  path: string,
  specs: readonly TensorSpec[],
  metadata: Metadata = {},
): SafetensorsWriter {
  const { head, tensors, fileBytes } = layoutSafetensors(specs, metadata);
  const missing = new Set(tensors.keys());
  const file = createPendingFile(path);
  const put = (bytes: Uint8Array, offset: number): void => {
    try {
      writeFully(file.fd, bytes, offset);
    } catch (error) {
      file.abort();
      throw diskError(error, 'write', path);
    }
  };
  put(head, 0);
  return {
    tensors,
    write: (name, array) => {
      const entry = tensors.get(name);
      assert(entry !== undefined && missing.has(name), `tensor ${name} was not announced or is written twice`);
      assert(
        entry.dtype === array.dtype && entry.shape.join() === array.shape.join(),
        `tensor ${name} was announced as ${entry.dtype} [${entry.shape.join()}], got ${array.dtype} [${array.shape.join()}]`,
      );
      checkTensor(name, array);
      put(tensorBytesView(array), entry.offset);
      missing.delete(name);
    },
    close: () => {
      if (missing.size > 0) {
        file.abort();
        assert(false, `${missing.size} announced tensors of ${path} were never written, first: ${[...missing][0]}`);
      }
      assert(fstatSync(file.fd).size === Math.max(fileBytes, head.length), `${path} has an unexpected size`);
      file.commit();
    },
    abort: () => file.abort(),
  };
}
