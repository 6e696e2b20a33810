// LeRobot data sets as input (v2.1 and v3.0) and output (v3.0). In v3 many episodes share one video file: each episode is a
// part of it, by its times. Layout facts: meta/info.json names fps, features and path patterns.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError, OrreryError } from '../../base/index.ts';
import { makeFolder, readParquet } from '../../formats/index.ts';
import type { VideoUnit } from '../pass/job.ts';

/** `meta/info.json`, as far as it is used. */
type Info = {
  readonly codebase_version: string;
  readonly fps: number;
  readonly chunks_size?: number;
  readonly data_path?: string;
  readonly video_path?: string;
  readonly storage_format?: string;
  readonly features: Readonly<Record<string, { readonly dtype: string }>>;
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

/** The camera videos of all episodes. */
export async function lerobotVideos(folder: string): Promise<VideoUnit[]> {
  const info = readInfo(folder);
  if (info.storage_format === 'lance')
    throw new OrreryError(
      'unsupported',
      `${folder}: this LeRobot data set is stored as Lance; need the parquet and MP4 form; convert it with the lerobot tools`,
    );
  const keys = Object.entries(info.features)
    .filter(([, f]) => f.dtype === 'video')
    .map(([key]) => key)
    .sort();
  if (keys.length === 0)
    throw new OrreryError(
      'data',
      `${folder}: the LeRobot data set has no video feature; its images in parquet are not read`,
    );
  return info.codebase_version.startsWith('v3') ? videosOfV3(folder, info, keys) : videosOfV2(folder, info, keys);
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

const unitOf = (
  folder: string,
  file: string,
  episode: number,
  key: string,
  task: string,
  part?: VideoUnit['part'],
): VideoUnit => {
  const path = join(folder, file);
  return {
    name: `episode_${String(episode).padStart(6, '0')}/${key}.mp4`,
    path,
    idPath: `${path}#episode_${episode}`,
    ...(part === undefined ? {} : { part }),
    tags: { episode, camera: key, ...(task === '' ? {} : { task }) },
  };
};

function videosOfV2(folder: string, info: Info, keys: readonly string[]): VideoUnit[] {
  const pattern = info.video_path ?? 'videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4';
  const size = info.chunks_size ?? 1000;
  return linesOf(join(folder, 'meta', 'episodes.jsonl')).flatMap((episode) => {
    const index = Number(episode['episode_index']);
    const tasks = episode['tasks'];
    const task = Array.isArray(tasks) ? tasks.join('; ') : '';
    return keys.map((key) => {
      const file = fillPattern(pattern, {
        episode_chunk: Math.floor(index / size),
        video_key: key,
        episode_index: index,
      });
      return unitOf(folder, file, index, key, task);
    });
  });
}

async function videosOfV3(folder: string, info: Info, keys: readonly string[]): Promise<VideoUnit[]> {
  const pattern = info.video_path ?? 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4';
  const units: VideoUnit[] = [];
  const base = join(folder, 'meta', 'episodes');
  const files = existsSync(base)
    ? readdirSync(base, { recursive: true })
        .map(String)
        .filter((n) => n.endsWith('.parquet'))
        .sort()
    : [];
  if (files.length === 0)
    throw new OrreryError('data', `${base}: no episode tables; need meta/episodes/chunk-*/file-*.parquet`);
  for (const file of files)
    for (const row of await readParquet(join(base, file))) {
      const index = Number(row['episode_index']);
      const tasks = row['tasks'];
      const task = Array.isArray(tasks) ? tasks.join('; ') : typeof tasks === 'string' ? tasks : '';
      for (const key of keys) {
        const at = (name: string): number => Number(row[`videos/${key}/${name}`]);
        const [start, end] = [at('from_timestamp'), at('to_timestamp')];
        if (!(end > start))
          throw new OrreryError(
            'data',
            `${join(base, file)}: episode ${index} has no times for ${key}; need videos/${key}/from_timestamp and to_timestamp`,
          );
        const video = fillPattern(pattern, {
          video_key: key,
          chunk_index: at('chunk_index'),
          file_index: at('file_index'),
        });
        units.push(unitOf(folder, video, index, key, task, { start, end }));
      }
    }
  return units.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Folders that a v3 data set needs. */
export function makeV3Folders(dst: string): void {
  for (const part of ['meta/episodes/chunk-000', 'data/chunk-000', 'videos']) makeFolder(join(dst, part));
}
