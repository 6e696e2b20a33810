import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { f32, randomStream } from '../base/index.ts';
import { input, linear, mean, silu, square, sub } from '../graph/index.ts';
import { loadCheckpoint, saveCheckpoint } from './checkpoint.ts';
import { learningRate } from './schedule.ts';
import { runTraining, type TrainerOptions, type TrainingTask } from './trainer.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-train-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A two-layer network that learns sin of a sum. */
const task: TrainingTask = {
  name: 'sine',
  loss(weights) {
    const x = input('x', [16, 4]);
    const hidden = silu(linear(x, weights('in', [24, 4]), weights('in_bias', [24], { kind: 'zeros' })));
    const error = sub(linear(hidden, weights('out', [1, 24])), input('y', [16, 1]));
    return { loss: mean(square(error)), metrics: {} };
  },
  batch(step) {
    const random = randomStream(3, `batch ${step}`);
    const x = Float32Array.from({ length: 64 }, () => random.uniform(-1, 1));
    const y = Float32Array.from({ length: 16 }, (_, i) =>
      Math.sin(x[4 * i]! + x[4 * i + 1]! + x[4 * i + 2]! + x[4 * i + 3]!),
    );
    return { x: f32([16, 4], x), y: f32([16, 1], y) };
  },
  async validate(model) {
    const session = await model.session('norm', (w) => ({ size: mean(square(w('out', [1, 24]))) }));
    return { score: Number((await session.run({})).size!.data[0]) };
  },
};

const options = (dir: string, more: Partial<TrainerOptions> = {}): TrainerOptions => ({
  folder: dir,
  seed: 1,
  steps: 40,
  schedule: { lr: 0.01, warmup: 5, decayFrom: 20, decayTo: 40, floor: 0.1, ema: 0.9 },
  optimizer: { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.01, clip: 1 },
  validateEvery: 20,
  checkpointSeconds: 1000,
  threads: 1,
  recipe: {},
  ...more,
});

/** Losses by step, from the metrics file. */
function losses(dir: string): number[] {
  const lines = readFileSync(join(dir, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return lines.map((l) => JSON.parse(l) as { loss?: number }).flatMap((r) => (r.loss === undefined ? [] : [r.loss]));
}

async function finish(dir: string, more: Partial<TrainerOptions> = {}): Promise<void> {
  for await (const _ of runTraining(task, options(dir, more)));
}

describe('training', () => {
  it('learns, and a resumed run repeats the uninterrupted one exactly', async () => {
    const whole = join(folder, 'whole');
    const cut = join(folder, 'cut');
    await finish(whole);
    // Stop after 17 steps through the signal, then run the same call again.
    const stop = new AbortController();
    const interrupted = async (): Promise<void> => {
      for await (const e of runTraining(task, options(cut, { signal: stop.signal })))
        if (e.type === 'step' && e.step === 17) stop.abort();
    };
    await expect(interrupted()).rejects.toThrow('canceled');
    await finish(cut);
    expect(losses(cut)).toEqual(losses(whole));
    const [first] = losses(whole);
    expect(losses(whole).at(-1)!).toBeLessThan(first! / 3);
    const [a, b] = [await loadCheckpoint(join(whole, 'checkpoints')), await loadCheckpoint(join(cut, 'checkpoints'))];
    for (const name of ['p', 'm', 'v', 'ema'] as const) expect(b!.state[name]).toEqual(a!.state[name]);
  });

  it('updates in place exactly as with two copies of the state', async () => {
    await finish(join(folder, 'a'), { inPlace: true });
    await finish(join(folder, 'b'), { inPlace: false });
    expect(losses(join(folder, 'a'))).toEqual(losses(join(folder, 'b')));
    const [a, b] = [
      await loadCheckpoint(join(folder, 'a', 'checkpoints')),
      await loadCheckpoint(join(folder, 'b', 'checkpoints')),
    ];
    for (const name of ['p', 'm', 'v', 'ema'] as const) expect(b!.state[name]).toEqual(a!.state[name]);
  });

  it('keeps the newest checkpoints and ignores one that was cut off', async () => {
    const state = { p: Float32Array.of(1), m: Float32Array.of(2), v: Float32Array.of(3), ema: Float32Array.of(4) };
    for (const step of [1, 2, 3])
      await saveCheckpoint(folder, { step, seconds: 0, updates: step, best: undefined, recipe: {} }, state);
    expect((await loadCheckpoint(folder))!.record.step).toBe(3);
  });

  it('warms up, stays, and falls along a cosine', () => {
    const s = { lr: 1, warmup: 10, decayFrom: 20, decayTo: 40, floor: 0.1, ema: 0.9 };
    expect(learningRate(s, 0)).toBeCloseTo(0.1);
    expect(learningRate(s, 15)).toBe(1);
    expect(learningRate(s, 30)).toBeCloseTo(0.55);
    expect(learningRate(s, 99)).toBeCloseTo(0.1);
  });
});
