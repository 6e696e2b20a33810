// Writes a data-set folder of simulated clips: shards of raw frames with one line of metadata per clip. A shard appears
// under its name only when complete, so an interrupted run continues with the next missing shard and gives the same bytes.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { InputError, OrreryError, randomStream, throwIfAborted } from '../../base/index.ts';
import { makeFolder } from '../../formats/index.ts';
import { SCENARIOS, type ScenarioName } from '../scenarios/index.ts';
import { type ClipJob, type ClipResult, clipSeed } from './jobs.ts';

export type DatasetSpec = {
  readonly name: string;
  /** Scenario → share of the clips; shares need not sum to one. */
  readonly mixture: Readonly<Record<string, number>>;
  readonly clips: number;
  readonly heldOut: number;
  readonly seed: number;
  readonly frames: number;
  readonly fps: number;
  readonly width: number;
  readonly height: number;
};

export type DatasetEvent =
  | { readonly type: 'start'; readonly clips: number; readonly done: number }
  | {
      readonly type: 'progress';
      readonly done: number;
      readonly total: number;
      readonly clipsPerSecond: number;
      readonly etaSeconds: number;
    }
  | { readonly type: 'done'; readonly clips: number; readonly clipsPerMinute: number; readonly dir: string };

/** Clips of one shard file. */
export const SHARD_CLIPS = 64;

const workerUrl = new URL(
  import.meta.url.endsWith('.ts') ? '../../../dist/src/simulation/dataset/worker.js' : './worker.js',
  import.meta.url,
);

/** Checks a specification read from a file. */
export function parseDatasetSpec(value: unknown): DatasetSpec {
  if (typeof value !== 'object' || value === null) throw new InputError('spec', { got: value, need: 'a JSON object' });
  const v = value as Record<string, unknown>;
  const whole = (key: string, low: number, high: number): number => {
    const n = v[key];
    if (!Number.isInteger(n) || (n as number) < low || (n as number) > high) {
      throw new InputError(`spec.${key}`, { got: n, need: `a whole number from ${low} to ${high}` });
    }
    return n as number;
  };
  const mixture = v['mixture'] as Record<string, number>;
  if (typeof mixture !== 'object' || mixture === null || Object.keys(mixture).length === 0) {
    throw new InputError('spec.mixture', {
      got: mixture,
      need: 'an object of scenario names and shares, such as {"table": 1}',
    });
  }
  for (const [name, share] of Object.entries(mixture)) {
    if (!(SCENARIOS as readonly string[]).includes(name))
      throw new InputError('spec.mixture', { got: name, need: SCENARIOS.join(', ') });
    if (typeof share !== 'number' || !(share > 0))
      throw new InputError(`spec.mixture.${name}`, { got: share, need: 'a share above 0' });
  }
  return {
    name: typeof v['name'] === 'string' ? v['name'] : 'dataset',
    mixture,
    clips: whole('clips', 1, 10_000_000),
    heldOut: whole('heldOut', 0, 1_000_000),
    seed: whole('seed', 0, 2 ** 32 - 1),
    frames: whole('frames', 1, 10_000),
    fps: whole('fps', 1, 240),
    width: whole('width', 16, 4096),
    height: whole('height', 16, 4096),
  };
}

/** Writes or completes a data set. Held-out clips come first, so that training can start early. */
export async function* writeDataset(options: {
  readonly spec: DatasetSpec;
  readonly dir: string;
  readonly workers?: number;
  readonly signal?: AbortSignal;
}): AsyncGenerator<DatasetEvent> {
  const { spec, dir, workers = availableParallelism(), signal } = options;
  prepare(spec, dir);
  const shards = plan(spec).filter((s) => !existsSync(join(dir, s.split, `${s.name}.jsonl`)));
  const total = spec.clips + spec.heldOut;
  const before = total - shards.reduce((n, s) => n + s.jobs.length, 0);
  yield { type: 'start', clips: total, done: before };
  const pool = openPool(workers);
  const began = Date.now();
  let made = 0;
  try {
    for (const shard of shards) {
      throwIfAborted(signal);
      const results: ClipResult[] = [];
      for await (const result of pool.map(shard.jobs, signal)) {
        results.push(result);
        made++;
        const clipsPerSecond = made / ((Date.now() - began) / 1000);
        yield {
          type: 'progress',
          done: before + made,
          total,
          clipsPerSecond,
          etaSeconds: (total - before - made) / clipsPerSecond,
        };
      }
      writeShard(dir, shard, results);
    }
  } finally {
    await pool.close();
  }
  const minutes = (Date.now() - began) / 60_000;
  yield { type: 'done', clips: total, clipsPerMinute: minutes > 0 ? made / minutes : 0, dir };
}

type Shard = { readonly split: 'train' | 'heldout'; readonly name: string; readonly jobs: readonly ClipJob[] };

