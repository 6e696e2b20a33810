// Every differentiable op against finite differences, fused and in the standard form; random compositions; recomputation.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { f32, type NdArray, type RandomStream, randomStream, sizeOf } from '../base/index.ts';
import { openRuntime, type Runtime } from '../runtime/index.ts';
import {
  abs,
  add,
  attention,
  avgPool,
  barrier,
  blockwise,
  type ConvGeometry,
  compile,
  concat,
  constant,
  constantF32,
  constantInts,
  conv,
  convTranspose,
  cos,
  cumsum,
  depthwiseConv,
  div,
  erf,
  exp,
  expand,
  flip,
  gather,
  gatherElements,
  gatherRows,
  gelu,
  geluTanh,
  gemm,
  gradients,
  greater,
  input,
  layerNorm,
  log,
  logSoftmax,
  makeNode,
  matmul,
  max,
  maximum,
  mean,
  minimum,
  mul,
  neg,
  OPS,
  type Op,
  pad,
  padReflect,
  param,
  pow,
  quantizedLinear,
  reciprocal,
  recompute,
  relu,
  repeat,
  reshape,
  rmsNorm,
  rmsNormPlain,
  rope,
  scatterElements,
  scatterRows,
  sigmoid,
  silu,
  sin,
  slice,
  sliceMany,
  softmax,
  softplus,
  split,
  sqrt,
  stack,
  stopGradient,
  sub,
  sum,
  type Tensor,
  tanh,
  topK,
  topologicalOrder,
  transpose,
  where,
} from './index.ts';

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime({ threads: 1 });
});
afterAll(() => runtime.dispose());

/** Values of an input: centred, away from kinks, or positive. */
type Domain = 'any' | 'positive' | 'away from zero' | 'distinct';
type Case = {
  readonly shapes: readonly (readonly number[])[];
  readonly domain?: Domain;
  readonly build: (...x: Tensor[]) => Tensor;
};

function draw(r: RandomStream, shape: readonly number[], domain: Domain): NdArray & { data: Float32Array } {
  const n = sizeOf(shape);
  if (domain === 'distinct') {
    // Steps far above the finite difference, in random order: no ties and no change of order.
    const values = r.shuffle(Array.from({ length: n }, (_, i) => (i - n / 2) * 0.13 + 0.05));
    return f32(shape, values);
  }
  return f32(
    shape,
    Float32Array.from({ length: n }, () => {
      if (domain === 'positive') return r.uniform(0.4, 1.6);
      const v = r.uniform(-1, 1);
      return domain === 'any' ? v : v + (v < 0 ? -0.2 : 0.2);
    }),
  );
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let s = 0;
  for (let i = 0; i < a.length; i++) s += a[i]! * b[i]!;
  return s;
};

/** Compares ∂(Σ y·r) with central differences along random and single-element directions; fused and standard form. */
async function check({ shapes, domain = 'any', build }: Case, seed: number): Promise<void> {
  const r = randomStream(seed, 'gradients');
  const xs = shapes.map((shape, i) => input(`x${i}`, shape));
  const y = build(...xs);
  const weights = constantF32(
    y.shape,
    Float32Array.from({ length: sizeOf(y.shape) }, () => r.uniform(-1, 1)),
  );
  const loss = sum(mul(y, weights));
  const grads = Object.fromEntries(gradients(loss, xs).map((g, i) => [`g${i}`, g]));
  const values = shapes.map((s) => draw(r, s, domain));
  const feedsOf = (arrays: readonly NdArray[]): Record<string, NdArray> =>
    Object.fromEntries(arrays.map((a, i) => [`x${i}`, a]));

  const fused = await runtime.load(compile({ loss, ...grads }));
  const got = await fused.run(feedsOf(values));
  const standardGraph = compile({ loss, ...grads }, { standard: true });
  const outside = Object.keys(standardGraph.operators).filter((o) => o.includes(':') || o.startsWith('Simplified'));
  expect(outside).toEqual([]);
  const standard = await runtime.load(standardGraph);
  const plain = await standard.run(feedsOf(values));
  for (const name of Object.keys(got)) {
    const [a, b] = [got[name]!.data as Float32Array, plain[name]!.data as Float32Array];
    for (let i = 0; i < a.length; i++) {
      expect(Math.abs(a[i]! - b[i]!), `${name}[${i}] fused ${a[i]} standard ${b[i]}`).toBeLessThan(
        2e-4 * (1 + Math.abs(b[i]!)),
      );
    }
  }

  const h = 4e-3;
  const lossAt = async (arrays: readonly NdArray[]): Promise<number> =>
    Number((await fused.run(feedsOf(arrays), { fetch: ['loss'] }))['loss']!.data[0]);
  for (const [k, value] of values.entries()) {
    const g = got[`g${k}`]!.data as Float32Array;
    const directions = [0, 1].map(() => Float32Array.from(g, () => r.uniform(-1, 1)));
    for (let j = 0; j < 3; j++) {
      const unit = new Float32Array(g.length);
      unit[r.integer(0, g.length - 1)] = 1;
      directions.push(unit);
    }
    for (const d of directions) {
      const shift = (s: number): NdArray[] =>
        values.map((v, i) =>
          i === k
            ? f32(
                v.shape,
                value.data.map((x, e) => x + s * d[e]!),
              )
            : v,
        );
      const numeric = ((await lossAt(shift(h))) - (await lossAt(shift(-h)))) / (2 * h);
      const symbolic = dot(g, d);
      const scale = 1 + Math.abs(numeric) + Math.sqrt(dot(g, g)) * 0.1;
      expect(Math.abs(numeric - symbolic), `input ${k}: numeric ${numeric}, symbolic ${symbolic}`).toBeLessThan(
        3e-3 * scale,
      );
    }
  }
  await fused.dispose();
  await standard.dispose();
}

