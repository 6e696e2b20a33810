// Last stage: puts a clip where it belongs, writes its metadata and thumbnail, removes what was only needed on the way.
// Each step may be repeated after a stop at any moment and gives the same files.
import { existsSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeFolder, writeFileAtomic } from '../../formats/index.ts';
import type { ClipResult, ClipWork, JobResult, Work } from '../clip-work.ts';
import type { Stage } from '../engine/stage.ts';
import { metaOf } from '../layout/metas.ts';
import type { CurateOptions } from '../options.ts';
import { readSamples } from '../pass/samples.ts';
import { thumbnail } from './preview.ts';

/** The stage. Its emissions are the results of the job. */
export function writeStage(out: string, options: CurateOptions): Stage<Work, JobResult> {
  return {
    name: 'write',
    batch: 4,
    cores: 0.25,
    async open() {
      return {
        async process(units, io) {
          for (const { id, value } of units) {
            try {
              const result = value.kind === 'clip' ? await finish(value, out, options) : value;
              await io.emit({ id, value: result }, id);
            } catch (error) {
              io.fail(id, error);
            }
          }
        },
        dispose: () => {},
      };
    },
  };
}

async function finish(clip: ClipWork, out: string, options: CurateOptions): Promise<ClipResult> {
  const { samples, ...rest } = clip;
  let { file } = clip;
  if (clip.rejected !== undefined) {
    file = file.replace(/^clips\//, 'filtered_clips/');
    if (existsSync(join(out, clip.file))) {
      makeFolder(dirname(join(out, file)));
      renameSync(join(out, clip.file), join(out, file));
    }
  }
  const picture = `thumbnails/${clip.id}${clip.camera === undefined ? '' : `-${clip.camera}`}.jpg`;
  const pictures = join(out, samples);
  if (existsSync(pictures)) {
    writeFileAtomic(join(out, picture), await thumbnail(readSamples(pictures)));
  }
  const result: ClipResult = { ...rest, file, thumbnail: picture };
  if (options.metas) {
    const name = clip.camera === undefined ? clip.id : `${clip.id}.${clip.camera}`;
    writeFileAtomic(join(out, 'metas', 'v0', `${name}.json`), `${JSON.stringify(metaOf(result), null, 1)}\n`);
  }
  rmSync(pictures, { force: true });
  return result;
}
