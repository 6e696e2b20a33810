import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { DTYPE_BYTES, type DType, type NdArray, OrreryError, sizeOf, type TypedData } from '../base/index.ts';
import { createSafetensorsWriter, openSafetensors, writeSafetensors } from './safetensors.node.ts';
import { encodeSafetensors, parseSafetensors, TENSOR_ALIGNMENT, tensorBytesView } from './safetensors.ts';

const folder = mkdtempSync(join(tmpdir(), 'orrery-safetensors-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const STORES: Record<DType, new (buffer: ArrayBuffer) => TypedData> = {
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i64: BigInt64Array,
  i32: Int32Array,
  u8: Uint8Array,
  i8: Int8Array,
  bool: Uint8Array,
};

const tensorArb: fc.Arbitrary<NdArray> = fc
  .tuple(
    fc.constantFrom(...(Object.keys(DTYPE_BYTES) as DType[])),
    fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
    fc.integer({ min: 0, max: 255 }),
  )
  .map(([dtype, shape, fill]) => {
    const bytes = Uint8Array.from({ length: sizeOf(shape) * DTYPE_BYTES[dtype] }, (_, i) => (i * 37 + fill) & 255);
    return { dtype, shape, data: new STORES[dtype](bytes.buffer) };
  });

const setArb = fc.uniqueArray(fc.tuple(fc.string({ minLength: 1 }), tensorArb), {
  selector: ([name]) => name,
  maxLength: 8,
});

/** A file from a hand-written header. */
function fileOf(header: string, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(header);
  const out = new Uint8Array(8 + json.length + dataBytes);
  new DataView(out.buffer).setBigUint64(0, BigInt(json.length), true);
  out.set(json, 8);
  return out;
}

test('what is written is what is read, aligned', () => {
  fc.assert(
    fc.property(setArb, fc.dictionary(fc.string(), fc.string()), (tensors, metadata) => {
      fc.pre(!Object.hasOwn(metadata, '__proto__') && tensors.every(([n]) => !n.startsWith('__')));
      const file = parseSafetensors(encodeSafetensors(tensors, metadata));
      expect(new Map(file.metadata)).toEqual(new Map(Object.entries(metadata)));
      expect(file.tensors.size).toBe(tensors.length);
      for (const [name, array] of tensors) {
        const back = file.read(name);
        expect(back.dtype).toBe(array.dtype);
        expect(back.shape).toEqual(array.shape);
        expect(tensorBytesView(back)).toEqual(tensorBytesView(array));
        const entry = file.tensors.get(name)!;
        const alignment = entry.length % TENSOR_ALIGNMENT === 0 ? TENSOR_ALIGNMENT : DTYPE_BYTES[array.dtype];
        expect(entry.offset % alignment).toBe(0);
      }
    }),
  );
});

test('any damaged byte gives the data or a clean error', () => {
  const good = encodeSafetensors(
    [
      ['a', { dtype: 'f32', shape: [2, 3], data: new Float32Array(6) }],
      ['b', { dtype: 'i64', shape: [2], data: new BigInt64Array(2) }],
    ],
    { what: 'test' },
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.nat(good.length),
      fc.boolean(),
      (flips, cut, isCut) => {
        const bytes = good.slice(0, isCut ? cut : good.length);
        for (const [at, xor] of flips) if (at < bytes.length) bytes[at]! ^= xor;
        try {
          const file = parseSafetensors(bytes);
          for (const name of file.tensors.keys()) file.read(name);
        } catch (error) {
          expect(error).toBeInstanceOf(OrreryError);
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test.each([
  ['too short', new Uint8Array(4), /at least 8/],
  ['endless header', Uint8Array.from([255, 255, 255, 255, 255, 255, 255, 127]), /header length/],
  ['header beyond the file', Uint8Array.from([9, 0, 0, 0, 0, 0, 0, 0, 123, 125]), /only 10 bytes/],
  ['no JSON', fileOf('{"a":', 0), /not JSON/],
  ['a list', fileOf('[1, 2]', 0), /JSON object/],
  ['prototype key', fileOf('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1), /__proto__/],
  ['metadata prototype', fileOf('{"__metadata__":{"__proto__":"x"}}', 0), /__proto__/],
  ['metadata number', fileOf('{"__metadata__":{"a":1}}', 0), /need a string/],
  ['unknown type', fileOf('{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}', 1), /dtype is "F4"/],
  ['negative size', fileOf('{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}', 1), /shape/],
  ['size overflow', fileOf('{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,1]}}', 1), /needs/],
  ['wrong length', fileOf('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', 4), /needs 8 bytes/],
  ['descending', fileOf('{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}', 1), /descend/],
  ['out of range', fileOf('{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}', 4), /end at byte/],
  ['bytes left over', fileOf('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 4), /end at byte/],
  [
    'overlap',
    fileOf(
      '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}',
      6,
    ),
    /overlaps/,
  ],
  [
    'hole',
    fileOf(
      '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}',
      6,
    ),
    /hole/,
  ],
])('refuses: %s', (_name, bytes, message) => {
  expect(() => parseSafetensors(bytes)).toThrow(message);
});

test('reads single tensors and rows from disk', () => {
  const path = join(folder, 'x.safetensors');
  const rows: NdArray = { dtype: 'i32', shape: [3, 2], data: Int32Array.from([1, 2, 3, 4, 5, 6]) };
  writeSafetensors(path, [['rows', rows]], new Map([['note', 'hello']]));
  expect(readdirSync(folder)).toEqual(['x.safetensors']);
  const file = openSafetensors(path);
  expect(file.metadata.get('note')).toBe('hello');
  expect(file.read('rows')).toEqual(rows);
  expect(file.readRows('rows', 1, 2)).toEqual({ dtype: 'i32', shape: [2, 2], data: Int32Array.from([3, 4, 5, 6]) });
  expect(() => file.readRows('rows', 2, 2)).toThrow(/has 3 rows/);
  expect(() => file.read('row')).toThrow(/no tensor "row".*rows/);
  const { offset, length } = file.tensors.get('rows')!;
  const raw = readFileSync(path).subarray(offset, offset + length);
  expect(new Int32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length))).toEqual(rows.data);
  file.close();
  file.close();
  expect(() => file.read('rows')).toThrow(/closed/);
  expect(() => openSafetensors(join(folder, 'none'))).toThrow(/no such file/);
});

test('f64 is read exactly or rounded to f32, small integers are widened', () => {
  const path = join(folder, 'f64.safetensors');
  const header =
    '{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"U32","shape":[1],"data_offsets":[8,12]},"c":{"dtype":"I16","shape":[1],"data_offsets":[12,14]}}';
  const bytes = fileOf(header, 14);
  const view = new DataView(bytes.buffer, bytes.length - 14);
  view.setFloat64(0, 0.1, true);
  view.setUint32(8, 4294967295, true);
  view.setInt16(12, -7, true);
  writeFileSync(path, bytes);
  const file = openSafetensors(path);
  expect(file.readF64('a')).toEqual(Float64Array.of(0.1));
  expect(file.read('a')).toEqual({ dtype: 'f32', shape: [1], data: Float32Array.of(0.1) });
  expect(file.read('b')).toEqual({ dtype: 'i64', shape: [1], data: BigInt64Array.of(4294967295n) });
  expect(file.read('c')).toEqual({ dtype: 'i32', shape: [1], data: Int32Array.of(-7) });
  file.close();
});

test('the streaming writer shows nothing before it is closed', () => {
  const path = join(folder, 'stream.safetensors');
  const specs = ['a', 'b'].map((name) => ({ name, dtype: 'u8' as const, shape: [3] }));
  const writer = createSafetensorsWriter(path, specs);
  writer.write('b', { dtype: 'u8', shape: [3], data: Uint8Array.of(4, 5, 6) });
  expect(existsSync(path)).toBe(false);
  expect(() => writer.write('b', { dtype: 'u8', shape: [3], data: new Uint8Array(3) })).toThrow(/twice/);
  expect(() => writer.write('a', { dtype: 'u8', shape: [4], data: new Uint8Array(4) })).toThrow(/announced as/);
  writer.write('a', { dtype: 'u8', shape: [3], data: Uint8Array.of(1, 2, 3) });
  writer.close();
  expect(openSafetensors(path).read('b').data).toEqual(Uint8Array.of(4, 5, 6));

  const dropped = createSafetensorsWriter(join(folder, 'dropped'), specs);
  expect(() => dropped.close()).toThrow(/never written/);
  expect(readdirSync(folder).filter((f) => f.includes('dropped'))).toEqual([]);
  writeSafetensors(join(folder, 'empty'), []);
  expect(statSync(join(folder, 'empty')).size).toBe(TENSOR_ALIGNMENT);
  expect(openSafetensors(join(folder, 'empty')).tensors.size).toBe(0);
});

test('a folder that cannot be made gives a disk error', () => {
  writeFileSync(join(folder, 'plain'), '');
  expect(() => writeSafetensors(join(folder, 'plain', 'x.safetensors'), [])).toThrow(
    /cannot make the folder .*a file has that name/,
  );
});
