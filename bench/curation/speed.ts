// Speed of curation: the engine alone, the media pass against plain ffmpeg, one worker against two, embedded and over NATS.
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openEmbedded, runPipeline, type Stage } from '../../src/curation/index.ts';
import { type Figure, figure } from '../measure.ts';
import { BARE, cpuSeconds, has, MEDIA, onOneCore, plain, timed } from './jobs.ts';

/** Items per second through three stages that do nothing. */
export async function benchEngineRate(): Promise<Figure[]> {
  const stage = (name: string): Stage => ({
    name,
    batch: 8,
    cores: 0.5,
    open: async () => ({
      process: async (units, io) => {
        for (const unit of units) await io.emit(unit, unit.id);
      },
      dispose: () => {},
    }),
  });
  const stages = ['a', 'b', 'c'].map(stage);
  const backend = openEmbedded({ stages: stages.map((s) => s.name), keepsResults: false });
  const count = 60_000;
  function* source(): Generator<{ id: string; value: number }> {
    for (let i = 0; i < count; i++) yield { id: `unit-${i}`, value: i };
  }
  const from = performance.now();
  for await (const _ of runPipeline({ stages, backend, source: source() }));
  const value = count / ((performance.now() - from) / 1000);
  await backend.close();
  return [
    figure({ name: 'engine: empty stages', value, unit: 'items/s', of: 'three stages, in memory', floor: 20_000 }),
  ];
}

/** Copies of edits in a folder of their own. */
function inputOf(folder: string, names: readonly string[]): string | undefined {
  if (!existsSync(join(MEDIA, 'shots'))) return undefined;
  mkdirSync(folder, { recursive: true });
  names.forEach((name, i) => {
    copyFileSync(join(MEDIA, 'shots', `${name}.mp4`), join(folder, `${i}-${name}.mp4`));
  });
  return folder;
}

/** Best of two: a machine is disturbed, never helped, by what else runs on it. */
async function best(run: (n: number) => Promise<number>): Promise<number> {
  return Math.min(await run(0), await run(1));
}

/** Seconds. */
type Spent = { readonly wall: number; readonly cpu: number };

/** Best wall time and least processor time of two runs. */
async function measured(run: (n: number) => Promise<number>): Promise<Spent> {
  const all: Spent[] = [];
  for (const n of [0, 1]) {
    const from = cpuSeconds();
    const wall = await run(n);
    all.push({ wall, cpu: cpuSeconds() - from });
  }
  return { wall: Math.min(...all.map((a) => a.wall)), cpu: Math.min(...all.map((a) => a.cpu)) };
}

/** Wall and processor time of plain ffmpeg over ours for the same spans and settings, on one core or two. */
export async function benchEfficiency(folder: string, cores: 1 | 2): Promise<Figure[]> {
  const input = inputOf(join(folder, 'efficiency'), ['mixed', 'jump_cuts']);
  if (input === undefined || !has('ffmpeg')) return [];
  const files = readdirSync(input)
    .sort()
    .map((name) => join(input, name));
  const run = async (): Promise<[Spent, Spent]> => [
    await measured((n) => plain(files, join(folder, `plain-${n}`), cores)),
    await measured(async (n) => (await timed(input, join(folder, `bare-${n}`), { ...BARE, cores })).seconds),
  ];
  const [reference, ours] = cores === 1 ? await onOneCore(run) : await run();
  const on = `${cores} core${cores > 1 ? 's' : ''}`;
  return [
    figure({
      name: `efficiency on ${on}`,
      value: reference.wall / ours.wall,
      unit: '',
      of: `wall time of plain ffmpeg (${reference.wall.toFixed(1)} s), same spans and settings`,
      floor: 0.9,
    }),
    figure({
      name: `efficiency on ${on}, processor time`,
      value: reference.cpu / ours.cpu,
      unit: '',
      of: `${reference.cpu.toFixed(1)} s of plain ffmpeg; other programs disturb it less`,
      floor: null,
    }),
  ];
}

