// Writes `.pt` archives that `torch.load(path, weights_only=True)` reads: a dictionary of tensors, one storage each, streamed.
import { crc32 } from 'node:zlib';
import { OrreryError, sizeOf } from '../base/index.ts';
import { createPendingFile, diskError, writeFully } from './files.node.ts';
import { PICKLE_LIMITS } from './pickle.ts';
import { STORED_BYTES, type StoredDType } from './safetensors.ts';
import type { TensorInfo } from './tensor-source.ts';

/** A tensor to write; `readBytes` is called once, when its turn comes. */
export type TorchTensorSource = TensorInfo & { readonly name: string; readonly readBytes: () => Uint8Array };

const STORAGE_OF: Partial<Record<StoredDType, string>> = {
  f32: 'FloatStorage',
  f64: 'DoubleStorage',
  f16: 'HalfStorage',
  bf16: 'BFloat16Storage',
  u8: 'ByteStorage',
  i8: 'CharStorage',
  i16: 'ShortStorage',
  i32: 'IntStorage',
  i64: 'LongStorage',
  bool: 'BoolStorage',
};
const U32 = 0xffffffff;

/** How the tensors lie in the file. */
export type WriteTorchOptions = {
  /** Top folder of the archive, which torch takes from the file name. Default "archive". */
  readonly root?: string;
  /** Put the dictionary of tensors under this key of another one. */
  readonly wrap?: string;
  /** Write a tuple of the tensors in place of a dictionary. */
  readonly asTuple?: boolean;
};

/** Writes the file atomically. */
export function writeTorch(path: string, tensors: readonly TorchTensorSource[], options: WriteTorchOptions = {}): void {
  for (const _ of writeTorchSteps(path, tensors, options));
}

/** The same in steps, one per tensor; leaving early drops the file. */
export function* writeTorchSteps(
  path: string,
  tensors: readonly TorchTensorSource[],
  options: WriteTorchOptions = {},
): Generator<string> {
  const { root = 'archive' } = options;
  const file = createPendingFile(path);
  let offset = 0;
  const put = (bytes: Uint8Array): void => {
    writeFully(file.fd, bytes, offset);
    offset += bytes.length;
  };
  const written: { name: string; sizeBytes: number; crc: number; offset: number }[] = [];
  const add = (name: string, bytes: Uint8Array): void => {
    const full = `${root}/${name}`;
    const crc = crc32(bytes);
    written.push({ name: full, sizeBytes: bytes.length, crc, offset });
    put(localHeader(full, bytes.length, crc, offset));
    put(bytes);
  };
  try {
    const pickle = pickleOf(tensors, options);
    if (pickle.length > PICKLE_LIMITS.bytes) {
      throw new OrreryError(
        'unsupported',
        `${path}: ${tensors.length} tensors are too many for one torch file; write safetensors`,
      );
    }
    add('data.pkl', pickle);
    add('byteorder', new TextEncoder().encode('little'));
    for (const [i, tensor] of tensors.entries()) {
      const bytes = tensor.readBytes();
      const need = sizeOf(tensor.shape) * STORED_BYTES[tensor.dtype];
      if (bytes.length !== need) {
        throw new OrreryError('internal', `tensor ${tensor.name} gave ${bytes.length} bytes, need ${need}`);
      }
      add(`data/${i}`, bytes);
      yield tensor.name;
    }
    add('version', new TextEncoder().encode('3\n'));
    const start = offset;
    for (const entry of written) put(directoryEntry(entry));
    put(endOf(written.length, start, offset - start));
    file.commit();
  } catch (error) {
    throw diskError(error, 'write', path);
  } finally {
    file.abort();
  }
}

/** Local header whose extra field makes the content begin at a multiple of 64 bytes, as in torch's own files. */
function localHeader(name: string, size: number, crc: number, at: number): Uint8Array {
  const utf8 = new TextEncoder().encode(name);
  const long = size >= U32;
  const fixed = 30 + utf8.length + (long ? 20 : 0) + 4;
  const pad = (64 - ((at + fixed) % 64)) % 64;
  const out = new Uint8Array(fixed + pad);
  const v = new DataView(out.buffer);
  v.setUint32(0, 0x04034b50, true);
  v.setUint16(4, long ? 45 : 20, true);
  v.setUint32(14, crc, true);
  v.setUint32(18, long ? U32 : size, true);
  v.setUint32(22, long ? U32 : size, true);
  v.setUint16(26, utf8.length, true);
  v.setUint16(28, out.length - 30 - utf8.length, true);
  out.set(utf8, 30);
  let p = 30 + utf8.length;
  if (long) {
    v.setUint16(p, 1, true);
    v.setUint16(p + 2, 16, true);
    v.setBigUint64(p + 4, BigInt(size), true);
    v.setBigUint64(p + 12, BigInt(size), true);
    p += 20;
  }
  v.setUint16(p, 0x4246, true); // "FB": padding
  v.setUint16(p + 2, pad, true);
  return out;
}

