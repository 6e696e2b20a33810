// `orrery curate` as a process: small drawn videos in, clips and tables out; kill -9 and continue; damaged files; NATS.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeMp4, type Frames, probe } from '../../src/media/index.ts';
import { ROOT } from '../house/source-files.ts';

const MAIN = join(ROOT, 'dist/src/cli/main.js');
const folder = mkdtempSync(join(tmpdir(), 'orrery-curate-'));
const videos = join(folder, 'in');
const FAST = [
  '--split',
  'fixed',
  '--clip-seconds',
  '1',
  '--min-seconds',
  '0.5',
  '--preset',
  'ultrafast',
  '--quality',
  'score',
  '--embed',
  'off',
];

/** Textured pictures that drift; each video has its own seed. */
function drawn(seed: number, frames: number, width = 96, height = 64): Frames {
  const data = new Uint8Array(frames * height * width * 3);
  for (let t = 0, at = 0; t < frames; t++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++, at += 3) {
        const v = 128 + 60 * Math.sin((x + t * 1.5) / (4 + seed)) + 50 * Math.sin((y + seed * 7) / 5);
        data[at] = v;
        data[at + 1] = 255 - v;
        data[at + 2] = (seed * 40) & 255;
      }
  return { dtype: 'u8', shape: [frames, height, width, 3], data };
}

function orrery(args: readonly string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });
  return { code: status, stdout, stderr };
}

function start(args: readonly string[]): ChildProcess & { readonly ended: Promise<number | null>; text: string } {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const full = Object.assign(child, { ended, text: '' });
  child.stdout?.on('data', (d) => (full.text += String(d)));
  child.stderr?.on('data', (d) => (full.text += String(d)));
  return full;
}

