// Training on the WebGPU device with the state kept there, against the CPU. Runs where a driver is found; the software
// driver of Debian's chromium package is enough.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { f32, randomStream } from '../base/index.ts';
import { attention, input, layerNorm, linear, mean, reshape, rmsNorm, silu, square, sub } from '../graph/index.ts';
import { deviceProblem } from '../runtime/index.ts';
import { loadCheckpoint } from './checkpoint.ts';
import { runTraining, type TrainingTask } from './trainer.ts';

const SOFTWARE_DRIVER = '/usr/lib/chromium/vk_swiftshader_icd.json';
if (process.env['VK_ICD_FILENAMES'] === undefined && existsSync(SOFTWARE_DRIVER)) {
  process.env['VK_ICD_FILENAMES'] = SOFTWARE_DRIVER;
}
const problem = await deviceProblem('webgpu');
if (problem !== '') console.log(`WebGPU training test skipped: ${problem}`);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-webgpu-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const ONES = { kind: 'constant', value: 1 } as const;

/** One transformer block; `in` is large enough for state arrays of its own. */
const task: TrainingTask = {
  name: 'block',
  loss(w) {
    const rows = (x: ReturnType<typeof input>): typeof x => reshape(x, [2, 8, 2, 16]);
    const x = linear(input('x', [2, 8, 1024]), w('in', [32, 1024]));
    const q = rows(rmsNorm(linear(layerNorm(x), w('q', [32, 32])), w('norm', [32], ONES)));
    const mixed = attention(q, rows(linear(x, w('k', [32, 32]))), rows(x));
    const y = linear(silu(reshape(mixed, [2, 8, 32])), w('out', [4, 32]), w('bias', [4], { kind: 'zeros' }));
    const error = square(sub(y, input('y', [2, 8, 4])));
    return { loss: mean(error), metrics: { first: mean(w('in', [32, 1024])) } };
  },
  batch(step) {
    const random = randomStream(4, `batch ${step % 3}`);
    const draw = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.uniform(-1, 1));
    return { x: f32([2, 8, 1024], draw(2 * 8 * 1024)), y: f32([2, 8, 4], draw(64)) };
  },
  async validate(model) {
    const session = await model.session('size', (w) => ({ size: mean(square(w('in', [32, 1024]))) }));
    return { score: Number((await session.run({})).size!.data[0]) };
  },
};

async function finish(name: string, device: 'cpu' | 'webgpu', steps: number, inPlace = true): Promise<void> {
  const options = {
    folder: join(folder, name),
    seed: 1,
    steps,
    schedule: { lr: 0.003, warmup: 2, decayFrom: 20, decayTo: 40, floor: 0.1, ema: 0.9 },
    optimizer: { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.01, clip: 1 },
    validateEvery: 4,
    checkpointSeconds: 1000,
    threads: 1,
    recipe: {},
    device,
    inPlace,
  };
  for await (const _ of runTraining(task, options));
}

type Line = { readonly step: number; readonly loss?: number; readonly validation?: { readonly score: number } };
const lines = (name: string): Line[] =>
  readFileSync(join(folder, name, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((l) => JSON.parse(l) as Line);
const losses = (name: string): number[] => lines(name).flatMap((l) => (l.loss === undefined ? [] : [l.loss]));

describe.skipIf(problem !== '')('training on WebGPU', () => {
  it('follows the CPU step by step', async () => {
    await finish('cpu', 'cpu', 4);
    await finish('cpu two copies', 'cpu', 4, false);
    await finish('gpu', 'webgpu', 4);
    expect(losses('cpu two copies')).toEqual(losses('cpu'));
    const [a, b] = [losses('cpu'), losses('gpu')];
    expect(b.length).toBe(4);
    expect(a[3]!).toBeLessThan(a[0]!);
    for (const [i, loss] of a.entries()) expect(Math.abs(b[i]! - loss)).toBeLessThan(1e-3 * loss);
    const scores = (name: string): number[] => lines(name).flatMap((l) => l.validation?.score ?? []);
    for (const [i, s] of scores('cpu').entries()) expect(scores('gpu')[i]).toBeCloseTo(s, 4);
    const [p, q] = [
      await loadCheckpoint(join(folder, 'cpu', 'checkpoints')),
      await loadCheckpoint(join(folder, 'gpu', 'checkpoints')),
    ];
    for (const name of ['p', 'm', 'ema'] as const) {
      const [x, y] = [p!.state[name], q!.state[name]];
      let worst = 0;
      for (let i = 0; i < x.length; i++) worst = Math.max(worst, Math.abs(x[i]! - y[i]!));
      // AdamW turns rounding of a tiny gradient into a step of the size of the learning rate.
      expect(worst).toBeLessThan(0.01);
    }
    // The software driver compiles a shader for each kind of kernel.
  }, 600_000);
});
