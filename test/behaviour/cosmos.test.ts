// Public Cosmos models end to end, with small random weights in the published layouts.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { f32, noGuardrail } from '../../src/base/index.ts';
import { openSafetensors } from '../../src/formats/index.ts';
import { type GenerateEvent, generate, type TokenizeEvent, tokenize } from '../../src/index.ts';
import { encodeImage, encodeMp4 } from '../../src/media/index.ts';
import { namedWeights } from '../../src/nets/index.ts';
import { openRuntime, type Runtime } from '../../src/runtime/index.ts';
import {
  autoregressiveWorld,
  componentOf,
  type DiffusionModel,
  type DiffusionWorldEvent,
  diffusionWorld,
  findCosmosParts,
  multiviewWorld,
  openDiffusionDecoder,
  openDiffusionModel,
  openTokenizerPart,
  openTokenModel,
  openVideoTokenizer,
  type PixelFrames,
} from '../../src/worlds/index.ts';
import {
  ditSpecs,
  randomWeights,
  TINY_AR,
  TINY_AR_TEXT,
  TINY_CV,
  TINY_DI,
  TINY_DIT,
  TINY_DV,
  tokenizerSpecs,
  writeAutoregressive,
  writeDiffusers,
  writePredict1,
  writeTokenizer,
} from '../fixtures/tiny-cosmos.ts';
import { numberedFrames } from '../media/numbered.ts';

let folder: string;
let runtime: Runtime;
let clip: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-cosmos-'));
  runtime = openRuntime({ threads: 1 });
  clip = join(folder, 'clip.mp4');
  await encodeMp4(numberedFrames(20), { path: clip, fps: 24 });
});
afterAll(async () => {
  await runtime.dispose();
  rmSync(folder, { recursive: true, force: true });
});

async function run(request: object): Promise<GenerateEvent[]> {
  const events: GenerateEvent[] = [];
  for await (const e of generate(request, { guardrail: noGuardrail(), out: join(folder, 'runs'), threads: 1 }))
    events.push(e);
  return events;
}

const noise = (count: number, height: number, width: number): PixelFrames => ({
  data: Uint8Array.from({ length: count * height * width * 3 }, (_, i) => (i * 7919) % 256),
  frames: count,
  height,
  width,
});

describe('generate with published folders', () => {
  const small = { prompt: 'a ball rolls', height: 32, width: 48, frames: 9, steps: 2, guidance: 1 };

  it('makes a world from text with Predict1 as published', async () => {
    const model = writePredict1(join(folder, 'predict1'), TINY_DIT);
    const events = await run({ ...small, model, negative_prompt: 'blur' });
    const done = events.at(-1)!;
    expect(done).toMatchObject({ type: 'completed', frames: 9, height: 32, width: 48 });
    const again = (await run({ ...small, model, negative_prompt: 'blur' })).at(-1)!;
    const other = (await run({ ...small, prompt: 'two cubes', model })).at(-1)!;
    if (done.type !== 'completed' || again.type !== 'completed' || other.type !== 'completed')
      throw new Error('no video');
    expect(readFileSync(again.video).equals(readFileSync(done.video))).toBe(true);
    expect(readFileSync(other.video).equals(readFileSync(done.video))).toBe(false);
  });

  it('goes on from a video with a diffusers pipeline', async () => {
    const model = writeDiffusers(join(folder, 'diffusers'), { ...TINY_DIT, inChannels: 5 });
    const events = await run({ ...small, model, input: clip, frames: 17 });
    expect(events.at(-1)).toMatchObject({ type: 'completed', frames: 17 });
    expect(events.filter((e) => e.type === 'stage').map((e) => e.name)).toContain('encode');
  });

  it('goes on from a video with the autoregressive models, with and without text', async () => {
    for (const [name, config] of [
      ['Cosmos-Predict1-4B', TINY_AR],
      ['Cosmos-Predict1-5B-Video2World', TINY_AR_TEXT],
    ] as const) {
      const model = writeAutoregressive(join(folder, name), config, name);
      const events = await run({ prompt: 'a ball', model, input: clip });
      expect(events.at(-1)).toMatchObject({ type: 'completed', frames: 17, height: 32, width: 32 });
      // Nine of seventeen frames are given: two of three latent frames of four tokens.
      expect(events.filter((e) => e.type === 'step')).toHaveLength(4);
    }
  });

  it('says what is missing or does not fit, and leaves nothing', async () => {
    const model = writePredict1(join(folder, 'lonely'), TINY_DIT);
    rmSync(join(folder, 'lonely/google-t5'), { recursive: true });
    const before = readdirSync(join(folder, 'runs')).length;
    await expect(run({ ...small, model })).rejects.toThrow(
      /no text encoder beside it.*orrery models get google-t5\/t5-11b/,
    );
    rmSync(join(folder, 'lonely/Cosmos-Tokenize1-CV8x8x8-720p'), { recursive: true });
    expect(() => findCosmosParts(model)).toThrow(/no video tokenizer beside it.*Cosmos-Tokenize1-CV8x8x8-720p/);
    const text2world = join(folder, 'predict1/Cosmos-Predict1-7B-Text2World');
    await expect(run({ ...small, model: text2world, input: clip })).rejects.toThrow(
      /Text2World model; use a Video2World one/,
    );
    await expect(run({ ...small, model: text2world, height: 36 })).rejects.toThrow(/multiples of 8/);
    const tokenizer = join(folder, 'predict1/Cosmos-Tokenize1-CV8x8x8-720p');
    await expect(run({ ...small, model: tokenizer })).rejects.toThrow(/this is a tokenizer; use orrery tokenize/);
    expect(readdirSync(join(folder, 'runs')).length).toBe(before);
  });
});

