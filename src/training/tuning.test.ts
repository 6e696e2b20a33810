// Post-training: low-rank additions, frozen weights, summed batches, averages, early stop. Every kind resumes exactly, and what is
// computed in the graph is what the numbers say.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SHAPES, taskOf } from '../../test/fixtures/toy-task.ts';
import { randomStream, sizeOf } from '../base/index.ts';
import { addProduct } from '../nets/text/lora.ts';
import { loadCheckpoint, type StartModel, saveCheckpoint } from './checkpoint.ts';
import { averagedWeights, trainedWeights } from './export.ts';
import { rateSweep } from './find-rate.ts';
import type { OwnRecipe } from './recipe.ts';
import { emaDecay, powerExponent } from './schedule.ts';
import { type StartWeights, weightsOfModel } from './start.ts';
import { runTraining, type TrainEvent, type TrainerOptions, type TrainingTask } from './trainer.ts';
import { effectiveValues, fits, type Tuning, weightPlan } from './tuning.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-tune-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Random numbers as a start model; without `out`, as if that were new. */
function startOf(without: readonly string[] = []): StartWeights {
  const values = new Map<string, Float32Array>();
  for (const [key, shape] of Object.entries(SHAPES)) {
    if (without.includes(key)) continue;
    const random = randomStream(9, key);
    values.set(
      key,
      Float32Array.from({ length: sizeOf(shape) }, () => 0.3 * random.normal()),
    );
  }
  return { name: 'start', sha256: 'a'.repeat(64), values };
}

const options = (dir: string, more: Partial<TrainerOptions> = {}): TrainerOptions => ({
  folder: join(folder, dir),
  seed: 1,
  steps: 24,
  schedule: { lr: 0.01, warmup: 4, decayFrom: 12, decayTo: 24, floor: 0.1, ema: 0.9 },
  optimizer: { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.01, clip: 1 },
  validateEvery: 8,
  checkpointSeconds: 1000,
  threads: 1,
  recipe: {},
  ...more,
});

async function run(task: TrainingTask, o: TrainerOptions): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of runTraining(task, o)) events.push(event);
  return events;
}

const lossesOf = (events: readonly TrainEvent[]): number[] =>
  events.flatMap((e) => (e.type === 'step' ? [e.loss] : []));

const LORA: Tuning = { lora: { rank: 2, alpha: 4, targets: ['mid*', 'in'] } };

/** Trains whole, and again with a stop in the middle; both must agree in every number. */
async function expectExactResume(more: Partial<TrainerOptions>): Promise<void> {
  const whole = options('whole', more);
  const cut = options('cut', more);
  await run(taskOf(), whole);
  const stop = new AbortController();
  const interrupted = async (): Promise<void> => {
    for await (const e of runTraining(taskOf(), { ...cut, signal: stop.signal })) {
      if (e.type === 'step' && e.step === 11) stop.abort();
    }
  };
  await expect(interrupted()).rejects.toThrow('canceled');
  await run(taskOf(), cut);
  const [a, b] = [
    (await loadCheckpoint(join(whole.folder, 'checkpoints')))!,
    (await loadCheckpoint(join(cut.folder, 'checkpoints')))!,
  ];
  expect(b.record.step).toBe(a.record.step);
  for (const name of ['p', 'm', 'v', 'ema'] as const) expect(b.state[name]).toEqual(a.state[name]);
}

