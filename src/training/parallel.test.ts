// Training by several processes that share a folder: who computes what does not matter, a process that is gone costs nothing that was
// synchronised, and the loss is that of one process with the same batch.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { taskOf } from '../../test/fixtures/toy-task.ts';
import { sizeOf } from '../base/index.ts';
import { listWeights } from '../nets/orrery/weights.ts';
import { loadCheckpoint } from './checkpoint.ts';
import { takeTurn } from './exchange-folder.ts';
import { runParallel } from './parallel.ts';
import { runTraining, type TrainEvent } from './trainer.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-parallel-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const options = (dir: string, steps = 30) => ({
  folder: join(folder, dir),
  seed: 1,
  steps,
  schedule: { lr: 0.01, warmup: 4, decayFrom: steps, decayTo: steps, floor: 1, ema: 0.9 },
  optimizer: { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.01, clip: 1 },
  validateEvery: 15,
  checkpointSeconds: 1000,
  threads: 1,
  recipe: {},
  parallel: { slots: 2, localSteps: 5, outerRate: 1, outerMomentum: 0.5 },
  leaseSeconds: 1,
});

async function events(source: AsyncIterable<TrainEvent>): Promise<TrainEvent[]> {
  const list: TrainEvent[] = [];
  for await (const event of source) list.push(event);
  return list;
}

/** Runs until a slot is taken and one step of it is done. */
async function firstStep(source: AsyncGenerator<TrainEvent>): Promise<void> {
  for (let next = await source.next(); next.value?.type !== 'step'; next = await source.next()) {
    expect(next.done, 'ended without a step of its own').not.toBe(true);
  }
}

async function oneAtATime<T>(path: string, work: () => Promise<T>): Promise<T> {
  const turn = await takeTurn(path);
  try {
    return await work();
  } finally {
    turn.release();
  }
}

const stateOf = async (dir: string) => (await loadCheckpoint(join(folder, dir, 'checkpoints')))!.state;

it('gives the same weights by one process, by two, and by one that goes on after another was stopped', async () => {
  const alone = await events(runParallel(taskOf(8), options('alone')));
  expect(alone.at(-1)).toMatchObject({ type: 'done', step: 30, reason: 'finished' });
  expect(alone.filter((e) => e.type === 'step')).toHaveLength(60);

  // Each has taken a slot before either goes on, however slow the machine is.
  const both = [runParallel(taskOf(8), options('both')), runParallel(taskOf(8), options('both'))];
  for (const one of both) await firstStep(one);
  await Promise.all(both.map(events));

  const stop = new AbortController();
  const interrupted = async (): Promise<void> => {
    for await (const e of runParallel(taskOf(8), { ...options('cut'), signal: stop.signal })) {
      if (e.type === 'step' && e.step === 13) stop.abort();
    }
  };
  await expect(interrupted()).rejects.toThrow('canceled');
  // A process that was killed leaves its claim; it is not waited for longer than the lease.
  const rounds = join(folder, 'cut', 'rounds');
  const now = join(
    rounds,
    readdirSync(rounds)
      .filter((n) => n.startsWith('round-'))
      .sort()
      .at(-1)!,
  );
  for (const name of ['slot-0.claim', 'slot-1.claim']) {
    writeFileSync(join(now, name), '');
    utimesSync(join(now, name), new Date(0), new Date(0));
  }
  const rest = await events(runParallel(taskOf(8), options('cut')));
  // Nothing before the round that was cut is computed again.
  expect(Math.min(...rest.flatMap((e) => (e.type === 'step' ? [e.step] : [])))).toBe(11);

  const want = await stateOf('alone');
  for (const dir of ['both', 'cut']) {
    const got = await stateOf(dir);
    for (const name of ['p', 'm', 'v', 'ema'] as const) expect(got[name]).toEqual(want[name]);
  }
});

it('averaging weights after every step with one slot is training as ever', async () => {
  const o = options('plain', 12);
  const plain = await events(runTraining(taskOf(8), { ...o, parallel: undefined } as never));
  const one = await events(
    runParallel(taskOf(8), {
      ...options('one', 12),
      parallel: { slots: 1, localSteps: 1, outerRate: 1, outerMomentum: 0 },
    }),
  );
  const losses = (list: readonly TrainEvent[]): number[] => list.flatMap((e) => (e.type === 'step' ? [e.loss] : []));
  for (const [i, loss] of losses(plain).entries()) expect(losses(one)[i]).toBeCloseTo(loss, 5);
});

it('reaches the loss of one process with the same batch within 3 %', async () => {
  const steps = 240;
  const last = (list: readonly TrainEvent[]): number => {
    const tail = list.flatMap((e) => (e.type === 'step' && e.step > steps - 60 ? [e.loss] : []));
    return tail.reduce((a, b) => a + b, 0) / tail.length;
  };
  const one = last(await events(runTraining(taskOf(32), { ...options('one', steps), validates: false })));
  const parallel = { slots: 2, localSteps: 10, outerRate: 1, outerMomentum: 0.5 };
  const shared = { ...options('two', steps), parallel, validates: false };
  const two = last(
    (await Promise.all([events(runParallel(taskOf(16), shared)), events(runParallel(taskOf(16), shared))])).flat(),
  );
  expect(two).toBeLessThan(1.03 * one);
});

it('goes on only from the start model that it began with', async () => {
  const from = { name: 'one', sha256: '1'.repeat(64), values: new Map<string, Float32Array>() };
  const specs = listWeights((w) => taskOf(8).loss(w));
  for (const { key, shape } of specs) from.values.set(key, new Float32Array(sizeOf(shape)).fill(0.1));
  await events(runParallel(taskOf(8), { ...options('from', 5), from }));
  const other = { ...from, name: 'other', sha256: '2'.repeat(64) };
  await expect(events(runParallel(taskOf(8), { ...options('from', 10), from: other }))).rejects.toThrow(
    'this run began from one (111111111111…), the recipe now starts from other',
  );
});

it('says so when it cannot write its claim, instead of waiting for ever', async () => {
  await expect(oneAtATime(join(folder, 'nowhere', 'x.claim'), async () => 1)).rejects.toThrow('x.claim');
});

it('lets one process at a time do what cannot be shared', async () => {
  mkdirSync(join(folder, 'x'));
  const path = join(folder, 'x', 'prepare.claim');
  let inside = 0;
  const work = async (): Promise<void> => {
    expect(++inside).toBe(1);
    await new Promise((done) => setTimeout(done, 50));
    inside--;
  };
  await Promise.all([oneAtATime(path, work), oneAtATime(path, work), oneAtATime(path, work)]);
  expect(readdirSync(join(folder, 'x'))).toEqual([]);
});