describe('tokenize with published folders', () => {
  it.each([
    ['Cosmos-Tokenize1-CV8x8x8-720p', TINY_CV, 'f16', [4, 3, 8, 12]],
    ['Cosmos-Tokenize1-DV8x16x16-720p', TINY_DV, 'i32', [3, 4, 6]],
    ['Cosmos-Tokenize1-DI8x8-360p', TINY_DI, 'i32', [8, 8, 12]],
  ] as const)('%s', async (name, config, dtype, shape) => {
    const model = join(folder, 'tokenizers', name);
    mkdirSync(model, { recursive: true });
    writeTokenizer(model, config);
    const out = join(folder, 'out', name);
    const events: TokenizeEvent[] = [];
    for await (const e of tokenize(clip, { model, out, threads: 1 })) events.push(e);
    expect(events.at(-1)).toMatchObject({ type: 'completed', frames: 20 });
    using file = openSafetensors(join(out, 'latents.safetensors'));
    expect(file.tensors.get('latents.00000')).toMatchObject({ dtype, shape: [...shape] });
  });
});

it('tokenizes a picture with an image tokenizer, and with a video one as a single frame', async () => {
  const picture = join(folder, 'picture.png');
  writeFileSync(picture, await encodeImage(numberedFrames(1)));
  for (const [name, shape] of [
    ['Cosmos-Tokenize1-DI8x8-360p', [1, 8, 12]],
    ['Cosmos-Tokenize1-CV8x8x8-720p', [4, 1, 8, 12]],
  ] as const) {
    const out = join(folder, 'pictures', name);
    const events: TokenizeEvent[] = [];
    for await (const e of tokenize(picture, { model: join(folder, 'tokenizers', name), out, threads: 1 }))
      events.push(e);
    expect(events.at(-1)).toMatchObject({ type: 'completed', frames: 1, video: join(out, 'restored.png') });
    using file = openSafetensors(join(out, 'latents.safetensors'));
    expect(file.tensors.get('latents.00000')?.shape).toEqual([...shape]);
  }
});

