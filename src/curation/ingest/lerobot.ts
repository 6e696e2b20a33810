// LeRobot data sets as input of curation: one video per episode and camera. Reading them is `formats/lerobot`.
import { join } from 'node:path';
import { makeFolder, openLerobot } from '../../formats/index.ts';
import type { VideoUnit } from '../pass/job.ts';

/** The camera videos of all episodes. */
export async function lerobotVideos(folder: string): Promise<VideoUnit[]> {
  const { episodes } = await openLerobot(folder);
  const units = episodes.flatMap(({ index, task, videos }) =>
    [...videos].map(([key, { file, part }]): VideoUnit => {
      const path = join(folder, file);
      return {
        name: `episode_${String(index).padStart(6, '0')}/${key}.mp4`,
        path,
        idPath: `${path}#episode_${index}`,
        ...(part === undefined ? {} : { part }),
        tags: { episode: index, camera: key, ...(task === '' ? {} : { task }) },
      };
    }),
  );
  return units.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Folders that a v3 data set needs. */
export function makeV3Folders(dst: string): void {
  for (const part of ['meta/episodes/chunk-000', 'data/chunk-000', 'videos']) makeFolder(join(dst, part));
}
