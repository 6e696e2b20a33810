// The safetensors format on bytes in memory: header checks, layout, decoding. No file access, so it also runs in browsers.
// A file is: 8 bytes little-endian header length, a JSON header, then the tensors back to back without holes.

import { DTYPE_BYTES, type DType, type NdArray, OrreryError, show, sizeOf, type TypedData } from '../base/index.ts';

/** Element types that a safetensors file may hold; those beyond `DType` are widened when they are read. */
export type StoredDType = DType | 'f64' | 'u64' | 'u32' | 'u16' | 'i16' | 'f8e4m3' | 'f8e5m2';

/** Where one tensor lies in its file. */
export type TensorEntry = {
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly offset: number;
  /** Number of bytes. */
  readonly length: number;
};

/** A checked header. */
export type SafetensorsHeader = {
  readonly metadata: ReadonlyMap<string, string>;
  /** Tensors in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** First byte after the header. */
  readonly dataOffset: number;
};

/** Name, type and shape of a tensor that is going to be written. */
export type TensorSpec = { readonly name: string; readonly dtype: DType; readonly shape: readonly number[] };

/** Longest header that is read, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Tensor data starts at a multiple of this; so does every tensor whose size is a multiple of it. */
export const TENSOR_ALIGNMENT = 64;

const TAGS: ReadonlyMap<string, StoredDType> = new Map([
  ['F64', 'f64'],
  ['F32', 'f32'],
  ['F16', 'f16'],
  ['BF16', 'bf16'],
  ['F8_E4M3', 'f8e4m3'],
  ['F8_E5M2', 'f8e5m2'],
  ['I64', 'i64'],
  ['I32', 'i32'],
  ['I16', 'i16'],
  ['I8', 'i8'],
  ['U64', 'u64'],
  ['U32', 'u32'],
  ['U16', 'u16'],
  ['U8', 'u8'],
  ['BOOL', 'bool'],
]);
const TAG_OF: ReadonlyMap<StoredDType, string> = new Map([...TAGS].map(([tag, dtype]) => [dtype, tag]));

/** Bytes of one stored element. */
export const STORED_BYTES: Readonly<Record<StoredDType, number>> = {
  ...DTYPE_BYTES,
  f64: 8,
  u64: 8,
  u32: 4,
  u16: 2,
  i16: 2,
  f8e4m3: 1,
  f8e5m2: 1,
};

/**
 * Reads and checks the length field, the first 8 bytes of a file.
 * @param bytes at least the first 8 bytes
 * @param fileBytes length of the whole file
 * @param source file name for error messages
 */
export function headerLength(bytes: Uint8Array, fileBytes: number, source: string): number {
  if (bytes.length < 8) throw damaged(source, `it has ${bytes.length} bytes, need at least 8`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES) throw damaged(source, `header length is ${length}, need at most ${MAX_HEADER_BYTES}`);
  if (8 + length > fileBytes) {
    throw damaged(source, `header length is ${length}, but the file has only ${fileBytes} bytes`);
  }
  if (length < 2) throw damaged(source, `header length is ${length}, need at least 2`);
  return length;
}

/**
 * Checks a header in full: types, shapes against lengths, ranges, no overlap, no hole.
 * @param json the header bytes, without the length field
 * @param fileBytes length of the whole file
 * @param source file name for error messages
 */
export function parseHeader(json: Uint8Array, fileBytes: number, source: string): SafetensorsHeader {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    throw damaged(source, 'its header is not JSON', cause);
  }
  if (!isRecord(header)) throw damaged(source, 'its header is not a JSON object');

  const dataOffset = 8 + json.length;
  const metadata = new Map<string, string>();
  const entries: [string, TensorEntry][] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__proto__') throw damaged(source, 'a tensor is called "__proto__"');
    if (name === '__metadata__') {
      if (!isRecord(value)) throw damaged(source, '"__metadata__" is not an object');
      for (const [key, text] of Object.entries(value)) {
        if (key === '__proto__') throw damaged(source, 'a metadata key is called "__proto__"');
        if (typeof text !== 'string') throw damaged(source, `metadata ${show(key)} is ${show(text)}, need a string`);
        metadata.set(key, text);
      }
    } else {
      entries.push([name, checkEntry(name, value, dataOffset, source)]);
    }
  }

  entries.sort(([, a], [, b]) => a.offset - b.offset || a.length - b.length);
  let end = dataOffset;
  for (const [name, entry] of entries) {
    if (entry.offset !== end) {
      const problem = entry.offset < end ? 'overlaps the tensor before it' : 'leaves a hole after the tensor before it';
      throw damaged(source, `tensor ${show(name)} starts at byte ${entry.offset} and ${problem} (end ${end})`);
    }
    end += entry.length;
  }
  if (end !== fileBytes) throw damaged(source, `its tensors end at byte ${end}, but the file has ${fileBytes} bytes`);
  return { metadata, tensors: new Map(entries), dataOffset };
}

