// Constants computed when a graph is written equal what a session computes.
import { expect, it } from 'vitest';
import { randomStream } from '../base/index.ts';
import {
  abs,
  add,
  compile,
  constantF32,
  constantValue,
  cos,
  div,
  exp,
  floor,
  foldConstants,
  input,
  log,
  matmul,
  mul,
  neg,
  pow,
  reciprocal,
  reshape,
  sin,
  sqrt,
  sub,
  type Tensor,
  tanh,
} from '../graph/index.ts';
import { openRuntime } from './index.ts';

const random = randomStream(3, 'fold');
const positive = (n: number): number[] => Array.from({ length: n }, () => random.uniform(0.2, 3));
const tableOf = (a: Tensor, b: Tensor): Record<string, Tensor> => ({
  ...{ add: add(a, b), sub: sub(a, b), mul: mul(a, b), div: div(a, b), pow: pow(a, b) },
  ...{ neg: neg(a), abs: abs(neg(a)), exp: exp(a), log: log(a), sqrt: sqrt(a), reciprocal: reciprocal(a) },
  ...{ sin: sin(a), cos: cos(a), tanh: tanh(a), floor: floor(a), reshape: reshape(mul(a, b), [6, 4]) },
});

it('folds as a session computes, with broadcasting', async () => {
  const [a, b] = [positive(24), positive(3)];
  const folded = tableOf(constantF32([2, 4, 3], a), constantF32([1, 3], b));
  await using runtime = openRuntime();
  const session = await runtime.load(compile(tableOf(input('a', [2, 4, 3]), input('b', [1, 3]))));
  const run = await session.run({
    a: { dtype: 'f32', shape: [2, 4, 3], data: Float32Array.from(a) },
    b: { dtype: 'f32', shape: [1, 3], data: Float32Array.from(b) },
  });
  for (const [name, tensor] of Object.entries(folded)) {
    const value = constantValue(foldConstants([tensor])[0]!)!;
    expect(value.shape, name).toEqual(run[name]!.shape);
    for (const [i, y] of (value.data as Float32Array).entries()) {
      expect(y, name).toBeCloseTo((run[name]!.data as Float32Array)[i]!, 5);
    }
  }
});

it('leaves nothing of a constant expression in the graph', () => {
  const scale = mul(sqrt(constantF32([3], [1, 4, 9])), exp(constantF32([], [0])));
  const { nodes, operators } = compile({ y: mul(input('x', [2, 3]), scale) });
  expect(nodes).toBe(1);
  expect(operators).toEqual({ Mul: 1 });
});

it('does not make large constants', () => {
  const row = constantF32([1, 1024], positive(1024));
  const column = constantF32([1024, 1], positive(1024));
  expect(compile({ y: add(input('x', [1024, 1024]), mul(row, column)) }).operators).toEqual({ Mul: 1, Add: 1 });
  // Not evaluated at all: products of matrices.
  expect(constantValue(foldConstants([matmul(row, column)])[0]!)).toBeUndefined();
});
