// Helper for stages that work on clips one by one: records of videos pass through, errors stay with their clip.
import { OrreryError } from '../../base/index.ts';
import type { ClipWork, Work } from '../clip-work.ts';
import type { Stage, StageWorker } from '../engine/stage.ts';

/** A stage from a function on one clip. */
export function clipStage(
  options: Pick<Stage, 'name' | 'batch' | 'cores' | 'workers' | 'maxWorkers' | 'attempts'>,
  open: () => Promise<{ one(clip: ClipWork, signal: AbortSignal): Promise<Work>; dispose?(): Promise<void> | void }>,
): Stage<Work, Work> {
  return {
    ...options,
    async open(): Promise<StageWorker<Work, Work>> {
      const worker = await open();
      return {
        async process(units, io) {
          for (const unit of units) {
            try {
              const value = unit.value.kind === 'clip' ? await worker.one(unit.value, io.signal) : unit.value;
              await io.emit({ id: unit.id, value }, unit.id);
            } catch (error) {
              if (error instanceof OrreryError && error.code === 'canceled') throw error;
              io.fail(unit.id, error);
            }
          }
        },
        dispose: async () => worker.dispose?.(),
      };
    },
  };
}
