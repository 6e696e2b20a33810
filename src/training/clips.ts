// Clips of a data-set folder in memory: shards read when they are needed, windows cut out on demand.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { OrreryError, type RandomStream } from '../base/index.ts';

/** What one line of a shard's metadata says about its clip. */
export type ClipMeta = {
  /** The first camera: a row-major 4×4 matrix per frame, or one. */
  readonly camera?: { readonly worldToCamera: readonly (readonly number[])[] };
  /** What a robot did, per frame; action k leads from frame k to frame k + 1. */
  readonly robot?: { readonly actions: readonly (readonly number[])[] };
  readonly index: number;
  readonly id: string;
  readonly seed: number;
  readonly scenario: string;
  /** File of ready text features, of imported data sets. */
  readonly embedding?: string;
  readonly caption: string;
  readonly captions?: readonly string[];
  readonly objects?: readonly {
    readonly id: number;
    readonly class: string;
    readonly color?: readonly number[];
    readonly dynamic: boolean;
  }[];
};

/** Clips of one data set among several, and its share of the draws. */
export type ClipsPart = { readonly from: number; readonly count: number; readonly share: number };

export type Clips = {
  /** The data sets it was joined from; absent for one. */
  readonly parts?: readonly ClipsPart[];
  /** Folder of the data set. */
  readonly dir: string;
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  readonly fps: number;
  readonly count: number;
  /** False: windows are never shown as their mirror image. Default true. */
  readonly mirrors?: boolean;
  readonly meta: readonly ClipMeta[];
  /** Frames of clip `i`: uint8 [T, H, W, 3], a view. */
  clipView(i: number): Uint8Array;
  /** Body ids of clip `i`: uint8 [T, H, W], a view, where the data set has them. */
  instanceView(i: number): Uint8Array | undefined;
};

type DatasetJson = {
  frames: number;
  height: number;
  width: number;
  fps: number;
  mirrors?: boolean;
  spec?: { frames: number; height: number; width: number; fps: number };
};

/**
 * Loads the finished shards of one split.
 * @param limit largest number of clips; the first ones are taken
 * @param keep false reads a shard when one of its clips is asked for and keeps only the last one, for passes in order
 */
export function loadClips(
  dir: string,
  split: 'train' | 'heldout',
  limit = Number.POSITIVE_INFINITY,
  keep = true,
): Clips {
  const file = join(dir, 'dataset.json');
  if (!existsSync(file)) {
    throw new OrreryError(
      'data',
      `${dir}: no dataset.json; make a data set with: orrery simulate dataset SPEC -o ${dir}`,
    );
  }
  const parsed = JSON.parse(readFileSync(file, 'utf8')) as DatasetJson;
  const { frames, height, width, fps } = parsed.frames === undefined ? parsed.spec! : parsed;
  const size = frames * height * width * 3;
  const folder = join(dir, split);
  const shards = existsSync(folder)
    ? readdirSync(folder)
        .filter((n) => /^clips-\d+\.bin$/.test(n))
        .sort()
    : [];
  const shardOf: { readonly name: string; readonly at: number }[] = [];
  const meta: ClipMeta[] = [];
  for (const name of shards) {
    if (meta.length >= limit) break;
    const lines = readFileSync(join(folder, name.replace('.bin', '.jsonl')), 'utf8')
      .trim()
      .split('\n');
    const bytes = statSync(join(folder, name)).size;
    if (bytes !== lines.length * size) {
      throw new OrreryError(
        'data',
        `${join(folder, name)}: ${bytes} bytes, but ${lines.length} clips need ${lines.length * size}; delete the shard and write the data set again`,
      );
    }
    for (const [i, line] of lines.entries()) {
      if (meta.length >= limit) break;
      meta.push(JSON.parse(line) as ClipMeta);
      shardOf.push({ name, at: i });
    }
  }
  const cache = new Map<string, Uint8Array>();
  const read = (name: string): Uint8Array => {
    const known = cache.get(name);
    if (known !== undefined) return known;
    if (!keep) cache.clear();
    const bytes = plainBytes(join(folder, name));
    cache.set(name, bytes);
    return bytes;
  };
  if (meta.length === 0)
    throw new OrreryError('data', `${folder}: no finished shards yet; wait for the data set or write it again`);
  return {
    dir,
    frames,
    height,
    width,
    fps,
    count: meta.length,
    ...(parsed.mirrors === false ? { mirrors: false } : {}),
    meta,
    clipView: (i) => view(read(shardOf[i]!.name), shardOf[i]!.at, size),
    instanceView: (i) => {
      const name = shardOf[i]!.name.replace('.bin', '.instance.bin');
      return existsSync(join(folder, name)) ? view(read(name), shardOf[i]!.at, size / 3) : undefined;
    },
  };
}