describe('weightPlan', () => {
  const specs = Object.entries(SHAPES).map(([key, shape]) => ({ key, shape, init: { kind: 'xavier' } as const }));
  const known = new Set(Object.keys(SHAPES));

  it('freezes by pattern, adds factors, and always trains what is new', () => {
    expect(weightPlan(specs, { freeze: ['in*'] }, known).trained.map((s) => s.key)).toEqual(['middle', 'out']);
    const lora = weightPlan(specs, LORA, new Set(['in', 'in_bias', 'middle']));
    expect(lora.trained.map((s) => s.key)).toEqual([
      'out',
      'in.lora_A.weight',
      'in.lora_B.weight',
      'middle.lora_A.weight',
      'middle.lora_B.weight',
    ]);
    expect(lora.frozen.map((s) => s.key)).toEqual(['in', 'in_bias', 'middle']);
    expect(weightPlan(specs, { ...LORA, train: ['in_bias'] }, known).trained.map((s) => s.key)).toContain('in_bias');
  });

  it('refuses what would change nothing or cannot be', () => {
    expect(() => weightPlan(specs, { freeze: ['blocks.*'] }, known)).toThrow('none of the 4 weights has such a name');
    expect(() => weightPlan(specs, { freeze: ['in'] })).toThrow('need a recipe with "from"');
    expect(() => weightPlan(specs, { lora: { rank: 4, alpha: 4, targets: ['out'] } }, known)).toThrow('rank 4 for out');
    expect(() => weightPlan(specs, { lora: { rank: 1, alpha: 1, targets: ['in_bias'] } }, known)).toThrow(
      'trained in full',
    );
    expect(() => weightPlan(specs, { freeze: ['*'] }, known)).toThrow('every weight is frozen');
  });

  it('reads dots and stars of patterns literally and as any text', () => {
    expect(fits('blocks.3.self.qkv', ['blocks.*.qkv'])).toBe(true);
    expect(fits('blocksX3', ['blocks.*'])).toBe(false);
  });
});

describe('post-training', () => {
  it('with LoRA starts exactly at the start model, leaves frozen weights alone, and merges to what the graph computes', async () => {
    const from = startOf();
    const [first] = lossesOf(await run(taskOf(), options('full', { from, steps: 1 })));
    const events = await run(taskOf(), options('lora', { from, tune: LORA, seed: 77 }));
    expect(lossesOf(events)[0]).toBeCloseTo(first!, 6);
    expect(lossesOf(events).at(-1)!).toBeLessThan(first!);
    expect(events[0]).toMatchObject({ type: 'start', parameters: 888, trained: 2 * (8 + 24) + 2 * (24 + 24) });

    const specs = Object.entries(SHAPES).map(([key, shape]) => ({ key, shape, init: { kind: 'xavier' } as const }));
    const plan = weightPlan(specs, LORA, new Set(from.values.keys()));
    const { weights } = await averagedWeights(join(folder, 'lora'), plan.trained);
    const merged = effectiveValues(plan, weights, from.values);
    expect(merged.get('out')).toEqual(from.values.get('out'));
    expect(merged.get('middle')).not.toEqual(from.values.get('middle'));
    const sum = merged.get('middle')!.reduce((s, v) => s + v, 0);
    const last = events.findLast((e) => e.type === 'validation')!;
    expect(last.type === 'validation' && last.scores['sum']).toBeCloseTo(sum, 3);
  });

  it.each([
    ['LoRA', { from: startOf(['out']), tune: LORA }],
    ['frozen weights', { from: startOf(), tune: { freeze: ['in', 'middle'] } }],
    ['three batches a step', { accumulate: 3 }],
    [
      'LoRA, two batches a step, power average',
      {
        from: startOf(),
        tune: LORA,
        accumulate: 2,
        schedule: { lr: 0.01, warmup: 4, decayFrom: 12, decayTo: 24, floor: 0.1, ema: { power: 0.1 } },
      },
    ],
  ] as const)('resumes exactly: %s', async (_, more) => {
    await expectExactResume(more as Partial<TrainerOptions>);
  });

  it('refuses to go on from another start model', async () => {
    await run(taskOf(), options('a', { from: startOf(), tune: LORA, steps: 2 }));
    const other = { ...startOf(), sha256: 'b'.repeat(64) };
    await expect(run(taskOf(), options('a', { from: other, tune: LORA, steps: 4 }))).rejects.toThrow(
      'this run began from start',
    );
  });

  it('exports only with the start model that the run began with', async () => {
    const spec = { key: 'new', shape: [4], init: { kind: 'zeros' } } as const;
    const zeros = new Float32Array(4);
    const exported = async (from: StartModel): Promise<unknown> => {
      const record = { step: 1, seconds: 0, updates: 1, best: undefined, recipe: {}, from };
      await saveCheckpoint(join(folder, 'checkpoints'), record, { p: zeros, m: zeros, v: zeros, ema: zeros });
      return trainedWeights({ from: 'orrery-tokenizer' } as OwnRecipe, folder, [spec]);
    };
    const { name, sha256 } = weightsOfModel('orrery-tokenizer');
    await expect(exported({ name, sha256 })).resolves.toMatchObject({ record: { step: 1 } });
    await expect(exported({ name, sha256: 'b'.repeat(64) })).rejects.toThrow(
      'use another folder or the old start model',
    );
  });

  it('gives with two batches of 8 the step of one batch of 16', async () => {
    const one = lossesOf(await run(taskOf(16), options('one')));
    const two = lossesOf(await run(taskOf(8), options('two', { accumulate: 2 })));
    expect(two).toHaveLength(one.length);
    for (const [i, loss] of one.entries()) expect(two[i]).toBeCloseTo(loss, 4);
  });

  it('stops when the score stalls, also when run again, and keeps the best state', async () => {
    const scores = [1, 3, 2, 2.5, 9];
    const more = { stop: { patience: 2, minDelta: 0 }, validateEvery: 3 } as const;
    const events = await run(
      taskOf(16, (n) => scores[n - 1]!),
      options('stall', more),
    );
    expect(events.at(-1)).toMatchObject({ type: 'done', step: 12, reason: 'stalled' });
    expect((await loadCheckpoint(join(folder, 'stall', 'best')))!.record.step).toBe(6);
    expect((await run(taskOf(), options('stall', more))).at(-1)).toMatchObject({ step: 12, reason: 'stalled' });
  });

  it('finds a rate between one that does nothing and one that blows up', async () => {
    const events = [];
    const { seed, optimizer } = options('x');
    for await (const e of rateSweep(taskOf(), { seed, optimizer, threads: 1 }, { to: 30, steps: 60 })) events.push(e);
    const found = events.at(-1) as { type: 'found'; lr: number; highest: number };
    expect(found.type).toBe('found');
    expect(found.lr).toBeGreaterThan(1e-4);
    expect(found.lr).toBeLessThan(found.highest);
    const rates = events.flatMap((e) => (e.type === 'rate' ? [e.lr] : []));
    expect(rates[0]).toBeCloseTo(1e-6, 12);
    for (let i = 1; i < rates.length; i++) expect(rates[i]!).toBeGreaterThan(rates[i - 1]!);
  });
});

