// Data sets as input: MCAP logs and LeRobot folders, made here by other writers; and the tar and parquet round trips.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { McapWriter, TempBuffer } from '@mcap/core';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { discover } from '../../src/curation/ingest/discover.ts';
import { lerobotVideos } from '../../src/curation/ingest/lerobot.ts';
import { mcapVideos } from '../../src/curation/ingest/mcap.ts';
import { createTar, fillPattern, readParquet, readTar, readWebDataset, writeParquet } from '../../src/formats/index.ts';
import { probe, readFrames } from '../../src/media/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'orrery-ingest-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const lz4 = createRequire(import.meta.url)('lz4js') as { compress(bytes: Uint8Array): Uint8Array };

/** A ROS 2 CompressedImage in CDR, little-endian. */
function cdrImage(jpeg: Uint8Array): Uint8Array {
  const text = (s: string): Buffer => {
    const bytes = Buffer.from(`${s}\0`);
    const head = Buffer.alloc(4);
    head.writeUInt32LE(bytes.length);
    return Buffer.concat([head, bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  };
  const length = Buffer.alloc(4);
  length.writeUInt32LE(jpeg.length);
  return Buffer.concat([Buffer.from([0, 1, 0, 0]), Buffer.alloc(8), text('camera'), text('jpeg'), length, jpeg]);
}

async function writeLog(path: string, compression: '' | 'lz4'): Promise<void> {
  const out = new TempBuffer();
  const writer = new McapWriter({
    writable: out,
    ...(compression === 'lz4'
      ? { compressChunk: (data: Uint8Array) => ({ compression, compressedData: lz4.compress(data) }) }
      : {}),
  });
  await writer.start({ profile: '', library: '' });
  const schemaId = await writer.registerSchema({
    name: 'sensor_msgs/msg/CompressedImage',
    encoding: 'ros2msg',
    data: new Uint8Array(),
  });
  const channel = { schemaId, messageEncoding: 'cdr', metadata: new Map<string, string>() };
  const channelId = await writer.registerChannel({ ...channel, topic: '/cam/front' });
  const left = await writer.registerChannel({ ...channel, topic: '/cam/left' });
  for (let i = 0; i < 12; i++) {
    const jpeg = await sharp({ create: { width: 64, height: 48, channels: 3, background: { r: i * 20, g: 0, b: 0 } } })
      .jpeg()
      .toBuffer();
    // Ten per second, with one picture missing.
    const time = BigInt(1e9 + (i < 6 ? i : i + 1) * 1e8);
    const message = { sequence: i, logTime: time, publishTime: time, data: cdrImage(jpeg) };
    await writer.addMessage({ ...message, channelId });
    if (i % 2 === 0) await writer.addMessage({ ...message, channelId: left });
  }
  await writer.end();
  writeFileSync(path, out.get());
}

describe('MCAP', () => {
  it.each(['', 'lz4'] as const)('camera topics become videos on their time line, chunks %j', async (compression) => {
    const path = join(folder, `log-${compression}.mcap`);
    await writeLog(path, compression);
    const units = await mcapVideos(path, join(folder, `topics-${compression}`));
    expect(units.map((u) => u.tags?.['topic'])).toEqual(['/cam/front', '/cam/left']);
    expect((await probe(units[1]!.path)).fps).toBe(5);
    const info = await probe(units[0]!.path);
    expect([info.width, info.height]).toEqual([64, 48]);
    const { data, shape } = await readFrames(units[0]!.path);
    // 12 pictures and the gap at ten per second.
    expect(info.fps).toBe(10);
    expect(Math.abs(shape[0] - 1.2 * info.fps)).toBeLessThanOrEqual(1.5);
    expect(data[0]!).toBeLessThan(30);
    expect(data[data.length - 3]!).toBeGreaterThan(180);
  });
  it.skipIf(spawnSync('ffmpeg', ['-version']).status !== 0)('encoded streams keep their times', async () => {
    const raw = join(folder, 'stream.h264');
    // Access unit delimiters show where a picture begins.
    const encode = ['-c:v', 'libx264', '-bf', '0', '-g', '10', '-x264-params', 'aud=1:repeat-headers=1'];
    const source = ['-f', 'lavfi', '-i', 'testsrc2=s=64x48:r=10:d=2'];
    expect(spawnSync('ffmpeg', ['-v', 'error', ...source, ...encode, '-f', 'h264', raw]).status).toBe(0);
    const bytes = readFileSync(raw);
    const starts: number[] = [];
    for (let i = 0; i + 4 < bytes.length; i++)
      if (bytes.readUInt32BE(i) === 1 && (bytes[i + 4]! & 31) === 9) starts.push(i);
    expect(starts.length).toBe(20);
    const out = new TempBuffer();
    const writer = new McapWriter({ writable: out });
    await writer.start({ profile: '', library: '' });
    const schema = { name: 'foxglove.CompressedVideo', encoding: 'jsonschema', data: new Uint8Array() };
    const schemaId = await writer.registerSchema(schema);
    const channel = { schemaId, topic: '/eye', messageEncoding: 'json', metadata: new Map<string, string>() };
    const channelId = await writer.registerChannel(channel);
    for (const [i, from] of starts.entries()) {
      // The first two messages are lost, so that the stream begins between two key pictures; a pause after picture 15.
      if (i < 2) continue;
      const time = BigInt(1e9 + (i < 15 ? i : i + 10) * 1e8);
      const text = JSON.stringify({ format: 'h264', data: bytes.subarray(from, starts[i + 1]).toString('base64') });
      const data = new TextEncoder().encode(text);
      await writer.addMessage({ channelId, sequence: i, logTime: time, publishTime: time, data });
    }
    await writer.end();
    const path = join(folder, 'stream.mcap');
    writeFileSync(path, out.get());
    const [unit] = await mcapVideos(path, join(folder, 'topics-stream'));
    const info = await probe(unit!.path);
    expect([info.width, info.height, info.codec]).toEqual([64, 48, 'h264']);
    // Pictures 10 to 19: one second and the pause of another.
    const { shape } = await readFrames(unit!.path);
    expect(shape[0]).toBe(10);
    expect(info.durationSeconds).toBeGreaterThan(1.85);
    expect(unit!.tags).toMatchObject({ topic: '/eye', start_ns: '2000000000' });
    // Again: the file is there, the answer the same.
    expect(await mcapVideos(path, join(folder, 'topics-stream'))).toEqual([unit]);
  });
  it('other files and logs that end early are told apart', async () => {
    const path = join(folder, 'text.mcap');
    writeFileSync(path, 'hello');
    await expect(mcapVideos(path, join(folder, 'none'))).rejects.toThrow('not an MCAP log');
    const whole = readFileSync(join(folder, 'log-.mcap'));
    writeFileSync(path, whole.subarray(0, 200));
    await expect(mcapVideos(path, join(folder, 'none'))).rejects.toThrow('no camera topics');
  });
});

describe('LeRobot', () => {
  it('v3: episodes are parts of shared files', async () => {
    const set = join(folder, 'v3');
    mkdirSync(join(set, 'meta', 'episodes', 'chunk-000'), { recursive: true });
    const video_path = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4';
    writeFileSync(
      join(set, 'meta', 'info.json'),
      JSON.stringify({
        codebase_version: 'v3.0',
        fps: 30,
        video_path,
        features: { cam: { dtype: 'video' }, state: { dtype: 'float32' } },
      }),
    );
    const at = (name: string, values: number[]) => ({ name, type: 'number' as const, values });
    writeParquet(join(set, 'meta', 'episodes', 'chunk-000', 'file-000.parquet'), [
      { name: 'episode_index', type: 'integer', values: [0, 1] },
      { name: 'tasks', type: 'texts', values: [['pick the cup'], ['pour']] },
      at('videos/cam/chunk_index', [0, 0]),
      at('videos/cam/file_index', [2, 2]),
      at('videos/cam/from_timestamp', [0, 4.5]),
      at('videos/cam/to_timestamp', [4.5, 9]),
    ]);
    const units = await lerobotVideos(set);
    expect(units).toMatchObject([
      { name: 'episode_000000/cam.mp4', part: { start: 0, end: 4.5 }, tags: { task: 'pick the cup' } },
      { name: 'episode_000001/cam.mp4', part: { start: 4.5, end: 9 }, tags: { task: 'pour' } },
    ]);
    expect(units[0]!.path).toBe(join(set, 'videos/cam/chunk-000/file-002.mp4'));
  });
  it('v2.1: one file per episode', async () => {
    const set = join(folder, 'v2');
    mkdirSync(join(set, 'meta'), { recursive: true });
    writeFileSync(
      join(set, 'meta', 'info.json'),
      JSON.stringify({ codebase_version: 'v2.1', fps: 30, features: { cam: { dtype: 'video' } } }),
    );
    writeFileSync(join(set, 'meta', 'episodes.jsonl'), '{"episode_index":1001,"tasks":["a"],"length":3}\n');
    expect((await lerobotVideos(set))[0]!.path).toBe(join(set, 'videos/chunk-001/cam/episode_001001.mp4'));
    expect(fillPattern('a/{x:03d}-{y}', { x: 7, y: 'z' })).toBe('a/007-z');
  });
  it('other versions and Lance are refused', async () => {
    const set = join(folder, 'v9');
    mkdirSync(join(set, 'meta'), { recursive: true });
    const info = join(set, 'meta', 'info.json');
    writeFileSync(info, JSON.stringify({ codebase_version: 'v9.0', fps: 30, features: {} }));
    await expect(lerobotVideos(set)).rejects.toThrow('need v2.0, v2.1 or v3.0');
    writeFileSync(info, JSON.stringify({ codebase_version: 'v3.0', storage_format: 'lance', fps: 30, features: {} }));
    await expect(lerobotVideos(set)).rejects.toThrow('Lance');
  });
});

describe('lists', () => {
  it('name videos in JSON, CSV and by glob', () => {
    const set = join(folder, 'list');
    mkdirSync(join(set, 'deep'), { recursive: true });
    for (const name of ['a.mp4', 'deep/b.mkv', 'c.txt']) writeFileSync(join(set, name), '');
    const names = (input: string): string[] => discover(input, join(folder, 'out')).videos.map((v) => v.name);
    expect(names(set)).toEqual(['a.mp4', 'deep/b.mkv']);
    expect(names(join(set, '**/*.{mkv,mp4}'))).toEqual(['a.mp4', 'deep/b.mkv']);
    writeFileSync(join(set, 'list.json'), '["deep/b.mkv",{"path":"a.mp4"}]');
    expect(names(join(set, 'list.json'))).toEqual(['deep/b.mkv', 'a.mp4']);
    writeFileSync(join(set, 'list.csv'), 'n,path\n1,"a.mp4"\n');
    expect(names(join(set, 'list.csv'))).toEqual(['a.mp4']);
    expect(() => discover(set, join(set, 'out'))).toThrow('need a folder outside');
  });
});

describe('archives and tables', () => {
  it('tar members come back in order, long names too', () => {
    const path = join(folder, 'x.tar');
    const tar = createTar(path);
    const long = `${'d'.repeat(90)}/${'f'.repeat(60)}.json`;
    tar.add('a.mp4', new Uint8Array([1, 2, 3]));
    tar.add('a.json', new Uint8Array(600).fill(7));
    tar.add(long, new Uint8Array(0));
    tar.finish();
    expect([...readTar(path)].map((m) => [m.name, m.content.length])).toEqual([
      ['a.mp4', 3],
      ['a.json', 600],
      [long, 0],
    ]);
    expect([...readWebDataset(path)].map((s) => [...s.parts.keys()])).toEqual([['mp4', 'json'], ['json']]);
    writeFileSync(path, readFileSync(path).subarray(0, 700));
    expect(() => [...readTar(path)]).toThrow('ends too early');
  });
  it('parquet keeps types and empty cells', async () => {
    const path = join(folder, 'x.parquet');
    writeParquet(path, [
      { name: 't', type: 'text', values: ['a', null] },
      { name: 'i', type: 'integer', values: [2 ** 40, null] },
      { name: 'v', type: 'floats', values: [[0.5, 1], new Float32Array([2])] },
    ]);
    const rows = await readParquet(path);
    expect(rows[0]).toEqual({ t: 'a', i: 2 ** 40, v: [0.5, 1] });
    expect(rows[1]!['v']).toEqual([2]);
  });
});
