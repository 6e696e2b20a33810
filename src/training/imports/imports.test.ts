// Foreign data sets as clips: LeRobot in both versions with what the robot did, the public layout with ready text features, robot
// recordings with poses. What cannot be read is told.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { numberedFrames, numbersOf } from '../../../test/media/numbered.ts';
import { arraysOfPickle, writeParquet } from '../../formats/index.ts';
import { encodeMp4 } from '../../media/index.ts';
import { type Clips, loadClips } from '../clips.ts';
import { type ImportEvent, type ImportSettings, importClips } from './import-clips.ts';
import { openSource } from './sources.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-imports-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SIZE = { frames: 5, height: 64, width: 96 };

async function video(path: string, count: number, first = 0, fps = 10): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  await encodeMp4(numberedFrames(count, 96, 64, first), { path, fps });
}

function write(path: string, value: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value));
}

async function imported(
  source: string,
  target: string,
  settings: Partial<ImportSettings> = {},
): Promise<ImportEvent[]> {
  const events: ImportEvent[] = [];
  for await (const e of importClips(source, target, { ...SIZE, ...settings })) events.push(e);
  return events;
}

/** Numbers that the frames of a clip show. */
const shown = (clips: Clips, i: number): number[] =>
  numbersOf({ dtype: 'u8', shape: [SIZE.frames, SIZE.height, SIZE.width, 3], data: clips.clipView(i) });

/** Row k commands k, 10 + k. */
const rows = (episode: number, count: number) =>
  Array.from({ length: count }, (_, k) => ({ episode, frame: k, action: [100 * episode + k, 10] }));

function table(path: string, list: ReturnType<typeof rows>): void {
  mkdirSync(dirname(path), { recursive: true });
  writeParquet(path, [
    { name: 'action', type: 'floats', values: list.map((r) => r.action) },
    { name: 'frame_index', type: 'integer', values: list.map((r) => r.frame) },
    { name: 'episode_index', type: 'integer', values: list.map((r) => r.episode) },
  ]);
}

const FEATURES = { cam: { dtype: 'video' }, action: { dtype: 'float32', shape: [2] } };

describe('LeRobot', () => {
  it('v2.1: each episode its own file; frames and actions belong together', async () => {
    const set = join(folder, 'v2');
    write(join(set, 'meta', 'info.json'), { codebase_version: 'v2.1', fps: 10, features: FEATURES });
    const episodes = [0, 1, 2].map((i) => JSON.stringify({ episode_index: i, tasks: [`task ${i}`], length: 12 }));
    write(join(set, 'meta', 'episodes.jsonl'), episodes.join('\n'));
    for (const i of [0, 1, 2]) {
      const name = `episode_${String(i).padStart(6, '0')}`;
      await video(join(set, 'videos', 'chunk-000', 'cam', `${name}.mp4`), 12, 100 * i);
      table(join(set, 'data', 'chunk-000', `${name}.parquet`), rows(i, 12));
    }
    const target = join(folder, 'v2-clips');
    await imported(set, target);
    const [train, heldOut] = [loadClips(target, 'train'), loadClips(target, 'heldout')];
    // Two clips of five frames in twelve; one of three episodes is held out.
    expect([train.count, heldOut.count, train.fps, train.mirrors]).toEqual([4, 2, 10, false]);
    for (const clips of [train, heldOut]) {
      for (const [i, meta] of clips.meta.entries()) {
        const first = shown(clips, i)[0]!;
        expect(shown(clips, i)).toEqual([0, 1, 2, 3, 4].map((k) => first + k));
        expect(meta.caption).toBe(`task ${Math.floor(first / 100)}`);
        expect(meta.robot!.actions).toEqual([0, 1, 2, 3].map((k) => [first + k, 10]));
      }
    }
    // Again: nothing is decoded a second time.
    const before = readFileSync(join(target, 'train', 'clips-00000.bin'));
    await imported(set, target);
    expect(readFileSync(join(target, 'train', 'clips-00000.bin')).equals(before)).toBe(true);
    await expect(imported(set, target, { frames: 6 })).rejects.toThrow('other settings than before');
  });

  it('v3.0: episodes are parts of one file and one table; slower clips join actions', async () => {
    const set = join(folder, 'v3');
    write(join(set, 'meta', 'info.json'), { codebase_version: 'v3.0', fps: 10, features: FEATURES });
    await video(join(set, 'videos', 'cam', 'chunk-000', 'file-000.mp4'), 40);
    table(join(set, 'data', 'chunk-000', 'file-000.parquet'), [...rows(0, 20), ...rows(1, 20)]);
    const path = join(set, 'meta', 'episodes', 'chunk-000', 'file-000.parquet');
    mkdirSync(dirname(path), { recursive: true });
    const whole = (name: string, values: number[]) => ({ name, type: 'integer' as const, values });
    writeParquet(path, [
      whole('episode_index', [0, 1]),
      { name: 'tasks', type: 'texts', values: [['push'], ['pull']] },
      ...['data/', 'videos/cam/'].flatMap((p) => [whole(`${p}chunk_index`, [0, 0]), whole(`${p}file_index`, [0, 0])]),
      { name: 'videos/cam/from_timestamp', type: 'number', values: [0, 2] },
      { name: 'videos/cam/to_timestamp', type: 'number', values: [2, 4] },
    ]);
    const target = join(folder, 'v3-clips');
    await expect(imported(set, join(folder, 'v3-none'), { fps: 5 })).rejects.toThrow('"sum" or "last"');
    await expect(imported(set, join(folder, 'v3-odd'), { fps: 4 })).rejects.toThrow('10 divided by a whole number');
    await imported(set, target, { fps: 5, rows: 'sum', actions: [1, 0] });
    for (const split of ['train', 'heldout'] as const) {
      const clips = loadClips(target, split);
      expect(clips.count).toBe(2);
      for (const [i, meta] of clips.meta.entries()) {
        const first = shown(clips, i)[0]!;
        const episode = Math.floor(first / 20);
        expect(shown(clips, i)).toEqual([0, 2, 4, 6, 8].map((k) => first + k));
        expect(meta.caption).toBe(['push', 'pull'][episode]);
        const at = 100 * episode + (first % 20);
        expect(meta.robot!.actions).toEqual([0, 2, 4, 6].map((k) => [20, 2 * (at + k) + 1]));
      }
    }
    await expect(imported(set, join(folder, 'v3-few'), { actions: [7] })).rejects.toThrow('need 0 to 1');
  });
});

