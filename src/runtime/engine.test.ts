// Memory and work counted before a run, the graph cache, and devices.
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { f32, OrreryError } from '../base/index.ts';
import {
  add,
  attention,
  compile,
  conv,
  countFlops,
  gemm,
  gradients,
  input,
  linear,
  matmul,
  mul,
  param,
  planMemory,
  relu,
  silu,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
} from '../graph/index.ts';
import { cachedGraph, deviceProblem, openRuntime, requireDevice, requireMemory } from './index.ts';

describe('counts before a run', () => {
  it('counts products', () => {
    const x = input('x', [2, 3, 8, 8]);
    expect(countFlops({ y: conv(x, param('w', [5, 3, 3, 3])) })).toBe(2 * 2 * 5 * 36 * 27);
    expect(countFlops({ y: matmul(input('a', [4, 6]), input('b', [6, 7])) })).toBe(2 * 4 * 6 * 7);
    const q = input('q', [1, 8, 2, 4]);
    expect(countFlops({ y: attention(q, q, q) })).toBe(4 * 2 * 8 * 8 * 4);
  });

  it('counts values that live at the same time', () => {
    const x = input('x', [256]);
    const w = param('w', [256, 256]);
    const row = (t: Tensor): Tensor => linear(t, w);
    const chain = row(relu(row(relu(row(x)))));
    const plan = planMemory({ y: chain });
    expect(plan.weightBytes).toBe(4 * 256 * 256);
    expect(plan.inputBytes).toBe(1024);
    expect(plan.outputBytes).toBe(1024);
    // A product beside its input; relu writes over its own.
    expect(plan.activationBytes).toBe(2048);
  });

  it('refuses with the numbers and a cheaper setting', () => {
    const y = matmul(input('a', [4096, 4096]), input('b', [4096, 4096]));
    const refuse = (): void =>
      requireMemory({ y }, { what: '97 frames', cheaper: '--frames 33', availableBytes: 100e6 });
    expect(refuse).toThrow(/97 frames needs about 0\.5 GB .* use --frames 33/);
    expect(() => requireMemory({ y }, { what: '', cheaper: '', availableBytes: 1e9 })).not.toThrow();
  });
});

describe('graph cache', () => {
  const build = (): ReturnType<typeof compile> => compile({ y: silu(input('x', [3])) });
  it('builds once, notices other keys and rebuilds damaged entries', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'orrery-cache-'));
    try {
      let built = 0;
      const get = (n: number): Promise<ReturnType<typeof compile>> =>
        cachedGraph(
          { kind: 'test', config: { n }, shapes: [3] },
          () => {
            built++;
            return build();
          },
          { folder },
        );
      const first = await get(1);
      expect(await get(1)).toEqual(first);
      expect(built).toBe(1);
      await get(2);
      expect(built).toBe(2);
      for (const name of await readdir(folder)) {
        const bytes = await readFile(join(folder, name));
        bytes[bytes.length - 3]! ^= 1;
        await writeFile(join(folder, name), bytes);
      }
      expect(await get(1)).toEqual(first);
      expect(built).toBe(3);
      for (const name of await readdir(folder)) await writeFile(join(folder, name), 'cut');
      expect(await get(1)).toEqual(first);
      expect(built).toBe(4);
      expect((await readdir(folder)).filter((n) => n.endsWith('.part'))).toEqual([]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
  it('works without a folder that can be written', async () => {
    const graph = await cachedGraph({ kind: 'test', config: 0, shapes: 0 }, build, {
      folder: join(process.execPath, 'x'),
    });
    expect(graph).toEqual(build());
  });
  it('equal graphs give equal bytes', () => {
    expect(build().onnx).toEqual(build().onnx);
  });
});

/** A small training step with everything that a device must keep: weights updated from their own gradients. */
function step(): ReturnType<typeof compile> {
  const w = input('w', [8, 8]);
  const x = input('x', [4, 8]);
  const loss = sum(square(sub(silu(linear(x, w)), 0.3)));
  const [g] = gradients(loss, [w]);
  const norm = sqrt(gemm(flat(g!), flat(g!), { transB: true }));
  return compile({ loss, next: sub(w, mul(g!, mul(0.1, add(mul(norm, 0), 1)))) });
}

const flat = (t: Tensor): Tensor => sum(t, [0], true);

async function train(device: 'cpu' | 'webgpu', inPlace: boolean): Promise<{ losses: number[]; w: Float32Array }> {
  await using runtime = openRuntime({ device, threads: 1 });
  const session = await runtime.load(step());
  await runtime.setState(
    'w',
    f32(
      [8, 8],
      Float32Array.from({ length: 64 }, (_, i) => Math.sin(i * 1.7)),
    ),
  );
  const x = f32(
    [4, 8],
    Float32Array.from({ length: 32 }, (_, i) => Math.cos(i)),
  );
  const losses: number[] = [];
  for (let i = 0; i < 5; i++) {
    const { loss } = await session.run({ x }, { state: { w: 'w' }, keep: { next: 'w' }, inPlace });
    losses.push(Number(loss!.data[0]));
  }
  return { losses, w: (await runtime.getState('w'))!.data as Float32Array };
}

it('in-place training equals double-buffered training bit by bit', async () => {
  const [a, b] = [await train('cpu', false), await train('cpu', true)];
  expect(b).toEqual(a);
  expect(a.losses[4]).toBeLessThan(a.losses[0]!);
});

it('a missing device is an error of code device and not the end of the process', async () => {
  const problem = await deviceProblem('cuda');
  if (problem === '') return console.log('skipped: this machine has CUDA');
  const error = await requireDevice('cuda').catch((e: unknown) => e);
  expect(error).toBeInstanceOf(OrreryError);
  expect((error as OrreryError).code).toBe('device');
  expect((error as OrreryError).message).toMatch(/^device cuda is not usable here: .*--device cpu/);
  await using runtime = openRuntime({ device: 'cuda' });
  await expect(runtime.load(step())).rejects.toMatchObject({ code: 'device' });
});

// The software driver of Debian's chromium package, when no other one is configured.
const SOFTWARE_DRIVER = '/usr/lib/chromium/vk_swiftshader_icd.json';
if (process.env['VK_ICD_FILENAMES'] === undefined && existsSync(SOFTWARE_DRIVER)) {
  process.env['VK_ICD_FILENAMES'] = SOFTWARE_DRIVER;
}
const noWebgpu = await deviceProblem('webgpu');
if (noWebgpu !== '') console.log(`WebGPU tests skipped: ${noWebgpu}`);

describe.skipIf(noWebgpu !== '')('webgpu', () => {
  it('trains with the state on the device as the CPU does', async () => {
    const [cpu, gpu] = [await train('cpu', false), await train('webgpu', true)];
    for (const [i, l] of cpu.losses.entries()) expect(gpu.losses[i]).toBeCloseTo(l, 3);
    for (const [i, v] of cpu.w.entries()) expect(gpu.w[i]).toBeCloseTo(v, 3);
  });
});
