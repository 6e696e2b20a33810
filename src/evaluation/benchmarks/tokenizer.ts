// Tokenizer benchmark: any folder of video, at several resolutions, through `tokenize` as users have it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import { OrreryError } from '../../base/index.ts';
import { tokenize } from '../../worlds/index.ts';
import { type ClipRow, defined, type MetricInfo, type Results } from '../report/table.ts';
import { writeReport } from '../report/write.ts';
import { videosIn } from '../videos/pairs.ts';
import { decibels } from './physics.ts';
import { PUBLISHED_TOKENIZERS } from './published.ts';
import { type BenchmarkEvent, type ClipJob, openRun, runJobs } from './runner.ts';

export type TokenizerOptions = {
  /** Folder of videos, or one video. */
  readonly videos: string;
  /** Tokenizer name or folder. */
  readonly model: string;
  readonly out: string;
  /** Longest sides in pixels. Default 128 and 256. */
  readonly sizes?: readonly number[];
  readonly threads?: number;
  readonly signal?: AbortSignal;
};

const METRICS: readonly MetricInfo[] = [
  { name: 'psnr', label: 'PSNR', unit: 'dB', better: 'higher', digits: 2 },
  { name: 'ssim', label: 'SSIM, uniform 7×7', unit: '', better: 'higher', digits: 4 },
  { name: 'compression', label: 'Compression', unit: '× smaller than RGB', better: 'none', digits: 1 },
  {
    name: 'speed',
    label: 'Speed, loading, decoding and writing video included',
    unit: 'frames/s',
    better: 'higher',
    digits: 1,
  },
];

/** Encodes and restores every video at every size. */
export async function* tokenizerBenchmark(options: TokenizerOptions): AsyncGenerator<BenchmarkEvent> {
  const { videos, model, out, sizes = [128, 256], threads, signal } = options;
  const files = videosIn(videos);
  const settings = { model, sizes, videos: files.map((f) => basename(f)) };
  openRun(out, 'tokenizer', settings);
  const jobs: ClipJob[] = sizes.flatMap((side) =>
    files.map((file) => ({
      id: `${basename(file, extname(file))}-${side}`,
      run: async () => [await oneClip(file, side, { model, threads, signal })],
    })),
  );
  yield { type: 'started', clips: jobs.length, model, dir: out };
  const rows: ClipRow[] = [];
  let index = 0;
  for await (const done of runJobs(out, jobs, signal)) {
    rows.push(...done.rows);
    yield {
      type: 'clip',
      index: ++index,
      total: jobs.length,
      id: done.id,
      isReused: done.isReused,
      text: decibels(done.rows[0]?.values.psnr),
    };
  }
  const results: Results = {
    benchmark: 'tokenizer',
    title: `Tokenizer: ${model}`,
    summary: `${files.length} videos, each encoded and restored at ${sizes.map((s) => `${s} px`).join(' and ')} (longest side).`,
    comparison:
      'Compare tokenizers on the same videos at the same size and compression. The published figures below come from TokenBench at up to 1080p, where neighbouring pixels are more alike: orientation only.',
    settings,
    systems: [model],
    metrics: METRICS,
    rows,
    published: PUBLISHED_TOKENIZERS,
  };
  yield {
    type: 'completed',
    results,
    files: await writeReport(out, results, [], signal === undefined ? {} : { signal }),
  };
}

async function oneClip(
  file: string,
  side: number,
  {
    model,
    threads,
    signal,
  }: { readonly model: string; readonly threads: number | undefined; readonly signal: AbortSignal | undefined },
): Promise<ClipRow> {
  const dir = mkdtempSync(join(tmpdir(), 'orrery-tokenizer-'));
  try {
    const began = performance.now();
    const events = tokenize(file, {
      out: dir,
      model,
      maxSide: side,
      ...(threads === undefined ? {} : { threads }),
      ...(signal === undefined ? {} : { signal }),
    });
    for await (const event of events) {
      if (event.type !== 'completed') continue;
      const seconds = (performance.now() - began) / 1000;
      return {
        clip: basename(file),
        group: `${side} px`,
        system: model,
        values: {
          psnr: defined(event.psnr),
          ssim: defined(event.ssim),
          compression: event.compression,
          speed: event.frames / seconds,
        },
      };
    }
    throw new OrreryError('internal', `${file}: the tokenizer ended without a result`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