const one = (build: (x: Tensor) => Tensor, domain: Domain = 'any'): Case[] => [{ shapes: [[2, 3]], domain, build }];
const two = (build: (a: Tensor, b: Tensor) => Tensor, domain: Domain = 'any'): Case[] => [
  {
    shapes: [
      [2, 3],
      [2, 3],
    ],
    domain,
    build,
  }, // same shape
  {
    shapes: [
      [2, 1, 3],
      [4, 1],
    ],
    domain,
    build,
  }, // both broadcast
  { shapes: [[12, 4], [4]], domain, build }, // row sums by a product
];

const geometry = (g: Partial<ConvGeometry>): Partial<ConvGeometry> => g;
const convCase = (x: number[], w: number[], g: Partial<ConvGeometry>, bias = true): Case => ({
  shapes: bias ? [x, w, [w[0]!]] : [x, w],
  build: (a, b, c) => conv(a, b, c, g),
});
const transposedCase = (x: number[], w: number[], g: ConvGeometry, space: number[]): Case => ({
  shapes: [x, w],
  build: (a, b) => convTranspose(a, b, g, space),
});

const table = { index: Int32Array.of(0, 1, -1, 2, 2, 3, 0, 2), width: 2, sources: 4 };
const fullTable = { index: Int32Array.of(0, 1, 2, 0), width: 2, sources: 3 };
const angles = Float32Array.from({ length: 6 }, (_, i) => 0.3 + i);
const opNamed = (name: string): Op<unknown> => OPS.find((o) => o.name === name) as Op<unknown>;
const packed4 = constant({
  dtype: 'u8',
  shape: [3, 2, 8],
  data: Uint8Array.from({ length: 48 }, (_, i) => (i * 37) % 256),
});
const packed8 = constant({
  dtype: 'u8',
  shape: [3, 2, 16],
  data: Uint8Array.from({ length: 96 }, (_, i) => (i * 53) % 256),
});
const scales = (k: number): Tensor =>
  constantF32(
    [3, 2],
    [0.1, 0.05, 0.07, 0.02, 0.11, 0.03].map((s) => s * k),
  );