function plan(spec: DatasetSpec): Shard[] {
  const names = Object.keys(spec.mixture) as ScenarioName[];
  const sum = names.reduce((s, n) => s + spec.mixture[n]!, 0);
  const { frames, width, height, fps } = spec;
  const shards: Shard[] = [];
  for (const split of ['heldout', 'train'] as const) {
    const count = split === 'train' ? spec.clips : spec.heldOut;
    for (let from = 0; from < count; from += SHARD_CLIPS) {
      const jobs = Array.from({ length: Math.min(SHARD_CLIPS, count - from) }, (_, i) => {
        const index = from + i;
        const seed = clipSeed(spec.seed, split, index);
        let u = randomStream(seed, 'mixture').uniform(0, sum);
        const scenario = names.find((n) => (u -= spec.mixture[n]!) < 0) ?? names[0]!;
        return { split, index, scenario, seed, frames, width, height, fps };
      });
      shards.push({ split, name: `clips-${String(from / SHARD_CLIPS).padStart(5, '0')}`, jobs });
    }
  }
  return shards;
}

function prepare(spec: DatasetSpec, dir: string): void {
  try {
    makeFolder(join(dir, 'train'));
    makeFolder(join(dir, 'heldout'));
  } catch (cause) {
    throw new OrreryError(
      'disk',
      `${dir}: cannot write there (${(cause as Error).message}); choose another folder with -o`,
      { cause },
    );
  }
  const file = join(dir, 'dataset.json');
  const text = `${JSON.stringify({ version: 1, frames: spec.frames, height: spec.height, width: spec.width, fps: spec.fps, spec }, null, 2)}\n`;
  if (existsSync(file)) {
    const old = JSON.parse(readFileSync(file, 'utf8')) as { spec?: DatasetSpec };
    // More clips of the same kind may be added; anything else would mix two data sets.
    const same = (a: DatasetSpec): string => JSON.stringify({ ...a, clips: 0, name: '' });
    if (old.spec === undefined || same(old.spec) !== same(spec)) {
      throw new InputError('dir', {
        got: dir,
        need: 'a new folder, or one written from the same specification',
        why: 'it holds another data set',
      });
    }
  }
  writeFileSync(`${file}.tmp`, text);
  renameSync(`${file}.tmp`, file);
}

/** The `.jsonl` is renamed last: a shard counts as finished when it is there. */
function writeShard(dir: string, shard: Shard, results: readonly ClipResult[]): void {
  const ordered = [...results].sort((a, b) => a.record.index - b.record.index);
  const parts: [string, Uint8Array][] = [
    [`${shard.name}.instance.bin`, Buffer.concat(ordered.map((r) => r.instance))],
    [`${shard.name}.bin`, Buffer.concat(ordered.map((r) => r.rgb))],
    [`${shard.name}.jsonl`, Buffer.from(`${ordered.map((r) => JSON.stringify(r.record)).join('\n')}\n`)],
  ];
  for (const [name, bytes] of parts) {
    const path = join(dir, shard.split, name);
    try {
      writeFileSync(`${path}.tmp`, bytes);
      renameSync(`${path}.tmp`, path);
    } catch (cause) {
      throw new OrreryError(
        'disk',
        `${path}: ${(cause as Error).message}; free some space and run the same command to continue`,
        { cause },
      );
    }
  }
}

type Pool = { map(jobs: readonly ClipJob[], signal?: AbortSignal): AsyncGenerator<ClipResult>; close(): Promise<void> };

/** Workers that take one job at a time; results come as they finish. */
function openPool(size: number): Pool {
  const workers = Array.from({ length: Math.max(1, size) }, () => new Worker(workerUrl));
  const runOne = (worker: Worker, job: ClipJob): Promise<ClipResult> =>
    new Promise((resolve, reject) => {
      const failed = (error: Error): void =>
        reject(new OrreryError('internal', `clip ${job.split} ${job.index}: ${error.message}`));
      worker.once('error', failed);
      worker.once('message', (m: { ok: true; result: ClipResult } | { ok: false; message: string }) => {
        worker.off('error', failed);
        if (m.ok) resolve(m.result);
        else reject(new OrreryError('internal', `clip ${job.split} ${job.index}, seed ${job.seed}: ${m.message}`));
      });
      worker.postMessage(job);
    });
  return {
    async *map(jobs, signal) {
      const busy = new Map<number, Promise<{ slot: number; result: ClipResult }>>();
      let next = 0;
      const start = (slot: number): void => {
        if (next < jobs.length) {
          const running = runOne(workers[slot]!, jobs[next++]!).then((result) => ({ slot, result }));
          running.catch(() => undefined);
          busy.set(slot, running);
        }
      };
      for (let slot = 0; slot < workers.length; slot++) start(slot);
      while (busy.size > 0) {
        throwIfAborted(signal);
        const { slot, result } = await Promise.race(busy.values());
        busy.delete(slot);
        start(slot);
        yield result;
      }
    },
    close: async () => void (await Promise.all(workers.map((w) => w.terminate()))),
  };
}
