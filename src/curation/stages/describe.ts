// First stage after the media pass: filter decision and the caption from facts. Numbers only, no media.
import type { ClipWork, Work } from '../clip-work.ts';
import type { Stage } from '../engine/stage.ts';
import type { CurateOptions } from '../options.ts';
import type { PassOutput } from '../pass/worker.ts';
import { factsCaption } from './facts-caption.ts';
import { rejectionOf } from './filter.ts';

/** Model name of captions from facts. */
export const FACTS = 'orrery_facts';

/** The stage. */
export function describeStage(options: CurateOptions): Stage<PassOutput, Work> {
  return {
    name: 'describe',
    batch: 8,
    cores: 0.1,
    maxWorkers: 1,
    async open() {
      return {
        async process(units, io) {
          for (const { id, value } of units) {
            if (value.kind === 'video') {
              await io.emit({ id, value }, id);
              continue;
            }
            const work: ClipWork = { ...value.clip, kind: 'clip', id };
            const rejected = rejectionOf(work, options);
            const described: ClipWork = {
              ...work,
              ...(rejected === undefined ? {} : { rejected }),
              ...(options.caption === 'facts' ? { caption: { model: FACTS, text: factsCaption(work) } } : {}),
            };
            await io.emit({ id, value: described }, id);
          }
        },
        dispose: () => {},
      };
    },
  };
}