/** One entry per differentiable op, by its name. */
const CASES: Readonly<Record<string, readonly Case[]>> = {
  add: two(add),
  sub: two(sub),
  mul: two(mul),
  div: two(div, 'positive'),
  pow: [...one((x) => pow(x, 2.5), 'positive'), ...one((x) => pow(x, 3))],
  maximum: two((a, b) => maximum(a, add(b, 0.065)), 'distinct'),
  minimum: two((a, b) => minimum(a, add(b, 0.065)), 'distinct'),
  neg: one(neg),
  abs: one(abs, 'away from zero'),
  exp: one(exp),
  log: one(log, 'positive'),
  sqrt: one(sqrt, 'positive'),
  reciprocal: one(reciprocal, 'positive'),
  sin: one(sin),
  cos: one(cos),
  tanh: one(tanh),
  erf: one(erf),
  sigmoid: one(sigmoid),
  softplus: one(softplus),
  relu: one(relu, 'away from zero'),
  silu: one(silu),
  gelu: one(gelu),
  geluTanh: one(geluTanh),
  where: [{ shapes: [[2, 3], [3], [2, 1]], domain: 'away from zero', build: (c, a, b) => where(greater(c, 0), a, b) }],
  cast: one((x) => makeNode(opNamed('cast'), [x], { dtype: 'f32' })[0]!),
  barrier: two((a, b) => (a.shape.length === b.shape.length ? barrier(a, b) : add(barrier(a, b), b))),
  sum: [...one((x) => sum(x)), ...one((x) => sum(x, [0])), ...one((x) => sum(x, [-1], true))],
  mean: [...one((x) => mean(x)), ...one((x) => mean(x, [0])), ...one((x) => mean(x, [1], true))],
  max: [...one((x) => max(x), 'distinct'), ...one((x) => max(x, [1]), 'distinct')],
  softmax: [...one((x) => softmax(x)), ...one((x) => softmax(x, 0))],
  logSoftmax: [...one((x) => logSoftmax(x)), ...one((x) => logSoftmax(x, 0))],
  cumsum: [...one((x) => cumsum(x, 0)), ...one((x) => cumsum(x, -1))],
  topK: [
    { shapes: [[3, 5]], domain: 'distinct', build: (x) => topK(x, 2).values },
    { shapes: [[4, 3]], domain: 'distinct', build: (x) => topK(x, 2, 0).values },
  ],
  reshape: one((x) => reshape(x, [3, -1])),
  transpose: [
    ...one((x) => transpose(x, [1, 0])),
    { shapes: [[2, 3, 4]], build: (x) => transpose(x, [2, 0, 1]) },
    { shapes: [[2, 1, 4]], build: (x) => transpose(x, [1, 0, 2]) },
  ],
  expand: [{ shapes: [[2, 1, 3]], build: (x) => expand(x, [2, 2, 4, 3]) }],
  slice: [
    { shapes: [[5, 4]], build: (x) => slice(x, 0, 1, 3) },
    { shapes: [[7, 4]], build: (x) => slice(x, 0, 1, 3, 2) },
    { shapes: [[7, 4]], build: (x) => slice(x, 0, 6, 3, -2) },
    { shapes: [[3, 4]], build: (x) => flip(x, 1) },
    { shapes: [[5, 6, 7]], build: (x) => sliceMany(x, [0, 2], [4, 1], [2, 3], [-3, 2]) },
  ],
  concat: [
    {
      shapes: [
        [2, 3],
        [2, 1],
      ],
      build: (a, b) => concat([a, b, a], 1),
    },
    {
      shapes: [
        [2, 3],
        [2, 3],
      ],
      build: (a, b) => stack([a, b], 2),
    },
    { shapes: [[2, 5]], build: (x) => padReflect(x, 1, 3, 2) },
  ],
  split: [
    { shapes: [[2, 6]], build: (x) => mul(split(x, [1, 2, 3], 1)[2]!, 2) },
    { shapes: [[4, 3]], build: (x) => mul(split(x, [2, 2], 0)[0]!, split(x, [2, 2], 0)[1]!) },
  ],
  pad: [{ shapes: [[2, 3, 2]], build: (x) => pad(x, { before: [1, 0, 2], after: [0, 1, 1], value: 0.5 }) }],
  repeat: [{ shapes: [[2, 3, 2]], build: (x) => repeat(repeat(x, 1, 2), -1, 3) }],
  gather: [
    { shapes: [[4, 3]], build: (x) => gather(x, constantInts([2, 3], [0, 3, 3, 1, 0, 3])) },
    { shapes: [[2, 4, 3]], build: (x) => gather(x, constantInts([3], [2, 0, 2]), 1) },
    { shapes: [[2, 3]], build: (x) => gather(x, constantInts([2, 2], [2, 1, 1, 2]), -1) },
  ],
  scatterRows: [{ shapes: [[4, 3]], build: (x) => scatterRows(5, constantInts([4], [1, 4, 1, 0]), x) }],
  gatherElements: [
    { shapes: [[2, 4]], build: (x) => gatherElements(x, constantInts([2, 3], [0, 3, 3, 1, 1, 1]), 1) },
    { shapes: [[3, 2]], build: (x) => gatherElements(x, constantInts([2, 2], [0, 2, 2, 1]), 0) },
  ],
  scatterElements: [
    {
      shapes: [
        [2, 4],
        [2, 3],
      ],
      build: (x, u) => scatterElements(x, constantInts([2, 3], [0, 3, 3, 1, 1, 2]), u, 1),
    },
  ],
  gatherRows: [
    { shapes: [[2, 4, 3]], build: (x) => gatherRows(x, table) },
    { shapes: [[1, 3, 2]], build: (x) => gatherRows(x, fullTable) },
  ],
  gemm: [false, true].flatMap((transA) =>
    [false, true].map((transB) => ({
      shapes: [transA ? [3, 2] : [2, 3], transB ? [4, 3] : [3, 4], [4]],
      build: (a: Tensor, b: Tensor, bias?: Tensor) => gemm(a, b, { transA, transB, ...(bias ? { bias } : {}) }),
    })),
  ),
  matmul: [false, true].flatMap((transA) =>
    [false, true].map((transB) => ({
      shapes: [
        [2, 1, ...(transA ? [3, 2] : [2, 3])],
        [4, ...(transB ? [5, 3] : [3, 5])],
      ],
      build: (a: Tensor, b: Tensor) => matmul(a, b, { transA, transB, alpha: 0.7 }),
    })),
  ),
  plainMatmul: [
    {
      shapes: [
        [2, 3, 2],
        [2, 2, 4],
      ],
      build: (a, b) => matmul(a, b),
    },
    {
      shapes: [
        [2, 3, 2],
        [2, 4],
      ],
      build: (a, b) => matmul(a, b),
    },
    {
      shapes: [
        [2, 4, 2],
        [2, 5, 2],
      ],
      build: (a, b) => matmul(a, transpose(b, [0, 2, 1])),
    },
  ],
  quantizedLinear: [
    { shapes: [[2, 32]], build: (x) => quantizedLinear(x, packed4, scales(1), { bits: 4 }) },
    { shapes: [[2, 32]], build: (x) => quantizedLinear(x, packed8, scales(0.05), { bits: 8 }) },
  ],
  conv: [
    convCase([2, 3, 7], [4, 3, 3], {}),
    convCase([2, 2, 8], [3, 2, 3], geometry({ strides: [2], padBefore: [2], padAfter: [0], dilations: [2] })),
    convCase([1, 2, 9], [2, 2, 3], geometry({ strides: [3] }), false), // last columns unused
    convCase([2, 2, 5, 6], [3, 2, 3, 3], geometry({ padBefore: [1, 1], padAfter: [1, 1] })),
    convCase([1, 2, 6, 7], [2, 2, 3, 2], geometry({ strides: [2, 1], padBefore: [0, 1], padAfter: [1, 2] })),
    convCase([1, 2, 4, 4], [2, 2, 1, 1], geometry({ padBefore: [1, 0], padAfter: [0, 2] })), // more border than kernel
    convCase([1, 3, 4, 4], [2, 3, 1, 1], {}),
    convCase([1, 2, 3, 4, 4], [3, 2, 3, 3, 3], geometry({ padBefore: [2, 1, 1], padAfter: [0, 1, 1] })), // causal
    convCase([2, 2, 5, 4, 4], [2, 2, 3, 1, 1], geometry({ padBefore: [2, 0, 0] }), false),
    convCase(
      [1, 2, 5, 5, 4],
      [2, 2, 3, 3, 3],
      geometry({ strides: [2, 2, 2], padBefore: [0, 0, 1], padAfter: [0, 1, 0] }),
    ),
    convCase([1, 2, 5, 5, 6], [2, 2, 2, 2, 2], geometry({ dilations: [2, 1, 3], padBefore: [1, 1, 2] })),
  ],
  convTranspose: [
    transposedCase([2, 3, 4], [3, 2, 3], { strides: [2], padBefore: [1], padAfter: [0], dilations: [1] }, [8]),
    transposedCase(
      [1, 2, 3, 3],
      [2, 2, 3, 2],
      { strides: [2, 1], padBefore: [0, 1], padAfter: [1, 0], dilations: [1, 2] },
      [7, 4],
    ),
    transposedCase(
      [1, 2, 2, 2, 2],
      [2, 3, 2, 2, 2],
      { strides: [1, 2, 2], padBefore: [0, 0, 0], padAfter: [0, 0, 0], dilations: [1, 1, 1] },
      [3, 4, 4],
    ),
  ],
  avgPool: [
    { shapes: [[1, 2, 4, 6]], build: (x) => avgPool(x, [2, 3]) },
    { shapes: [[1, 2, 4, 2, 2]], build: (x) => avgPool(x, [2, 1, 2]) },
  ],
  depthwiseConv: [
    {
      shapes: [
        [2, 3, 4, 5],
        [3, 1, 3, 3],
      ],
      build: (x, w) => depthwiseConv(x, w, { stride: 2, padding: 1 }),
    },
  ],
  layerNorm: [
    { shapes: [[3, 5], [5], [5]], build: (x, weight, bias) => layerNorm(x, { weight, bias }) },
    { shapes: [[2, 2, 4]], build: (x) => layerNorm(x, { eps: 1e-3 }) },
  ],
  rmsNorm: [
    { shapes: [[3, 5], [5]], build: (x, w) => rmsNorm(x, w) },
    { shapes: [[2, 2, 4], [4]], build: (x, w) => rmsNorm(x, w, 1e-2) },
    { shapes: [[2, 3, 4]], build: (x) => rmsNormPlain(x) },
  ],
  attention: [
    {
      shapes: [
        [2, 3, 2, 4],
        [2, 5, 2, 4],
        [2, 5, 2, 4],
      ],
      build: (q, k, v) => attention(q, k, v),
    },
    {
      shapes: [
        [1, 3, 2, 4],
        [1, 3, 2, 4],
        [1, 3, 2, 4],
      ],
      build: (q, k, v) => attention(q, k, v, { causal: true }),
    },
    {
      shapes: [
        [1, 2, 2, 4],
        [1, 5, 2, 4],
        [1, 5, 2, 4],
      ],
      build: (q, k, v) => attention(q, k, v, { causal: true, scale: 0.3 }),
    },
    {
      shapes: [
        [2, 3, 2, 4],
        [2, 5, 2, 4],
        [2, 5, 2, 4],
        [1, 2, 3, 5],
      ],
      build: (q, k, v, mask) => attention(q, k, v, { mask }),
    },
    {
      shapes: [
        [2, 3, 2, 4],
        [2, 3, 2, 4],
        [2, 3, 2, 4],
        [2, 1, 3, 3],
      ],
      build: (q, k, v, mask) => attention(q, k, v, { mask, causal: true }),
    },
    {
      shapes: [
        [1, 3, 2, 4],
        [1, 4, 2, 4],
        [1, 4, 2, 3],
      ],
      build: (q, k, v) => attention(q, k, v),
    },
  ],
  blockwise: [
    {
      shapes: [[3, 4], [3, 4], [1]],
      build: (a, b, c) =>
        blockwise(([p, q], [k]) => [mul(add(p!, q!), k!), mul(mul(p!, p!), q!)], [a, b], [c]).reduce((x, y) =>
          add(x, y),
        ),
    },
  ],
  rope: [
    {
      shapes: [[2, 3, 2, 4]],
      build: (x) => rope(x, constantF32([3, 2], angles.map(Math.cos)), constantF32([3, 2], angles.map(Math.sin))),
    },
  ],
};

