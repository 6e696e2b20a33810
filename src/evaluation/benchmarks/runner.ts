// Runs a benchmark clip by clip and keeps each clip's rows on disk, so that an interrupted run goes on where it stopped.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError, OrreryError, throwIfAborted } from '../../base/index.ts';
import { diskError, makeFolder, writeFileAtomic } from '../../formats/index.ts';
import type { ClipRow, Results } from '../report/table.ts';
import type { ReportFiles } from '../report/write.ts';

/** What every benchmark yields: one event per clip, the results at the end. */
export type BenchmarkEvent =
  | { readonly type: 'started'; readonly clips: number; readonly model: string; readonly dir: string }
  | {
      readonly type: 'clip';
      readonly index: number;
      readonly total: number;
      readonly id: string;
      /** Read from an earlier run of the same command. */
      readonly isReused: boolean;
      /** The clip's main figure in words, such as `24.1 dB`. */
      readonly text: string;
    }
  | { readonly type: 'completed'; readonly results: Results; readonly files: ReportFiles };

/** One clip of a benchmark. */
export type ClipJob = { readonly id: string; run(): Promise<readonly ClipRow[]> };

/** A run's settings: everything that its figures depend on. */
export type Settings = Readonly<Record<string, unknown>>;

/** Makes the folder, or checks that it holds the same run. */
export function openRun(dir: string, benchmark: string, settings: Settings): void {
  const file = join(dir, 'run.json');
  const record = { benchmark, settings };
  if (existsSync(file)) {
    const old = JSON.parse(readFileSync(file, 'utf8')) as typeof record;
    if (JSON.stringify(old) !== JSON.stringify(record)) {
      const changed = Object.keys({ ...old.settings, ...settings }).filter(
        (k) => JSON.stringify(old.settings[k]) !== JSON.stringify(settings[k]),
      );
      throw new InputError('out', {
        got: `${dir}, which holds a run of ${old.benchmark} with other settings (${changed.join(', ') || 'other benchmark'})`,
        need: 'another folder, or the settings of that run',
      });
    }
    return;
  }
  try {
    for (const name of ['clips', 'videos']) makeFolder(join(dir, name));
  } catch (error) {
    throw diskError(error, 'make a run folder at', dir);
  }
  writeFileAtomic(file, `${JSON.stringify(record, null, 2)}\n`);
}

export type ClipDone = { readonly id: string; readonly rows: readonly ClipRow[]; readonly isReused: boolean };

/** Runs the jobs in order; clips that are on disk are read instead. */
export async function* runJobs(dir: string, jobs: readonly ClipJob[], signal?: AbortSignal): AsyncGenerator<ClipDone> {
  for (const job of jobs) {
    throwIfAborted(signal);
    const file = join(dir, 'clips', `${job.id}.json`);
    if (existsSync(file)) {
      yield { id: job.id, rows: JSON.parse(readFileSync(file, 'utf8')) as ClipRow[], isReused: true };
      continue;
    }
    const rows = await job.run();
    writeFileAtomic(file, `${JSON.stringify(rows)}\n`);
    yield { id: job.id, rows, isReused: false };
  }
}

/** Name of a compared run in tables: that of its folder. */
export const runName = (dir: string): string => dir.replace(/\/+$/, '').split('/').pop()!;

/** Makes values and keeps the newest, for a key that comes again at once. */
export function keepNewest<Of, Value>(
  keyOf: (of: Of) => string | number,
  make: (of: Of) => Promise<Value>,
): (of: Of) => Promise<Value> {
  let newest: { readonly key: string | number; readonly value: Promise<Value> } | undefined;
  return (of) => {
    const key = keyOf(of);
    if (newest?.key !== key) newest = { key, value: make(of) };
    return newest.value;
  };
}

/** The model's rows of other finished runs of the same benchmark, under the name of their folder. */
export function comparedRows(
  runs: readonly string[],
  benchmark: string,
  settings: Settings,
  jobs: readonly ClipJob[],
): ClipRow[] {
  return runs.flatMap((dir) => {
    const file = join(dir, 'run.json');
    if (!existsSync(file))
      throw new OrreryError('data', `${dir}: no run.json; need the folder of a run of orrery evaluate ${benchmark}`);
    const old = JSON.parse(readFileSync(file, 'utf8')) as { benchmark: string; settings: Settings };
    const plain = ({ model: _, ...rest }: Settings): string => JSON.stringify(rest);
    if (old.benchmark !== benchmark || plain(old.settings) !== plain(settings)) {
      throw new InputError('compare', {
        got: dir,
        need: `a run of ${benchmark} with the same settings (only the model may differ)`,
      });
    }
    const name = runName(dir);
    return jobs.flatMap(({ id }) => {
      const path = join(dir, 'clips', `${id}.json`);
      if (!existsSync(path)) throw new OrreryError('data', `${dir}: clip ${id} is missing; finish that run first`);
      const rows = JSON.parse(readFileSync(path, 'utf8')) as ClipRow[];
      return rows.filter((r) => r.system === 'model').map((r) => ({ ...r, system: name }));
    });
  });
}
