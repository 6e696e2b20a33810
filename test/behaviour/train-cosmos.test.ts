// Post-training of public transformers, with small random weights in the published layouts: from a folder of videos with captions to a
// model that generates.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noGuardrail } from '../../src/base/index.ts';
import { openCheckpoint } from '../../src/checkpoints/index.ts';
import { openSafetensors } from '../../src/formats/index.ts';
import { generate } from '../../src/index.ts';
import { encodeMp4 } from '../../src/media/index.ts';
import { exportTrained, mergeAdapter, readAdapter, type TrainEvent, train } from '../../src/training/index.ts';
import { TINY_DIT, writeDiffusers, writePredict1 } from '../fixtures/tiny-cosmos.ts';
import { numberedFrames } from '../media/numbered.ts';

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-train-cosmos-'));
  mkdirSync(join(folder, 'set', 'videos'), { recursive: true });
  mkdirSync(join(folder, 'set', 'metas'));
  for (const [i, caption] of ['a ball rolls', 'a cube falls', 'two cubes'].entries()) {
    await encodeMp4(numberedFrames(20), { path: join(folder, 'set', 'videos', `clip${i}.mp4`), fps: 24 });
    writeFileSync(join(folder, 'set', 'metas', `clip${i}.txt`), caption);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const LORA = { rank: 2, alpha: 4, targets: ['blocks.*.attn.to_*.0.weight', 'blocks.*.layer1.weight'] };

function recipeOf(name: string, from: string, more: object = {}): string {
  const path = join(folder, `${name}.json`);
  const recipe = {
    kind: 'cosmos',
    name,
    dataset: join(folder, 'set'),
    import: { frames: 9, height: 32, width: 48 },
    from,
    objective: { kind: 'edm', reduce: 'mean' },
    textDropout: 0.2,
    text: 'captions',
    recompute: true,
    seed: 3,
    batch: 2,
    steps: 6,
    schedule: { lr: 0.003, warmup: 1, decayFrom: 6, decayTo: 6, floor: 1, ema: 0 },
    optimizer: { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0, clip: 1 },
    validateEvery: 3,
    validationClips: 2,
    checkpointSeconds: 600,
    ...more,
  };
  writeFileSync(path, JSON.stringify(recipe));
  return path;
}

async function run(recipe: string, name: string, hours?: number): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  const options = { out: join(folder, 'runs', name), threads: 1, ...(hours === undefined ? {} : { hours }) };
  for await (const e of train(recipe, options)) if (e.type !== 'import' && e.type !== 'skipped') events.push(e);
  return events;
}

const lossesOf = (events: readonly TrainEvent[]): number[] =>
  events.flatMap((e) => (e.type === 'step' ? [e.loss] : []));

const valuesOf = (path: string, key: string): Float32Array => {
  using checkpoint = openCheckpoint(path);
  const tensor = checkpoint.tensors.get(key)!;
  return new Float32Array(tensor.readBytes().slice().buffer);
};

const TARGET = 'blocks.block0.blocks.0.block.attn.to_q.0.weight';
const OTHER = 'x_embedder.proj.1.weight';

async function videoOf(model: string): Promise<Buffer> {
  const request = { model, prompt: 'a ball rolls', height: 32, width: 48, frames: 9, steps: 2, guidance: 1 };
  let video = '';
  for await (const e of generate(request, { guardrail: noGuardrail(), out: join(folder, 'made'), threads: 1 }))
    if (e.type === 'completed') video = e.video;
  return readFileSync(video);
}

