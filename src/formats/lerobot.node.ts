// LeRobot data sets (v2.0, v2.1 and v3.0): their cameras, episodes, and what the robot did. In v3 many episodes share one video file and
// one table: an episode is a part of them. Layout facts: meta/info.json names rate, features and path patterns.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError, OrreryError } from '../base/index.ts';
import { readParquet } from './parquet.node.ts';

/** `meta/info.json`, as far as it is used. */
type Info = {
  readonly codebase_version: string;
  readonly fps: number;
  readonly chunks_size?: number;
  readonly data_path?: string;
  readonly video_path?: string;
  readonly storage_format?: string;
  readonly features: Readonly<Record<string, { readonly dtype: string; readonly shape?: readonly number[] }>>;
};

/** A video file, or the part of one that an episode fills, in seconds. */
export type LerobotVideo = { readonly file: string; readonly part?: { readonly start: number; readonly end: number } };

export type LerobotEpisode = {
  readonly index: number;
  /** Its instructions, joined by "; "; "" when there is none. */
  readonly task: string;
  /** Video of each camera, below the data set's folder. */
  readonly videos: ReadonlyMap<string, LerobotVideo>;
  /** Table with its rows, below the data set's folder. */
  readonly table: string;
};

export type Lerobot = {
  readonly folder: string;
  readonly fps: number;
  /** Names of the video features, sorted. */
  readonly cameras: readonly string[];
  /** In the order of the data set. */
  readonly episodes: readonly LerobotEpisode[];
};

/** Whether a folder is a LeRobot data set. */
export const isLerobot = (folder: string): boolean => existsSync(join(folder, 'meta', 'info.json'));

/** Fills a path pattern such as `videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4`. */
export function fillPattern(pattern: string, values: Readonly<Record<string, string | number>>): string {
  return pattern.replace(/\{(\w+)(?::0?(\d+)d)?\}/g, (_, key: string, width: string | undefined) => {
    const value = values[key];
    if (value === undefined)
      throw new OrreryError('data', `LeRobot path pattern ${pattern}: nothing is known for {${key}}`);
    return String(value).padStart(Number(width ?? 0), '0');
  });
}

/** Reads the description of a data set; no video and no row yet. */
export async function openLerobot(folder: string): Promise<Lerobot> {
  const info = readInfo(folder);
  if (info.storage_format === 'lance')
    throw new OrreryError(
      'unsupported',
      `${folder}: this LeRobot data set is stored as Lance; need the parquet and MP4 form; convert it with the lerobot tools`,
    );
  const cameras = Object.entries(info.features)
    .filter(([, f]) => f.dtype === 'video')
    .map(([key]) => key)
    .sort();
  if (cameras.length === 0)
    throw new OrreryError(
      'data',
      `${folder}: the LeRobot data set has no video feature; its images in parquet are not read`,
    );
  const episodes = info.codebase_version.startsWith('v3')
    ? await episodesOfV3(folder, info, cameras)
    : episodesOfV2(folder, info, cameras);
  return { folder, fps: info.fps, cameras, episodes };
}

function readInfo(folder: string): Info {
  const file = join(folder, 'meta', 'info.json');
  try {
    const info = JSON.parse(readFileSync(file, 'utf8')) as Info;
    if (!/^v(2\.[01]|3\.\d)$/.test(info.codebase_version))
      throw new InputError('codebase_version', { got: info.codebase_version, need: 'v2.0, v2.1 or v3.0', why: file });
    return info;
  } catch (cause) {
    if (cause instanceof OrreryError) throw cause;
    throw new OrreryError('data', `${file}: not readable JSON (${(cause as Error).message})`, { cause });
  }
}

const linesOf = (file: string): Record<string, unknown>[] =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.trim() !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    : [];

const taskOf = (tasks: unknown): string =>
  Array.isArray(tasks) ? tasks.join('; ') : typeof tasks === 'string' ? tasks : '';

function episodesOfV2(folder: string, info: Info, cameras: readonly string[]): LerobotEpisode[] {
  const pattern = info.video_path ?? 'videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4';
  const table = info.data_path ?? 'data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet';
  const size = info.chunks_size ?? 1000;
  return linesOf(join(folder, 'meta', 'episodes.jsonl')).map((episode) => {
    const index = Number(episode['episode_index']);
    const place = { episode_chunk: Math.floor(index / size), episode_index: index };
    return {
      index,
      task: taskOf(episode['tasks']),
      videos: new Map(cameras.map((key) => [key, { file: fillPattern(pattern, { ...place, video_key: key }) }])),
      table: fillPattern(table, place),
    };
  });
}

async function episodesOfV3(folder: string, info: Info, cameras: readonly string[]): Promise<LerobotEpisode[]> {
  const pattern = info.video_path ?? 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4';
  const table = info.data_path ?? 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet';
  const base = join(folder, 'meta', 'episodes');
  const files = existsSync(base)
    ? readdirSync(base, { recursive: true })
        .map(String)
        .filter((n) => n.endsWith('.parquet'))
        .sort()
    : [];
  if (files.length === 0)
    throw new OrreryError('data', `${base}: no episode tables; need meta/episodes/chunk-*/file-*.parquet`);
  const episodes: LerobotEpisode[] = [];
  for (const file of files)
    for (const row of await readParquet(join(base, file))) {
      const index = Number(row['episode_index']);
      const videos = new Map<string, LerobotVideo>();
      for (const key of cameras) {
        const at = (name: string): number => Number(row[`videos/${key}/${name}`]);
        const [start, end] = [at('from_timestamp'), at('to_timestamp')];
        if (!(end > start))
          throw new OrreryError(
            'data',
            `${join(base, file)}: episode ${index} has no times for ${key}; need videos/${key}/from_timestamp and to_timestamp`,
          );
        const place = { video_key: key, chunk_index: at('chunk_index'), file_index: at('file_index') };
        videos.set(key, { file: fillPattern(pattern, place), part: { start, end } });
      }
      const place = { chunk_index: Number(row['data/chunk_index']), file_index: Number(row['data/file_index']) };
      episodes.push({ index, task: taskOf(row['tasks']), videos, table: fillPattern(table, place) });
    }
  return episodes.sort((a, b) => a.index - b.index);
}

/** What was commanded at each frame of an episode, one list of numbers per frame; undefined when the data set has no `action`. */
export async function lerobotActions(
  { folder }: Lerobot,
  episode: LerobotEpisode,
): Promise<readonly (readonly number[])[] | undefined> {
  const file = join(folder, episode.table);
  if (!existsSync(file)) throw new OrreryError('data', `${file}: no such table; fetch the data set again`);
  const rows = (await readParquet(file))
    .filter((row) => row['episode_index'] === undefined || Number(row['episode_index']) === episode.index)
    .sort((a, b) => Number(a['frame_index']) - Number(b['frame_index']));
  if (rows.length === 0)
    throw new OrreryError('data', `${file}: no rows of episode ${episode.index}; fetch the data set again`);
  if (rows[0]!['action'] === undefined || rows[0]!['action'] === null) return undefined;
  return rows.map((row) => {
    const action = row['action'];
    return Array.isArray(action) || ArrayBuffer.isView(action)
      ? Array.from(action as ArrayLike<number>, Number)
      : [Number(action)];
  });
}
