import { describe, expect, it } from 'vitest';
import { makePicker } from './pick-frames.ts';

const plan = { fps: null, startSeconds: 0, endSeconds: null, maxFrames: null };

/** Runs the picker over frames that begin at `times` and end at `end`: [source frame, output time] pairs. */
function pick(times: readonly number[], end: number, options: Partial<Parameters<typeof makePicker>[0]>): number[][] {
  const picker = makePicker({ ...plan, ...options });
  return times.flatMap((time, i) => picker.take(time, times[i + 1] ?? end).map((at) => [i, Number(at.toFixed(4))]));
}

describe('makePicker', () => {
  const times = [0, 0.1, 0.2, 0.3, 0.4];

  it('gives every frame once without a rate', () => {
    expect(pick(times, 0.5, {})).toEqual(times.map((t, i) => [i, t]));
  });

  it('begins with the frame on screen at the start and ends before the end', () => {
    expect(pick(times, 0.5, { startSeconds: 0.15, endSeconds: 0.3 })).toEqual([
      [1, 0.1],
      [2, 0.2],
    ]);
  });

  it('forgives a millisecond, as WebM times need', () => {
    expect(pick([0, 0.033, 0.067, 0.1], 0.133, { startSeconds: 1 / 30 })[0]).toEqual([1, 0.033]);
    expect(pick([0, 0.033, 0.067, 0.1], 0.133, { fps: 30 })).toEqual([
      [0, 0],
      [1, 0.0333],
      [2, 0.0667],
      [3, 0.1],
    ]);
  });

  it('repeats and skips by what is on screen', () => {
    expect(pick(times, 0.5, { fps: 4 })).toEqual([
      [0, 0],
      [2, 0.25],
    ]);
    expect(pick([0, 0.1], 0.4, { fps: 10 }).map(([i]) => i)).toEqual([0, 1, 1, 1]);
  });

  it('stops at the wanted number', () => {
    const picker = makePicker({ ...plan, fps: 10, maxFrames: 2 });
    expect(picker.take(0, 10)).toEqual([0, 0.1]);
    expect(picker.isDone()).toBe(true);
  });
});