describe.each(['original', 'diffusers'] as const)('LoRA of a public transformer, %s layout', (layout) => {
  it('trains, writes a small adapter that merges onto the published files, and generates', async () => {
    const root = join(folder, layout);
    const model = layout === 'original' ? writePredict1(root, TINY_DIT) : writeDiffusers(root, TINY_DIT);
    const network = layout === 'original' ? model : join(model, 'transformer');
    const recipe = recipeOf(`lora-${layout}`, model, { tune: { lora: LORA } });
    const events = await run(recipe, layout);
    expect(events[0]).toMatchObject({ type: 'start', step: 0 });
    const { parameters, trained } = events[0] as Extract<TrainEvent, { type: 'start' }>;
    expect(trained).toBeLessThan(parameters / 8);
    expect(lossesOf(events).every(Number.isFinite)).toBe(true);

    const merged = join(folder, layout === 'original' ? join('original', 'merged') : 'diffusers-merged');
    await exportTrained(recipe, merged, { out: join(folder, 'runs', layout) });
    const adapter = join(folder, 'runs', layout, 'adapter.safetensors');
    using file = openSafetensors(adapter);
    const names = [...file.tensors.keys()];
    const prefix = layout === 'original' ? 'net.blocks.block0' : 'transformer.transformer_blocks.0.attn1.to_q';
    expect(names.some((n) => n.startsWith(prefix))).toBe(true);
    expect(names.every((n) => /\.lora_[AB]\.weight$/.test(n))).toBe(true);

    const mergedNetwork = layout === 'original' ? merged : join(merged, 'transformer');
    const [before, after] = [valuesOf(network, TARGET), valuesOf(mergedNetwork, TARGET)];
    expect(before.some((v, i) => Math.abs(v - after[i]!) > 1e-6)).toBe(true);
    expect(valuesOf(mergedNetwork, OTHER)).toEqual(valuesOf(network, OTHER));
    // The adapter file alone, onto the published model, gives the same weights.
    const again = `${merged}-again`;
    for await (const _ of mergeAdapter(model, readAdapter(adapter), again));
    expect(valuesOf(layout === 'original' ? again : join(again, 'transformer'), TARGET)).toEqual(after);
    expect((await videoOf(merged)).equals(await videoOf(model))).toBe(false);
    expect(JSON.parse(readFileSync(join(merged, 'training.json'), 'utf8'))).toMatchObject({ steps: 6 });
  });
});

describe('post-training of a public transformer', () => {
  it('gives the same numbers with and without recomputation, and when it was stopped', async () => {
    const model = writePredict1(join(folder, 'exact'), TINY_DIT);
    const tune = { lora: LORA };
    const whole = lossesOf(await run(recipeOf('whole', model, { tune }), 'whole'));
    const kept = lossesOf(await run(recipeOf('kept', model, { tune, recompute: false }), 'kept'));
    for (const [i, loss] of kept.entries()) expect(loss).toBeCloseTo(whole[i]!, 5);
    const recipe = recipeOf('stopped', model, { tune });
    const first = lossesOf(await run(recipe, 'stopped', 1e-9));
    const rest = lossesOf(await run(recipe, 'stopped'));
    expect([...first, ...rest]).toEqual(whole);
  });

  it('trains a Video2World model in full, frames given, and writes it in its own layout', async () => {
    const model = writePredict1(join(folder, 'full'), { ...TINY_DIT, inChannels: 5 }, 'Cosmos-Predict1-7B-Video2World');
    const given = { most: 1, dropout: 0.2, sigma: { mean: -3, std: 2 } };
    const recipe = recipeOf('full', model, { given, steps: 3 });
    const losses = lossesOf(await run(recipe, 'full'));
    expect(losses).toHaveLength(3);
    const out = join(folder, 'full', 'trained');
    await exportTrained(recipe, out, { out: join(folder, 'runs', 'full') });
    expect(existsSync(join(out, 'model.pt'))).toBe(true);
    expect(valuesOf(out, OTHER).some((v, i) => v !== valuesOf(model, OTHER)[i])).toBe(true);
  });

  it('learns the flow of Predict2 with a time per frame', async () => {
    const model = writePredict1(
      join(folder, 'flow'),
      { ...TINY_DIT, inChannels: 5, extraPositions: 'none' },
      'Cosmos-Predict2-2B-Video2World',
    );
    const recipe = recipeOf('flow', model, {
      objective: { kind: 'flow', shift: 5, top: 0.05 },
      given: { most: 1, dropout: 0 },
      tune: { lora: LORA },
      text: 'none',
      steps: 2,
    });
    expect(lossesOf(await run(recipe, 'flow')).every((v) => v > 0.1 && v < 100)).toBe(true);
  });

  it('says what is wrong with a recipe', async () => {
    const model = writePredict1(join(folder, 'wrong'), TINY_DIT);
    const given = recipeOf('given', model, { given: { most: 1, dropout: 0 } });
    await expect(run(given, 'given')).rejects.toThrow('is a Text2World model');
    const size = recipeOf('size', model, { import: undefined });
    await expect(run(size, 'size')).rejects.toThrow('frames, height and width of the clips');
    const pattern = recipeOf('pattern', model, { tune: { lora: { ...LORA, targets: ['nothing'] } } });
    await expect(run(pattern, 'pattern')).rejects.toThrow('has such a name');
  });
});