function checkEntry(name: string, value: unknown, dataOffset: number, source: string): TensorEntry {
  const wrong = (what: string): OrreryError => damaged(source, `tensor ${show(name)}: ${what}`);
  if (!isRecord(value)) throw wrong('its entry is not an object');
  const { dtype: tag, shape, data_offsets: range } = value;
  const dtype = typeof tag === 'string' ? TAGS.get(tag) : undefined;
  if (dtype === undefined) throw wrong(`dtype is ${show(tag)}, need one of ${[...TAGS.keys()].join(', ')}`);
  if (!isCountList(shape)) throw wrong(`shape is ${show(shape)}, need a list of whole numbers from 0`);
  if (!isCountList(range) || range.length !== 2) {
    throw wrong(`data_offsets is ${show(range)}, need two whole numbers from 0`);
  }
  const [begin, end] = range as [number, number];
  if (begin > end) throw wrong(`data_offsets ${begin}, ${end} descend`);
  const need = sizeOf(shape) * STORED_BYTES[dtype];
  if (!Number.isSafeInteger(need) || need !== end - begin) {
    throw wrong(`shape [${shape.join(', ')}] of ${tag} needs ${need} bytes, data_offsets hold ${end - begin}`);
  }
  return { dtype, shape, offset: dataOffset + begin, length: end - begin };
}

/** Opens a whole file held in memory. */
export function parseSafetensors(
  bytes: Uint8Array,
  source = 'safetensors data',
): SafetensorsHeader & { read(name: string): NdArray } {
  const length = headerLength(bytes, bytes.length, source);
  const header = parseHeader(bytes.subarray(8, 8 + length), bytes.length, source);
  return {
    ...header,
    read: (name) => {
      const entry = findEntry(header.tensors, name, source);
      return decodeTensor(entry, bytes.subarray(entry.offset, entry.offset + entry.length), `${source}: ${name}`);
    },
  };
}

/** The entry of a name, or an error that lists a few of the names there are. */
export function findEntry(tensors: ReadonlyMap<string, TensorEntry>, name: string, source: string): TensorEntry {
  const entry = tensors.get(name);
  if (entry !== undefined) return entry;
  const some = [...tensors.keys()].slice(0, 5).join(', ');
  const rest = tensors.size > 5 ? ', …' : '';
  throw new OrreryError('data', `${source}: no tensor ${show(name)}; it has ${tensors.size}: ${some}${rest}`);
}

/**
 * Turns the bytes of one tensor into an array of its own (never a view of `bytes`).
 * Types outside `DType` are widened: i16, u16 → i32; u32 → i64; u64 → i64 (checked); f64 is rounded to f32.
 */
export function decodeTensor(entry: Pick<TensorEntry, 'dtype' | 'shape'>, bytes: Uint8Array, source: string): NdArray {
  const { shape } = entry;
  // A copy is aligned for every element width.
  const buffer = bytes.slice().buffer;
  const as = (dtype: DType, data: TypedData): NdArray => ({ dtype, shape, data });
  switch (entry.dtype) {
    case 'f32':
      return as('f32', new Float32Array(buffer));
    case 'f16':
    case 'bf16':
      return as(entry.dtype, new Uint16Array(buffer));
    case 'i64':
      return as('i64', new BigInt64Array(buffer));
    case 'i32':
      return as('i32', new Int32Array(buffer));
    case 'i8':
      return as('i8', new Int8Array(buffer));
    case 'u8':
    case 'bool':
      return as(entry.dtype, new Uint8Array(buffer));
    case 'f64':
      return as('f32', Float32Array.from(new Float64Array(buffer)));
    case 'i16':
      return as('i32', Int32Array.from(new Int16Array(buffer)));
    case 'u16':
      return as('i32', Int32Array.from(new Uint16Array(buffer)));
    case 'u32':
      return as('i64', BigInt64Array.from(new Uint32Array(buffer), BigInt));
    case 'u64': {
      const data = new BigInt64Array(buffer);
      if (data.some((v) => v < 0n)) throw new OrreryError('unsupported', `${source}: a u64 value exceeds 2⁶³ − 1`);
      return as('i64', data);
    }
    default:
      throw new OrreryError('unsupported', `${source}: ${entry.dtype} tensors cannot be read; store them as bf16`);
  }
}

