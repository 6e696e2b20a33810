// `orrery evaluate videos`: scores anybody's videos against references, whatever made them.
import { throwIfAborted } from '../../base/index.ts';
import { errorMap } from '../report/panels.ts';
import { type ClipRow, defined, type MetricInfo, type Results } from '../report/table.ts';
import { type PanelClip, type ReportFiles, writeReport } from '../report/write.ts';
import { DEFAULT_METRICS, metricsOf, VIDEO_METRICS } from './metrics.ts';
import { type FilePair, filePairs, loadPair } from './pairs.ts';
import { latentDistance, SET_METRICS } from './sets.ts';

export type EvaluateVideosOptions = {
  /** Default psnr, ssim, temporal. */
  readonly metrics?: readonly string[];
  /** Frames at the start of each clip that do not count. Default 0. */
  readonly skip?: number;
  /** Folder for the report; without one only the table is returned. */
  readonly out?: string;
  readonly threads?: number;
  readonly signal?: AbortSignal;
};

export type EvaluateVideosEvent =
  | { readonly type: 'started'; readonly clips: number; readonly alone: readonly string[] }
  | { readonly type: 'clip'; readonly index: number; readonly total: number; readonly row: ClipRow }
  | { readonly type: 'completed'; readonly results: Results; readonly files?: ReportFiles };

/** Clips shown at each end of the report. */
const SHOWN = 3;

/** Scores the pairs of two files or folders. */
export async function* evaluateVideos(
  generated: string,
  reference: string,
  options: EvaluateVideosOptions = {},
): AsyncGenerator<EvaluateVideosEvent> {
  const { skip = 0, signal } = options;
  const names = metricsOf(options.metrics ?? DEFAULT_METRICS, Object.keys(SET_METRICS));
  const perClip = names.filter((n) => n in VIDEO_METRICS);
  const { pairs, alone } = filePairs(generated, reference);
  yield { type: 'started', clips: pairs.length, alone };
  const rows: ClipRow[] = [];
  const load = (pair: FilePair) => loadPair(pair, { skip, ...(signal === undefined ? {} : { signal }) });
  for (const [index, pair] of pairs.entries()) {
    throwIfAborted(signal);
    const loaded = await load(pair);
    const values: Record<string, number | null> = {};
    const series: Record<string, readonly (number | null)[]> = {};
    const notes = [...loaded.notes];
    for (const name of perClip) {
      const metric = VIDEO_METRICS[name]!;
      const got = await metric.measure(loaded, signal);
      for (const c of metric.columns) values[c.name] = defined(got.values[c.name]);
      Object.assign(series, got.series ?? {});
      notes.push(...(got.notes ?? []));
    }
    const row: ClipRow = { clip: pair.name, group: 'all', system: 'generated', values, series, notes };
    rows.push(row);
    yield { type: 'clip', index: index + 1, total: pairs.length, row };
  }
  const facts = [];
  for (const name of names.filter((n) => n in SET_METRICS)) {
    facts.push(
      ...(await latentDistance(
        pairs.map((p) => () => load(p)),
        options,
      )),
    );
    if (name === 'orrery-fd') break;
  }
  const metrics = perClip.flatMap((n): readonly MetricInfo[] => VIDEO_METRICS[n]!.columns);
  const results: Results = {
    benchmark: 'videos',
    title: 'Videos against references',
    summary: `${pairs.length} ${pairs.length === 1 ? 'clip' : 'clips'} scored, each against the reference of the same name.`,
    comparison:
      'Figures may be compared only with figures of the same named form, on the same clips at the same size, rate and frames. Steadiness without motion is no merit: a frozen clip has the best.',
    settings: { metrics: names, skip, firstScoredFrame: skip, clips: pairs.map((p) => p.name) },
    facts: [
      ...facts,
      ...(alone.length === 0
        ? []
        : [{ name: 'clips without a partner, left out', value: alone.length, note: alone.slice(0, 10).join(', ') }]),
    ],
    systems: ['generated'],
    metrics,
    rows,
  };
  if (options.out === undefined) {
    yield { type: 'completed', results };
    return;
  }
  const clips = await shownClips(results, pairs, load);
  const files = await writeReport(options.out, results, clips, signal === undefined ? {} : { signal });
  yield { type: 'completed', results, files };
}

/** Best and worst clips by the first metric with a direction. */
async function shownClips(
  results: Results,
  pairs: readonly FilePair[],
  load: (pair: FilePair) => ReturnType<typeof loadPair>,
): Promise<PanelClip[]> {
  const metric = results.metrics.find((m) => m.better !== 'none');
  if (metric === undefined) return [];
  const sign = metric.better === 'higher' ? -1 : 1;
  const ranked = results.rows
    .filter((r) => r.values[metric.name] !== null)
    .sort((a, b) => sign * (a.values[metric.name]! - b.values[metric.name]!));
  const best = ranked.slice(0, SHOWN);
  const worst = ranked.slice(Math.max(SHOWN, ranked.length - SHOWN)).reverse();
  const out: PanelClip[] = [];
  for (const row of [...best, ...worst]) {
    const { generated, reference, fps } = await load(pairs.find((p) => p.name === row.clip)!);
    out.push({
      heading: row.clip,
      caption: `${metric.label} ${row.values[metric.name]!.toFixed(metric.digits)} ${metric.unit}`,
      isBest: best.includes(row),
      fps,
      panels: [
        { label: 'reference', frames: reference },
        { label: 'generated', frames: generated },
        { label: 'error', frames: errorMap(reference, generated) },
      ],
    });
  }
  return out;
}
