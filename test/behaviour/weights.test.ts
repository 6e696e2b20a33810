// Public models with rounded weights and with weights read from the disk in every step, in the published folders.
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { f32, noGuardrail } from '../../src/base/index.ts';
import { type GenerateEvent, generate, type TokenizeEvent, tokenize } from '../../src/index.ts';
import { encodeImage, encodeMp4 } from '../../src/media/index.ts';
import { namedWeights } from '../../src/nets/index.ts';
import { openRuntime } from '../../src/runtime/index.ts';
import { loadGraph } from '../../src/worlds/cosmos/sessions.ts';
import {
  autoregressiveWeights,
  componentOf,
  ditNetwork,
  inBlocks,
  openTokenModel,
  tokenNetwork,
  withWeights,
} from '../../src/worlds/index.ts';
import {
  ditSpecs,
  randomWeights,
  TINY_AR,
  TINY_CV,
  TINY_DIT,
  writeAutoregressive,
  writePredict1,
  writeTokenizer,
} from '../fixtures/tiny-cosmos.ts';
import { numberedFrames } from '../media/numbered.ts';

let folder: string;
let clip: string;
const cacheBefore = process.env.ORRERY_CACHE;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-weights-'));
  process.env.ORRERY_CACHE = join(folder, 'cache');
  clip = join(folder, 'clip.mp4');
  await encodeMp4(numberedFrames(20), { path: clip, fps: 24 });
});
afterAll(() => {
  if (cacheBefore === undefined) delete process.env.ORRERY_CACHE;
  else process.env.ORRERY_CACHE = cacheBefore;
  rmSync(folder, { recursive: true, force: true });
});

async function run(request: object, options: { offload?: boolean } = {}): Promise<GenerateEvent[]> {
  const events: GenerateEvent[] = [];
  const how = { guardrail: noGuardrail(), out: join(folder, 'runs'), threads: 1, ...options };
  for await (const e of generate(request, how)) events.push(e);
  return events;
}

const videoOf = (events: readonly GenerateEvent[]): Buffer => {
  const done = events.at(-1)!;
  if (done.type !== 'completed') throw new Error('no video');
  return readFileSync(done.video);
};
const madeFiles = (): string[] => readdirSync(join(folder, 'cache/weights')).sort();

/** Wide enough that its matrices are worth rounding. */
const WIDE_DIT = { ...TINY_DIT, width: 128, heads: 2 } as const;

describe('generate', () => {
  it('rounds the weights once, and makes the same video from the cache', async () => {
    const model = writePredict1(join(folder, 'predict1'), WIDE_DIT);
    const request = { prompt: 'a ball', model, height: 32, width: 48, frames: 9, steps: 2, guidance: 1 };
    const stored = videoOf(await run(request));
    for (const weights of ['8bit', '4bit'] as const) {
      const first = await run({ ...request, weights });
      const made = first.filter((e) => e.type === 'weights');
      expect(made.at(-1)).toMatchObject({ part: 'transformer' });
      const again = await run({ ...request, weights });
      expect(again.filter((e) => e.type === 'weights')).toEqual([]);
      expect(videoOf(again).equals(videoOf(first))).toBe(true);
      expect(videoOf(first).equals(stored)).toBe(false);
    }
    const files = madeFiles();
    // Text encoder and transformer, in two forms, each with its note.
    expect(files).toHaveLength(8);
    // A file that was cut is made again, not used.
    const large = files.filter((f) => f.endsWith('.safetensors')).map((f) => join(folder, 'cache/weights', f));
    for (const path of large) truncateSync(path, 1000);
    const events = await run({ ...request, weights: '4bit' });
    expect(events.some((e) => e.type === 'weights')).toBe(true);
  });

  it('makes the very same video when the weights are read in every step', async () => {
    const model = join(folder, 'predict1/Cosmos-Predict1-7B-Text2World');
    const request = { prompt: 'a ball', model, height: 32, width: 48, frames: 9, steps: 2, guidance: 1 };
    expect(videoOf(await run(request, { offload: true })).equals(videoOf(await run(request)))).toBe(true);
    const rounded = { ...request, weights: '8bit' };
    expect(videoOf(await run(rounded, { offload: true })).equals(videoOf(await run(rounded)))).toBe(true);
  });

  it('goes on from a video with rounded autoregressive weights', async () => {
    const config = { ...TINY_AR, width: 64, hidden: 256 };
    const model = writeAutoregressive(join(folder, 'ar'), config, 'Cosmos-Predict1-4B');
    const events = await run({ prompt: 'a ball', model, input: clip, weights: '8bit' });
    expect(events.at(-1)).toMatchObject({ type: 'completed', frames: 17 });
    expect(events.filter((e) => e.type === 'weights').at(-1)).toMatchObject({ part: 'transformer' });
  });

  it('refuses both for the small models of this package', async () => {
    await expect(run({ prompt: 'a ball', weights: '4bit' })).rejects.toThrow(/weights: got "4bit", need stored/);
    await expect(run({ prompt: 'a ball' }, { offload: true })).rejects.toThrow(/offload: got true, need false/);
  });
});

