// NumPy arrays (.npy, versions 1 to 3): numbers in C order, read without running anything.
import { f32, halfToF32, type NdArray, OrreryError } from '../base/index.ts';

const READERS: Readonly<
  Record<string, readonly [bytes: number, read: (v: DataView, at: number, le: boolean) => number]>
> = {
  f8: [8, (v, at, le) => v.getFloat64(at, le)],
  f4: [4, (v, at, le) => v.getFloat32(at, le)],
  i1: [1, (v, at) => v.getInt8(at)],
  u1: [1, (v, at) => v.getUint8(at)],
  i2: [2, (v, at, le) => v.getInt16(at, le)],
  u2: [2, (v, at, le) => v.getUint16(at, le)],
  i4: [4, (v, at, le) => v.getInt32(at, le)],
  u4: [4, (v, at, le) => v.getUint32(at, le)],
  i8: [8, (v, at, le) => Number(v.getBigInt64(at, le))],
};

/** Reads an array as float32. @param name for messages */
export function readNpy(bytes: Uint8Array, name: string): NdArray & { data: Float32Array } {
  const wrong = (problem: string): OrreryError =>
    new OrreryError('data', `${name}: ${problem}; write it with numpy.save`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
  if (bytes.length < 12 || !magic.every((b, i) => bytes[i] === b)) throw wrong('is no NumPy array');
  const start = bytes[6] === 1 ? 10 : 12;
  const length = bytes[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (start + length > bytes.length) throw wrong('ends within its header');
  const header = new TextDecoder().decode(bytes.subarray(start, start + length));
  const descr = /'descr':\s*'([<>|=])([fiu]\d)'/.exec(header);
  const shape = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (descr === null || shape === undefined) throw wrong(`has a header that is not understood: ${header.slice(0, 80)}`);
  if (/'fortran_order':\s*True/.test(header)) throw wrong('is in Fortran order, need C order');
  const dims = shape
    .split(',')
    .map((s) => s.trim())
    .filter((s) => s !== '')
    .map(Number);
  const count = dims.reduce((n, d) => n * d, 1);
  const at = start + length;
  const isLittle = descr[1] !== '>';
  if (descr[2] === 'f2') {
    if (bytes.length - at !== 2 * count) throw wrong(`has ${bytes.length - at} bytes of values, need ${2 * count}`);
    const halves = Uint16Array.from({ length: count }, (_, i) => view.getUint16(at + 2 * i, isLittle));
    return f32(dims, halfToF32(halves));
  }
  const reader = READERS[descr[2]!];
  if (reader === undefined) throw wrong(`holds ${descr[2]}, need numbers`);
  const [width, read] = reader;
  if (bytes.length - at !== width * count)
    throw wrong(`has ${bytes.length - at} bytes of values, need ${width * count}`);
  return f32(
    dims,
    Float32Array.from({ length: count }, (_, i) => read(view, at + width * i, isLittle)),
  );
}
