import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { f32 } from '../base/index.ts';
import {
  add,
  attention,
  blockwise,
  compile,
  constantF32,
  conv,
  gradients,
  input,
  linear,
  mul,
  param,
  rmsNorm,
  silu,
  sub,
  sum,
  type Tensor,
} from '../graph/index.ts';
import { openRuntime } from './index.ts';

it('runs a small graph with its gradients', async () => {
  const x = input('x', [2, 3]);
  const w = param('w', [4, 3]);
  const loss = sum(mul(linear(x, w), linear(x, w)));
  const [gw] = gradients(loss, [w]);
  await using runtime = openRuntime();
  const session = await runtime.load(compile({ loss, gw: gw! }));
  const out = await session.run({ x: f32([2, 3], [1, 2, 3, 4, 5, 6]), w: f32([4, 3], new Float32Array(12).fill(1)) });
  expect(out['loss']!.data[0]).toBeCloseTo(4 * (36 + 225));
  expect(Array.from(out['gw']!.data as Float32Array).slice(0, 3)).toEqual([2 * (6 + 60), 2 * (12 + 75), 2 * (18 + 90)]);
});

it('keeps state between runs and updates it in place', async () => {
  const p = input('p', [3]);
  const session = compile({ next: add(p, 1) });
  await using runtime = openRuntime();
  const loaded = await runtime.load(session);
  await runtime.setState('p', f32([3], [1, 2, 3]));
  for (let i = 0; i < 5; i++) await loaded.run({}, { state: { p: 'p' }, keep: { next: 'p' }, inPlace: true });
  expect(Array.from((await runtime.getState('p'))!.data as Float32Array)).toEqual([6, 7, 8]);
});

it('computes element-wise functions block by block as in one piece', async () => {
  const f = ([a, b]: readonly Tensor[], [k]: readonly Tensor[]): Tensor[] => {
    const s = sub(mul(a!, k!), b!);
    return [s, silu(mul(s, 2))];
  };
  const [a, b, k] = [input('a', [5, 7]), input('b', [5, 7]), input('k', [1])] as const;
  const [x, y] = blockwise(f, [a, b], [mul(k, 3)]);
  const [u, v] = f([a, b], [mul(k, 3)]);
  const graph = compile({ x: x!, y: y!, u: u!, v: v!, both: add(x!, y!) });
  expect(graph.operators['Scan']).toBe(1);
  await using runtime = openRuntime();
  const values = (shift: number): Float32Array => Float32Array.from({ length: 35 }, (_, i) => Math.sin(i + shift));
  const feeds = { a: f32([5, 7], values(0)), b: f32([5, 7], values(2)), k: f32([1], [0.4]) };
  const out = await (await runtime.load(graph)).run(feeds);
  expect(out['x']).toEqual(out['u']);
  expect(out['y']).toEqual(out['v']);
});

it('gives results that are also inputs, constants or given twice', async () => {
  const x = input('x', [2]);
  const y = mul(x, 2);
  await using runtime = openRuntime();
  const session = await runtime.load(compile({ a: x, b: y, c: y, d: add(y, 1), e: constantF32([1], [7]) }));
  const out = await session.run({ x: f32([2], [1, 2]) }, { fetch: ['e', 'd', 'b', 'c', 'a'] });
  const numbers = Object.fromEntries(Object.entries(out).map(([n, v]) => [n, Array.from(v.data as Float32Array)]));
  expect(numbers).toEqual({ a: [1, 2], b: [2, 4], c: [2, 4], d: [3, 5], e: [7] });
});

it('keeps narrow weights of a file as they are stored, with equal results', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'orrery-stored-'));
  try {
    const side = 256;
    const bits = Uint16Array.from(
      { length: 2 * side * side },
      (_, i) => ((i % 2) << 15) | (0x3c00 + ((i * 7919) % 128)),
    );
    writeFileSync(join(folder, 'w.bin'), bits);
    const bytes = 2 * side * side;
    const weights = (id: string) =>
      ({ kind: 'file', file: 'w.bin', offset: id === 'a' ? 0 : bytes, length: bytes, dtype: 'bf16' }) as const;
    const x = input('x', [3, side]);
    const [a, b] = [param('a', [side, side]), param('b', [side, side])];
    // Used once, used twice, used with nothing but weights, and given as it is.
    const outs = { y: linear(silu(linear(x, a)), a), z: linear(x, mul(b, 2)), w: b };
    await using runtime = openRuntime({ threads: 1 });
    const feeds = {
      x: f32(
        [3, side],
        Float32Array.from({ length: 3 * side }, (_, i) => Math.sin(i)),
      ),
    };
    const run = async (widen: 'load' | 'use') =>
      (await runtime.load(compile(outs, { weights, widen }), { folder })).run(feeds);
    const [wide, stored] = [await run('load'), await run('use')];
    for (const name of ['y', 'z', 'w']) {
      const [p, q] = [wide[name]!.data as Float32Array, stored[name]!.data as Float32Array];
      for (let i = 0; i < p.length; i++) expect(Math.abs(p[i]! - q[i]!)).toBeLessThan(1e-5 * (1 + Math.abs(p[i]!)));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('writes fused and standard forms that agree', async () => {
  const q = input('q', [1, 4, 2, 8]);
  const x = input('x', [1, 2, 5, 5]);
  const w = param('w', [3, 2, 3, 3]);
  const y = conv(silu(x), w, undefined, { padBefore: [1, 1], padAfter: [1, 1] });
  const outs = { a: attention(q, q, q, { causal: true }), n: rmsNorm(q, param('g', [8])), y };
  await using runtime = openRuntime();
  const feeds = {
    q: f32(
      [1, 4, 2, 8],
      Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)),
    ),
    x: f32(
      [1, 2, 5, 5],
      Float32Array.from({ length: 50 }, (_, i) => Math.cos(i)),
    ),
    w: f32(
      [3, 2, 3, 3],
      Float32Array.from({ length: 54 }, (_, i) => Math.sin(2 * i)),
    ),
    g: f32([8], [1, 2, 3, 4, 5, 6, 7, 8]),
  };
  const fused = await (await runtime.load(compile(outs))).run(feeds);
  const standard = await (await runtime.load(compile(outs, { standard: true }))).run(feeds);
  for (const name of ['a', 'n', 'y']) {
    const [f, s] = [fused[name]!.data as Float32Array, standard[name]!.data as Float32Array];
    for (let i = 0; i < f.length; i++) expect(Math.abs(f[i]! - s[i]!)).toBeLessThan(1e-5);
  }
});
