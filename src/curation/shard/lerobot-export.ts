// `writeLerobot(out, dst)`: the kept clips as a LeRobot v3.0 data set: one episode per clip, one camera `observation.images.main`.
// Clips of one size and rate are needed; others are left out and counted. Videos keep their encoding, one file per episode.
import { copyFileSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { InputError, OrreryError, throwIfAborted } from '../../base/index.ts';
import { diskError, makeFolder, writeFileAtomic, writeParquet } from '../../formats/index.ts';
import { checkNesting } from '../ingest/discover.ts';
import { makeV3Folders } from '../ingest/lerobot.ts';
import { clipsToShard } from './webdataset.ts';

const CAMERA = 'observation.images.main';
const CHUNK = 1000;

/** Writes the data set. */
export async function writeLerobot(
  out: string,
  dst: string,
  options: {
    readonly dropDuplicates?: boolean;
    readonly signal?: AbortSignal;
    readonly onProgress?: (done: number, total: number) => void;
  } = {},
): Promise<{ episodes: number; otherSizes: number; dir: string }> {
  const { dropDuplicates = true, signal } = options;
  checkNesting(out, dst);
  if (existsSync(join(dst, 'meta', 'info.json')))
    throw new InputError('dst', { got: dst, need: 'a new folder', why: 'it holds a data set' });
  if (existsSync(dst) && readdirSync(dst).some((n) => !['meta', 'data', 'videos'].includes(n)))
    throw new InputError('dst', { got: dst, need: 'an empty folder' });
  const { clips: all } = await clipsToShard(out, dropDuplicates);
  if (all.length === 0) throw new OrreryError('data', `${out}: no kept clips to export`);
  // The commonest size and rate.
  const kinds = new Map<string, number>();
  const kindOf = (c: (typeof all)[number]): string => `${c.width}x${c.height}@${c.fps.toFixed(3)}`;
  for (const c of all) kinds.set(kindOf(c), (kinds.get(kindOf(c)) ?? 0) + 1);
  const kind = [...kinds].reduce((a, b) => (b[1] > a[1] ? b : a))[0];
  const clips = all.filter((c) => kindOf(c) === kind).sort((a, b) => (a.id < b.id ? -1 : 1));
  const { width, height, fps, codec } = clips[0]!;
  makeV3Folders(dst);
  const tasks = [...new Set(clips.map((c) => c.caption?.text ?? ''))];
  const rows: { episode: number; frame: number; task: number }[] = [];
  const place = (i: number): [number, number] => [Math.floor(i / CHUNK), i % CHUNK];
  try {
    clips.forEach((clip, i) => {
      throwIfAborted(signal);
      options.onProgress?.(i, clips.length);
      const [chunk, file] = place(i);
      const folder = join(dst, 'videos', CAMERA, `chunk-${String(chunk).padStart(3, '0')}`);
      makeFolder(folder);
      copyFileSync(join(out, clip.file), join(folder, `file-${String(file).padStart(3, '0')}.mp4`));
      for (let f = 0; f < clip.frames; f++)
        rows.push({ episode: i, frame: f, task: tasks.indexOf(clip.caption?.text ?? '') });
    });
  } catch (error) {
    throw diskError(error, 'write', dst);
  }
  const starts: number[] = [];
  let total = 0;
  for (const clip of clips) {
    starts.push(total);
    total += clip.frames;
  }
  writeParquet(join(dst, 'data', 'chunk-000', 'file-000.parquet'), [
    { name: 'timestamp', type: 'float', values: rows.map((r) => r.frame / fps) },
    { name: 'frame_index', type: 'integer', values: rows.map((r) => r.frame) },
    { name: 'episode_index', type: 'integer', values: rows.map((r) => r.episode) },
    { name: 'index', type: 'integer', values: rows.map((_, i) => i) },
    { name: 'task_index', type: 'integer', values: rows.map((r) => r.task) },
  ]);
  const whole = (name: string, values: number[]) => ({ name, type: 'integer' as const, values });
  writeParquet(join(dst, 'meta', 'episodes', 'chunk-000', 'file-000.parquet'), [
    whole(
      'episode_index',
      clips.map((_, i) => i),
    ),
    { name: 'tasks', type: 'texts', values: clips.map((c) => [c.caption?.text ?? '']) },
    whole(
      'length',
      clips.map((c) => c.frames),
    ),
    whole(
      'data/chunk_index',
      clips.map(() => 0),
    ),
    whole(
      'data/file_index',
      clips.map(() => 0),
    ),
    whole('dataset_from_index', starts),
    whole(
      'dataset_to_index',
      starts.map((s, i) => s + clips[i]!.frames),
    ),
    whole(
      `videos/${CAMERA}/chunk_index`,
      clips.map((_, i) => place(i)[0]),
    ),
    whole(
      `videos/${CAMERA}/file_index`,
      clips.map((_, i) => place(i)[1]),
    ),
    { name: `videos/${CAMERA}/from_timestamp`, type: 'number', values: clips.map(() => 0) },
    { name: `videos/${CAMERA}/to_timestamp`, type: 'number', values: clips.map((c) => c.frames / fps) },
    whole(
      'meta/episodes/chunk_index',
      clips.map(() => 0),
    ),
    whole(
      'meta/episodes/file_index',
      clips.map(() => 0),
    ),
  ]);
  writeParquet(join(dst, 'meta', 'tasks.parquet'), [
    { name: 'task_index', type: 'integer', values: tasks.map((_, i) => i) },
    { name: 'task', type: 'text', values: tasks },
  ]);
  const scalar = (dtype: string) => ({ dtype, shape: [1], names: null });
  const info = {
    codebase_version: 'v3.0',
    robot_type: null,
    total_episodes: clips.length,
    total_frames: total,
    total_tasks: tasks.length,
    chunks_size: CHUNK,
    data_files_size_in_mb: 100,
    video_files_size_in_mb: 200,
    fps: Math.round(fps),
    splits: { train: `0:${clips.length}` },
    data_path: 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet',
    video_path: 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4',
    features: {
      [CAMERA]: {
        dtype: 'video',
        shape: [height, width, 3],
        names: ['height', 'width', 'channels'],
        info: {
          'video.fps': fps,
          'video.height': height,
          'video.width': width,
          'video.channels': 3,
          'video.codec': codec,
          'video.pix_fmt': 'yuv420p',
          has_audio: false,
        },
      },
      timestamp: scalar('float32'),
      frame_index: scalar('int64'),
      episode_index: scalar('int64'),
      index: scalar('int64'),
      task_index: scalar('int64'),
    },
  };
  writeFileAtomic(join(dst, 'meta', 'stats.json'), '{}\n');
  // Last: a folder with info.json is complete.
  writeFileAtomic(join(dst, 'meta', 'info.json'), `${JSON.stringify(info, null, 2)}\n`);
  return { episodes: clips.length, otherSizes: all.length - clips.length, dir: dst };
}
