// The table behind every report: one row per clip and system, with values that are numbers or, for a named reason, nothing.
import { randomStream } from '../../base/index.ts';

/** What a column means. */
export type MetricInfo = {
  readonly name: string;
  /** Heading for people, with the named form of the metric. */
  readonly label: string;
  readonly unit: string;
  /** Which direction is better; `none`: only to be read beside others. */
  readonly better: 'higher' | 'lower' | 'none';
  readonly digits: number;
};

/** One system on one clip. */
export type ClipRow = {
  readonly clip: string;
  /** Scenario, folder or other part of the benchmark. */
  readonly group: string;
  /** Clips of one cluster are not independent (views of one scene); intervals resample clusters. Default: the clip. */
  readonly cluster?: string;
  /** `model`, `repeat-last-frame`, … */
  readonly system: string;
  /** null: not defined for this clip, see `notes`. */
  readonly values: Readonly<Record<string, number | null>>;
  /** Values per frame; null where not defined. */
  readonly series?: Readonly<Record<string, readonly (number | null)[]>>;
  readonly notes?: readonly string[];
};

/** A mean with its uncertainty. */
export type Summary = {
  /** null when no clip has a value. */
  readonly mean: number | null;
  /** 95 % interval by bootstrap over clusters; null with fewer than two clusters. */
  readonly low: number | null;
  readonly high: number | null;
  /** Clips with a value. */
  readonly n: number;
  /** Clips without one. */
  readonly undefinedCount: number;
};

/** Turns NaN and infinities into null, so that none reaches a table. */
export const defined = (value: number | undefined): number | null =>
  value === undefined || !Number.isFinite(value) ? null : value;

const ROUNDS = 1000;

/** Mean and 95 % interval of one metric over rows. Deterministic. */
export function summarise(rows: readonly ClipRow[], metric: string): Summary {
  const clusters = new Map<string, { sum: number; n: number }>();
  let undefinedCount = 0;
  for (const row of rows) {
    const value = row.values[metric];
    if (value === null || value === undefined) {
      undefinedCount++;
      continue;
    }
    const key = row.cluster ?? row.clip;
    const c = clusters.get(key) ?? { sum: 0, n: 0 };
    clusters.set(key, { sum: c.sum + value, n: c.n + 1 });
  }
  const list = [...clusters.values()];
  const total = list.reduce((s, c) => ({ sum: s.sum + c.sum, n: s.n + c.n }), { sum: 0, n: 0 });
  if (total.n === 0) return { mean: null, low: null, high: null, n: 0, undefinedCount };
  const mean = total.sum / total.n;
  if (list.length < 2) return { mean, low: null, high: null, n: total.n, undefinedCount };
  const random = randomStream(1, `bootstrap ${metric}`);
  const means = Float64Array.from({ length: ROUNDS }, () => {
    let sum = 0;
    let n = 0;
    for (let i = 0; i < list.length; i++) {
      const c = list[random.integer(0, list.length - 1)]!;
      sum += c.sum;
      n += c.n;
    }
    return sum / n;
  }).sort();
  return {
    mean,
    low: means[Math.floor(0.025 * ROUNDS)]!,
    high: means[Math.ceil(0.975 * ROUNDS) - 1]!,
    n: total.n,
    undefinedCount,
  };
}

/** Mean per frame over rows that have a value there; null where none has. */
export function meanSeries(rows: readonly ClipRow[], metric: string): (number | null)[] {
  const length = Math.max(0, ...rows.map((r) => r.series?.[metric]?.length ?? 0));
  return Array.from({ length }, (_, t) => {
    let sum = 0;
    let n = 0;
    for (const row of rows) {
      const v = row.series?.[metric]?.[t];
      if (v === null || v === undefined) continue;
      sum += v;
      n++;
    }
    return n === 0 ? null : sum / n;
  });
}

/** Everything that a report shows. */
export type Results = {
  readonly benchmark: string;
  readonly title: string;
  /** What was measured and how, in a few sentences. */
  readonly summary: string;
  /** What may and may not be compared with these figures. */
  readonly comparison: string;
  /** Settings that fix the result; shown, and compared before two runs share a table. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Figures that belong to the whole run: tracker quality, speed, memory. */
  readonly facts?: readonly {
    readonly name: string;
    readonly value: number | string | null;
    readonly unit?: string;
    readonly note?: string;
  }[];
  /** In the order of the report; the first is the one that is looked at. */
  readonly systems: readonly string[];
  readonly metrics: readonly MetricInfo[];
  readonly rows: readonly ClipRow[];
  /** Published figures of other systems, for orientation. */
  readonly published?: {
    readonly note: string;
    readonly head: readonly string[];
    readonly rows: readonly (readonly string[])[];
  };
};

/** Names of the groups in order of appearance. */
export const groupsOf = (results: Results): string[] => [...new Set(results.rows.map((r) => r.group))];

/** `scores.json`: means with intervals per system, over all and per group. */
export function scoresOf(results: Results): object {
  const of = (rows: readonly ClipRow[]): object =>
    Object.fromEntries(
      results.systems.map((system) => {
        const own = rows.filter((r) => r.system === system);
        return [system, Object.fromEntries(results.metrics.map((m) => [m.name, summarise(own, m.name)]))];
      }),
    );
  return {
    benchmark: results.benchmark,
    title: results.title,
    settings: results.settings,
    comparison: results.comparison,
    metrics: results.metrics,
    facts: results.facts ?? [],
    overall: of(results.rows),
    groups: Object.fromEntries(groupsOf(results).map((g) => [g, of(results.rows.filter((r) => r.group === g))])),
  };
}
