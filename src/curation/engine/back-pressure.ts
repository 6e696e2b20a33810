// How full a stage may get before its predecessor waits. Published rule of cosmos-xenna: a stage takes work only while its
// waiting and running units are fewer than max(workers · slots · multiplier, lower bound, next batch).

/** Units that one worker holds: one running, one waiting. */
export const SLOTS = 2;

/** Largest number of units that may wait before a stage. */
export function queueLimit(options: {
  readonly workers: number;
  /** Batch size of the stage. */
  readonly batch: number;
  readonly slots?: number;
  readonly multiplier?: number;
  readonly lowerBound?: number;
}): number {
  const { workers, batch, slots = SLOTS, multiplier = 1.5, lowerBound = 16 } = options;
  return Math.max(Math.ceil(workers * slots * multiplier * batch), lowerBound, batch);
}
