// Multi-camera sessions: sub-folders named by a UUID, one file per camera, cut at the same times. The primary camera is the
// first whose name contains the keyword; the session ends with its shortest camera.
import { basename, dirname, extname } from 'node:path';
import { InputError } from '../../base/index.ts';
import { probe } from '../../media/index.ts';
import type { VideoUnit } from '../pass/job.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Turns the videos of session folders into units that share ids and times. */
export async function asSessions(
  videos: readonly VideoUnit[],
  keyword: string,
  signal?: AbortSignal,
): Promise<VideoUnit[]> {
  const groups = new Map<string, VideoUnit[]>();
  for (const video of videos) {
    const folder = basename(dirname(video.path));
    if (!UUID.test(folder)) continue;
    groups.set(dirname(video.path), [...(groups.get(dirname(video.path)) ?? []), video]);
  }
  if (groups.size === 0)
    throw new InputError('sessions', {
      got: 'no session folder',
      need: 'sub-folders named by a UUID, one file per camera',
    });
  const out: VideoUnit[] = [];
  for (const [folder, cameras] of groups) {
    const primary = cameras.filter((c) => basename(c.path).includes(keyword));
    if (primary.length !== 1)
      throw new InputError('primaryCamera', {
        got: keyword,
        need: `a word that exactly one file of ${folder} contains (${cameras.map((c) => basename(c.path)).join(', ')})`,
      });
    const facts = await Promise.all(cameras.map((c) => probe(c.path, signal === undefined ? {} : { signal })));
    const starts = facts.map((f) => f.startSeconds);
    // E = min over cameras (first time + frames/fps) − max (first time).
    const end = Math.min(...facts.map((f, i) => starts[i]! + f.frames / f.fps)) - Math.max(...starts);
    const id = basename(folder);
    for (const camera of [
      primary[0]!,
      ...cameras.filter((c) => c !== primary[0]).sort((a, b) => (a.path < b.path ? -1 : 1)),
    ])
      out.push({
        ...camera,
        session: {
          id,
          camera: basename(camera.path, extname(camera.path)),
          isPrimary: camera === primary[0],
          endSeconds: end,
        },
      });
  }
  return out;
}
