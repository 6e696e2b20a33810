import {
  appendFileSync,
  closeSync,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { exitCodeOf, f32, type NdArray } from '../base/index.ts';
import { diskError, writeFully, writeSafetensors } from '../formats/index.ts';
import {
  cachedSha256,
  checkWeights,
  createRunFolder,
  inspectModel,
  listModels,
  listRuns,
  openModelFolder,
  readEvents,
  readModelFolder,
  readRun,
  runFile,
  sha256OfFile,
  shippedModels,
  verifyModelFolder,
  writeModelFolder,
} from './index.ts';

const folder = mkdtempSync(join(tmpdir(), 'orrery-hub-'));
const cache = process.env.ORRERY_CACHE;
beforeAll(() => {
  process.env.ORRERY_CACHE = join(folder, 'cache');
});
afterAll(() => {
  if (cache === undefined) delete process.env.ORRERY_CACHE;
  else process.env.ORRERY_CACHE = cache;
  rmSync(folder, { recursive: true, force: true });
});

const tensors: [string, NdArray][] = [
  ['a', f32([2, 3], [1, 2, 3, 4, 5, 6])],
  ['b', { dtype: 'f16', shape: [4], data: new Uint16Array(4) }],
];
let dir: string;
let n = 0;
beforeEach(() => {
  dir = join(folder, `models-${n++}`, 'tiny');
  writeModelFolder(
    dir,
    {
      kind: 'test',
      name: 'tiny',
      config: { width: 3 },
      licence: 'Apache-2.0',
      training: { steps: 1 },
      card: '# tiny\n',
    },
    tensors,
  );
});

test('a written model opens, and says what is in it', () => {
  const { record } = openModelFolder(dir, { verify: 'full' });
  expect(record).toMatchObject({
    version: 1,
    kind: 'test',
    parameters: 10,
    config: { width: 3 },
    training: { steps: 1 },
  });
  expect(readFileSync(join(dir, 'README.md'), 'utf8')).toBe('# tiny\n');
  const report = inspectModel(dir);
  expect(report.parameters).toBe(10);
  expect(report.byType).toEqual({ f32: 6, f16: 4 });
  expect(report.tensors.map((t) => [t.name, t.shape])).toEqual([
    ['a', [2, 3]],
    ['b', [4]],
  ]);
});

test('an altered, cut or missing file is named with what was found and expected', async () => {
  const weights = join(dir, 'model.safetensors');
  const good = readFileSync(weights);
  const verify = async (): Promise<void> => {
    for await (const _ of verifyModelFolder(dir));
  };
  await verify();

  const bad = Uint8Array.from(good);
  bad[bad.length - 1]! ^= 1;
  writeFileSync(weights, bad);
  expect(() => openModelFolder(dir)).toThrow(/model\.safetensors has been altered: sha256 [0-9a-f]{12}…, .* expected/);
  await expect(verify()).rejects.toThrow(/altered/);
  expect(listModels(join(dir, '..'))).toMatchObject([
    { name: 'tiny', kind: 'test', problem: expect.stringMatching(/altered/) },
  ]);
  expect(() => openModelFolder(dir, { verify: 'size' })).not.toThrow();

  truncateSync(weights, 10);
  expect(() => openModelFolder(dir)).toThrow(/has 10 bytes, \d+ expected/);
  unlinkSync(weights);
  expect(() => openModelFolder(dir)).toThrow(/is missing \(\d+ bytes\)/);
  expect(readModelFolder(dir).record.name).toBe('tiny');
});

test.each([
  ['no JSON', '{', /no valid JSON/],
  ['no kind', '{"name":"x","parameters":1,"config":{},"files":{}}', /kind: /],
  [
    'escaping name',
    '{"kind":"k","name":"x","parameters":1,"config":{},"files":{"../x":{"sizeBytes":1,"sha256":"0"}}}',
    /files/,
  ],
  [
    'absolute name',
    '{"kind":"k","name":"x","parameters":1,"config":{},"files":{"/x":{"sizeBytes":1,"sha256":"0"}}}',
    /files/,
  ],
  [
    'bad sum',
    '{"kind":"k","name":"x","parameters":1,"config":{},"files":{"x":{"sizeBytes":1,"sha256":"0"}}}',
    /sha256/,
  ],
  ['other version', '{"version":2,"kind":"k","name":"x","parameters":1,"config":{},"files":{}}', /version/],
])('refuses a record: %s', (_name, text, message) => {
  writeFileSync(join(dir, 'model.json'), text);
  let error: unknown;
  try {
    openModelFolder(dir);
  } catch (caught) {
    error = caught;
  }
  expect(String(error)).toMatch(message);
  expect(String(error)).toContain('model.json');
  expect(exitCodeOf(error)).toBe(4);
});

test('a model that is nowhere: the places looked at', () => {
  expect(() => openModelFolder('no-such-model')).toThrow(
    /no model.json in .*models\/no-such-model or .*orrery models list/,
  );
  expect(listModels(join(folder, 'nothing'))).toEqual([]);
});

test('shipped models are found, whole, and as many parameters as they state', () => {
  const models = listModels();
  expect(models.map((m) => m.problem).filter(Boolean)).toEqual([]);
  for (const { name, parameters } of models) {
    expect(inspectModel(name).parameters).toBe(parameters);
    expect(checkWeights(join(shippedModels(), name, 'model.safetensors')).bad).toEqual([]);
  }
});

test('a checksum is remembered until the file changes', () => {
  const path = join(folder, 'summed');
  writeFileSync(path, 'one');
  const notes = (): string[] =>
    existsSync(join(folder, 'cache', 'sha256')) ? readdirSync(join(folder, 'cache', 'sha256')) : [];
  const before = notes().length;
  // Too fresh to be remembered: it may still change under the same time stamp.
  expect(cachedSha256(path)).toBe(sha256OfFile(path));
  expect(notes().length).toBe(before);
  writeFileSync(path, 'two');
  utimesSync(path, 1, 1);
  expect(cachedSha256(path)).toBe(sha256OfFile(path));
  expect(sha256OfFile(path)).toBe('3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3');
});

test('weights that are not numbers are found', () => {
  const path = join(folder, 'weights.safetensors');
  writeSafetensors(path, [
    ['fine', f32([3], [1, -3e38, 1e-45])],
    ['f32', f32([4], [1, Number.NaN, Number.NEGATIVE_INFINITY, 2])],
    ['f16', { dtype: 'f16', shape: [3], data: Uint16Array.of(0x7bff, 0xfc00, 0x7e00) }],
    ['bf16', { dtype: 'bf16', shape: [2], data: Uint16Array.of(0x7f7f, 0x7fc0) }],
    ['ids', { dtype: 'i32', shape: [1], data: Int32Array.of(-1) }],
  ]);
  const { tensors: count, values, bad } = checkWeights(path);
  expect([count, values]).toEqual([5, 13]);
  expect(new Map(bad.map((b) => [b.name, [b.nan, b.infinite, b.first]]))).toEqual(
    new Map([
      ['f32', [1, 1, 1]],
      ['f16', [1, 1, 1]],
      ['bf16', [1, 0, 1]],
    ]),
  );
});

test('run folders: written, listed, shown', () => {
  const root = join(folder, 'runs');
  const first = createRunFolder(root, 'generate', new Date('2026-01-01T00:00:00Z'));
  expect(first.id).toMatch(/^20260101-000000-generate-[0-9a-f]{4}$/);
  first.write('request.json', { prompt: 'a ball' });
  first.write('resolved.json', { task: 'generate', prompt: 'a ball', seed: 7 });
  first.event({ type: 'started' });
  first.event({ type: 'step', index: 1 });
  const second = createRunFolder(root, 'tokenize', new Date('2026-01-02T00:00:00Z'));
  second.write('resolved.json', { task: 'tokenize' });
  second.write('result.json', { status: 'completed' });

  expect(listRuns(root).map((r) => [r.id, r.task, r.status, r.prompt])).toEqual([
    [second.id, 'tokenize', 'completed', ''],
    [first.id, 'generate', 'unfinished', 'a ball'],
  ]);
  expect(readRun(first.id, root).files.map((f) => f.name)).toEqual(['events.jsonl', 'request.json', 'resolved.json']);
  appendFileSync(join(first.dir, 'events.jsonl'), '{"type":"st');
  expect(readEvents(first.dir).map((e) => e.type)).toEqual(['started', 'step']);
  writeFileSync(join(first.dir, 'result.json'), '{"status":');
  expect(readRun(first.id, root).status).toBe('unfinished');
  expect(runFile(second.id, 'result.json', root)).toBe(join(second.dir, 'result.json'));
});

test('run ids and file names never lead out of the runs folder', () => {
  const root = join(folder, 'runs-safe');
  const run = createRunFolder(root, 'generate');
  run.write('request.json', {});
  symlinkSync('/etc/passwd', join(run.dir, 'link.mp4'));
  expect(() => readRun('../runs', root)).toThrow(/letters, digits/);
  expect(() => readRun('none', root)).toThrow(/no run folder/);
  expect(() => runFile(run.id, '../x', root)).toThrow(/has no file/);
  expect(() => runFile(run.id, 'link.mp4', root)).toThrow(/has no file/);
});

test('two runs in one second get two folders', () => {
  const now = new Date('2026-02-03T04:05:06Z');
  const ids = Array.from({ length: 40 }, () => createRunFolder(join(folder, 'many'), 'demo', now).id);
  expect(new Set(ids).size).toBe(40);
});

test('an unwritable folder and a full disk give errors with a next step', () => {
  writeFileSync(join(folder, 'file'), '');
  expect(() => createRunFolder(join(folder, 'file', 'runs'), 'demo')).toThrow(
    /cannot make the folder .*choose another/,
  );
  const run = createRunFolder(join(folder, 'gone'), 'demo');
  rmSync(run.dir, { recursive: true });
  writeFileSync(run.dir, '');
  expect(() => run.write('x.json', {})).toThrow(/cannot make the folder .*a file has that name/);
  expect(() => run.event({})).toThrow(/cannot write .*events\.jsonl/);
});

test.skipIf(!existsSync('/dev/full'))('a full disk is called a full disk', () => {
  const fd = openSync('/dev/full', 'w');
  try {
    writeFully(fd, new Uint8Array(10), 0);
    expect.unreachable();
  } catch (error) {
    expect(diskError(error, 'write', 'x').message).toMatch(/the disk is full; free some space/);
  } finally {
    closeSync(fd);
  }
});

test('a copied model folder opens from its new place', () => {
  const copy = join(folder, 'copy');
  cpSync(dir, copy, { recursive: true });
  expect(openModelFolder(copy).dir).toBe(copy);
});