const waitFor = async (test: () => boolean, seconds: number): Promise<void> => {
  for (let i = 0; i < seconds * 10 && !test(); i++) await new Promise((resolve) => setTimeout(resolve, 100));
};
const clipNames = (out: string): string[] => readdirSync(join(out, 'clips')).sort();
const journalOf = (out: string): { e: string; id: string; s?: string }[] =>
  readFileSync(join(out, 'journal.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { e: string; id: string });
const summaryOf = (out: string): Record<string, number> =>
  JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8')) as Record<string, number>;

beforeAll(async () => {
  mkdirSync(videos);
  for (let i = 0; i < 4; i++)
    await encodeMp4(drawn(i, 75), { path: join(videos, `v${i}.mp4`), fps: 25, preset: 'ultrafast' });
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 300 }));

describe('curate', () => {
  it('writes clips, tables and a report; damaged files are explained and cost nothing else', async () => {
    const input = join(folder, 'mixed');
    mkdirSync(input);
    for (const i of [0, 1]) writeFileSync(join(input, `v${i}.mp4`), readFileSync(join(videos, `v${i}.mp4`)));
    writeFileSync(join(input, 'text.mp4'), 'this is no video');
    writeFileSync(join(input, 'empty.mp4'), '');
    writeFileSync(join(input, 'cut.mp4'), readFileSync(join(videos, 'v2.mp4')));
    truncateSync(join(input, 'cut.mp4'), 900);
    writeFileSync(join(input, 'notes.txt'), 'skipped');
    const out = join(folder, 'out-mixed');
    const { code, stdout, stderr } = orrery(['curate', input, out, ...FAST, '--preview']);
    expect(code, stderr).toBe(0);
    expect(stdout.trim().split('\n')).toEqual([join(out, 'summary.json'), join(out, 'report.html')]);
    const summary = summaryOf(out);
    expect(summary).toMatchObject({
      num_input_videos: 5,
      num_processed_videos: 2,
      num_failed_videos: 3,
      total_num_clips_passed: 6,
    });
    for (const name of ['text.mp4', 'empty.mp4', 'cut.mp4'])
      expect((summary as unknown as Record<string, { error: string }>)[name]!.error).toMatch(/need/);
    expect(clipNames(out).length).toBe(6);
    const clip = join(out, 'clips', clipNames(out)[0]!);
    const info = await probe(clip);
    expect([info.width, info.height, info.frames]).toEqual([96, 64, 25]);
    const inspected = JSON.parse(orrery(['curate', 'inspect', clip, '--json']).stdout);
    expect(inspected).toMatchObject({ info: { frames: 25 }, quality: { hashes: expect.any(Array) } });
    expect(inspected.quality).not.toHaveProperty('signature');
    for (const path of [
      'clips.parquet',
      'report.html',
      'processed_videos/v0.mp4.json',
      'processed_clip_chunks/v0.mp4_0.json',
      'video_errors/text.mp4_0.json',
      'v0/all_window_captions.json',
    ])
      expect(existsSync(join(out, path)), path).toBe(true);
    expect(readdirSync(join(out, 'metas', 'v0')).length).toBe(6);
    expect(readdirSync(join(out, 'previews')).length).toBe(6);
    // The tables are read by another program.
    const { DuckDBInstance } = await import('@duckdb/node-api');
    const db = await (await DuckDBInstance.create(':memory:')).connect();
    const rows = await db.runAndReadAll(
      `select count(*)::int n, sum(num_frames)::int f, min(caption) c from read_parquet('${join(out, 'clips.parquet')}')`,
    );
    expect(rows.getRows()[0]!.slice(0, 2)).toEqual([6, 150]);
    expect(String(rows.getRows()[0]![2])).toContain('second shot');
    db.closeSync();
    // Again: nothing to do, the same answer.
    expect(orrery(['curate', input, out, ...FAST, '--preview']).code).toBe(0);
    expect(summaryOf(out)['total_num_clips_passed']).toBe(6);
    // Other options in the same folder are refused.
    expect(orrery(['curate', input, out, ...FAST, '--crf', '30'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('another input or other options: crf'),
    });

    const duplicate = orrery(['curate', 'dedup', out, '--json']);
    expect(JSON.parse(duplicate.stdout)).toMatchObject({ clips: 6 });
    const shards = join(folder, 'shards');
    expect(
      JSON.parse(
        orrery(['curate', 'shard', out, shards, '--min-seconds', '0.5', '--keep-duplicates', '--json']).stdout,
      ),
    ).toMatchObject({ clips: 6, tars: 1 });
    const train = join(folder, 'train');
    const made = JSON.parse(
      orrery([
        'curate',
        'shard',
        out,
        train,
        '--format',
        'train',
        '--frames',
        '9',
        '--size',
        '32',
        '--fps',
        '10',
        '--keep-duplicates',
        '--json',
      ]).stdout,
    ) as { train: number; heldOut: number };
    expect(made.train + made.heldOut).toBe(6);
    const { openDataset } = await import('../../src/formats/index.ts');
    using set = openDataset(train);
    expect(set.readClip(0).frames.length).toBe(9 * 32 * 32 * 3);
  }, 180_000);

  it('continues after kill -9 without losing or doubling a clip', async () => {
    const out = join(folder, 'out-killed');
    const first = start(['curate', videos, out, ...FAST, '--cores', '1']);
    await waitFor(() => existsSync(join(out, 'clips')) && clipNames(out).some((n) => !n.startsWith('.')), 60);
    first.kill('SIGKILL');
    await first.ended;
    const finished = journalOf(out)
      .filter((e) => e.e === 'result')
      .map((e) => e.id);
    const { code, stderr } = orrery(['curate', videos, out, ...FAST, '--cores', '1']);
    expect(code, stderr).toBe(0);
    const results = journalOf(out)
      .filter((e) => e.e === 'result')
      .map((e) => e.id);
    expect(new Set(results).size).toBe(results.length);
    expect(finished.every((id) => results.includes(id))).toBe(true);
    expect(clipNames(out).length).toBe(12);
    expect(existsSync(join(out, '.handoff'))).toBe(false);
  }, 180_000);

  it.skipIf(spawnSync('ffmpeg', ['-version']).status !== 0)(
    'carries the sound along when asked',
    () => {
      const input = join(folder, 'loud');
      mkdirSync(input);
      const pictures = ['-i', join(videos, 'v0.mp4'), '-f', 'lavfi', '-i', 'sine=frequency=440:duration=3'];
      spawnSync('ffmpeg', ['-v', 'error', ...pictures, '-c:v', 'copy', '-c:a', 'aac', join(input, 'loud.mp4')]);
      const out = join(folder, 'out-loud');
      const { code, stderr } = orrery(['curate', input, out, ...FAST, '--audio', 'copy']);
      expect(code, stderr).toBe(0);
      for (const name of clipNames(out)) {
        const args = ['-v', 'error', '-select_streams', 'a', '-show_entries', 'stream=codec_name,start_time,duration'];
        const { stdout } = spawnSync('ffprobe', [...args, '-of', 'csv=p=0', join(out, 'clips', name)], {
          encoding: 'utf8',
        });
        const [codec, start, seconds] = stdout.trim().split(',');
        expect(codec).toBe('aac');
        // Sound begins within one packet of the pictures and lasts as long.
        expect(Number(start)).toBeLessThan(0.03);
        expect(Math.abs(Number(seconds) - 1)).toBeLessThan(0.06);
      }
      expect(clipNames(out).length).toBe(3);
    },
    120_000,
  );

  it('refuses nonsense in one line', () => {
    const nested = orrery(['curate', videos, join(videos, 'out')]);
    expect(nested).toMatchObject({ code: 2, stderr: expect.stringContaining('need a folder outside') });
    expect(orrery(['curate', join(folder, 'nothing'), join(folder, 'x')])).toMatchObject({ code: 2 });
    expect(orrery(['curate', videos, join(folder, 'y'), '--split', 'sideways'])).toMatchObject({ code: 2 });
    expect(existsSync(join(folder, 'y'))).toBe(false);
  }, 60_000);
});

const hasServer = spawnSync('nats-server', ['--version']).status === 0;

describe.skipIf(!hasServer)('curate over NATS', () => {
  it('gives every clip once, with one worker killed and one cut off', async () => {
    const store = join(folder, 'nats');
    const port = 20_000 + (process.pid % 20_000);
    const url = `nats://127.0.0.1:${port}`;
    const server = spawn('nats-server', ['-js', '-a', '127.0.0.1', '-p', `${port}`, '-sd', store], { stdio: 'ignore' });
    const out = join(folder, 'out-nats');
    const worker = (): ReturnType<typeof start> =>
      start(['curate', 'worker', '--nats', url, '--ack-wait-seconds', '8', '--wait-seconds', '60']);
    const all: ReturnType<typeof start>[] = [];
    try {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const boss = start(['curate', videos, out, ...FAST, '--nats', url, '--ack-wait-seconds', '8']);
      all.push(boss);
      const [killed, frozen] = [worker(), worker()];
      all.push(killed, frozen);
      await waitFor(() => existsSync(join(out, 'clips')) && clipNames(out).length > 0, 90);
      killed.kill('SIGKILL');
      // Cut off: neither works nor answers for longer than the server waits, then comes back with stale work in its hands.
      frozen.kill('SIGSTOP');
      const third = worker();
      all.push(third);
      await new Promise((resolve) => setTimeout(resolve, 12_000));
      frozen.kill('SIGCONT');
      expect(await boss.ended, boss.text).toBe(0);
      const results = journalOf(out)
        .filter((e) => e.e === 'result')
        .map((e) => e.id);
      expect(new Set(results).size).toBe(results.length);
      expect(clipNames(out).filter((n) => n.endsWith('.mp4') && !n.startsWith('.')).length).toBe(12);
      expect(summaryOf(out)).toMatchObject({
        num_processed_videos: 4,
        total_num_clips_passed: 12,
        num_dead_letters: 0,
      });
      expect(await third.ended, third.text).toBe(0);
    } finally {
      for (const child of all) child.kill('SIGKILL');
      server.kill('SIGKILL');
    }
  }, 300_000);
});
