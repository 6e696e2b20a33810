// `orrery evaluate` as a process: scores of video files, and one-line errors for what cannot be scored.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encodeMp4, type Frames } from '../../src/media/index.ts';
import { orrery } from './run-orrery.ts';

const dir = mkdtempSync(join(tmpdir(), 'orrery-evaluate-'));
afterAll(() => rmSync(dir, { recursive: true }));

function gradient(frames: number, shift: number): Frames {
  const data = Uint8Array.from({ length: frames * 32 * 48 * 3 }, (_, i) => {
    const p = Math.floor(i / 3);
    return (((p % 48) * 4 + Math.floor(p / 48) * 2 + Math.floor(p / 1536) * 3 + shift) % 200) + 20;
  });
  return { dtype: 'u8', shape: [frames, 32, 48, 3], data };
}

beforeAll(async () => {
  for (const name of ['made', 'real', 'empty']) mkdirSync(join(dir, name));
  await encodeMp4(gradient(6, 0), { path: join(dir, 'made/a.mp4'), fps: 12 });
  await encodeMp4(gradient(8, 0), { path: join(dir, 'real/a.mp4'), fps: 12 });
  await encodeMp4(gradient(4, 9), { path: join(dir, 'real/alone.mp4'), fps: 12 });
});

it('scores pairs, notes what it did, writes a report', async () => {
  const out = join(dir, 'out');
  const done = await orrery([
    '--json',
    'evaluate',
    'videos',
    join(dir, 'made'),
    join(dir, 'real'),
    '--metrics',
    'psnr,ssim',
    '-o',
    out,
  ]);
  expect(done.stderr).toContain('the first 6 count');
  expect(done.stderr).toContain('alone');
  expect(done.code).toBe(0);
  const scores = JSON.parse(done.stdout) as {
    overall: { generated: { psnr: { mean: number } } };
    files: { report: string };
  };
  expect(scores.overall.generated.psnr.mean).toBeGreaterThan(35);
  expect(scores.files.report).toBe(join(out, 'report.html'));
});

it.each([
  [['videos', 'made', 'nowhere'], 4, 'no such file or folder'],
  [['videos', 'made', 'empty'], 4, 'no video files'],
  [['videos', 'made', 'real', '--metrics', 'beauty'], 2, 'need psnr, psnr-video'],
  [['videos', 'made', 'real', '--skip', '6'], 2, 'frames to skip: got 6'],
  [['videos', 'made/a.mp4', 'real'], 2, 'two files or two folders'],
])('answers %j in one line', async (args, code, text) => {
  const [command, a, b, ...rest] = args;
  const done = await orrery(['evaluate', command!, join(dir, a!), join(dir, b!), ...rest]);
  expect(done.stderr).toContain(text);
  expect(done.code).toBe(code);
});
