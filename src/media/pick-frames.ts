// Which frame is shown when: the one rule that turns decoded frames with times into output frames.
//
// Rule. A frame is on screen from its presentation time until the next frame's. Without `fps` each frame is given once,
// with its own time, beginning with the frame on screen at `startSeconds`. With `fps` output k shows the frame on screen
// at startSeconds + k/fps; slow sources repeat frames, fast ones skip. The end is the end of the last frame or
// `endSeconds`. All comparisons allow 1 ms, because WebM rounds times to milliseconds.
import type { DecodePlan } from './backend-types.ts';

/** Tolerance of all time comparisons, in seconds. */
export const TIME_TOLERANCE_SECONDS = 0.001;

/** Picks output times. Call `take` once per source frame, in presentation order. */
export type FramePicker = {
  /** Output times for the frame on screen from `from` to `until` (seconds after the first frame). */
  take(from: number, until: number): number[];
  /** Whether nothing more will be picked. */
  isDone(): boolean;
};

/** Makes the picker of one decode job. */
export function makePicker(plan: Pick<DecodePlan, 'fps' | 'startSeconds' | 'endSeconds' | 'maxFrames'>): FramePicker {
  const { fps, startSeconds: start } = plan;
  const end = plan.endSeconds ?? Number.POSITIVE_INFINITY;
  const limit = plan.maxFrames ?? Number.POSITIVE_INFINITY;
  let count = 0;
  let isPast = false;
  const e = TIME_TOLERANCE_SECONDS;
  return {
    take: (from, until) => {
      const times: number[] = [];
      if (fps === null) {
        if (from >= end - e) isPast = true;
        else if (until - e > start && count < limit) {
          times.push(from);
          count++;
        }
        return times;
      }
      for (; count < limit; count++) {
        const time = start + count / fps;
        if (time >= end - e) {
          isPast = true;
          break;
        }
        if (time >= until - e) break;
        times.push(time);
      }
      return times;
    },
    isDone: () => isPast || count >= limit,
  };
}