describe('long and many-camera worlds', () => {
  const tokenizer = () =>
    openVideoTokenizer({ runtime, component: componentOf(TINY_CV, new Map(randomWeights(tokenizerSpecs(TINY_CV)))) });
  const features = (rows: number) => ({
    context: f32(
      [1, rows, 24],
      Float32Array.from({ length: rows * 24 }, (_, i) => Math.sin(i)),
    ),
  });

  it('goes on chunk by chunk from its own last frames', async () => {
    const config = { ...TINY_DIT, inChannels: 5 };
    await using model = openDiffusionModel({
      runtime,
      component: componentOf(config, new Map(randomWeights(ditSpecs(config)))),
    });
    await using coder = tokenizer();
    const events: DiffusionWorldEvent[] = [];
    const options = {
      model,
      tokenizer: coder,
      features: features(6),
      height: 16,
      width: 16,
      chunkFrames: 17,
      chunks: 3,
      overlapLatents: 2,
      steps: 2,
      guidance: 0,
      seed: 4,
    };
    for await (const e of diffusionWorld({ ...options, input: noise(9, 16, 16) })) events.push(e);
    const frames = events.filter((e) => e.type === 'frames').map((e) => e.frames.frames);
    expect(frames).toEqual([17, 8, 8]);
    expect(events.filter((e) => e.type === 'stage' && e.name === 'encode')).toHaveLength(3);
    // As latents, later chunks have nothing to encode.
    const carried: DiffusionWorldEvent[] = [];
    for await (const e of diffusionWorld({ ...options, overlapAs: 'latents', input: noise(9, 16, 16) }))
      carried.push(e);
    expect(carried.filter((e) => e.type === 'frames').map((e) => e.frames.frames)).toEqual([17, 8, 8]);
    expect(carried.filter((e) => e.type === 'stage' && e.name === 'encode')).toHaveLength(1);
  });

  it('shows each chunk its given frames at its own noise level, the last one for those behind', async () => {
    const config = { ...TINY_DIT, inChannels: 5 };
    const levels: (number | undefined)[] = [];
    const model: DiffusionModel = {
      config,
      takesFrames: true,
      async *sample({ given, size }) {
        levels.push(given?.sigmaAug);
        yield { step: 1, total: 1, sigma: 0, latents: () => new Float32Array(4 * size.t * size.h * size.w) };
      },
      dispose: async () => {},
      [Symbol.asyncDispose]: async () => {},
    };
    await using coder = tokenizer();
    const clip = { height: 16, width: 16, chunkFrames: 17, chunks: 3, seed: 4, input: noise(9, 16, 16) };
    const options = { model, tokenizer: coder, features: features(6), ...clip };
    for await (const _ of diffusionWorld({ ...options, sigmaAug: [0.1, 0.3] }));
    for await (const _ of diffusionWorld(options));
    expect(levels).toEqual([0.1, 0.3, 0.3, 0.001, 0.2, 0.5]);
    await expect(diffusionWorld({ ...options, framesGuidance: true }).next()).rejects.toThrow(/is for one chunk/);
  });

  it('leads towards the given frames too when asked', async () => {
    const config = { ...TINY_DIT, inChannels: 5 };
    await using model = openDiffusionModel({
      runtime,
      component: componentOf(config, new Map(randomWeights(ditSpecs(config)))),
    });
    const given = { data: Float32Array.from({ length: 4 * 3 * 4 }, (_, i) => Math.cos(i)), frames: 1 };
    const last = async (framesGuidance: boolean, guidance: number): Promise<Float32Array> => {
      let latents = new Float32Array(0);
      const size = { t: 3, h: 2, w: 2 };
      const { context } = features(6);
      // Both branches read the same text: without the frames there is nothing to be led by.
      const options = { size, context, negative: context, fps: 24, seed: 1, steps: 2, guidance, given, framesGuidance };
      for await (const s of model.sample(options)) latents = new Float32Array(s.latents());
      return latents;
    };
    const plain = await last(false, 0);
    const apart = (a: Float32Array): number => Math.max(...a.map((v, i) => Math.abs(v - plain[i]!)));
    expect(apart(await last(false, 3))).toBeLessThan(1e-4);
    expect(apart(await last(true, 3))).toBeGreaterThan(1e-3);
  });

  it('keeps given frames as they are in the clean way, and not in the way of the scripts', async () => {
    const config = { ...TINY_DIT, inChannels: 5 };
    await using model = openDiffusionModel({
      runtime,
      component: componentOf(config, new Map(randomWeights(ditSpecs(config)))),
    });
    const data = Float32Array.from({ length: 4 * 3 * 4 }, (_, i) => Math.cos(i));
    const last = async (compatibility: 'clean' | 'scripts'): Promise<number> => {
      let latents = new Float32Array(0);
      const options = {
        size: { t: 3, h: 2, w: 2 },
        ...features(6),
        fps: 24,
        seed: 1,
        steps: 6,
        guidance: 0,
        compatibility,
      };
      for await (const s of model.sample({ ...options, given: { data, frames: 1 } }))
        latents = new Float32Array(s.latents());
      // The first of three frames of each channel.
      return Math.max(...Array.from(latents, (v, i) => (Math.floor(i / 4) % 3 === 0 ? Math.abs(v - data[i]!) : 0)));
    };
    expect(await last('clean')).toBeLessThan(1e-5);
    expect(await last('scripts')).toBeGreaterThan(0.01);
  });

  it('makes all cameras together, each from its own frames', async () => {
    const config = {
      ...TINY_DIT,
      inChannels: 5,
      extraPositions: 'sincos',
      views: { count: 2, width: 3, hasFrameRepeat: true, trajectoryWidth: 0 },
    } as const;
    await using model = openDiffusionModel({
      runtime,
      component: componentOf(config, new Map(randomWeights(ditSpecs(config)))),
    });
    await using coder = tokenizer();
    const shown: [number, number][] = [];
    const options = {
      model,
      tokenizer: coder,
      features: features(8),
      height: 16,
      width: 16,
      frames: 9,
      steps: 2,
      seed: 2,
    };
    for await (const e of multiviewWorld({ ...options, inputs: [noise(1, 16, 16), noise(3, 16, 16)] })) {
      if (e.type === 'frames') shown.push([e.view, e.frames.frames]);
    }
    expect(shown).toEqual([
      [0, 9],
      [1, 9],
    ]);
    await expect(multiviewWorld({ ...options, inputs: [noise(1, 16, 16)] }).next()).rejects.toThrow(/1 clips.*need 2/);
  });
});

