// Actions as a new input of a trained network: at the start they change nothing; mirrored scenes have mirrored actions.
import { expect, it } from 'vitest';
import { f32, type NdArray, randomStream, sizeOf } from '../base/index.ts';
import { compile, input } from '../graph/index.ts';
import { nano, type OrreryNanoConfig } from '../nets/orrery/nano.ts';
import { listWeights, type WeightSpec } from '../nets/orrery/weights.ts';
import { openRuntime } from '../runtime/index.ts';
import { actionFeed, actionShape, mirroredAction, requireActions } from './actions.ts';

const PLAIN: OrreryNanoConfig = {
  kind: 'orrery-nano',
  grid: { t: 2, h: 4, w: 4 },
  context: 3,
  channels: 4,
  patch: 2,
  width: 32,
  heads: 2,
  blocks: 1,
  mlpRatio: 2,
  cellWidth: 8,
  cellBlocksIn: 1,
  cellBlocksOut: 1,
  textWidth: 32,
  textLength: 4,
  textBlocks: 1,
  words: 40,
};
const ACTIONS = { frames: 8, width: 16, scale: [50, 50, 50, 20, 20, 20, 1] };
const TOLD: OrreryNanoConfig = { ...PLAIN, actions: ACTIONS };

/** Random weights by name; those of the action input as declared, or random too. */
function startValue({ key, shape, init }: WeightSpec, isTrained: boolean): NdArray {
  const n = sizeOf(shape);
  const isNew = key.startsWith('actions.');
  if (isNew && !isTrained && init.kind === 'zeros') return f32(shape, new Float32Array(n));
  const random = randomStream(1, key);
  return f32(
    shape,
    Float32Array.from({ length: n }, () => 0.2 * random.normal()),
  );
}

async function run(config: OrreryNanoConfig, actions: Float32Array, isTrained: boolean): Promise<Float32Array> {
  const cells = 2 * 16;
  const noise = (label: string, shape: readonly number[]): NdArray =>
    startValue({ key: label, shape, init: { kind: 'xavier' } }, true);
  const build = (w: Parameters<typeof nano>[2]) =>
    nano(
      {
        x: input('x', [1, cells, 4]),
        base: input('base', [1, cells, 4]),
        context: input('context', [1, 3 * 16, 4]),
        given: input('given', [1, 3]),
        noise: input('noise', [1, 1]),
        words: input('words', [1, 4], 'i64'),
        ...(config.actions === undefined ? {} : { actions: input('actions', actionShape(config.actions, 1)) }),
      },
      config,
      w,
    );
  const specs = new Map(listWeights(build).map((s) => [s.key, s]));
  await using runtime = openRuntime({ threads: 1 });
  const graph = compile({ y: build((key, shape) => input(`w:${key}`, shape)) }, { name: 'actions' });
  const session = await runtime.load(graph);
  const feeds: Record<string, NdArray> = {
    x: noise('x', [1, cells, 4]),
    base: noise('base', [1, cells, 4]),
    context: noise('context', [1, 48, 4]),
    given: f32([1, 3], [1, 0, 0]),
    noise: f32([1, 1], [0.3]),
    words: { dtype: 'i64', shape: [1, 4], data: BigInt64Array.of(3n, 4n, 0n, 0n) },
    ...(config.actions === undefined ? {} : { actions: f32(actionShape(config.actions, 1), actions) }),
  };
  const used = new Set(graph.inputs.map((i) => i.name));
  for (const [key, spec] of specs) if (used.has(`w:${key}`)) feeds[`w:${key}`] = startValue(spec, isTrained);
  return (await session.run(feeds)).y!.data as Float32Array;
}

it('a generalist with the new input behaves as before, whatever the actions', async () => {
  const push = actionFeed(
    ACTIONS,
    Array.from({ length: 8 }, () => [0.02, -0.01, 0, 0, 0, 0, 0]),
  );
  const plain = await run(PLAIN, push, false);
  expect(Math.max(...plain.map(Math.abs))).toBeGreaterThan(0.01);
  expect(await run(TOLD, push, false)).toEqual(plain);
  const other = await run(TOLD, push, true);
  expect(await run(TOLD, new Float32Array(push.length), true)).not.toEqual(other);
});

it('marks known actions and leaves the others zero', () => {
  const feed = actionFeed(ACTIONS, [[0.01, 0, -0.02, 0, 0, 0.1, 1], undefined, [0, 0, 0, 0, 0, 0, 0]]);
  expect([...feed.slice(0, 8)].map((v) => Math.round(v * 1e5) / 1e5)).toEqual([0.5, 0, -1, 0, 0, 2, 1, 1]);
  expect([...feed.slice(8, 16)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  expect([...feed.slice(16, 24)]).toEqual([0, 0, 0, 0, 0, 0, 0, 1]);
  expect([...feed.slice(24)].every((v) => v === 0)).toBe(true);
});

it('mirrors motion across the plane of the camera, and turns with it', () => {
  const action = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
  // The picture's right is the world's −y, as for a camera that looks along −x … and +x.
  expect(mirroredAction(action, [0, -1, 0])).toEqual([0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7]);
  const right = [0.6, 0.8, 0];
  const twice = mirroredAction(mirroredAction(action, right), right);
  for (const [i, v] of action.entries()) expect(twice[i]).toBeCloseTo(v, 12);
  const once = mirroredAction(action, right);
  expect(once[0]! * 0.6 + once[1]! * 0.8).toBeCloseTo(-(0.1 * 0.6 + 0.2 * 0.8), 12);
  expect(once[0]! * 0.8 - once[1]! * 0.6).toBeCloseTo(0.1 * 0.8 - 0.2 * 0.6, 12);
});

it('refuses rows that are no actions', () => {
  expect(() =>
    requireActions([
      [0, 0, 0, 0, 0, 0, 0],
      [1, 2],
    ]),
  ).toThrow('action 1: got [1, 2], need 7 numbers');
  expect(() => requireActions([[0, 0, 0, 0, 0, 0, Number.NaN]])).toThrow('action 0');
});
