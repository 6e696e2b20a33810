// Videos of a foreign data set as clips of one size: the shards that every training here reads. One shard per few videos, so that a
// stop costs no more than them; what cannot be read is told and counted, never replaced in silence.
import { appendFileSync, existsSync, ftruncateSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hash32, InputError, OrreryError, throwIfAborted } from '../../base/index.ts';
import {
  createPendingFile,
  diskError,
  makeFolder,
  type PendingFile,
  writeFileAtomic,
  writeFully,
} from '../../formats/index.ts';
import { decodeVideo, probe } from '../../media/index.ts';
import { openSource, type Source, type SourceVideo } from './sources.ts';

export type ImportSettings = {
  /** Frames, rows and columns of a clip; a video gives as many clips as it holds. */
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  /** Frames per second; default: that of the data set, or of its first video. Where there are actions it must divide theirs. */
  readonly fps?: number | undefined;
  /** Video feature of a LeRobot data set with several. */
  readonly camera?: string | undefined;
  /** Which numbers of an action are used, in this order; default all. */
  readonly actions?: readonly number[] | undefined;
  /** What a step over several recorded rows does: their sum (motions) or the last one (targets). */
  readonly rows?: 'sum' | 'last' | undefined;
  /** Share of the videos that is held out where the data set does not say. Default 0.05, at least one video. */
  readonly heldOut?: number | undefined;
};

export type ImportEvent =
  | { readonly type: 'import'; readonly done: number; readonly total: number }
  | { readonly type: 'skipped'; readonly name: string; readonly why: string };

const VIDEOS_PER_SHARD = 16;
/** More unreadable videos than this share, and the data set is refused. */
const MOST_SKIPPED = 0.1;

/** Decodes a data set into `target`, or what is missing of it there. */
export async function* importClips(
  dir: string,
  target: string,
  settings: ImportSettings,
  signal?: AbortSignal,
): AsyncGenerator<ImportEvent> {
  const source = await openSource(dir, settings.camera);
  const fps = settings.fps ?? source.fps ?? (await probe(source.videos[0]!.path)).fps;
  const stride = strideOf(source, fps, settings);
  const { frames, height, width } = settings;
  const header = {
    version: 1,
    frames,
    height,
    width,
    fps,
    spec: { source: 'import', ...settings, fps },
  };
  writeHeader(target, header);
  const sides = sidesOf(source.videos, settings.heldOut ?? 0.05, dir);
  const total = source.videos.length;
  let done = 0;
  let skipped = 0;
  for (const split of ['heldout', 'train'] as const) {
    makeFolder(join(target, split));
    const own = source.videos.filter((v) => sides.get(v.name) === split);
    for (let at = 0; at < own.length; at += VIDEOS_PER_SHARD) {
      const group = own.slice(at, at + VIDEOS_PER_SHARD);
      const stem = join(target, split, `clips-${String(at / VIDEOS_PER_SHARD).padStart(5, '0')}`);
      if (!existsSync(`${stem}.done`)) {
        const shard = openShard(stem);
        try {
          for (const video of group) {
            throwIfAborted(signal);
            const before = shard.count;
            try {
              await writeVideo(shard, video, { ...settings, fps, stride }, signal);
            } catch (error) {
              // The user's own stop, a full disk, or a mistake in the recipe is not a fault of this video.
              const isFault = error instanceof OrreryError && !(error instanceof InputError) && error.code === 'data';
              if (!isFault) throw error;
              // Of a video that breaks off, nothing is taken.
              shard.keep(before);
              const why = (error as Error).message;
              appendFileSync(join(target, 'skipped.jsonl'), `${JSON.stringify({ name: video.name, why })}\n`);
              yield { type: 'skipped', name: video.name, why };
              if (++skipped > Math.max(1, total * MOST_SKIPPED)) {
                throw new OrreryError(
                  'data',
                  `${dir}: ${skipped} videos cannot be read, the last one: ${why}; fetch the data set again`,
                );
              }
            }
            yield { type: 'import', done: ++done, total };
          }
        } catch (error) {
          shard.abort();
          throw error;
        }
        shard.commit();
      } else done += group.length;
    }
  }
  writeFileAtomic(join(target, 'complete'), '');
}

/** Whether a folder holds the whole import. */
export const isImported = (target: string): boolean => existsSync(join(target, 'complete'));

function writeHeader(target: string, header: object): void {
  const file = join(target, 'dataset.json');
  // Mirrored pictures would need mirrored words and mirrored motions, which nobody knows of a foreign data set.
  const text = `${JSON.stringify({ ...header, mirrors: false }, null, 2)}\n`;
  makeFolder(target);
  if (existsSync(file) && readFileSync(file, 'utf8') !== text) {
    throw new InputError('import', {
      got: 'other settings than before',
      need: 'another output folder, or the old settings',
      why: `${target} holds clips of another size, rate or choice`,
    });
  }
  if (!existsSync(file)) writeFileAtomic(file, text);
}

/** Recorded rows per frame of a clip. */
function strideOf(source: Source, fps: number, { rows }: ImportSettings): number {
  if (source.fps === undefined) return 1;
  const stride = source.fps / fps;
  if (Math.abs(stride - Math.round(stride)) > 1e-6 || stride < 0.5) {
    throw new InputError('import.fps', {
      got: fps,
      need: `${source.fps} divided by a whole number`,
      why: 'actions belong to frames',
    });
  }
  if (Math.round(stride) > 1 && rows === undefined) {
    throw new InputError('import.rows', {
      got: undefined,
      need: '"sum" or "last"',
      why: `${Math.round(stride)} recorded actions become one: motions add up, of targets the last one counts`,
    });
  }
  return Math.round(stride);
}

