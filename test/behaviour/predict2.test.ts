// Predict2 and Predict2.5 end to end, with small random weights in the published layout.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type NdArray, noGuardrail } from '../../src/base/index.ts';
import { convertCheckpoint, openCheckpoint } from '../../src/checkpoints/index.ts';
import { openSafetensors, writeSafetensors } from '../../src/formats/index.ts';
import { type GenerateEvent, generate, type TokenizeEvent, tokenize } from '../../src/index.ts';
import { encodeMp4 } from '../../src/media/index.ts';
import { TINY_DIT, TINY_FLOW, writeDiffusers, writePredict2 } from '../fixtures/tiny-cosmos.ts';
import { numberedFrames } from '../media/numbered.ts';

let folder: string;
let clip: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-predict2-'));
  clip = join(folder, 'clip.mp4');
  await encodeMp4(numberedFrames(20), { path: clip, fps: 16 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(request: object): Promise<GenerateEvent[]> {
  const events: GenerateEvent[] = [];
  for await (const e of generate(request, { guardrail: noGuardrail(), out: join(folder, 'runs'), threads: 1 }))
    events.push(e);
  return events;
}

const videoOf = (events: readonly GenerateEvent[]): Buffer => {
  const done = events.at(-1)!;
  if (done.type !== 'completed') throw new Error('no video');
  return readFileSync(done.video);
};

const small = { prompt: 'a ball rolls', height: 32, width: 48, frames: 5, steps: 2, guidance: 1 };
const LATER = { ...TINY_FLOW, flow: 'predict2.5', contextProjection: 24 } as const;

describe('generate with Predict2 folders', () => {
  it('makes a world from text, and goes on from a video, by the time stamps and rate of these models', async () => {
    const model = writePredict2(join(folder, 'predict2'), TINY_FLOW);
    const text = await run({ ...small, model });
    expect(text.at(-1)).toMatchObject({ type: 'completed', frames: 5, height: 32, width: 48, fps: 16 });
    expect(text.filter((e) => e.type === 'step')).toHaveLength(2);
    expect(videoOf(await run({ ...small, model })).equals(videoOf(text))).toBe(true);
    const other = await run({ ...small, model, prompt: 'two cubes' });
    expect(videoOf(other).equals(videoOf(text))).toBe(false);
    const on = await run({ ...small, model, input: clip });
    expect(on.filter((e) => e.type === 'stage').map((e) => e.name)).toContain('encode');
    expect(videoOf(on).equals(videoOf(text))).toBe(false);
  }, 120_000);

  it('makes a picture with a model that takes no frames', async () => {
    const model = writePredict2(join(folder, 'text2image'), { ...TINY_FLOW, inChannels: 4 });
    const { frames: _, ...picture } = small;
    const done = (await run({ ...picture, model })).at(-1)!;
    expect(done).toMatchObject({ type: 'completed', frames: 1 });
    if (done.type === 'completed') expect(done.video).toMatch(/video\.png$/);
    await expect(run({ ...picture, model, input: clip })).rejects.toThrow(/use a Video2World one/);
    await expect(run({ ...picture, model, frames: 9 })).rejects.toThrow(/frames: got 9, need 1/);
  }, 120_000);

  it('runs Predict2.5, whose text comes from every layer of a language model', async () => {
    const model = writePredict2(join(folder, 'predict25'), LATER);
    const text = await run({ ...small, model });
    expect(text.at(-1)).toMatchObject({ type: 'completed', frames: 5, fps: 16 });
    const on = await run({ ...small, model, input: clip, negative_prompt: 'blur', prompt: 'two cubes' });
    expect(on.at(-1)).toMatchObject({ type: 'completed', frames: 5 });
    expect(videoOf(on).equals(videoOf(text))).toBe(false);
  }, 120_000);

  it('refuses the tokenizer of another family, both ways', async () => {
    const mixed = writePredict2(join(folder, 'mixed'), TINY_FLOW);
    const other = writeDiffusers(join(folder, 'predict1'), TINY_DIT);
    rmSync(join(mixed, 'vae'), { recursive: true });
    writeDiffusers(join(folder, 'spare'), TINY_DIT);
    const { renameSync } = await import('node:fs');
    renameSync(join(folder, 'spare/vae'), join(mixed, 'vae'));
    await expect(run({ ...small, model: mixed })).rejects.toThrow(/is a Cosmos tokenizer.*needs the Wan autoencoder/);
    rmSync(join(other, 'vae'), { recursive: true });
    writePredict2(join(folder, 'spare2'), TINY_FLOW);
    renameSync(join(folder, 'spare2/vae'), join(other, 'vae'));
    await expect(run({ ...small, model: other })).rejects.toThrow(
      /is the autoencoder of Predict2.*needs a Cosmos tokenizer/,
    );
    expect(existsSync(join(folder, 'runs'))).toBe(true);
  }, 120_000);

  it.each([
    ['vae/diffusion_pytorch_model.safetensors', /^decoder\.conv_out\.weight$/, /the video autoencoder gave NaN/],
    ['transformer/diffusion_pytorch_model.safetensors', /to_q\.weight$/, /the diffusion transformer gave NaN/],
    ['text_encoder/model.safetensors', /layers\.1\.mlp\.up_proj\.weight$/, /the text encoder gave NaN/],
  ])(
    'names the damaged weight of %s',
    async (file, key, said) => {
      const model = writePredict2(mkdtempSync(join(folder, 'damaged-')), LATER);
      const tensors: [string, NdArray][] = [];
      {
        using opened = openSafetensors(join(model, file));
        for (const name of opened.tensors.keys()) tensors.push([name, opened.read(name)]);
      }
      (tensors.find(([name]) => key.test(name))![1].data as Float32Array)[3] = Number.NaN;
      writeSafetensors(join(model, file), tensors);
      const failed = await run({ ...small, model }).catch((error: Error) => error.message);
      expect(failed).toMatch(said);
      expect(failed).toMatch(/safetensors: tensor \S+weight has 1 NaN values, the first at place 3/);
    },
    120_000,
  );

  it('tokenizes with the autoencoder, and converts it between all layouts without changing a bit', async () => {
    const source = join(folder, 'predict2/vae');
    const events: TokenizeEvent[] = [];
    for await (const e of tokenize(clip, { model: source, out: join(folder, 'out'), threads: 1 })) events.push(e);
    expect(events.at(-1)).toMatchObject({ type: 'completed', frames: 20 });
    const chain = ['orrery', 'original', 'diffusers'] as const;
    let from = source;
    for (const layout of chain) {
      const to = join(folder, `wan-${layout}`);
      for await (const _ of convertCheckpoint(from, to, { layout }));
      from = to;
    }
    using first = openCheckpoint(source);
    for (const layout of chain) {
      using last = openCheckpoint(join(folder, `wan-${layout}`));
      expect(last.network).toEqual(first.network);
      for (const { key } of first.expected) {
        const [a, b] = [first.tensors.get(key)!.readBytes(), last.tensors.get(key)!.readBytes()];
        if (Buffer.compare(a, b) !== 0) throw new Error(`${layout}: ${key} differs`);
      }
    }
  }, 120_000);
});
