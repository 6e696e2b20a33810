// Pieces must give what the whole gives; weights in blocks what their numbers give.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { f32, type NdArray, randomStream, sizeOf } from '../base/index.ts';
import { openSafetensors, packBlocks, unpackBlocks, writeSafetensors } from '../formats/index.ts';
import {
  blockWeights,
  compile,
  cutStages,
  gather,
  input,
  linear,
  mul,
  param,
  silu,
  type Tensor,
  type WeightSource,
} from '../graph/index.ts';
import { openRuntime, type Runtime } from './runtime.ts';
import { openStaged } from './staged.ts';

const runtime = openRuntime({ threads: 1 });
const dir = mkdtempSync(join(tmpdir(), 'orrery-staged-'));
afterAll(async () => {
  await runtime.dispose();
  rmSync(dir, { recursive: true });
});

const WIDTH = 128;
const LAYERS = 6;
const names = Array.from({ length: LAYERS }, (_, i) => `layer${i}`);
/** A table, six layers that all see one early value, and two results, one of them from the middle. */
function network(): Record<string, Tensor> {
  let x = gather(param('table', [300, WIDTH]), input('ids', [5], 'i64'), 0);
  const early = silu(linear(x, param('early', [WIDTH, WIDTH])));
  let middle = x;
  for (const [i, name] of names.entries()) {
    x = mul(silu(linear(x, param(name, [WIDTH, WIDTH]), param(`${name}.bias`, [WIDTH]))), early);
    if (i === 2) middle = x;
  }
  return { y: x, middle };
}

const random = randomStream(8, 'staged');
const normal = (shape: readonly number[]): NdArray & { data: Float32Array } =>
  f32(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => random.normal() / 8),
  );
const toBf16 = (a: NdArray & { data: Float32Array }): NdArray => ({
  dtype: 'bf16',
  shape: a.shape,
  data: Uint16Array.from(new Uint32Array(a.data.buffer), (w) => w >>> 16),
});
const sources = new Map<string, WeightSource>();
beforeAll(() => {
  const tensors: [string, NdArray][] = [['table', toBf16(normal([300, WIDTH]))]];
  for (const name of ['early', ...names]) tensors.push([name, toBf16(normal([WIDTH, WIDTH]))]);
  for (const name of names) tensors.push([`${name}.bias`, normal([WIDTH])]);
  writeSafetensors(join(dir, 'w.safetensors'), tensors);
  using file = openSafetensors(join(dir, 'w.safetensors'));
  for (const [name, { offset, length, dtype }] of file.tensors) {
    sources.set(name, { kind: 'file', file: 'w.safetensors', offset, length, dtype: dtype as 'bf16' });
  }
});
const weights = (name: string): WeightSource => sources.get(name)!;
const feeds = { ids: { dtype: 'i64', shape: [5], data: BigInt64Array.of(0n, 299n, 7n, 7n, 31n) } } as const;