const view = (bytes: Uint8Array, i: number, size: number): Uint8Array => bytes.subarray(i * size, (i + 1) * size);

/** A file as a plain Uint8Array: `Buffer.slice` would give a view where every caller expects a copy. */
function plainBytes(path: string): Uint8Array {
  const buffer = readFileSync(path);
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** Copies a window of a clip, optionally mirrored left to right: → uint8 [frames, size, size, 3] written into `out` at `at`. */
export function cutWindow(
  clips: Clips,
  clip: number,
  window: {
    readonly t: number;
    readonly y: number;
    readonly x: number;
    readonly frames: number;
    readonly size: number;
    readonly mirror: boolean;
  },
  out: Uint8Array,
  at: number,
): void {
  const source = clips.clipView(clip);
  const { t, y, x, frames, size, mirror } = window;
  let to = at;
  for (let f = 0; f < frames; f++) {
    for (let row = 0; row < size; row++) {
      const from = (((t + f) * clips.height + y + row) * clips.width + x) * 3;
      if (!mirror) {
        out.set(source.subarray(from, from + size * 3), to);
        to += size * 3;
        continue;
      }
      for (let column = size - 1; column >= 0; column--) {
        const p = from + column * 3;
        out[to++] = source[p]!;
        out[to++] = source[p + 1]!;
        out[to++] = source[p + 2]!;
      }
    }
  }
}

/** A clip at random; of joined data sets first the set by its share. */
export function drawClip(clips: Pick<Clips, 'count' | 'parts'>, random: RandomStream): number {
  if (clips.parts === undefined) return random.integer(0, clips.count - 1);
  let u = random.uniform(
    0,
    clips.parts.reduce((sum, p) => sum + p.share, 0),
  );
  const part = clips.parts.find((p) => (u -= p.share) < 0) ?? clips.parts.at(-1)!;
  return random.integer(part.from, part.from + part.count - 1);
}

/** Several data sets as one, drawn from by their shares. They must have the same frames, size and rate. */
export function joinClips(
  sets: readonly { readonly name: string; readonly clips: Clips; readonly share: number }[],
): Clips {
  const [first] = sets;
  if (sets.length === 1) return first!.clips;
  const sizeOf = ({ clips: c }: (typeof sets)[number]): string =>
    `${c.frames} frames of ${c.width}×${c.height}, ${c.fps}/s`;
  for (const set of sets) {
    if (sizeOf(set) === sizeOf(first!)) continue;
    throw new OrreryError(
      'data',
      `data sets ${first!.name} (${sizeOf(first!)}) and ${set.name} (${sizeOf(set)}) cannot be mixed; simulate one anew with the sizes of the other`,
    );
  }
  const parts: ClipsPart[] = [];
  const owner: { readonly clips: Clips; readonly at: number }[] = [];
  for (const { clips, share } of sets) {
    parts.push({ from: owner.length, count: clips.count, share });
    for (let i = 0; i < clips.count; i++) owner.push({ clips, at: i });
  }
  return {
    ...first!.clips,
    count: owner.length,
    ...(sets.some(({ clips }) => clips.mirrors === false) ? { mirrors: false } : {}),
    meta: sets.flatMap(({ clips }) => clips.meta),
    parts,
    clipView: (i) => owner[i]!.clips.clipView(owner[i]!.at),
    instanceView: (i) => owner[i]!.clips.instanceView(owner[i]!.at),
  };
}

/** Random windows as one batch: uint8 [batch, frames, size, size, 3]. */
export function randomWindows(
  clips: Clips,
  random: RandomStream,
  options: { readonly batch: number; readonly frames: number; readonly size: number },
): Uint8Array {
  const { batch, frames, size } = options;
  const each = frames * size * size * 3;
  const out = new Uint8Array(batch * each);
  for (let b = 0; b < batch; b++) {
    const window = {
      t: random.integer(0, clips.frames - frames),
      y: random.integer(0, clips.height - size),
      x: random.integer(0, clips.width - size),
      frames,
      size,
      mirror: random.uniform() < 0.5,
    };
    cutWindow(clips, drawClip(clips, random), window, out, b * each);
  }
  return out;
}