/** What the default filters, embeddings and captions add on two cores. */
export async function benchStages(folder: string): Promise<Figure[]> {
  const input = inputOf(join(folder, 'stages'), ['mixed', 'jump_cuts']);
  if (input === undefined) return [];
  const run = (name: string, options: object): Promise<Spent> =>
    measured(async (n) => (await timed(input, join(folder, `${name}-${n}`), { ...options, cores: 2 })).seconds);
  const bare = await run('bare', BARE);
  const full = await run('full', { split: 'fixed', clipSeconds: 5, minSeconds: 1 });
  return [
    figure({
      name: 'default filters, embeddings, captions',
      value: full.wall / bare.wall - 1,
      unit: '',
      of: `extra wall time on two cores (${bare.wall.toFixed(1)} s without)`,
      floor: 0.35,
      isCeiling: true,
    }),
    figure({
      name: 'the same in processor time',
      value: full.cpu / bare.cpu - 1,
      unit: '',
      of: `${bare.cpu.toFixed(1)} s without`,
      floor: null,
    }),
  ];
}

const EQUAL = ['mixed', 'mixed', 'mixed', 'mixed'] as const;

/** One worker against two in one process. */
export async function benchScaling(folder: string): Promise<Figure[]> {
  const input = inputOf(join(folder, 'scaling'), EQUAL);
  if (input === undefined) return [];
  const run = (cores: number): Promise<number> =>
    best(async (n) => (await timed(input, join(folder, `scaling-${cores}-${n}`), { ...BARE, cores })).seconds);
  // One worker means the work of one core: the process that feeds it must not borrow the other.
  return [scaling('scaling, 2 workers', await onOneCore(() => run(1)), await run(2))];
}

/** @param one and two seconds of one worker and of two */
const scaling = (name: string, one: number, two: number): Figure =>
  figure({ name, value: one / two, unit: 'x', of: `of one (${one.toFixed(1)} s), four equal videos`, floor: 1.8 });

/** A command kept on one core, where the system can: each worker process stands for a machine of one core. */
const pinned = (core: number, [program, ...args]: readonly [string, ...string[]]): [string, string[]] =>
  has('taskset') ? ['taskset', ['-c', `${core}`, program, ...args]] : [program, args];

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** One worker process against two on a NATS server of this machine. */
export async function benchNats(folder: string): Promise<Figure[]> {
  const input = inputOf(join(folder, 'nats-in'), EQUAL);
  if (input === undefined || !has('nats-server')) return [];
  const port = 20_000 + (process.pid % 20_000);
  const url = `nats://127.0.0.1:${port}`;
  const store = join(folder, 'nats');
  const server = spawn('nats-server', ['-js', '-a', '127.0.0.1', '-p', `${port}`, '-sd', store], { stdio: 'ignore' });
  const run = async (workers: number, n: number): Promise<number> => {
    const started: ChildProcess[] = [];
    for (let i = 0; i < workers; i++)
      started.push(
        spawn(...pinned(i, [process.execPath, MAIN, 'curate', 'worker', '--nats', url]), { stdio: 'ignore' }),
      );
    const ended = started.map((child) => new Promise((done) => child.on('close', done)));
    // Workers that wait for a job are up before the clock starts.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    try {
      const { seconds } = await timed(input, join(folder, `nats-${workers}-${n}`), { ...BARE, nats: url });
      await Promise.race([Promise.all(ended), new Promise((resolve) => setTimeout(resolve, 10_000))]);
      return seconds;
    } finally {
      for (const child of started) child.kill('SIGKILL');
    }
  };
  try {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const one = await best((n) => run(1, n));
    const two = await best((n) => run(2, n));
    return [scaling('scaling over NATS, 2 worker processes', one, two)];
  } finally {
    server.kill('SIGKILL');
  }
}
