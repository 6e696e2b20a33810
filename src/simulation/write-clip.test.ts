import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, expect, it } from 'vitest';
import { halfToNumber } from '../base/index.ts';
import { renderClip } from './render/clip.ts';
import { demoScene } from './render/test-scenes.ts';
import { writeClip } from './write-clip.ts';

const dir = mkdtempSync(join(tmpdir(), 'orrery-clip-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it('writes channels that equal the renderer’s, and says so file by file', async () => {
  const clip = demoScene({ frames: 3, size: 32 });
  const events = [];
  for await (const event of writeClip(clip, { dir, rgb: 'png', workers: 2 })) events.push(event);
  expect(events.map((e) => e.type)).toEqual(['start', 'camera', 'done']);
  const truth = renderClip(clip.scene, clip.trajectory, { channels: ['depth', 'instance', 'flow', 'normal'] });

  const rgb = await sharp(join(dir, 'view0/rgb/00002.png')).raw().toBuffer();
  expect(rgb.equals(Buffer.from(truth.rgb.slice(2 * 32 * 32 * 3)))).toBe(true);
  const ids = await sharp(join(dir, 'view0/instance/00001.png')).toColourspace('b-w').raw().toBuffer();
  expect([...ids]).toEqual([...truth.instance!.subarray(32 * 32, 2 * 32 * 32)]);

  const npy = readFileSync(join(dir, 'view0/depth.npy'));
  const start = 10 + npy.readUInt16LE(8);
  expect(npy.subarray(10, start).toString()).toMatch(/'descr': '<f2'.*\(3, 32, 32\)/);
  expect(start % 64).toBe(0);
  expect(npy.length).toBe(start + 3 * 32 * 32 * 2);
  truth.depth!.forEach((z, i) => {
    const stored = halfToNumber(npy.readUInt16LE(start + i * 2));
    expect(Math.abs(stored - (z === Number.POSITIVE_INFINITY ? 0 : z))).toBeLessThan(z < 60 ? 0.02 : 1e4);
  });

  const boxes = JSON.parse(readFileSync(join(dir, 'view0/boxes.json'), 'utf8'));
  const ball = boxes.frames[0].find((b: { id: number }) => b.id === 2);
  expect(ball.visible).toBeGreaterThan(0.5);
  expect(ball.visible).toBeLessThanOrEqual(1);
  const state = JSON.parse(readFileSync(join(dir, 'state.json'), 'utf8'));
  expect(state).toMatchObject({
    shape: [3, 6, 13],
    dtype: 'float32',
    sha256: events.at(-1)!.type === 'done' ? expect.stringMatching(/^[0-9a-f]{64}$/) : '',
  });
  expect(readFileSync(join(dir, 'state.bin')).length).toBe(3 * 6 * 13 * 4);
  for (const file of ['scene.json', 'cameras.json', 'caption.json', 'contacts.jsonl', 'view0/flow.npy']) {
    expect(existsSync(join(dir, file)), file).toBe(true);
  }
});