describe('a graph in pieces', () => {
  it('is cut by the bytes of its weights, and no weight is lost', () => {
    const bytes = 2 * WIDTH * WIDTH;
    const stages = cutStages(network(), { maxBytes: 2.5 * bytes, weightBytes: (_, t) => 2 * sizeOf(t.shape) });
    expect(stages.length).toBeGreaterThanOrEqual(4);
    expect(new Set(stages.flatMap((s) => [...s.weights.keys()])).size).toBe(2 + 2 * LAYERS);
    for (const s of stages) {
      expect([...s.weights.keys()].filter((n) => !n.endsWith('.bias')).length).toBeLessThanOrEqual(2);
    }
    expect(stages.flatMap((s) => Object.keys(s.outputs)).filter((n) => !n.startsWith('cut.'))).toEqual(
      expect.arrayContaining(['y', 'middle']),
    );
  });

  it.each(['load', 'use'] as const)('gives the same numbers as the whole, widened at %s', async (widen) => {
    const whole = await runtime.load(compile(network(), { weights, widen }), { folder: dir });
    const want = await whole.run(feeds);
    await whole.dispose();
    const kept: string[] = [];
    const watched: Runtime = {
      ...runtime,
      load: async (graph, options) => {
        const session = await runtime.load(graph, options);
        return {
          ...session,
          run: (ins, o) => {
            kept.push(...Object.values(o?.keep ?? {}));
            return session.run(ins, o);
          },
        };
      },
    };
    const staged = openStaged(watched, network(), { weights, widen, folder: dir, stageBytes: 5 * WIDTH * WIDTH });
    const got = await staged.run(feeds);
    for (const name of ['y', 'middle']) expect(got[name]!.data).toEqual(want[name]!.data);
    // Nothing of the run is left in the runtime.
    expect(kept.length).toBeGreaterThan(0);
    for (const name of kept) expect(await runtime.getState(name)).toBeUndefined();
    const again = await staged.run(feeds, { fetch: ['middle'] });
    expect(Object.keys(again)).toEqual(['middle']);
  });

  it('runs twice at the same time without mixing values', async () => {
    const staged = openStaged(runtime, network(), { weights, folder: dir, stageBytes: 5 * WIDTH * WIDTH });
    const other = { ids: { ...feeds.ids, data: BigInt64Array.of(1n, 2n, 3n, 4n, 5n) } };
    const alone = [(await staged.run(feeds)).y!.data, (await staged.run(other)).y!.data];
    const together = await Promise.all([staged.run(feeds), staged.run(other)]);
    expect(together.map((r) => r.y!.data)).toEqual(alone);
  });

  it('stops between two pieces', async () => {
    const staged = openStaged(runtime, network(), { weights, folder: dir, stageBytes: 5 * WIDTH * WIDTH });
    await expect(staged.run(feeds, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'canceled' });
  });
});

describe('weights in blocks', () => {
  const found = blockWeights(Object.values(network()), 32).map((w) => w.name);

  it('are those of large linear layers', () => {
    expect(found.sort()).toEqual(['early', ...names]);
  });

  it.each([8, 4] as const)('of %d bits compute what their numbers say', async (bits) => {
    using file = openSafetensors(join(dir, 'w.safetensors'));
    const wide = (name: string): Float32Array => {
      const raw = file.read(name).data as Uint16Array;
      return new Float32Array(Uint32Array.from(raw, (w) => w << 16).buffer);
    };
    const form = { bits, blockSize: 32 };
    const blocks = new Map(found.map((name) => [name, packBlocks(wide(name), WIDTH, form)]));
    const inBlocks = (name: string): WeightSource => {
      const m = blocks.get(name);
      if (m === undefined) return weights(name);
      const per = WIDTH / 32;
      const packed = { dtype: 'u8', shape: [WIDTH, per, 4 * bits], data: m.packed } as const;
      return {
        kind: 'blocks',
        ...form,
        packed: { kind: 'value', value: packed },
        scales: { kind: 'value', value: f32([WIDTH, per], m.scales) },
      };
    };
    const asNumbers = (name: string): WeightSource => {
      const m = blocks.get(name);
      return m === undefined ? weights(name) : { kind: 'value', value: f32([WIDTH, WIDTH], unpackBlocks(m)) };
    };
    const graph = compile(network(), { weights: inBlocks });
    expect(graph.operators['com.microsoft:MatMulNBits']).toBe(1 + LAYERS);
    await using quantised = await runtime.load(graph, { folder: dir });
    await using exact = await runtime.load(compile(network(), { weights: asNumbers }), { folder: dir });
    const [got, want] = [(await quantised.run(feeds)).middle!, (await exact.run(feeds)).middle!];
    const [a, b] = [got.data as Float32Array, want.data as Float32Array];
    const error = Math.sqrt(a.reduce((s, v, i) => s + (v - b[i]!) ** 2, 0) / b.reduce((s, v) => s + v * v, 0));
    // What is left is the rounding of the activations to 8 bits.
    expect(error).toBeLessThan(0.03);
    const staged = openStaged(runtime, network(), { weights: inBlocks, folder: dir, stageBytes: 30_000 });
    expect((await staged.run(feeds)).middle!.data).toEqual(a);
  });
});
