// What every reader of checkpoints gives: names, types and shapes at once, values one tensor at a time.
import type { NdArray } from '../base/index.ts';
import type { StoredDType } from './safetensors.ts';

/** Type and shape of a stored tensor. */
export type TensorInfo = { readonly dtype: StoredDType; readonly shape: readonly number[] };

/** A stretch of a file. */
export type TensorPlace = { readonly path: string; readonly offset: number; readonly length: number };

/** An open file, or set of files, of tensors. */
export type TensorSource = Disposable & {
  readonly path: string;
  readonly format: 'safetensors' | 'sharded safetensors' | 'torch' | 'torchscript';
  /** Bytes of all its files. */
  readonly sizeBytes: number;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Text that the file carries beside its tensors. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Things in a torch file that are neither tensors nor plain values, by key; they were not run and are not used. */
  readonly opaque: readonly { readonly key: string; readonly name: string }[];
  /** Reads one tensor; types outside `DType` are widened (see `decodeTensor`). */
  read(name: string): NdArray;
  /** The little-endian bytes of one tensor, row by row. */
  readBytes(name: string): Uint8Array;
  /** Where the bytes of a tensor lie row by row in a file, so that they can be mapped; undefined when they are spread or packed. */
  placeOf(name: string): TensorPlace | undefined;
  close(): void;
};
