// One training in phases: data and sizes change, the network does not, and a stop anywhere changes nothing. Also: training with Muon, and
// parallel training that stops by its held-out score.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { taskOf } from '../../test/fixtures/toy-task.ts';
import { f32, randomStream } from '../base/index.ts';
import { compile, input, linear, mean, silu, square, sub } from '../graph/index.ts';
import { openRuntime } from '../runtime/index.ts';
import { loadCheckpoint } from './checkpoint.ts';
import { orthogonalised } from './optimizer.ts';
import { runParallel } from './parallel.ts';
import { parseRecipe, phasesOf, readRecipe } from './recipe.ts';
import { learningRate, type Schedule } from './schedule.ts';
import { runTraining, type TrainEvent, type TrainerOptions, type TrainingTask } from './trainer.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-phases-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const options = (dir: string, more: Partial<TrainerOptions> = {}): TrainerOptions => ({
  folder: join(folder, dir),
  seed: 1,
  steps: 20,
  schedule: { lr: 0.01, warmup: 3, decayFrom: 12, decayTo: 20, floor: 0.1, decay: 'root', ema: 0.9 },
  optimizer: { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.01, clip: 1 },
  validateEvery: 100,
  validates: false,
  checkpointSeconds: 1000,
  threads: 1,
  recipe: {},
  ...more,
});

async function lossesOf(source: AsyncIterable<TrainEvent>, until = Number.POSITIVE_INFINITY): Promise<number[]> {
  const losses: number[] = [];
  for await (const e of source) {
    if (e.type === 'step') losses.push(e.loss);
    if (losses.length >= until) break;
  }
  return losses;
}

describe('phases', () => {
  /** Small batches first. */
  const task = (): TrainingTask => ({
    ...taskOf(16),
    before: [
      { until: 7, task: taskOf(4) },
      { until: 12, task: taskOf(8) },
    ],
  });

  it('are trained one after the other, and a run that stops at any step goes on as if it had not', async () => {
    const whole = await lossesOf(runTraining(task(), options('whole')));
    expect(whole).toHaveLength(20);
    const first = await lossesOf(runTraining(taskOf(4), options('first', { steps: 7 })));
    expect(whole.slice(0, 7)).toEqual(first);
    for (const at of [5, 7, 9, 12]) {
      const stop = new AbortController();
      const part: number[] = [];
      const cut = async (): Promise<void> => {
        for await (const e of runTraining(task(), options(`cut ${at}`, { signal: stop.signal }))) {
          if (e.type === 'step') part.push(e.loss);
          if (part.length === at) stop.abort();
        }
      };
      await expect(cut()).rejects.toThrow('canceled');
      expect([...part, ...(await lossesOf(runTraining(task(), options(`cut ${at}`))))]).toEqual(whole);
    }
    const [a, b] = await Promise.all(['whole', 'cut 7'].map((d) => loadCheckpoint(join(folder, d, 'checkpoints'))));
    expect(b!.state).toEqual(a!.state);
  });

  it('must train the same weights', async () => {
    const other: TrainingTask = {
      ...taskOf(4),
      loss: (w) => ({ loss: mean(square(linear(input('x', [4, 8]), w('in', [12, 8])))), metrics: {} }),
    };
    const broken = { ...taskOf(16), before: [{ until: 5, task: other }] };
    await expect(lossesOf(runTraining(broken, options('broken')))).rejects.toThrow(
      'the phase until step 5 has in [12,8]',
    );
  });

  it('of a recipe are what it says, on top of the recipe as it stands', () => {
    const recipe = readRecipe('recipes/orrery-tokenizer.json');
    if (recipe.kind !== 'tokenizer') throw new Error('another recipe');
    const half = recipe.size / 2;
    const phased = parseRecipe({ ...recipe, phases: [{ until: 100, size: half, batch: 3 }] }, 'test');
    const [first, last] = phasesOf(phased, 'test') as [
      { from: number; recipe: object },
      { from: number; recipe: object },
    ];
    expect(first).toMatchObject({ from: 0, recipe: { size: half, batch: 3, frames: recipe.frames } });
    expect(last).toEqual({ from: 100, recipe });
    expect(phasesOf(recipe, 'test')).toEqual([{ from: 0, recipe }]);
    const wrong = (phases: object[]) => () => phasesOf(parseRecipe({ ...recipe, phases }, 'test'), 'test');
    expect(wrong([{ until: 100, seed: 2 }])).toThrow('seed is that of the whole run');
    expect(wrong([{ until: 100 }, { until: 100 }])).toThrow('more than 100 and less than');
    expect(wrong([{ until: 100, size: -1 }])).toThrow('phases.0');
    expect(wrong([{ until: 100, colour: 'red' }])).toThrow('phases.0');
  });

  it('decay along the curve that the schedule names', () => {
    const s = (decay?: Schedule['decay']): Schedule => ({
      lr: 1,
      warmup: 0,
      decayFrom: 0,
      decayTo: 100,
      floor: 0.2,
      ema: 0,
      decay,
    });
    expect(learningRate(s(), 50)).toBeCloseTo(0.6);
    expect(learningRate(s('linear'), 25)).toBeCloseTo(0.8);
    expect(learningRate(s('root'), 25)).toBeCloseTo(0.6);
    expect(learningRate(s('root'), 100)).toBeCloseTo(0.2);
  });
});