/** Ops whose gradient is zero by definition. */
const NOT_DIFFERENTIABLE = [
  'equal', 'greater', 'greaterOrEqual', 'less', 'lessOrEqual', 'and', 'or', 'sign', 'floor', 'round', 'not', 'isNaN',
  'stopGradient', 'argMax', 'oneHot',
]; // biome-ignore format: a word list

describe('gradients of single ops', () => {
  it('has a case for every differentiable op and declares the others', () => {
    const differentiable = OPS.filter((o) => o.grad !== null).map((o) => o.name);
    expect(differentiable.filter((n) => CASES[n] === undefined)).toEqual([]);
    expect(OPS.filter((o) => o.grad === null).map((o) => o.name)).toEqual(NOT_DIFFERENTIABLE);
    for (const [name, cases] of Object.entries(CASES)) {
      // The case must really use its op.
      for (const c of cases.slice(0, 1)) {
        const y = c.build(...c.shapes.map((s, i) => input(`x${i}`, s)));
        expect(topologicalOrder([y]).map((n) => n.op.name)).toContain(name);
      }
    }
  });
  it.each(Object.entries(CASES))('%s', async (_, cases) => {
    for (const [i, c] of cases.entries()) await check(c, 11 + i);
  });
  it('computes the gradients of long activations block by block as in one piece', async () => {
    const x = input('x', [8, 65536]);
    const y = silu(x);
    const a = gradients(mean(mul(add(y, gelu(x)), y)), [x])[0]!;
    const blocked = compile({ a });
    const whole = compile({ a }, { target: 'gpu' });
    expect([blocked.operators['Scan'], whole.operators['Scan']]).toEqual([2, undefined]);
    const feeds = { x: draw(randomStream(3, 'long'), [8, 65536], 'any') };
    const [p, q] = [await (await runtime.load(blocked)).run(feeds), await (await runtime.load(whole)).run(feeds)];
    const [g, h] = [p['a']!.data as Float32Array, q['a']!.data as Float32Array];
    let worst = 0;
    for (let i = 0; i < g.length; i++) worst = Math.max(worst, Math.abs(g[i]! - h[i]!));
    expect(worst).toBeLessThan(1e-11);
  });
  it('does not flow through stopGradient', async () => {
    const x = input('x', [2]);
    const [g] = gradients(sum(mul(stopGradient(x), x)), [x]);
    const session = await runtime.load(compile({ g: g! }));
    expect(Array.from((await session.run({ x: f32([2], [3, 4]) }))['g']!.data as Float32Array)).toEqual([3, 4]);
  });
});