/** Which videos are held out: those that the data set says, or the first ones in the order of a hash. */
function sidesOf(videos: readonly SourceVideo[], share: number, dir: string): Map<string, 'train' | 'heldout'> {
  const sides = new Map(videos.map((v) => [v.name, v.split ?? ('train' as 'train' | 'heldout')]));
  if (![...sides.values()].includes('heldout')) {
    const order = videos.map((v) => v.name).sort((a, b) => hash32(a) - hash32(b) || (a < b ? -1 : 1));
    for (const name of order.slice(0, Math.max(1, Math.round(videos.length * share)))) sides.set(name, 'heldout');
  }
  if (![...sides.values()].includes('train')) {
    throw new OrreryError(
      'data',
      `${dir}: ${videos.length} video(s), all held out; need at least two, one of them to learn from`,
    );
  }
  return sides;
}

type Shard = {
  add(frames: Uint8Array, meta: object): void;
  readonly count: number;
  /** Forgets the clips after the first `count`. */
  keep(count: number): void;
  commit(): void;
  abort(): void;
};

function openShard(stem: string): Shard {
  const path = `${stem}.bin`;
  const lines: string[] = [];
  let file: PendingFile | undefined;
  let bytes = 0;
  return {
    get count() {
      return lines.length;
    },
    add(frames, meta) {
      file ??= createPendingFile(path);
      bytes = frames.length;
      try {
        writeFully(file.fd, frames, lines.length * bytes);
      } catch (error) {
        throw diskError(error, 'write', path);
      }
      lines.push(JSON.stringify(meta));
    },
    keep(count) {
      lines.length = count;
    },
    commit() {
      if (lines.length === 0) file?.abort();
      else {
        ftruncateSync(file!.fd, lines.length * bytes);
        file!.commit();
        writeFileAtomic(`${stem}.jsonl`, `${lines.join('\n')}\n`);
      }
      writeFileAtomic(`${stem}.done`, '');
    },
    abort: () => file?.abort(),
  };
}

/** The clips of one video. */
async function writeVideo(
  shard: Shard,
  video: SourceVideo,
  o: ImportSettings & { readonly fps: number; readonly stride: number },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { frames, height, width, fps, stride } = o;
  const rows = pick(await video.actions?.(), o, video.name);
  const size = frames * height * width * 3;
  const clip = new Uint8Array(size);
  let at = 0;
  let count = 0;
  const range = video.part === undefined ? {} : { startSeconds: video.part.start, endSeconds: video.part.end };
  // A quarter of a frame later than the start: between two frames, whose times may be rounded.
  const start = range.startSeconds === undefined ? {} : { startSeconds: range.startSeconds + 0.25 / fps };
  const options = { height, width, fps, fit: 'crop' as const, ...range, ...start };
  for await (const { data } of decodeVideo(video.path, signal === undefined ? options : { ...options, signal })) {
    for (let from = 0; from < data.length; ) {
      const n = Math.min(size - at, data.length - from);
      clip.set(data.subarray(from, from + n), at);
      from += n;
      at += n;
      if (at < size) continue;
      write(count++);
      at = 0;
    }
  }
  if (count === 0) {
    throw new OrreryError(
      'data',
      `${video.path}: ${Math.floor(at / (height * width * 3))} frames at ${fps}/s, fewer than the ${frames} of a clip`,
    );
  }

  /** Frames past the end of what the robot did are no clips. */
  function write(k: number): void {
    const actions = rows === undefined ? undefined : combined(rows, k * frames * stride, frames, stride, o.rows);
    if (rows !== undefined && actions === undefined) return;
    const [caption = '', ...others] = video.captions;
    shard.add(clip, {
      index: shard.count,
      id: `${video.name}-${k}`,
      seed: 0,
      scenario: 'import',
      caption,
      ...(others.length > 0 ? { captions: [caption, ...others] } : {}),
      fps,
      frames,
      ...(video.embedding === undefined ? {} : { embedding: video.embedding }),
      ...(actions === undefined ? {} : { robot: { actions } }),
    });
  }
}

function pick(
  rows: readonly (readonly number[])[] | undefined,
  { actions }: ImportSettings,
  name: string,
): readonly (readonly number[])[] | undefined {
  if (rows === undefined || actions === undefined) return rows;
  return rows.map((row) =>
    actions.map((i) => {
      if (row[i] === undefined) {
        throw new InputError('import.actions', {
          got: i,
          need: `0 to ${row.length - 1}`,
          why: `${name} has ${row.length} numbers`,
        });
      }
      return row[i];
    }),
  );
}

/** Actions of a clip: frames − 1 rows, each over `stride` recorded ones; undefined past the end of the record. */
function combined(
  rows: readonly (readonly number[])[],
  first: number,
  frames: number,
  stride: number,
  how: 'sum' | 'last' = 'last',
): number[][] | undefined {
  if (rows.length < first + (frames - 1) * stride) return undefined;
  return Array.from({ length: frames - 1 }, (_, k) => {
    const part = rows.slice(first + k * stride, first + (k + 1) * stride);
    return part[0]!.map((_, i) => (how === 'last' ? part.at(-1)![i]! : part.reduce((sum, row) => sum + row[i]!, 0)));
  });
}