describe('parallel training with a stop', () => {
  it('ends when the held-out score gets no better, with the best state, whoever asks', async () => {
    // Better twice, then never again.
    const scores = [1, 2, 1.5, 1.9, 1];
    const task = taskOf(8, (n) => scores[Math.min(n, scores.length) - 1]!);
    const parallel = { slots: 2, localSteps: 5, outerRate: 1, outerMomentum: 0.5 };
    const more = { steps: 100, validateEvery: 5, validates: true, stop: { patience: 2, minDelta: 0 } };
    const run = async (): Promise<TrainEvent[]> => {
      const list: TrainEvent[] = [];
      for await (const e of runParallel(task, { ...options('stop', more), parallel })) list.push(e);
      return list;
    };
    expect((await run()).at(-1)).toMatchObject({ type: 'done', reason: 'stalled', step: 20 });
    expect((await loadCheckpoint(join(folder, 'stop', 'best')))!.record).toMatchObject({
      step: 10,
      best: { score: 2, step: 10 },
    });
    // A second process has nothing left to do.
    expect((await run()).filter((e) => e.type === 'step')).toEqual([]);
  });
});

describe('Muon', () => {
  it('makes the singular values of a matrix alike and keeps its directions', async () => {
    const random = randomStream(1, 'matrix');
    for (const [rows, columns] of [
      [6, 10],
      [10, 6],
    ] as const) {
      const g = Float32Array.from({ length: rows * columns }, () => random.normal());
      await using runtime = openRuntime({ threads: 1 });
      const session = await runtime.load(compile({ o: orthogonalised(input('g', [rows, columns])) }));
      const { o } = await session.run({ g: f32([rows, columns], g) });
      const x = o!.data as Float32Array;
      const side = Math.min(rows, columns);
      const at = (i: number, k: number): number => (rows <= columns ? x[i * columns + k]! : x[k * columns + i]!);
      // X·Xᵀ of the shorter side: its trace is the sum of squared singular values, each between 0.7² and 1.2² for this polynomial.
      let trace = 0;
      for (let i = 0; i < side; i++) for (let k = 0; k < Math.max(rows, columns); k++) trace += at(i, k) ** 2;
      expect(trace / side).toBeGreaterThan(0.45);
      expect(trace / side).toBeLessThan(1.45);
      // ⟨G, O⟩ is the nuclear norm of G when O is its nearest orthogonal matrix: more than its Frobenius norm.
      const inner = x.reduce((s, v, i) => s + v * g[i]!, 0);
      expect(inner).toBeGreaterThan(Math.hypot(...g));
    }
  });

  it('trains large matrices, leaves their second moments alone, and resumes exactly', async () => {
    const wide = 192;
    const { batch, ...toy } = taskOf(16);
    const task: TrainingTask = {
      ...toy,
      // One batch over and over: its loss falls, whatever the others would do.
      batch: () => batch(0),
      loss(w) {
        const a = silu(linear(input('x', [16, 8]), w('in', [wide, 8])));
        const b = silu(linear(a, w('middle', [wide, wide])));
        return { loss: mean(square(sub(linear(b, w('out', [4, wide])), input('y', [16, 4])))), metrics: {} };
      },
    };
    const schedule = { lr: 0.003, warmup: 3, decayFrom: 50, decayTo: 50, floor: 1, ema: 0.9 };
    const more = { steps: 50, schedule };
    const muon = { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.01, clip: 1, muon: { momentum: 0.95, rate: 1 } };
    const whole = await lossesOf(runTraining(task, options('whole', { ...more, optimizer: muon })));
    expect(whole.at(-1)!).toBeLessThan(0.5 * whole[0]!);
    const { state } = (await loadCheckpoint(join(folder, 'whole', 'checkpoints')))!;
    // In the order of first use: in, middle, out.
    const middle = state.v.subarray(wide * 8, wide * 8 + wide * wide);
    expect(middle.every((v) => v === 0)).toBe(true);
    expect(state.v.subarray(0, wide * 8).some((v) => v !== 0)).toBe(true);
    const two = options('two', { ...more, optimizer: muon });
    const first = await lossesOf(runTraining(task, { ...two, maxSeconds: 0 }));
    expect([...first, ...(await lossesOf(runTraining(task, two)))]).toEqual(whole);
    const copies = await lossesOf(runTraining(task, options('copies', { ...more, optimizer: muon, inPlace: false })));
    expect(copies).toEqual(whole);
  });
});
