// Spreads the cores of one machine over the stages. Four phases as published for cosmos-xenna: fixed counts; one worker
// for each stage; help the slowest, taking from the fastest where nothing is free; fill up to 1.5 times the slowest.
// Unlike the original it never refuses a small machine: one worker per stage may oversubscribe the cores. And cores count by
// the time that a stage is busy at the pace of the slowest, not by its mere presence: on two cores, two light stages that
// need a hundredth of a core must not keep the heavy one from its second worker.

/** What is known of one stage. */
export type StageLoad = {
  readonly name: string;
  /** Cores of one worker. */
  readonly cores: number;
  /** Mean seconds of one unit on one worker; undefined before the first: counts as 1; 0: nothing has come to it yet. */
  readonly secondsPerUnit?: number | undefined;
  /** Units of this stage per unit of the source (fan-out of the stages before). Default 1. */
  readonly unitsPerSource?: number;
  readonly workers?: number | undefined;
  readonly maxWorkers?: number | undefined;
  /** False when nothing is left for the stage: it keeps no worker. Default true. */
  readonly hasWork?: boolean;
};

/** Workers per stage, in the order of the stages. */
export function allocate(stages: readonly StageLoad[], cores: number): number[] {
  const counts = stages.map((s) => (s.hasWork === false ? 0 : (s.workers ?? 1)));
  const isFree = (i: number): boolean => stages[i]!.workers === undefined && stages[i]!.hasWork !== false;
  const mayGrow = (i: number): boolean => isFree(i) && counts[i]! < (stages[i]!.maxWorkers ?? Number.POSITIVE_INFINITY);
  /** Source units per second of stage `i` with `n` workers. */
  const speed = (i: number, n = counts[i]!): number => {
    const seconds = (stages[i]!.secondsPerUnit ?? 1) * (stages[i]!.unitsPerSource ?? 1);
    return seconds > 0 ? n / seconds : Number.POSITIVE_INFINITY;
  };
  const used = (): number => stages.reduce((sum, s, i) => sum + s.cores * counts[i]!, 0);
  /** Cores that are busy when every stage goes at the pace of `slow`. */
  const busy = (slow: number): number =>
    stages.reduce(
      (sum, s, i) => sum + (counts[i]! > 0 ? s.cores * counts[i]! * Math.min(1, speed(slow) / speed(i)) : 0),
      0,
    );
  const active = stages.map((_, i) => i).filter((i) => stages[i]!.hasWork !== false);
  if (active.length === 0) return counts;
  const slowestOf = (list: readonly number[]): number => list.reduce((a, b) => (speed(b) < speed(a) ? b : a));

  // Phase 3. Each round moves the slowest stage up; bounded, since counts only trade places.
  for (let round = 0; round < 10_000; round++) {
    const slow = slowestOf(active);
    if (!mayGrow(slow) || speed(slow) === Number.POSITIVE_INFINITY) break;
    // Half of what it asks for is enough: the system shares the cores out better than an idle one.
    if (cores - busy(slow) >= 0.5 * stages[slow]!.cores) {
      counts[slow]!++;
      continue;
    }
    const donors = active.filter(
      (i) =>
        i !== slow &&
        isFree(i) &&
        counts[i]! > 1 &&
        speed(i, counts[i]! - 1) > speed(slow) &&
        used() - stages[i]!.cores + stages[slow]!.cores <= cores + 1e-9,
    );
    if (donors.length === 0) break;
    const donor = donors.reduce((a, b) => (speed(b, counts[b]! - 1) > speed(a, counts[a]! - 1) ? b : a));
    counts[donor]!--;
    counts[slow]!++;
  }
  // Phase 4.
  const floor = speed(slowestOf(active));
  for (let hasGrown = true; hasGrown; ) {
    hasGrown = false;
    for (const i of [...active].sort((a, b) => speed(a) - speed(b))) {
      if (!mayGrow(i) || speed(i, counts[i]! + 1) > 1.5 * floor) continue;
      if (used() + stages[i]!.cores > cores + 1e-9) continue;
      counts[i]!++;
      hasGrown = true;
    }
  }
  return counts;
}
