import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { openDataset } from './dataset.node.ts';

const dir = mkdtempSync(join(tmpdir(), 'orrery-dataset-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const CLIP = 2 * 3 * 4 * 3; // T 2, H 3, W 4

function shard(split: string, name: string, values: readonly number[], withIds: boolean): void {
  mkdirSync(join(dir, split), { recursive: true });
  writeFileSync(join(dir, split, `${name}.bin`), Buffer.concat(values.map((v) => Buffer.alloc(CLIP, v))));
  if (withIds) {
    writeFileSync(
      join(dir, split, `${name}.instance.bin`),
      Buffer.concat(values.map((v) => Buffer.alloc(CLIP / 3, v + 100))),
    );
  }
  const lines = values.map((v) => JSON.stringify({ index: v, id: `c${v}`, caption: `clip ${v}`, fps: 12, frames: 2 }));
  writeFileSync(join(dir, split, `${name}.jsonl`), `${lines.join('\n')}\n`);
}

it('reads clips across shards, ids where there are any, and only finished shards', () => {
  writeFileSync(join(dir, 'dataset.json'), JSON.stringify({ frames: 2, width: 4, height: 3, fps: 12 }));
  shard('train', 'clips-00000', [0, 1], false);
  shard('train', 'clips-00001', [2], false);
  shard('heldout', 'clips-00000', [7], true);
  writeFileSync(join(dir, 'train', 'clips-00002.bin'), Buffer.alloc(5)); // still being written
  using data = openDataset(dir);
  expect(data.splits).toEqual(['train', 'heldout']);
  expect(data.clipCount()).toBe(3);
  for (const i of [2, 0, 1]) {
    const clip = data.readClip(i);
    expect(clip.frames).toEqual(new Uint8Array(CLIP).fill(i));
    expect(clip.instance).toBeUndefined();
    expect(clip.meta.caption).toBe(`clip ${i}`);
  }
  expect(data.readClip(0, 'heldout').instance).toEqual(new Uint8Array(CLIP / 3).fill(107));
  expect(() => data.readClip(3)).toThrow('clip: got 3, need 0…2');
});

it('names the shard that is damaged', () => {
  writeFileSync(join(dir, 'train', 'clips-00001.bin'), Buffer.alloc(5));
  expect(() => openDataset(dir)).toThrow(/clips-00001\.bin: 5 bytes, but its 1 clips need 72/);
  expect(() => openDataset(join(dir, 'train'))).toThrow('no dataset.json');
});
