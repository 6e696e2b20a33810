// The plain sums against the engine on random weights and windows, padded and full ones.
import { expect, test } from 'vitest';
import { f32, f32ToHalf, type NdArray, randomStream } from '../../base/index.ts';
import { input } from '../../graph/index.ts';
import { listWeights, promptNet } from '../../nets/index.ts';
import { openRuntime } from '../../runtime/index.ts';
import { promptArithmetic } from './prompt-arithmetic.ts';
import { graphOf } from './prompt-classifier.ts';

const NET = { words: 10, ids: 5, table: 64, width: 8, channels: 12, hidden: 6, outputs: 14 } as const;

function randomWeights(): Map<string, NdArray> {
  const random = randomStream(3, 'prompt arithmetic');
  const specs = listWeights((w) => promptNet(input('ids', [1, NET.words, NET.ids], 'i32'), NET, w));
  return new Map(
    specs.map(({ key, shape }) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const values = Float32Array.from({ length: size }, () => random.normal() * 0.5);
      return [key, { dtype: 'f16', shape, data: f32ToHalf(values) }] as const;
    }),
  );
}

test('plain arithmetic and engine give the same logits', async () => {
  const { halfToF32 } = await import('../../base/index.ts');
  const weights = randomWeights();
  const wide = new Map([...weights].map(([k, v]) => [k, f32(v.shape, halfToF32(v.data as Uint16Array))] as const));
  const logitsOf = promptArithmetic(NET, weights);
  const random = randomStream(4, 'windows');
  const runtime = openRuntime({ threads: 1 });
  try {
    const session = await runtime.load(graphOf(NET, 1, wide));
    for (const count of [0, 1, 3, 7, 10]) {
      const ids = new Int32Array(NET.words * NET.ids);
      for (let t = 0; t < count; t++) {
        for (let f = 0; f < NET.ids; f++)
          if (f < 2 || random.uniform() < 0.6) ids[t * NET.ids + f] = random.integer(1, NET.table - 1);
      }
      const fed: NdArray = { dtype: 'i32', shape: [1, NET.words, NET.ids], data: ids.slice() };
      const { logits } = await session.run({ ids: fed });
      const expected = logits!.data as Float32Array;
      for (const [k, value] of logitsOf(ids).entries()) expect(Math.abs(value - expected[k]!)).toBeLessThan(1e-4);
    }
  } finally {
    await runtime.dispose();
  }
});

test('NaN in the weights reaches the logits, and a wrong shape is named', () => {
  const weights = randomWeights();
  const broken = weights.get('conv1.bias')!;
  (broken.data as Uint16Array).fill(0x7e00);
  const ids = new Int32Array(NET.words * NET.ids).fill(1);
  expect([...promptArithmetic(NET, weights)(ids)].some(Number.isNaN)).toBe(true);
  weights.set('out.bias', f32([3], new Float32Array(3)));
  expect(() => promptArithmetic(NET, weights)).toThrow(/out\.bias: \[3\], need \[14\]; restore/);
});