/** A random expression over a few inputs; every intermediate keeps the shape [2, 3, 4]. */
function randomExpression(seed: number): Case {
  return {
    shapes: [[2, 3, 4], [4, 4], [4]],
    build: (x, w, b) => {
      const r = randomStream(seed, 'expression');
      const pool: Tensor[] = [x];
      const any = (): Tensor => r.pick(pool);
      const rows = (t: Tensor): Tensor => reshape(t, [6, 4]);
      const heads = (t: Tensor): Tensor => reshape(t, [2, 3, 2, 2]);
      const steps: (() => Tensor)[] = [
        () => add(any(), any()),
        () => mul(tanh(any()), any()),
        () => silu(any()),
        () => gelu(any()),
        () => softmax(any(), r.integer(0, 2)),
        () => reshape(gemm(rows(any()), w, { transB: r.uniform() < 0.5, bias: b }), [2, 3, 4]),
        () => rmsNorm(any(), b),
        () => layerNorm(any(), { weight: b }),
        () => reshape(attention(heads(any()), heads(any()), heads(any())), [2, 3, 4]),
        () => flip(any(), r.integer(0, 2)),
        () => concat([slice(any(), 1, 1, 2), slice(any(), 1, 0, 1)], 1),
        () => matmul(any(), w),
        () => div(any(), add(mul(sigmoid(any()), 2), 1)),
        () => sub(any(), mean(any(), [r.integer(0, 2)], true)),
        () => recompute(([t]) => [tanh(matmul(silu(t!), w))], [any()])[0]!,
      ];
      for (let i = 0; i < 7; i++) pool.push(mul(r.pick(steps)(), 0.7));
      return pool.reduce((a, t) => add(a, t));
    },
  };
}

