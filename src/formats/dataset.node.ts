// A data-set folder of raw clips: what `simulate` and `curate` write and `train` reads. Reads single clips by position in
// their shard, never a whole shard. Layout:
//   dataset.json                         counts, size, frames, fps, the specification
//   train|heldout/clips-00000.bin        uint8 [n, T, H, W, 3]
//   train|heldout/clips-00000.instance.bin  uint8 [n, T, H, W], body ids (optional)
//   train|heldout/clips-00000.jsonl      one line of metadata per clip; written last, so it marks a finished shard

import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { InputError, OrreryError } from '../base/index.ts';
import { diskError } from './files.node.ts';

/** The parts of a data set: never the same clip in both. */
export type DatasetSplit = 'train' | 'heldout';

/** Both splits. */
export const DATASET_SPLITS: readonly DatasetSplit[] = ['train', 'heldout'];

/** Metadata of one clip. Writers may add more. */
export type DatasetClipMeta = {
  readonly index: number;
  readonly id: string;
  readonly seed?: number;
  readonly scenario?: string;
  readonly caption: string;
  readonly captions?: readonly string[];
  readonly fps: number;
  readonly frames: number;
  readonly [key: string]: unknown;
};

/** One clip in memory. */
export type DatasetClip = {
  /** uint8 [T, H, W, 3]. */
  readonly frames: Uint8Array;
  /** uint8 [T, H, W], body ids, where the data set has them. */
  readonly instance?: Uint8Array;
  readonly meta: DatasetClipMeta;
};

/** An open data set. Shards that are finished later are not seen; open it again for them. */
export type Dataset = Disposable & {
  readonly dir: string;
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** Splits with at least one finished shard. */
  readonly splits: readonly DatasetSplit[];
  /** Clips in the finished shards of a split. */
  clipCount(split?: DatasetSplit): number;
  /** Metadata of clip `i`, 0 ≤ i < clipCount(split). */
  readMeta(i: number, split?: DatasetSplit): DatasetClipMeta;
  /** Reads clip `i`, 0 ≤ i < clipCount(split). The default split is `train`. */
  readClip(i: number, split?: DatasetSplit): DatasetClip;
  dispose(): void;
};

type Shard = { readonly path: string; readonly first: number; readonly meta: readonly DatasetClipMeta[] };

/** Opens a data-set folder and reads the metadata of its finished shards. */
export function openDataset(dir: string): Dataset {
  const { frames, width, height, fps } = readHeader(dir);
  const pixels = frames * width * height;
  const shards: Record<DatasetSplit, Shard[]> = { train: [], heldout: [] };
  for (const split of DATASET_SPLITS) shards[split] = findShards(join(dir, split), pixels * 3);
  const files = new Map<string, number>();

  const count = (split: DatasetSplit): number => {
    const last = shards[split].at(-1);
    return last === undefined ? 0 : last.first + last.meta.length;
  };
  const find = (i: number, split: DatasetSplit): { shard: Shard; at: number } => {
    if (!Number.isInteger(i) || i < 0 || i >= count(split)) {
      throw new InputError('clip', {
        got: i,
        need: `0…${count(split) - 1}`,
        why: `${split} has ${count(split)} clips`,
      });
    }
    const shard = shards[split].findLast((s) => s.first <= i)!;
    return { shard, at: i - shard.first };
  };
  const read = (path: string, position: number, length: number): Uint8Array => {
    try {
      let fd = files.get(path);
      if (fd === undefined) files.set(path, (fd = openSync(path, 'r')));
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const got = readSync(fd, bytes, done, length - done, position + done);
        if (got === 0) throw new OrreryError('data', `${path}: ends too early; delete the shard and write it again`);
        done += got;
      }
      return bytes;
    } catch (error) {
      throw diskError(error, 'read', path);
    }
  };
  const dispose = (): void => {
    for (const fd of files.values()) closeSync(fd);
    files.clear();
  };

  return {
    dir,
    frames,
    width,
    height,
    fps,
    splits: DATASET_SPLITS.filter((split) => count(split) > 0),
    clipCount: (split = 'train') => count(split),
    readMeta: (i, split = 'train') => {
      const { shard, at } = find(i, split);
      return shard.meta[at]!;
    },
    readClip: (i, split = 'train') => {
      const { shard, at } = find(i, split);
      const ids = `${shard.path}.instance.bin`;
      return {
        frames: read(`${shard.path}.bin`, at * pixels * 3, pixels * 3),
        ...(existsSync(ids) ? { instance: read(ids, at * pixels, pixels) } : {}),
        meta: shard.meta[at]!,
      };
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

function readHeader(dir: string): { frames: number; width: number; height: number; fps: number } {
  const file = join(dir, 'dataset.json');
  if (!existsSync(file)) {
    throw new OrreryError('data', `${dir}: no dataset.json there; name a folder that holds a data set`);
  }
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  } catch (cause) {
    throw new OrreryError(
      'data',
      `${file}: not readable JSON (${(cause as Error).message}); write the data set again`,
      {
        cause,
      },
    );
  }
  const whole = (key: string): number => {
    const value = header[key];
    if (typeof value !== 'number' || !(value > 0)) {
      throw new OrreryError('data', `${file}: ${key} is ${String(value)}, need a number above 0`);
    }
    return value;
  };
  return { frames: whole('frames'), width: whole('width'), height: whole('height'), fps: whole('fps') };
}

function findShards(folder: string, clipBytes: number): Shard[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder)
    .filter((name) => /^clips-\d+\.jsonl$/.test(name))
    .sort();
  const shards: Shard[] = [];
  let first = 0;
  for (const name of names) {
    const path = join(folder, name.slice(0, -'.jsonl'.length));
    const meta = readFileSync(join(folder, name), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line, n) => {
        try {
          return JSON.parse(line) as DatasetClipMeta;
        } catch (cause) {
          throw new OrreryError('data', `${join(folder, name)}: line ${n + 1} is not JSON; write the shard again`, {
            cause,
          });
        }
      });
    const size = statSync(`${path}.bin`, { throwIfNoEntry: false })?.size ?? 0;
    if (size !== meta.length * clipBytes) {
      throw new OrreryError(
        'data',
        `${path}.bin: ${size} bytes, but its ${meta.length} clips need ${meta.length * clipBytes}; delete the shard and write it again`,
      );
    }
    shards.push({ path, first, meta });
    first += meta.length;
  }
  return shards;
}