describe('the public layout', () => {
  it('has captions beside videos; a damaged video is told, not replaced', async () => {
    const set = join(folder, 'plain');
    for (const i of [0, 1, 2, 3]) {
      if (i < 3) await video(join(set, 'videos', `v${i}.mp4`), 6);
      write(join(set, 'metas', `v${i}.txt`), `text ${i}\n`);
    }
    write(join(set, 'videos', 'v3.mp4'), 'no video at all');
    const target = join(folder, 'plain-clips');
    const events = await imported(set, target);
    expect(events.filter((e) => e.type === 'skipped')).toMatchObject([{ name: 'v3' }]);
    const captions = (['train', 'heldout'] as const).flatMap((s) => loadClips(target, s).meta.map((m) => m.caption));
    expect(captions.sort()).toEqual(['text 0', 'text 1', 'text 2']);
    rmSync(join(set, 'metas', 'v1.txt'));
    await expect(openSource(set)).rejects.toThrow('v1 has no caption');
    write(join(set, 'captions', 'v1.json'), { model: { long: 'a long text', short: 'short' } });
    expect((await openSource(set)).videos[1]!.captions).toEqual(['a long text', 'short']);
    await expect(openSource(join(folder, 'nothing'))).rejects.toThrow('no data set that can be read');
  });

  it('reads text features out of pickled lists of arrays', () => {
    // pickle.dumps([np.array([[1, 2.5], [-3, 0]], np.float16)], 4) as NumPy 1 writes it, and with protocol 5 by NumPy 2.4.
    const four =
      'gASVnQAAAAAAAABdlIwVbnVtcHkuY29yZS5tdWx0aWFycmF5lIwMX3JlY29uc3RydWN0lJOUjAVudW1weZSMB25kYXJyYXmUk5RLAIWUQwFilIeUUpQoSwFLAksChpRoBIwFZHR5cGWUk5SMAmYylImIh5RSlChLA4wBPJROTk5K/////0r/////SwB0lGKJQwgAPABBAMIAAJR0lGJhLg==';
    const five =
      'gAWVgQAAAAAAAABdlIwTbnVtcHkuX2NvcmUubnVtZXJpY5SMC19mcm9tYnVmZmVylJOUKJYIAAAAAAAAAAA8AEEAwgAAlIwFbnVtcHmUjAVkdHlwZZSTlIwCZjKUiYiHlFKUKEsDjAE8lE5OTkr/////Sv////9LAHSUYksCSwKGlIwBQ5R0lFKUYS4=';
    for (const text of [four, five]) {
      const [array] = arraysOfPickle(Buffer.from(text, 'base64'), 'list');
      expect(array).toMatchObject({ dtype: 'f16', shape: [2, 2] });
      expect([...(array!.data as Uint16Array)]).toEqual([0x3c00, 0x4100, 0xc200, 0]);
    }
    expect(() =>
      arraysOfPickle(Uint8Array.from([0x80, 4, 0x63, ...Buffer.from('os\nsystem\n'), 0x29, 0x52, 0x2e]), 'x'),
    ).toThrow('os system: not an array');
  });
});

describe('robot recordings with poses', () => {
  it('keep the split that they come with', async () => {
    const set = join(folder, 'poses');
    for (const [split, id] of [
      ['train', 'a'],
      ['val', 'b'],
    ] as const) {
      await video(join(set, 'videos', split, id, 'rgb.mp4'), 6);
      const state = Array.from({ length: 6 }, (_, k) => [0.1 * k, 0, 0, 0, 0, 0]);
      write(join(set, 'annotation', split, `${id}.json`), {
        state,
        continuous_gripper_state: state.map(() => 1),
        texts: ['go'],
      });
    }
    const target = join(folder, 'poses-clips');
    await imported(set, target);
    const [train, heldOut] = [loadClips(target, 'train'), loadClips(target, 'heldout')];
    expect([train.meta[0]!.id, heldOut.meta[0]!.id]).toEqual(['train/a-0', 'val/b-0']);
    expect(train.meta[0]!.robot!.actions).toHaveLength(4);
    expect(train.meta[0]!.robot!.actions[0]![0]).toBeCloseTo(0.1, 12);
    expect(train.meta[0]!.robot!.actions[0]![6]).toBe(1);
  });
});