it('tokenizes with rounded weights, a little less well', async () => {
  const model = join(folder, 'Cosmos-Tokenize1-CV8x8x8-720p');
  writeTokenizer(model, { ...TINY_CV, channels: 32 });
  const picture = join(folder, 'picture.png');
  writeFileSync(picture, await encodeImage(numberedFrames(1)));
  const psnr = async (weights: 'stored' | '8bit' | '4bit'): Promise<number> => {
    let last: TokenizeEvent | undefined;
    for await (const e of tokenize(picture, { model, weights, out: join(folder, 'out', weights), threads: 1 }))
      last = e;
    if (last?.type !== 'completed') throw new Error('not completed');
    return last.psnr;
  };
  const [stored, eight] = [await psnr('stored'), await psnr('8bit')];
  // Random weights restore nothing; but they do so alike.
  expect(Math.abs(eight - stored)).toBeLessThan(0.5);
});

describe('a component in blocks', () => {
  it('computes nearly the same, resident and streamed alike', async () => {
    await using runtime = openRuntime({ threads: 1 });
    const component = componentOf(WIDE_DIT, new Map(randomWeights(ditSpecs(WIDE_DIT))));
    const outputs = ditNetwork(WIDE_DIT, { t: 2, h: 4, w: 4 });
    const wave = (shape: number[], step: number) =>
      f32(
        shape,
        Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * step)),
      );
    const feeds = {
      x: wave([1, 4, 2, 4, 4], 0.7),
      timesteps: f32([1], [0.3]),
      context: wave([1, 512, 24], 0.13),
      fps: f32([1], [24]),
      paddingMask: f32([1, 1, 4, 4]),
    };
    const result = async (weights: 'stored' | '8bit' | '4bit', offload = false): Promise<Float32Array> => {
      const steps = withWeights(component, () => ditNetwork(WIDE_DIT), { weights, offload });
      let step = await steps.next();
      while (!step.done) step = await steps.next();
      await using session = await loadGraph(runtime, step.value, outputs, 'test');
      return (await session.run(feeds)).f!.data as Float32Array;
    };
    const want = await result('stored');
    const error = (got: Float32Array): number =>
      Math.sqrt(got.reduce((s, v, i) => s + (v - want[i]!) ** 2, 0) / want.reduce((s, v) => s + v * v, 0));
    const [eight, four] = [error(await result('8bit')), error(await result('4bit'))];
    expect(eight).toBeLessThan(0.02);
    expect(four).toBeLessThan(0.15);
    expect(four).toBeGreaterThan(eight);
    expect(await result('stored', true)).toEqual(want);
    expect(await result('4bit', true)).toEqual(await result('4bit'));
  });

  it('is refused when a weight is not a number, and leaves no file', async () => {
    const tensors = new Map(randomWeights(ditSpecs(WIDE_DIT)));
    tensors.get('blocks.block1.blocks.0.block.attn.to_q.0.weight')!.data[777] = Number.NaN;
    const cache = join(folder, 'bad-cache');
    const steps = inBlocks(componentOf(WIDE_DIT, tensors), ditNetwork(WIDE_DIT), { bits: 4, folder: cache });
    const drain = async (): Promise<void> => {
      for await (const _ of steps);
    };
    await expect(drain()).rejects.toThrow(/block1\.blocks\.0\.block\.attn\.to_q\.0\.weight has NaN at place 777/);
    expect(readdirSync(cache)).toEqual([]);
  });

  it('reads an autoregressive model token by token from the disk with the same logits', async () => {
    await using runtime = openRuntime({ threads: 1 });
    const config = { ...TINY_AR, outputVocabulary: 96, inputVocabulary: 96 };
    const values = new Map(randomWeights(autoregressiveWeights(config)));
    const { weights } = componentOf(config, values);
    expect(Object.keys(tokenNetwork(config))).toContain('logits');
    const logits = async (isStreamed: boolean): Promise<Float32Array> => {
      await using model = openTokenModel({ runtime, config, symbols: namedWeights, weights, isStreamed });
      await model.begin();
      await model.feed([[1, 2, 3]]);
      return (await model.feed([[4]])).data;
    };
    expect(await logits(true)).toEqual(await logits(false));
  });
});