describe('averages', () => {
  it('of power form have the relative width that was asked for', () => {
    // γ = 6.94 for 0.1 (Karras et al. 2024, section 3.1).
    expect(powerExponent(0.1)).toBeCloseTo(6.94, 2);
    const s = { lr: 1, warmup: 0, decayFrom: 1, decayTo: 1, floor: 1, ema: { power: 0.1 } };
    expect(emaDecay(s, 0)).toBe(0);
    expect(emaDecay(s, 99)).toBeCloseTo(0.99 ** 7.94, 3);
    // Weight of step i in the average over t steps: (1 − β_i)·Π β_j; its deviation over t is 0.1.
    const t = 2000;
    const weight = new Float64Array(t);
    let left = 1;
    for (let i = t - 1; i >= 0; i--) {
      const beta = emaDecay(s, i);
      weight[i] = left * (1 - beta);
      left *= beta;
    }
    const mean = weight.reduce((m, w, i) => m + w * i, 0);
    const spread = Math.sqrt(weight.reduce((m, w, i) => m + w * (i - mean) ** 2, 0));
    expect(spread / t).toBeCloseTo(0.1, 3);
  });
});

it('adds a product of factors', () => {
  const w = Float32Array.of(1, 2, 3, 4, 5, 6);
  addProduct(w, Float32Array.of(1, 2), Float32Array.of(10, 20, 30), 1, [2, 3], 0.5);
  expect([...w]).toEqual([6, 12, 18, 14, 25, 36]);
});
