// The dry run: counts from recipe and metadata alone, hours from a rate, nothing written.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { randomStream } from '../base/index.ts';
import { estimateTraining } from './estimate.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-estimate-'));
  for (const [split, clips] of [
    ['train', 6],
    ['heldout', 2],
  ] as const) {
    const dir = join(folder, 'noise', split);
    mkdirSync(dir, { recursive: true });
    const random = randomStream(1, split);
    const bytes = Uint8Array.from({ length: clips * 9 * 16 * 16 * 3 }, () => random.integer(0, 255));
    writeFileSync(join(dir, 'clips-00000.bin'), bytes);
    const lines = Array.from({ length: clips }, (_, i) =>
      JSON.stringify({ index: i, id: `${split}-${i}`, seed: i, scenario: 'noise', caption: 'noise' }),
    );
    writeFileSync(join(dir, 'clips-00000.jsonl'), `${lines.join('\n')}\n`);
  }
  writeFileSync(
    join(folder, 'noise', 'dataset.json'),
    JSON.stringify({ version: 1, frames: 9, height: 16, width: 16, fps: 12 }),
  );
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const RECIPE = {
  kind: 'tokenizer',
  name: 'tiny',
  dataset: 'noise',
  seed: 1,
  model: {
    kind: 'orrery-tokenizer',
    patch: 8,
    timePatch: 4,
    channels: 4,
    width: 16,
    encoderBlocks: 1,
    decoderBlocks: 1,
    smoothing: 0,
  },
  frames: 9,
  size: 16,
  movingWeight: 0,
  batch: 2,
  steps: 360,
  schedule: { lr: 0.001, warmup: 1, decayFrom: 300, decayTo: 360, floor: 0.1, ema: 0.9 },
  optimizer: { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0, clip: 1 },
  validateEvery: 100,
  validationClips: 2,
  checkpointSeconds: 100,
};

function recipe(more: object = {}): string {
  const path = join(folder, 'tiny.json');
  writeFileSync(path, JSON.stringify({ ...RECIPE, ...more }));
  return path;
}

it('counts from metadata, and tells the hours at a given rate', async () => {
  const out = join(folder, 'out');
  const e = await estimateTraining(recipe(), { data: folder, out, gflops: 2 });
  expect(e).toMatchObject({ batch: 2, steps: 360, stepsDone: 0, clipsToEncode: 0 });
  expect(e.trained).toBe(e.parameters);
  expect(e.data).toMatchObject({ sets: ['noise'], clips: 6, heldOutClips: 2, frames: 54, passes: (360 * 2) / 6 });
  expect(e.data.bytes).toBe(8 * 9 * 16 * 16 * 3);
  expect(e.memory.stateBytes).toBe(16 * e.parameters);
  expect(e.rate.secondsPerStep).toBeCloseTo(e.flopsPerStep / 2e9, 9);
  expect(e.hours).toBeCloseTo((360 * e.flopsPerStep) / 2e9 / 3600, 9);
  // Forward and backward of a linear layer are three products: the least that any training does.
  expect(e.flopsPerStep).toBeGreaterThan(3 * 2 * 2 * e.parameters);
  expect(existsSync(out)).toBe(false);
});

it('counts summed batches, and measures a rate when none is given', async () => {
  const one = await estimateTraining(recipe(), { data: folder, gflops: 2 });
  const three = await estimateTraining(recipe({ accumulate: 3 }), { data: folder, threads: 1 });
  expect(three.batch).toBe(6);
  expect(three.flopsPerStep / one.flopsPerStep).toBeGreaterThan(2.9);
  expect(three.flopsPerStep / one.flopsPerStep).toBeLessThan(3.1);
  expect(three.rate.source).toBe('measured steps');
  expect(three.rate.gflops).toBeGreaterThan(0);
  expect(three.rate.secondsPerStep).toBeCloseTo(three.flopsPerStep / (three.rate.gflops * 1e9), 9);
});

it('refuses mixtures that leave out the data set that is scored', async () => {
  await expect(estimateTraining(recipe({ mixture: { other: 1 } }), { data: folder, gflops: 2 })).rejects.toThrow(
    'noise among them',
  );
});