/** The bytes of an array as they stand in a file: a view, not a copy. */
export function tensorBytesView(array: NdArray): Uint8Array {
  return new Uint8Array(array.data.buffer, array.data.byteOffset, array.data.byteLength);
}

/** Refuses an array whose data does not fit its dtype and shape. */
export function checkTensor(name: string, array: NdArray): void {
  const need = sizeOf(array.shape) * DTYPE_BYTES[array.dtype];
  if (array.data.byteLength !== need) {
    const shape = `[${array.shape.join(', ')}]`;
    throw new OrreryError(
      'input',
      `tensor ${show(name)}: ${array.dtype} of shape ${shape} needs ${need} bytes, data has ${array.data.byteLength}`,
    );
  }
}

/**
 * Lays tensors out and makes the header.
 * The format allows no holes, so alignment comes from order: tensors whose size is a multiple of 64 bytes lie first, each
 * at a multiple of 64; the rest follow by falling element width, each at a multiple of its width.
 * @returns `head`: length field and padded header, `tensors`: in the order of their bytes, `fileBytes`: total size
 */
export function layoutSafetensors(
  specs: readonly TensorSpec[],
  metadata: ReadonlyMap<string, string> | Readonly<Record<string, string>> = {},
): { head: Uint8Array; tensors: Map<string, TensorEntry>; fileBytes: number } {
  const sized = specs.map((spec) => ({ ...spec, length: sizeOf(spec.shape) * DTYPE_BYTES[spec.dtype] }));
  const rank = (t: { length: number; dtype: DType }): number =>
    t.length % TENSOR_ALIGNMENT === 0 ? TENSOR_ALIGNMENT : DTYPE_BYTES[t.dtype];
  sized.sort((a, b) => rank(b) - rank(a));

  const entries: [string, unknown][] = [];
  const pairs = metadata instanceof Map ? [...metadata] : Object.entries(metadata as Record<string, string>);
  if (pairs.length > 0) entries.push(['__metadata__', Object.fromEntries(pairs)]);
  const names = new Set<string>();
  let begin = 0;
  for (const { name, dtype, shape, length } of sized) {
    if (name === '__proto__' || name === '__metadata__' || names.has(name)) {
      throw new OrreryError('input', `tensor name ${show(name)} is reserved or used twice`);
    }
    names.add(name);
    entries.push([name, { dtype: TAG_OF.get(dtype), shape, data_offsets: [begin, begin + length] }]);
    begin += length;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const dataOffset = Math.ceil((8 + json.length) / TENSOR_ALIGNMENT) * TENSOR_ALIGNMENT;
  if (dataOffset - 8 > MAX_HEADER_BYTES) {
    throw new OrreryError('input', `the header would have ${dataOffset - 8} bytes, need at most ${MAX_HEADER_BYTES}`);
  }
  const head = new Uint8Array(dataOffset).fill(0x20); // JSON may end in spaces
  new DataView(head.buffer).setBigUint64(0, BigInt(dataOffset - 8), true);
  head.set(json, 8);

  const tensors = new Map<string, TensorEntry>();
  let offset = dataOffset;
  for (const { name, dtype, shape, length } of sized) {
    tensors.set(name, { dtype, shape: [...shape], offset, length });
    offset += length;
  }
  return { head, tensors, fileBytes: offset };
}

/** A whole file as bytes in memory. */
export function encodeSafetensors(
  tensors: Iterable<readonly [string, NdArray]>,
  metadata: ReadonlyMap<string, string> | Readonly<Record<string, string>> = {},
): Uint8Array {
  const list = [...tensors];
  for (const [name, array] of list) checkTensor(name, array);
  const layout = layoutSafetensors(
    list.map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
    metadata,
  );
  const out = new Uint8Array(layout.fileBytes);
  out.set(layout.head);
  for (const [name, array] of list) out.set(tensorBytesView(array), layout.tensors.get(name)!.offset);
  return out;
}

function damaged(source: string, problem: string, cause?: unknown): OrreryError {
  return new OrreryError('data', `${source} is not a sound safetensors file: ${problem}; fetch or write it again`, {
    cause,
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCountList(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= 64 && value.every((v) => Number.isSafeInteger(v) && v >= 0);
}
