// Public models that are steered by more than words: several cameras, a camera path, a trajectory, robot actions; small random weights in
// the published layout, conditions from files.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noGuardrail } from '../../src/base/index.ts';
import { readViews } from '../../src/cli/spec-file.ts';
import { type GenerateEvent, generate } from '../../src/index.ts';
import { encodeMp4 } from '../../src/media/index.ts';
import type { GeneralDitConfig } from '../../src/nets/index.ts';
import { actionBetween, readCamera, readRobotActions, readTrajectory } from '../../src/worlds/index.ts';
import { TINY_DIT, writePredict1 } from '../fixtures/tiny-cosmos.ts';
import { numberedFrames } from '../media/numbered.ts';

let folder: string;
let clip: string;
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-conditions-'));
  clip = at('clip.mp4');
  await encodeMp4(numberedFrames(18), { path: clip, fps: 24 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(request: object): Promise<Extract<GenerateEvent, { type: 'completed' }>> {
  let last: GenerateEvent | undefined;
  for await (const e of generate(request, { guardrail: noGuardrail(), out: at('runs'), threads: 1 })) last = e;
  if (last?.type !== 'completed') throw new Error('no video');
  return last;
}

const small = { prompt: 'a street', height: 16, width: 32, frames: 9, steps: 2, guidance: 1 };
const write = (name: string, value: unknown): string => {
  writeFileSync(at(name), typeof value === 'string' ? value : JSON.stringify(value));
  return at(name);
};

const TWO: GeneralDitConfig = {
  ...TINY_DIT,
  inChannels: 5,
  extraPositions: 'sincos',
  views: { count: 2, width: 3, hasFrameRepeat: true, trajectoryWidth: 0 },
};

describe('several cameras', () => {
  it('makes a video per camera and one of all, each from its own words and frames', async () => {
    const model = writePredict1(at('views'), TWO, 'Cosmos-Predict1-7B-Video2World-Sample-AV-Multiview');
    const views = readViews(
      write('views.json', [
        { prompt: 'the front', input: 'clip.mp4' },
        { input: 'clip.mp4', frame_repeat: 3 },
      ]),
    );
    expect(views[0]).toEqual({ prompt: 'the front', input: clip });
    const done = await run({ ...small, model, views });
    expect(done).toMatchObject({ frames: 9, width: 64, height: 16 });
    expect(readdirSync(done.dir)).toEqual(expect.arrayContaining(['video.mp4', 'video-1.mp4', 'video-2.mp4']));
    const plain = await run({ ...small, model, views: [{ prompt: 'the front' }, { prompt: 'the back' }] });
    expect(readFileSync(plain.video).equals(readFileSync(done.video))).toBe(false);
    // One file with both cameras, one after the other.
    const joined = await run({ ...small, model, input: clip });
    expect(joined).toMatchObject({ frames: 9, width: 64 });
    await expect(run({ ...small, model, views: [{}] })).rejects.toThrow(/views: got "?1 entries"?, need 2/);
    await expect(run({ ...small, model, views: [{ input: clip }, {}] })).rejects.toThrow(/1 inputs.*none or 2/);
    await expect(run({ ...small, model, trajectory: clip })).rejects.toThrow(/trajectory.*need none/);
  }, 120_000);

  it('takes a prompt per line, and a trajectory where the model was trained with one', async () => {
    const config = { ...TWO, inChannels: 4, views: { ...TWO.views!, trajectoryWidth: 5 } };
    const model = writePredict1(at('trajectory'), config, 'Cosmos-Predict1-7B-Text2World-Sample-AV-Multiview');
    const views = readViews(write('views.txt', 'a road\n\na yard\n'));
    expect(views).toEqual([{ prompt: 'a road' }, { prompt: 'a yard' }]);
    const path = (k: number): string =>
      write(`t${k}.csv`, Array.from({ length: 64 }, (_, i) => `${i * k},0,${k}`).join('\n'));
    const a = await run({ ...small, model, views, trajectory: path(0.01) });
    const b = await run({ ...small, model, views, trajectory: path(1) });
    expect(readFileSync(a.video).equals(readFileSync(b.video))).toBe(false);
    await expect(run({ ...small, model, views })).rejects.toThrow(
      /trajectory: got undefined, need a file of 192 numbers/,
    );
    expect(() => readTrajectory(write('short.json', [1, 2, 3]))).toThrow(/\[3\].*need 192 numbers/);
    expect(() => readTrajectory(write('bad.json', [1, 'x']))).toThrow(/need numbers, in rows/);
  }, 120_000);
});

describe('a camera path', () => {
  /** Straight ahead, one step per frame. */
  const ahead = (n: number, step: number): number[][] =>
    Array.from({ length: n }, (_, i) => [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, i * step]);

  it('becomes rays: unit directions through the pixels, moments of the camera that moves', () => {
    const file = write('camera.json', { intrinsics: [1, 1, 0.5, 0.5], poses: ahead(9, 0.5) });
    const { shape, data } = readCamera(file, { t: 2, h: 2, w: 2, time: 8 });
    expect(shape).toEqual([1, 6, 2, 2, 2]);
    const ray = (f: number, y: number, x: number): number[] =>
      [0, 1, 2, 3, 4, 5].map((ch) => data[((ch * 2 + f) * 2 + y) * 2 + x]!);
    const length = Math.hypot(0.25, 0.25, 1);
    expect(ray(0, 0, 1)).toEqual([0.25, -0.25, 1, 0, 0, 0].map((v) => expect.closeTo(v / length, 5)));
    // Four metres on: o × d with o = (0, 0, 4).
    expect(ray(1, 0, 1)).toEqual([0.25, -0.25, 1, 1, 1, 0].map((v) => expect.closeTo(v / length, 5)));
    const other = readCamera(
      write('moment.json', { order: 'moment-first', intrinsics: [1, 1, 0.5, 0.5], poses: ahead(9, 0.5) }),
      { t: 2, h: 2, w: 2, time: 8 },
    );
    expect(other.data.slice(0, 24)).toEqual(data.slice(24));
  });

  it('steers a model that takes one, from JSON, CSV or ready rays', async () => {
    const model = writePredict1(at('camera'), { ...TINY_DIT, inChannels: 11 }, 'Cosmos-Predict1-7B-Video2World-Camera');
    const json = write('path.json', { intrinsics: [0.9, 1.6, 0.5, 0.5], poses: ahead(9, 0.5) });
    const csv = write(
      'path.csv',
      ahead(9, 2)
        .map((pose) => `0.9,1.6,0.5,0.5,${pose.join(',')}`)
        .join('\n'),
    );
    const a = await run({ ...small, model, camera: json });
    const b = await run({ ...small, model, camera: csv });
    expect(readFileSync(a.video).equals(readFileSync(b.video))).toBe(false);
    await expect(run({ ...small, model, input: clip })).rejects.toThrow(/camera: got undefined, need a file/);
    const short = write('few.json', { intrinsics: [0.9, 1.6, 0.5, 0.5], poses: ahead(5, 1) });
    await expect(run({ ...small, model, camera: short })).rejects.toThrow(
      /5 poses.*need 2, one per latent frame, or 9/,
    );
    const wrong = write('wrong.json', { intrinsics: [0.9, 1.6], poses: ahead(9, 1) });
    await expect(run({ ...small, model, camera: wrong })).rejects.toThrow(
      /intrinsics.*\[0.9,1.6\].*shares of width and height/,
    );
    const size = { t: 2, h: 2, w: 4, time: 8 };
    expect(() => readCamera(at('none.npy'), size)).toThrow(/none.npy/);
    writeFileSync(
      at('rays.npy'),
      npy(
        [2, 6, 2, 4],
        Float32Array.from({ length: 96 }, (_, i) => i),
      ),
    );
    const ready = readCamera(at('rays.npy'), size);
    // [T, 6, h, w] → [6, T, h, w]: channel 1 of frame 0 lies behind channel 0 of both frames.
    expect([...ready.data.slice(0, 3), ready.data[8], ready.data[16]]).toEqual([0, 1, 2, 48, 8]);
    writeFileSync(at('small.npy'), npy([2, 6, 1, 4], new Float32Array(48)));
    expect(() => readCamera(at('small.npy'), size)).toThrow(/\[2,6,1,4\].*need \[2, 6, 2, 4\]/);
  }, 120_000);
});

describe('robot actions', () => {
  it('are differences of states in the axes of the frame before', () => {
    const still = [0, 0, 0, 0, 0, Math.PI / 2, 0];
    const moved = [1, 0, 0, 0, 0, Math.PI / 2 + 0.3, 1];
    // Turned by 90° about z, the world's x is −y of the tool.
    const expected = [0, -1, 0, 0, 0, 0.3, 1].map((v) => expect.closeTo(v, 9));
    expect(actionBetween(still, moved)).toEqual(expected);
    // The same pose twice is no motion.
    const tilted = [1, 2, 3, 0.3, -0.2, 0.5, 1];
    expect(actionBetween(tilted, tilted)).toEqual([0, 0, 0, 0, 0, 0, 1].map((v) => expect.closeTo(v, 9)));
    // Turned straight up, α and γ cannot be told apart: all of it is α.
    const up = actionBetween([0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0.4, Math.PI / 2, 0.1, 0]);
    expect(up).toEqual([0, 0, 0, 0.3, Math.PI / 2, 0, 0].map((v) => expect.closeTo(v, 6)));
    const [first] = readRobotActions(write('states.json', { states: [still, moved] }));
    expect([...first!.data]).toEqual([0, -20, 0, 0, 0, 6, 1].map((v) => expect.closeTo(v, 4)));
    expect(() => readRobotActions(write('wide.csv', '1,2,3\n4,5,6'))).toThrow(/\[2,3\].*rows of 7 numbers/);
  });

  it('make a frame each', async () => {
    const config: GeneralDitConfig = { ...TINY_DIT, inChannels: 5, extraPositions: 'none', hasAction: true };
    const model = writePredict1(at('actions'), config, 'Cosmos-Predict1-7B-Video2World-Action');
    const rows = (x: number): string =>
      write(`a${x}.csv`, `dx,dy,dz,rx,ry,rz,grip\n${x},0,0,0,0,0,1\n0,${x},0,0,0,0,0`);
    const { frames: _, guidance: __, ...request } = { ...small, model, input: clip };
    const a = await run({ ...request, actions: rows(0.1) });
    expect(a).toMatchObject({ frames: 3, fps: 4, height: 16, width: 32 });
    const b = await run({ ...request, actions: rows(-3) });
    expect(readFileSync(a.video).equals(readFileSync(b.video))).toBe(false);
    await expect(run(request)).rejects.toThrow(/actions: got undefined, need a file with a row of 7 numbers/);
    await expect(run({ ...request, actions: rows(0.1), frames: 9 })).rejects.toThrow(/frames: got 9, need at most 3/);
  }, 120_000);

  it('and the others are refused by models that do not take them', async () => {
    const model = writePredict1(at('plain'), TINY_DIT);
    await expect(run({ ...small, model, actions: clip })).rejects.toThrow(/actions.*need none.*is not an action model/);
    await expect(run({ ...small, model, views: [{}] })).rejects.toThrow(/views.*need none.*is not a multi-view model/);
    await expect(run({ ...small, model, camera: clip })).rejects.toThrow(/takes no camera path/);
    await expect(run({ prompt: 'a ball', camera: clip })).rejects.toThrow(/orrery-nano does not take it/);
  });
});

/** A `.npy` file of float32, version 1. */
function npy(shape: readonly number[], data: Float32Array): Uint8Array {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const text = `${header.padEnd(117, ' ')}\n`;
  const head = Buffer.alloc(10);
  head.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  head.writeUInt16LE(text.length, 8);
  return Buffer.concat([head, Buffer.from(text, 'latin1'), Buffer.from(data.buffer)]);
}
