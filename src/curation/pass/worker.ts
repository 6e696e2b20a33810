// The media worker of curation: opened in a process of its own by the engine, takes videos, gives clips.
import { OrreryError } from '../../base/index.ts';
import { checkFile, fileError } from '../../media/check-file.ts';
import { checkWhole } from '../../media/check-whole.ts';
import { infoOf } from '../../media/probe.ts';
import { WorkFailure } from '../../media/work-failure.ts';
import { factsOf, loadAv, openInput } from '../../media/worker-open.ts';
import type { StageWorker, Unit } from '../engine/stage.ts';
import type { ClipUnit, PassOptions, VideoRecord, VideoUnit } from './job.ts';
import { runPass } from './pass.ts';

/** What the pass hands on: clips as they are finished, then one record of the video. */
export type PassOutput = { readonly kind: 'clip'; readonly clip: ClipUnit } | VideoRecord;

/** Opens the worker; called in the child process. */
export async function openWorker(raw: unknown): Promise<StageWorker<VideoUnit, PassOutput>> {
  const options = raw as PassOptions;
  const av = await loadAv();
  return {
    async process(units, io) {
      for (const unit of units) {
        const { value } = unit;
        try {
          const record = await one(
            av,
            unit,
            options,
            async (id, clip) => {
              await io.emit({ id, value: { kind: 'clip', clip } }, unit.id);
            },
            io.alive,
          );
          await io.emit({ id: `video:${unit.id}`, value: record }, unit.id);
        } catch (error) {
          io.fail(unit.id, error instanceof WorkFailure ? toOrrery(error, value.name) : error);
        }
      }
    },
    dispose: () => {},
  };
}

async function one(
  av: Awaited<ReturnType<typeof loadAv>>,
  { value }: Unit<VideoUnit>,
  options: PassOptions,
  clip: (id: string, clip: ClipUnit) => Promise<void>,
  alive: () => void,
): Promise<VideoRecord> {
  const file = await checkFile(value.path);
  if (file.kind === 'image')
    throw fileError(value.name, `an image (${file.container})`, 'a video', 'curate takes videos only');
  const whole = await checkWhole(file);
  if (!whole.hasIndex)
    throw fileError(value.name, whole.problem ?? 'it has no index', 'a complete file', 'copy it again in full');
  const input = openInput(av, file.path, file.demuxer);
  try {
    const info = infoOf(file, factsOf(av, input, alive), whole.problem);
    const record = await runPass(
      av,
      input,
      value,
      info,
      options,
      { path: file.path, demuxer: file.demuxer },
      {
        clip,
        pause: async () => {
          alive();
          await new Promise((resolve) => setImmediate(resolve));
        },
      },
    );
    if (record.num_frames === 0)
      throw fileError(value.name, 'no frame can be decoded', 'at least one good frame', 'copy it again in full');
    return record;
  } finally {
    input.context.closeInputSync();
  }
}

function toOrrery(error: WorkFailure, name: string): OrreryError {
  const { kind, found, next } = error.failure;
  if (kind === 'file')
    return fileError(name, found, 'a complete file in a common format', next ?? 'convert it with ffmpeg');
  return new OrreryError(kind === 'disk' ? 'disk' : 'internal', `${JSON.stringify(name)}: ${found}`, {
    details: { retryable: true },
  });
}