function directoryEntry(e: { name: string; sizeBytes: number; crc: number; offset: number }): Uint8Array {
  const utf8 = new TextEncoder().encode(e.name);
  const wide = [e.sizeBytes, e.sizeBytes, e.offset].filter((v) => v >= U32);
  const extra = wide.length === 0 ? 0 : 4 + 8 * wide.length;
  const out = new Uint8Array(46 + utf8.length + extra);
  const v = new DataView(out.buffer);
  v.setUint32(0, 0x02014b50, true);
  v.setUint16(4, 45, true);
  v.setUint16(6, extra === 0 ? 20 : 45, true);
  v.setUint32(16, e.crc, true);
  v.setUint32(20, Math.min(e.sizeBytes, U32), true);
  v.setUint32(24, Math.min(e.sizeBytes, U32), true);
  v.setUint16(28, utf8.length, true);
  v.setUint16(30, extra, true);
  v.setUint32(42, Math.min(e.offset, U32), true);
  out.set(utf8, 46);
  if (extra > 0) {
    v.setUint16(46 + utf8.length, 1, true);
    v.setUint16(48 + utf8.length, 8 * wide.length, true);
    for (const [i, value] of wide.entries()) v.setBigUint64(50 + utf8.length + 8 * i, BigInt(value), true);
  }
  return out;
}

function endOf(count: number, start: number, bytes: number): Uint8Array {
  const long = count >= 0xffff || start >= U32 || bytes >= U32;
  const out = new Uint8Array(22 + (long ? 76 : 0));
  const v = new DataView(out.buffer);
  let p = 0;
  if (long) {
    v.setUint32(0, 0x06064b50, true);
    v.setBigUint64(4, 44n, true);
    v.setUint16(12, 45, true);
    v.setUint16(14, 45, true);
    v.setBigUint64(24, BigInt(count), true);
    v.setBigUint64(32, BigInt(count), true);
    v.setBigUint64(40, BigInt(bytes), true);
    v.setBigUint64(48, BigInt(start), true);
    v.setUint32(56, 0x07064b50, true);
    v.setBigUint64(64, BigInt(start + bytes), true);
    v.setUint32(72, 1, true);
    p = 76;
  }
  v.setUint32(p, 0x06054b50, true);
  v.setUint16(p + 8, Math.min(count, 0xffff), true);
  v.setUint16(p + 10, Math.min(count, 0xffff), true);
  v.setUint32(p + 12, Math.min(bytes, U32), true);
  v.setUint32(p + 16, Math.min(start, U32), true);
  return out;
}

/** Protocol 2: {name: torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())}. */
function pickleOf(tensors: readonly TorchTensorSource[], { wrap, asTuple = false }: WriteTorchOptions): Uint8Array {
  const parts: Uint8Array[] = [];
  const raw = (...codes: number[]): void => void parts.push(Uint8Array.from(codes));
  const ascii = (text: string): void => void parts.push(new TextEncoder().encode(text));
  const str = (text: string): void => {
    const utf8 = new TextEncoder().encode(text);
    const head = new Uint8Array(5);
    head[0] = 0x58;
    new DataView(head.buffer).setUint32(1, utf8.length, true);
    parts.push(head, utf8);
  };
  const int = (value: number): void => {
    if (value < 256) raw(0x4b, value);
    else if (value < 65536) raw(0x4d, value & 255, value >> 8);
    else {
      const out = new Uint8Array(value < 2 ** 31 ? 5 : 10);
      const view = new DataView(out.buffer);
      if (value < 2 ** 31) {
        out[0] = 0x4a;
        view.setInt32(1, value, true);
      } else {
        out[0] = 0x8a;
        out[1] = 8;
        view.setBigInt64(2, BigInt(value), true);
      }
      parts.push(out);
    }
  };
  const tuple = (values: readonly number[]): void => {
    raw(0x28);
    for (const value of values) int(value);
    raw(0x74);
  };
  raw(0x80, 2);
  if (wrap !== undefined) {
    raw(0x7d);
    str(wrap);
  }
  if (asTuple) raw(0x28);
  else raw(0x7d, 0x28);
  for (const [i, { name, dtype, shape }] of tensors.entries()) {
    const storage = STORAGE_OF[dtype];
    if (storage === undefined)
      throw new OrreryError('unsupported', `tensor ${name}: torch files cannot hold ${dtype} here`);
    if (!asTuple) str(name);
    ascii('ctorch._utils\n_rebuild_tensor_v2\n');
    raw(0x28, 0x28);
    str('storage');
    ascii(`ctorch\n${storage}\n`);
    str(String(i));
    str('cpu');
    int(sizeOf(shape));
    raw(0x74, 0x51);
    int(0);
    tuple(shape);
    tuple(shape.map((_, axis) => sizeOf(shape.slice(axis + 1))));
    raw(0x89);
    ascii('ccollections\nOrderedDict\n');
    raw(0x29, 0x52, 0x74, 0x52);
  }
  raw(asTuple ? 0x74 : 0x75);
  if (wrap !== undefined) raw(0x73);
  raw(0x2e);
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
