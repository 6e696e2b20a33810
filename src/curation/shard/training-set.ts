// `trainingSet(out, dst)`: the project's own data-set folder, which `orrery train` reads: raw frames of one size and length
// in shards, one line of metadata per clip, train and held-out videos apart. A shard counts when its .jsonl is there.
import { closeSync, existsSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { hash32, InputError, throwIfAborted } from '../../base/index.ts';
import { diskError, makeFolder, writeFileAtomic } from '../../formats/index.ts';
import { decodeVideo } from '../../media/index.ts';
import { cacheLatents } from '../../training/index.ts';
import type { ClipResult } from '../clip-work.ts';
import { checkNesting } from '../ingest/discover.ts';
import { TOKENIZER } from '../stages/embed.ts';
import { clipsToShard } from './webdataset.ts';

/** Options of `trainingSet`. */
export type TrainingSetOptions = {
  /** Frames of a sample; a clip gives as many as it holds. Default 33. */
  readonly frames?: number;
  readonly width?: number;
  readonly height?: number;
  readonly fps?: number;
  /** Share of the source videos that is held out. Default 0.05; at least one video when there are several. */
  readonly heldOut?: number;
  readonly dropDuplicates?: boolean;
  /** Also encodes the training windows with orrery-tokenizer, below `dst/latents`: a training then starts at once. */
  readonly latents?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
};

const SHARD_SAMPLES = 64;

/** Writes or completes the folder. Samples of one source video are all on one side. */
export async function trainingSet(
  out: string,
  dst: string,
  options: TrainingSetOptions = {},
): Promise<{ train: number; heldOut: number; tooShort: number; latentWindows?: number; dir: string }> {
  const { frames = 33, width = 128, height = 128, fps = 24, heldOut = 0.05, dropDuplicates = true, signal } = options;
  checkNesting(out, dst);
  const { clips } = await clipsToShard(out, dropDuplicates);
  const header = {
    version: 1,
    frames,
    height,
    width,
    fps,
    spec: { source: 'curate', frames, height, width, fps, heldOut },
  };
  const file = join(dst, 'dataset.json');
  const text = `${JSON.stringify(header, null, 2)}\n`;
  if (existsSync(file) && readFileSync(file, 'utf8') !== text)
    throw new InputError('dst', {
      got: dst,
      need: 'a new folder, or one of the same size and length',
      why: 'it holds another data set',
    });
  const sides = splitVideos([...new Set(clips.map((c) => c.videoId))], heldOut);
  const result = { train: 0, heldOut: 0, tooShort: 0, dir: dst };
  for (const split of ['heldout', 'train'] as const) makeFolder(join(dst, split));
  writeFileAtomic(file, text);
  const total = clips.length;
  let seen = 0;
  for (const split of ['heldout', 'train'] as const) {
    const own = clips.filter((c) => sides.get(c.videoId) === split).sort((a, b) => (a.id < b.id ? -1 : 1));
    let shard: ReturnType<typeof openShard> | undefined;
    let index = 0;
    let number = 0;
    const done = finishedShards(dst, split);
    for (const clip of own) {
      throwIfAborted(signal);
      options.onProgress?.(seen++, total);
      // A frame may be missing at the end of a clip: half a frame of slack.
      const windows = Math.floor((clip.seconds * fps + 0.5) / frames);
      if (windows === 0) {
        result.tooShort++;
        continue;
      }
      for (let w = 0; w < windows; w++) {
        const slot = index % SHARD_SAMPLES;
        if (slot === 0) {
          shard?.commit();
          shard = undefined;
          number = Math.floor(index / SHARD_SAMPLES);
        }
        if (!done.has(number)) {
          shard ??= openShard(dst, split, number);
          const pixels = await readWindow(
            join(out, clip.file),
            { frames, width, height, fps, startSeconds: (w * frames) / fps },
            signal,
          );
          shard.add(pixels, lineOf(clip, { split, index, window: w, fps, frames }));
        }
        index++;
      }
    }
    shard?.commit();
    if (split === 'train') result.train = index;
    else result.heldOut = index;
  }
  if (options.latents !== true || result.train === 0) return result;
  const { windows } = await cacheLatents(dst, TOKENIZER, {
    ...(signal === undefined ? {} : { signal }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  return { ...result, latentWindows: windows };
}

function splitVideos(ids: readonly string[], share: number): Map<string, 'train' | 'heldout'> {
  // By a hash of the id: adding videos later moves none to the other side.
  const limit = share * 2 ** 32;
  const sides = new Map(ids.map((id) => [id, hash32(id) < limit ? ('heldout' as const) : ('train' as const)]));
  if (share > 0 && ids.length > 1 && ![...sides.values()].includes('heldout'))
    sides.set(
      ids.reduce((a, b) => (hash32(b) < hash32(a) ? b : a)),
      'heldout',
    );
  if (![...sides.values()].includes('train') && ids.length > 0)
    sides.set(
      ids.reduce((a, b) => (hash32(b) > hash32(a) ? b : a)),
      'train',
    );
  return sides;
}

function finishedShards(dst: string, split: string): Set<number> {
  const done = new Set<number>();
  for (let n = 0; existsSync(join(dst, split, `${nameOf(n)}.jsonl`)); n++) done.add(n);
  return done;
}

const nameOf = (n: number): string => `clips-${String(n).padStart(5, '0')}`;

function openShard(dst: string, split: string, n: number) {
  const path = join(dst, split, nameOf(n));
  let fd: number;
  try {
    fd = openSync(`${path}.bin.tmp`, 'w');
  } catch (error) {
    throw diskError(error, 'write', path);
  }
  const lines: string[] = [];
  return {
    add(pixels: Uint8Array, line: string): void {
      let at = 0;
      while (at < pixels.length) at += writeSync(fd, pixels, at);
      lines.push(line);
    },
    commit(): void {
      closeSync(fd);
      renameSync(`${path}.bin.tmp`, `${path}.bin`);
      writeFileAtomic(`${path}.jsonl`, `${lines.join('\n')}\n`);
    },
  };
}

async function readWindow(
  path: string,
  o: { frames: number; width: number; height: number; fps: number; startSeconds: number },
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const size = o.width * o.height * 3;
  const pixels = new Uint8Array(o.frames * size);
  let count = 0;
  for await (const batch of decodeVideo(path, {
    width: o.width,
    height: o.height,
    fit: 'crop',
    fps: o.fps,
    startSeconds: o.startSeconds,
    maxFrames: o.frames,
    ...(signal === undefined ? {} : { signal }),
  })) {
    pixels.set(batch.data, count * size);
    count += batch.shape[0];
  }
  // The very last frame of a clip may fall between two frames of the new rate: hold the one before.
  for (; count > 0 && count < o.frames; count++) pixels.copyWithin(count * size, (count - 1) * size, count * size);
  return pixels;
}

function lineOf(
  clip: ClipResult,
  o: { split: string; index: number; window: number; fps: number; frames: number },
): string {
  const caption = clip.caption?.text ?? '';
  return JSON.stringify({
    index: o.index,
    id: `${clip.id}-${o.window}`,
    seed: hash32(clip.id),
    scenario: 'curated',
    caption,
    captions: caption === '' ? [] : [caption],
    fps: o.fps,
    frames: o.frames,
    source: clip.source,
    span: clip.span,
  });
}