describe('gradients of compositions', () => {
  it.each(Array.from({ length: 12 }, (_, i) => i))('random expression %i', (i) => check(randomExpression(i), 100 + i));

  it('recomputes a block: equal gradients, inner values computed twice, nothing of the first pass kept', async () => {
    const x = input('x', [4, 6]);
    const w1 = param('w1', [6, 6]);
    const w2 = param('w2', [6, 6]);
    const block = ([t]: readonly Tensor[]): Tensor[] => [add(t!, exp(matmul(tanh(matmul(t!, w1)), w2)))];
    const lossOf = (wrap: (t: Tensor) => Tensor): Tensor => sum(mul(wrap(wrap(x)), 0.1));
    const plainLoss = lossOf((t) => block([t])[0]!);
    const savingLoss = lossOf((t) => recompute(block, [t])[0]!);
    const outs = (loss: Tensor): Record<string, Tensor> => {
      const [gx, g1, g2] = gradients(loss, [x, w1, w2]);
      return { loss, gx: gx!, g1: g1!, g2: g2! };
    };
    const plain = compile(outs(plainLoss));
    const saving = compile(outs(savingLoss));
    const r = randomStream(5, 'recompute');
    const feeds = {
      x: draw(r, [4, 6], 'any'),
      w1: draw(r, [6, 6], 'any'),
      w2: draw(r, [6, 6], 'any'),
    };
    const a = await (await runtime.load(plain)).run(feeds);
    const b = await (await runtime.load(saving)).run(feeds);
    for (const name of Object.keys(a)) {
      const [p, q] = [a[name]!.data as Float32Array, b[name]!.data as Float32Array];
      for (let i = 0; i < p.length; i++) expect(q[i]).toBeCloseTo(p[i]!, 4);
    }
    expect(plain.operators['Tanh']).toBe(2);
    expect(saving.operators['Tanh']).toBe(4);
  });
});
