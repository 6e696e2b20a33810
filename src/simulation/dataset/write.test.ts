import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { openDataset } from '../../formats/index.ts';
import { clipSeed } from './jobs.ts';
import { parseDatasetSpec, writeDataset } from './write.ts';

const root = mkdtempSync(join(tmpdir(), 'orrery-write-dataset-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const SPEC = parseDatasetSpec({
  name: 'small',
  mixture: { table_still: 1 },
  clips: 6,
  heldOut: 2,
  seed: 5,
  frames: 12,
  fps: 12,
  width: 16,
  height: 16,
});

function contents(dir: string): Record<string, string> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((f) => f.isFile());
  return Object.fromEntries(
    files.map((f) => {
      const path = join(f.parentPath, f.name);
      return [path.slice(dir.length), readFileSync(path).toString('base64')];
    }),
  );
}

it('an interrupted run continues to the same bytes, with any number of workers', async () => {
  const whole = join(root, 'whole');
  const events = [];
  for await (const event of writeDataset({ spec: SPEC, dir: whole, workers: 2 })) events.push(event);
  expect(events.at(0)).toEqual({ type: 'start', clips: 8, done: 0 });
  expect(events.at(-1)).toMatchObject({ type: 'done', clips: 8 });

  const broken = join(root, 'broken');
  const stop = new AbortController();
  const run = async (): Promise<void> => {
    for await (const event of writeDataset({ spec: SPEC, dir: broken, workers: 1, signal: stop.signal })) {
      if (event.type === 'progress' && event.done === 4) stop.abort();
    }
  };
  await expect(run()).rejects.toMatchObject({ code: 'canceled' });
  // The held-out shard was finished, the training shard was not.
  expect(existsSync(join(broken, 'heldout', 'clips-00000.jsonl'))).toBe(true);
  expect(existsSync(join(broken, 'train', 'clips-00000.jsonl'))).toBe(false);
  for await (const event of writeDataset({ spec: SPEC, dir: broken, workers: 1 })) {
    if (event.type === 'start') expect(event.done).toBe(2);
  }
  expect(contents(broken)).toEqual(contents(whole));

  using data = openDataset(whole);
  expect(data.clipCount('train')).toBe(6);
  expect(data.clipCount('heldout')).toBe(2);
  const clip = data.readClip(5);
  expect(clip.frames.length).toBe(12 * 16 * 16 * 3);
  expect(clip.meta.index).toBe(5);
  expect(new Set(clip.instance!).has(1)).toBe(true);
  expect(clip.meta.captions).toHaveLength(3);
});

it('never gives a held-out clip the seed of a training clip', () => {
  const train = new Set(Array.from({ length: 2000 }, (_, i) => clipSeed(1, 'train', i)));
  expect(train.size).toBeGreaterThan(1990);
  for (let i = 0; i < 2000; i++) expect(train.has(clipSeed(1, 'heldout', i))).toBe(false);
});
