// A world that is stepped by actions, on the shipped generalist with the new input still at zero: the same frames as going on
// without actions, in pieces of any size, and errors that say what is wrong.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type NdArray, noGuardrail, sizeOf } from '../../src/base/index.ts';
import { openSafetensors, writeSafetensors } from '../../src/formats/index.ts';
import { openModelFolder } from '../../src/hub/index.ts';
import type { OrreryNanoConfig } from '../../src/nets/orrery/nano.ts';
import { listWeights } from '../../src/nets/orrery/weights.ts';
import { createRenderer, simulateClip } from '../../src/simulation/index.ts';
import { nanoGraph, openNano, openRobotWorld, rollOut } from '../../src/worlds/index.ts';

const EACH = 128 * 128 * 3;
let folder: string;
let clip: Uint8Array;
let actions: readonly (readonly number[])[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-robot-'));
  const { dir, record } = openModelFolder('orrery-nano');
  const config = {
    ...(record.config as OrreryNanoConfig),
    actions: { frames: 8, width: 16, scale: [50, 50, 50, 20, 20, 20, 1] },
  };
  using file = openSafetensors(join(dir, 'model.safetensors'));
  const tensors = listWeights((w) => nanoGraph(config, w)).map(({ key, shape }): [string, NdArray] => [
    key,
    file.tensors.has(key) ? file.read(key) : { dtype: 'f16', shape, data: new Uint16Array(sizeOf(shape)) },
  ]);
  const path = join(folder, 'model.safetensors');
  writeSafetensors(path, tensors);
  const bytes = readFileSync(path);
  const sums = { sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  const changed = { ...record, name: 'robot', config, files: { 'model.safetensors': sums } };
  writeFileSync(join(folder, 'model.json'), JSON.stringify(changed));

  const { scene, trajectory } = await simulateClip('robot_push', 2, { frames: 18 });
  const renderer = createRenderer(scene, trajectory, 0);
  clip = new Uint8Array(9 * EACH);
  for (let f = 0; f < 9; f++) renderer.render(f, { rgb: clip.subarray(f * EACH, (f + 1) * EACH) });
  actions = scene.robot!.actions.slice(8, 17);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('steps by one action or several, and with untrained actions goes on like the generalist', async () => {
  await using world = await openRobotWorld({ model: folder, frames: clip, guardrail: noGuardrail() });
  const whole = await world.step(actions.slice(0, 8));
  expect(whole.length).toBe(8 * EACH);
  expect(world.length).toBe(17);
  expect(world.frame).toEqual(whole.slice(7 * EACH));
  world.reset(clip);
  expect(await world.step(actions[0]!)).toEqual(whole.slice(0, EACH));
  expect(world.length).toBe(10);

  await using nano = await openNano('orrery-nano');
  const want = await rollOut(clip, 17, nano, { caption: '', seed: 1, sampling: nano.sampling });
  expect(whole).toEqual(want.slice(9 * EACH));
}, 120_000);

it('shows the guardrail the frames of a new beginning, and shows others only what it gave back', async () => {
  const seen: [string, number][] = [];
  const off = noGuardrail();
  const guardrail: typeof off = {
    ...off,
    async checkFrames(frames, options) {
      seen.push([options.subject, frames.shape[0]]);
      const decision = await off.checkFrames(frames, options);
      return options.subject === 'input'
        ? decision
        : { ...decision, frames: { ...frames, data: frames.data.map(() => 7) } };
    },
  };
  await using world = await openRobotWorld({ model: folder, frames: clip, guardrail });
  await world.step(actions[0]!);
  expect(world.frame).toEqual(new Uint8Array(EACH).fill(7));
  world.reset(clip.slice(0, 2 * EACH));
  expect(world.frame).toEqual(clip.slice(EACH, 2 * EACH));
  await world.step(actions[0]!);
  expect(seen).toEqual([
    ['input', 9],
    ['frames', 1],
    ['input', 2],
    ['frames', 1],
  ]);
}, 120_000);

it('says what is wrong', async () => {
  const guardrail = noGuardrail();
  await expect(openRobotWorld({ model: 'orrery-nano', frames: clip, guardrail })).rejects.toThrow('no input for them');
  await expect(openRobotWorld({ model: folder, frames: clip.slice(0, 100), guardrail })).rejects.toThrow(
    'whole frames',
  );
  await using world = await openRobotWorld({ model: folder, frames: clip, guardrail });
  await expect(world.step([])).rejects.toThrow('at least one action');
  await expect(world.step([0, 0, 0])).rejects.toThrow('need 7 numbers');
}, 120_000);