describe('the diffusion decoder', () => {
  it('makes frames from generated codes, in windows that are blended', async () => {
    const config = { ...TINY_DIT, extraPositions: 'none', tokenCondition: { vocabulary: 64000, width: 3 } } as const;
    const dv = new Map(randomWeights(tokenizerSpecs(TINY_DV)));
    await using codes = openVideoTokenizer({ runtime, component: componentOf(TINY_DV, dv) });
    await using latents = openVideoTokenizer({
      runtime,
      component: componentOf(TINY_CV, new Map(randomWeights(tokenizerSpecs(TINY_CV)))),
    });
    await using decoder = openDiffusionDecoder({
      runtime,
      component: componentOf(config, new Map(randomWeights(ditSpecs(config)))),
      tokenizer: latents,
      context: f32([1, 4, 24]),
      steps: 2,
      window: 2,
      overlap: 1,
    });
    const model = openTokenModel({
      runtime,
      config: TINY_AR,
      symbols: namedWeights,
      weights: (name) => ({ kind: 'value', value: arWeights.get(name)! }),
    });
    const arWeights = new Map(
      randomWeights((await import('../../src/worlds/index.ts')).autoregressiveWeights(TINY_AR)),
    );
    const types: string[] = [];
    let made: PixelFrames | undefined;
    for await (const e of autoregressiveWorld({
      model,
      tokenizer: codes,
      input: noise(1, 32, 32),
      seed: 3,
      decoder,
      topK: 5,
    })) {
      types.push(e.type);
      if (e.type === 'frames') made = e.frames;
    }
    await model.dispose();
    expect(types).toEqual([...new Array<string>(8).fill('token'), 'codes', 'frames']);
    expect(made).toMatchObject({ frames: 17, height: 32, width: 32 });
  });

  it('opens tokenizers with their statistics', () => {
    writeDiffusers(join(folder, 'stats'), TINY_DIT);
    const { component, latents } = openTokenizerPart(join(folder, 'stats/vae'));
    expect(component.config.kind).toBe('CV');
    expect(latents).toMatchObject({ channels: 4, frames: 16 });
  });
});
