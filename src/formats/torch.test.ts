// Torch files read without running them: what real files hold, and what hostile ones try.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import {
  BUILD,
  bytesOf,
  type Code,
  dict,
  global,
  int,
  MARK,
  NEWOBJ,
  PROTO,
  REDUCE,
  STOP,
  str,
  tensor,
  torchZip,
  tuple,
  type ZipPart,
  zipOf,
} from '../../test/fixtures/pickler.ts';
import { OrreryError, randomStream } from '../base/index.ts';
import { bytesAccess, openTorch, openZip, PICKLE_LIMITS, readPickle, torchFrom, writeTorch } from './index.ts';

const folder = mkdtempSync(join(tmpdir(), 'orrery-torch-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
const open = (bytes: Uint8Array): ReturnType<typeof torchFrom> => torchFrom(bytesAccess(bytes, 'x.pt'));
const pt = (value: Code, storages: Record<string, Uint8Array> = {}): ReturnType<typeof torchFrom> =>
  open(torchZip(bytesOf(PROTO, value, STOP), storages));

test('a nested state dictionary with strides, shared storages, parameters and an ordered dictionary', () => {
  const parameter = [
    global('torch._utils', '_rebuild_parameter'),
    tuple(tensor({ size: [2, 2], count: 4 }), 0x88, 'N'),
    REDUCE,
  ];
  const ordered = [global('collections', 'OrderedDict'), ')', REDUCE, MARK, str('w'), parameter, 'u'];
  const file = pt(
    dict(
      [str('model'), ordered],
      [str('t'), tensor({ size: [2, 2], stride: [1, 2], count: 4 })],
      [str('row'), tensor({ size: [2], offset: 2, count: 4 })],
      [str('list'), [']', MARK, tensor({ size: [1], offset: 3, count: 4 }), int(7), 'e']],
      [str('many'), tensor({ size: [3, 2], stride: [0, 1], count: 4 })],
    ),
    { 0: floats(1, 2, 3, 4) },
  );
  const read = (key: string): number[] => [...(file.read(key).data as Float32Array)];
  expect([...file.tensors.keys()]).toEqual(['model.w', 't', 'row', 'list.0', 'many']);
  expect(read('model.w')).toEqual([1, 2, 3, 4]);
  expect(read('t')).toEqual([1, 3, 2, 4]);
  expect(read('row')).toEqual([3, 4]);
  expect(read('list.0')).toEqual([4]);
  expect(read('many')).toEqual([1, 2, 1, 2, 1, 2]);
  expect(file.opaque).toEqual([]);
});

test('TorchScript: attributes become keys, constants are kept apart', () => {
  const module = (state: Code): Code => [global('__torch__.Net', 'Sequential'), ')', NEWOBJ, state, BUILD];
  const pickle = bytesOf(
    PROTO,
    module(dict([str('training'), 0x89], [str('0'), module(dict([str('weight'), tensor({ size: [2] })]))])),
    STOP,
  );
  const bytes = zipOf([
    { name: 'net/data.pkl', bytes: pickle },
    { name: 'net/constants.pkl', bytes: bytesOf(PROTO, tuple(tensor({ size: [1] })), STOP) },
    { name: 'net/code/net.py', bytes: bytesOf('import os'), method: 8, lies: { size: 900 } },
    { name: 'net/data/0', bytes: floats(5, 6) },
    { name: 'net/constants/0', bytes: floats(9) },
  ]);
  const file = open(bytes);
  expect(file.format).toBe('torchscript');
  expect([...file.read('0.weight').data]).toEqual([5, 6]);
  expect([...file.read('constants.0').data]).toEqual([9]);
});

test('what is written is read, also with pickles of protocol 4', () => {
  const path = join(folder, 'written.pt');
  writeTorch(path, [
    { name: 'a.weight', dtype: 'f32', shape: [2, 3], readBytes: () => floats(1, 2, 3, 4, 5, 6) },
    { name: 'long', dtype: 'i64', shape: [1], readBytes: () => new Uint8Array(BigInt64Array.of(-3n).buffer) },
    { name: 'none', dtype: 'bf16', shape: [0, 70_000], readBytes: () => new Uint8Array(0) },
  ]);
  using file = openTorch(path);
  expect([...file.tensors]).toEqual([
    ['a.weight', { dtype: 'f32', shape: [2, 3] }],
    ['long', { dtype: 'i64', shape: [1] }],
    ['none', { dtype: 'bf16', shape: [0, 70_000] }],
  ]);
  expect([...file.read('a.weight').data]).toEqual([1, 2, 3, 4, 5, 6]);
  expect([...file.read('long').data]).toEqual([-3n]);
  const short = (text: string): Code => [0x8c, text.length, text];
  const frame = bytesOf([0x80, 4, 0x95, 3, 0, 0, 0, 0, 0, 0, 0], short('os'), 0x94, short('system'), 0x93, 0x94, '.');
  expect(readPickle(frame, 'x')).toEqual({
    value: { kind: 'global', name: 'os system' },
    names: new Map([['os system', 24]]),
  });
});

test('a pickle with code runs nothing, names what it would have called, and leaves no trace', () => {
  const proof = join(folder, 'proof');
  const calls: [string, string][] = [
    ['os', 'system'],
    ['posix', 'system'],
    ['builtins', 'eval'],
    ['subprocess', 'Popen'],
  ];
  for (const [module, name] of calls) {
    const attack = [global(module, name), tuple(str(`touch ${proof}`)), REDUCE];
    const file = pt(dict([str('w'), tensor({ size: [1] })], [str('boo'), attack]), { 0: floats(1) });
    expect(file.code).toEqual([`${module} ${name}`]);
    expect(file.opaque).toEqual([{ key: 'boo', name: `${module} ${name}` }]);
    expect(() => pt([global('torch._utils', '_rebuild_parameter'), tuple(attack, 0x88, 'N'), REDUCE])).toThrow(
      `a parameter made of a call of ${module} ${name}`,
    );
  }
  expect(existsSync(proof)).toBe(false);
});

const good: Code = tensor({ size: [2] });
const store = { 0: floats(1, 2) };
const many = (n: number, code: Code): Uint8Array => {
  const one = Buffer.from(bytesOf(code));
  return Uint8Array.from(Buffer.concat(Array.from({ length: n }, () => one)));
};

test.each<[string, () => unknown, RegExp]>([
  ['an opcode outside the list', () => pt(bytesOf('I1\n')), /opcode INT at byte 2/],
  ['an extension', () => pt([0x82, 1]), /opcode EXT1/],
  ['persistent text ids', () => pt('Pabc\n'), /opcode PERSID/],
  ['instances of protocol 0', () => pt('(ios\nsystem\n'), /opcode INST/],
  ['protocol 0', () => open(torchZip(bytesOf([0x80, 0], 'N.'))), /protocol 0, need 2 to 5/],
  ['no end', () => open(torchZip(bytesOf(PROTO, 'N'))), /ends without STOP/],
  ['an empty stack', () => pt('t'), /TUPLE at byte 2: there is no mark/],
  ['a memo that is not there', () => pt(['h', 3]), /nothing is remembered under 3/],
  ['text that is cut off', () => pt(['X', 255, 255, 255, 127]), /BINUNICODE at byte 2: it needs/],
  ['a number of megabytes', () => pt([0x8b, 255, 255, 255, 0]), /a number of/],
  ['a name without an end', () => pt(`c${'a'.repeat(3000)}`), /a name without an end/],
  ['deep marks', () => pt(many(500, MARK)), /nesting exceeds 200/],
  ['deep lists', () => pt([many(300, ']'), many(299, 'a')]), /nesting exceeds 200/],
  ['a list in itself', () => pt([']', 'q', 0, 'h', 0, 'a']), /contains itself/],
  ['a huge stack', () => pt(many(PICKLE_LIMITS.stack + 1, 'N')), /the stack exceeds/],
  ['a huge memo', () => pt(['N', many(PICKLE_LIMITS.memo + 1, 0x94)]), /the memo exceeds/],
  ['millions of empty lists', () => pt([']', many(PICKLE_LIMITS.records + 5, ']a')]), /more than 3000000 lists/],
  [
    'a million million paths',
    () =>
      pt(
        Array.from(
          { length: 60 },
          (_, i): Code => (i === 0 ? [']', 'q', 0] : [']', 'q', i, 'h', i - 1, 'a', 'h', i - 1, 'a']),
        ),
      ),
    /values are left over/,
  ],
  [
    'a million million paths, well formed',
    () => pt([')', 'q', 0, Array.from({ length: 60 }, (_, i): Code => ['h', i, 0x86, 'q', i + 1])]),
    /more than 4000000 places/,
  ],
  ['a storage that is not there', () => pt(good), /its storage archive\/data\/0 is missing/],
  ['a storage that is too short', () => pt(good, { 0: floats(1) }), /has 4 bytes, 2 elements of f32 need 8/],
  ['a storage key with a path', () => pt(tensor({ key: '../data/0', size: [2] }), store), /need a plain name/],
  [
    'a storage of an unknown type',
    () => pt(tensor({ storage: 'QInt8Storage', size: [2] }), store),
    /the name torch QInt8Storage/,
  ],
  [
    'an offset outside',
    () => pt(tensor({ size: [2], offset: 1, count: 2 }), store),
    /leaves its storage of 2 elements/,
  ],
  ['a stride outside', () => pt(tensor({ size: [2], stride: [2], count: 2 }), store), /leaves its storage/],
  ['a negative stride', () => pt(tensor({ size: [2], stride: [-1], count: 2 }), store), /with strides/],
  [
    'a tensor of a million million',
    () => pt(tensor({ size: [2 ** 20, 2 ** 20], stride: [0, 0], count: 2 }), store),
    /repeats the 2 elements/,
  ],
  [
    'a call as a storage',
    () => pt([global('torch._utils', '_rebuild_tensor_v2'), tuple(int(1)), REDUCE]),
    /its storage is 1/,
  ],
  [
    'a thousand views of a million',
    () =>
      pt(
        dict(
          ...Array.from({ length: 100 }, (_, i): [Code, Code] => [
            str(`k${i}`),
            tensor({ size: [1_000_000], stride: [0], count: 1 }),
          ]),
        ),
        { 0: floats(1) },
      ),
    /claim 400000000 bytes/,
  ],
])('refused: %s', (_name, act, message) => {
  let error: unknown;
  try {
    act();
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(OrreryError);
  expect((error as OrreryError).code).toBe('data');
  expect(String(error)).toMatch(message);
});

const plain: ZipPart = { name: 'a/data.pkl', bytes: bytesOf(PROTO, 'N.') };
test.each<[string, Uint8Array, RegExp]>([
  ['nothing', new Uint8Array(0), /neither safetensors nor an archive/],
  ['a web page', bytesOf('<!DOCTYPE html><html>'), /a web page/],
  ['a Git LFS pointer', bytesOf('version https://git-lfs.github.com/spec/v1'), /a Git LFS pointer/],
  ['a legacy torch file', bytesOf([0x80, 2, 0x8a, 0x0a], 'l\xfc'), /before 1\.6/],
  ['a bare pickle', bytesOf([0x80, 4, 0x95], 'x'), /a bare pickle.*safetensors\.torch\.save_file/],
  ['half an archive', zipOf([plain]).slice(0, 60), /its end is missing/],
  ['two roots', zipOf([plain, { ...plain, name: 'b/data.pkl' }]), /2 files data\.pkl/],
  ['no pickle', zipOf([{ name: 'a/x' }]), /0 files data\.pkl/],
  ['a path upwards', zipOf([plain, { name: 'a/../../etc/passwd' }]), /not a plain relative path/],
  ['an absolute path', zipOf([plain, { name: '/etc/passwd' }]), /not a plain relative path/],
  ['a drive', zipOf([plain, { name: 'C:x' }]), /not a plain relative path/],
  ['a backslash', zipOf([plain, { name: 'a\\b' }]), /not a plain relative path/],
  ['a zero byte', zipOf([plain, { name: 'a\0b' }]), /not a plain relative path/],
  ['the same name twice', zipOf([plain, plain]), /two entries are called/],
  ['a link', zipOf([plain, { name: 'a/l', lies: { mode: 0xa1ff } }]), /a link or a device/],
  ['encryption', zipOf([plain, { name: 'a/l', lies: { flags: 1 } }]), /encrypted/],
  ['overlap', zipOf([plain, { name: 'a/data/0', bytes: new Uint8Array(8), lies: { offset: 3 } }]), /overlaps/],
  ['an entry outside', zipOf([plain, { name: 'a/data/0', lies: { offset: 1e6 } }]), /overlaps the directory/],
  ['two lengths', zipOf([plain, { name: 'a/data/0', lies: { size: 1e9 } }]), /has two lengths/],
  ['more entries than there are', zipOf([plain], { count: 9 }), /directory entry 1 is damaged/],
  ['a compressed pickle', zipOf([{ ...plain, method: 8, lies: { size: 9e6 } }]), /is compressed/],
  [
    'a bomb of one pickle',
    zipOf([{ name: 'a/data.pkl', bytes: new Uint8Array(65_000_000) }]),
    /65000000 bytes, need at most/,
  ],
  ['the wrong byte order', zipOf([plain, { name: 'a/byteorder', bytes: bytesOf('big') }]), /byte order "big"/],
])('refused archive: %s', (_name, bytes, message) => {
  expect(() => open(bytes)).toThrow(message);
  expect(() => open(bytes)).toThrow(OrreryError);
});

test('a 64-bit archive opens, and one that lies about it does not', () => {
  const zip = zipOf([plain]);
  const end = zip.length - 22;
  const old = new DataView(zip.buffer, end);
  const record = new Uint8Array(76);
  const v = new DataView(record.buffer);
  v.setUint32(0, 0x06064b50, true);
  v.setBigUint64(32, 1n, true);
  v.setBigUint64(40, BigInt(old.getUint32(12, true)), true);
  v.setBigUint64(48, BigInt(old.getUint32(16, true)), true);
  v.setUint32(56, 0x07064b50, true);
  v.setBigUint64(64, BigInt(end), true);
  const tail = zip.slice(end);
  new DataView(tail.buffer).setUint16(10, 0xffff, true);
  new DataView(tail.buffer).setUint32(16, 0xffffffff, true);
  const build = (): Uint8Array => bytesOf(zip.slice(0, end), record, tail);
  expect([...openZip(bytesAccess(build())).entries.keys()]).toEqual(['a/data.pkl']);
  v.setBigUint64(48, 2n ** 60n, true);
  expect(() => openZip(bytesAccess(build()))).toThrow(/a length is/);
  v.setBigUint64(48, 2n ** 40n, true);
  expect(() => openZip(bytesAccess(build()))).toThrow(/lies outside/);
  v.setBigUint64(32, 10n ** 9n, true);
  expect(() => openZip(bytesAccess(build()))).toThrow(/1000000000 entries/);
});

// Mutations of real streams: bits flipped, opcodes swapped, pieces cut, doubled and joined. Each must end in an answer or
// in one clean error. A crash, a hang or an error of the language itself fails the test.
test('110,000 mutated streams and archives end cleanly', () => {
  const seedPickles = [
    bytesOf(PROTO, dict([str('a'), tensor({ size: [2, 2], count: 4 })], [str('b'), tuple(int(1), 'N')]), STOP),
    bytesOf(
      PROTO,
      [global('__torch__.m', 'M'), ')', NEWOBJ, dict([str('w'), tensor({ size: [4] })], [str('t'), 0x88]), BUILD],
      STOP,
    ),
    bytesOf([
      0x80,
      4,
      0x95,
      9,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0x8f,
      0x94,
      '(',
      0x8c,
      1,
      'x',
      0x90,
      0x8c,
      2,
      'os',
      0x8c,
      6,
      'system',
      0x93,
      0x85,
      'R',
      0x86,
      '.',
    ]),
  ];
  const opcodes = Array.from('(.0F GIJKLMNPQRSTUVXabcdeghijloprstu}])', (c) => c.charCodeAt(0)).concat(
    Array.from({ length: 0x19 }, (_, i) => 0x80 + i),
  );
  const random = randomStream(7);
  const below = (n: number): number => Math.floor(random.uniform() * n);
  const mutate = (bytes: Uint8Array): Uint8Array => {
    let out: Uint8Array = Uint8Array.from(bytes);
    for (let n = 1 + below(4); n > 0; n--) {
      const at = below(out.length);
      const kind = below(6);
      if (kind === 0) out[at]! ^= 1 << below(8);
      else if (kind === 1) out[at] = opcodes[below(opcodes.length)]!;
      else if (kind === 2) out[at] = below(256);
      else if (kind === 3) out = out.slice(0, Math.max(1, at));
      else if (kind === 4) out = bytesOf(out.slice(0, at), out.slice(at, at + below(40)), out.slice(at));
      else out = bytesOf(out.slice(0, at), opcodes[below(opcodes.length)]!, out.slice(at));
    }
    return out;
  };
  const seen = { read: 0, refused: 0 };
  const attempt = (act: () => unknown): void => {
    try {
      act();
      seen.read++;
    } catch (error) {
      if (!(error instanceof OrreryError) || error.code === 'internal') throw error;
      seen.refused++;
    }
  };
  for (let i = 0; i < 100_000; i++) {
    const bytes = mutate(seedPickles[i % seedPickles.length]!);
    attempt(() => readPickle(bytes, 'fuzz'));
  }
  const archives = seedPickles.map((pickle) => torchZip(pickle, { 0: floats(1, 2, 3, 4) }));
  for (let i = 0; i < 10_000; i++) {
    const bytes = mutate(archives[i % archives.length]!);
    attempt(() => {
      const file = open(bytes);
      for (const key of file.tensors.keys()) file.read(key);
    });
  }
  expect(seen.read).toBeGreaterThan(1000);
  expect(seen.refused).toBeGreaterThan(10_000);
  expect(readdirSync(folder).sort()).toEqual(['written.pt']);
}, 120_000);

test('a set of safetensors, an index that is wrong, and files that are no model', async () => {
  const { openTensors, writeSafetensors } = await import('./index.ts');
  const f32 = (v: number): { dtype: 'f32'; shape: number[]; data: Float32Array } => ({
    dtype: 'f32',
    shape: [1],
    data: Float32Array.of(v),
  });
  const dir = mkdtempSync(join(folder, 'shards-'));
  const part = (n: number): string => `model-0000${n}-of-00002.safetensors`;
  writeSafetensors(join(dir, part(1)), [['a', f32(1)]]);
  writeSafetensors(join(dir, part(2)), [['b', f32(2)]]);
  const index = join(dir, 'model.safetensors.index.json');
  const write = (map: unknown): void => writeFileSync(index, JSON.stringify({ weight_map: map }));
  write({ a: part(1), b: part(2) });
  {
    using set = openTensors(index);
    expect([set.format, [...set.tensors.keys()], set.read('b').data[0]]).toEqual([
      'sharded safetensors',
      ['a', 'b'],
      2,
    ]);
  }
  write({ a: part(1), b: part(1) });
  expect(() => openTensors(index)).toThrow(/1 tensors are not in the files it names: b \(model-00001/);
  write({ a: part(1) });
  expect([...openTensors(index).tensors.keys()]).toEqual(['a']);
  write({ a: part(1), b: 'model-00009-of-00002.safetensors' });
  expect(() => openTensors(index)).toThrow(/1 of its 2 files are missing: model-00009/);
  write({ a: '../x.safetensors' });
  expect(() => openTensors(index)).toThrow(/need a plain file name/);
  writeFileSync(index, '{');
  expect(() => openTensors(index)).toThrow(/not JSON/);
  expect(() => openTensors(join(dir, part(1)))).toThrow(
    /is part 1 of 2 and not a whole model; name the folder or model\.safetensors\.index\.json/,
  );
  writeFileSync(join(dir, 'x.safetensors'), '<html>no</html>');
  expect(() => openTensors(join(dir, 'x.safetensors'))).toThrow(/a web page/);
  expect(() => openTensors(join(dir, 'none.pt'))).toThrow(/no such file/);
  expect(() => openTensors(dir)).toThrow(/is not a file/);
});
