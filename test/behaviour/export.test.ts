// Exported networks, run by plain ONNX Runtime calls: no part of this package touches them, and the numbers are the same.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, expect, test } from 'vitest';
import { f32, type NdArray, randomStream } from '../../src/base/index.ts';
import { type ExportOptions, exportOnnx } from '../../src/checkpoints/index.ts';
import { sha256OfFile, shippedModels } from '../../src/hub/index.ts';
import { namedWeights } from '../../src/nets/index.ts';
import { openRuntime } from '../../src/runtime/index.ts';
import {
  decodeLatents,
  encodeClip,
  loadTokenizer,
  openAutoregressivePart,
  openNano,
  openTokenModel,
} from '../../src/worlds/index.ts';
import { parityCase, relativeError, saveTorch } from '../fixtures/checkpoints.ts';
import { TINY_AR_TEXT, writeAutoregressive } from '../fixtures/tiny-cosmos.ts';

const dir = mkdtempSync(join(tmpdir(), 'orrery-onnx-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
let n = 0;

type Port = {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly meaning: string;
};
type Manifest = {
  readonly networks: readonly {
    readonly name: string;
    readonly file: string;
    readonly sha256: string;
    readonly inputs: readonly Port[];
    readonly outputs: readonly Port[];
    readonly operators: Readonly<Record<string, number>>;
  }[];
  readonly onlyStandardOperators: boolean;
  readonly weights?: { readonly file: string; readonly sha256: string };
};

async function exported(model: string, options: ExportOptions = {}): Promise<{ at: string; manifest: Manifest }> {
  const at = join(dir, String(n++));
  for await (const _ of exportOnnx(model, at, options));
  const manifest = JSON.parse(readFileSync(join(at, 'manifest.json'), 'utf8')) as Manifest;
  for (const { file, sha256, inputs, outputs } of manifest.networks) {
    expect(sha256OfFile(join(at, file))).toBe(sha256);
    for (const port of [...inputs, ...outputs]) expect(port.meaning, port.name).not.toBe('');
  }
  return { at, manifest };
}

/** What a user writes: load a file by its path, feed arrays by the names and types of the manifest. */
async function run(
  at: string,
  manifest: Manifest,
  name: string,
  feeds: Readonly<Record<string, ArrayLike<number> | BigInt64Array>>,
): Promise<Record<string, ArrayLike<number>>> {
  const network = manifest.networks.find((one) => one.name === name)!;
  const session = await InferenceSession.create(join(at, network.file), { intraOpNumThreads: 1 });
  const tensors = network.inputs.map(({ name: port, dtype, shape }) => {
    const data = feeds[port]!;
    const typed =
      dtype === 'uint8'
        ? Uint8Array.from(data as number[])
        : dtype === 'int64'
          ? (data as BigInt64Array)
          : dtype === 'int32'
            ? Int32Array.from(data as number[])
            : Float32Array.from(data as number[]);
    return [port, new Tensor(dtype as 'float32', typed as Float32Array, shape)] as const;
  });
  const results = await session.run(Object.fromEntries(tensors));
  await session.release();
  for (const { name: port, shape } of network.outputs) expect(results[port]!.dims).toEqual(shape);
  return Object.fromEntries(Object.entries(results).map(([port, t]) => [port, t.data as ArrayLike<number>]));
}

const STANDARD_AND_NOT = [
  ['own operators, weights inside', {}],
  ['standard operators, weights outside', { isStandard: true, hasExternalData: true }],
] as const;

test.each(STANDARD_AND_NOT)('orrery-tokenizer: %s', async (_name, flags) => {
  const size = { frames: 5, width: 32, height: 24 };
  const { at, manifest } = await exported(join(shippedModels(), 'orrery-tokenizer'), { ...size, ...flags });
  const operators = manifest.networks.flatMap((one) => Object.keys(one.operators));
  if ('isStandard' in flags) {
    expect(operators.filter((name) => name.includes(':'))).toEqual([]);
    expect(readdirSync(at).sort()).toEqual(['decoder.onnx', 'encoder.onnx', 'manifest.json', 'weights.safetensors']);
    expect(sha256OfFile(join(at, 'weights.safetensors'))).toBe(manifest.weights!.sha256);
  }
  const random = randomStream(3);
  const frames = Uint8Array.from({ length: 5 * 24 * 32 * 3 }, () => random.integer(0, 255));
  await using runtime = openRuntime({ threads: 1 });
  const tokenizer = await loadTokenizer(runtime, join(shippedModels(), 'orrery-tokenizer'), size);
  const latents = await encodeClip(tokenizer, frames);
  const decoded = await decodeLatents(tokenizer, latents.slice());
  const got = await run(at, manifest, 'encoder', { frames });
  expect(relativeError(got.latents!, f32([latents.length], latents))).toBeLessThan(1e-5);
  const back = await run(at, manifest, 'decoder', { latents });
  expect(relativeError(back.frames!, f32([decoded.length], decoded))).toBeLessThan(1e-5);
});

test('orrery-nano: standard operators, weights outside', async () => {
  const { at, manifest } = await exported(join(shippedModels(), 'orrery-nano'), {
    isStandard: true,
    hasExternalData: true,
  });
  await using nano = await openNano('orrery-nano', { threads: 1 });
  const cells = nano.config.grid.t * nano.config.grid.h * nano.config.grid.w * nano.config.channels;
  const random = randomStream(5);
  const x = Float32Array.from({ length: cells }, () => random.normal());
  const base = Float32Array.from({ length: cells }, () => random.normal());
  const seen = nano.config.context * nano.config.grid.h * nano.config.grid.w * nano.config.channels;
  const context = Float32Array.from({ length: seen }, () => random.normal());
  const want = await nano.evaluate({ condition: 'nine', base, context }, 'a red ball rolls')(x.slice(), 0.3);
  // The caption by the rules of the manifest.
  const { processing } = JSON.parse(readFileSync(join(at, 'manifest.json'), 'utf8')) as {
    processing: { vocabulary: string[] };
  };
  const words = new BigInt64Array(nano.config.textLength);
  for (const [i, word] of ['a', 'red', 'ball', 'rolls'].entries())
    words[i] = BigInt(33 + processing.vocabulary.indexOf(word));
  const given = [1, 0, 0];
  const got = await run(at, manifest, 'network', { x, base, context, given, noise: [0.3], words });
  expect(relativeError(got.f!, f32([want.length], want))).toBeLessThan(1e-4);
});

const floats = (a: NdArray | undefined): Float32Array => a!.data as Float32Array;

test('a Cosmos tokenizer gives the reference values', async () => {
  const { weights, arrays } = parityCase('cv_4x8x8_patch4_two_level');
  const model = saveTorch(join(dir, 'cv.pt'), weights);
  const { at, manifest } = await exported(model, {
    frames: 9,
    width: 16,
    height: 24,
    isStandard: true,
    hasExternalData: true,
  });
  const encoded = await run(at, manifest, 'encoder', { pixels: floats(arrays.get('input.video_9f')) });
  expect(relativeError(encoded.latents!, arrays.get('output.latent_9f')!)).toBeLessThan(1e-4);
  const decoded = await run(at, manifest, 'decoder', { latents: encoded.latents! });
  expect(relativeError(decoded.pixels!, arrays.get('output.recon_9f')!)).toBeLessThan(1e-4);
});

test.each(STANDARD_AND_NOT)('a Cosmos diffusion transformer gives the reference values: %s', async (_name, flags) => {
  const { weights, arrays } = parityCase('dit_blockorder');
  const model = saveTorch(join(dir, `dit-${n}.pt`), weights);
  const { at, manifest } = await exported(model, { frames: 2, width: 48, height: 32, textLength: 7, ...flags });
  const feeds = { x: 'x', timesteps: 'timesteps', context: 'crossattn_emb', fps: 'fps', paddingMask: 'padding_mask' };
  const got = await run(
    at,
    manifest,
    'transformer',
    Object.fromEntries(Object.entries(feeds).map(([port, name]) => [port, floats(arrays.get(`input.${name}`))])),
  );
  expect(relativeError(got.f!, arrays.get('output.net_output')!)).toBeLessThan(1e-4);
});

test('an autoregressive transformer: prompt, then token after token through the cache', async () => {
  const model = writeAutoregressive(join(dir, 'ar'), TINY_AR_TEXT, 'Cosmos-Predict1-5B-Video2World');
  const { at, manifest } = await exported(model, { frames: 1, textLength: 3, hasExternalData: true });
  expect(manifest.networks.map(({ name }) => name)).toEqual(['text', 'prefill', 'decode']);
  const random = randomStream(9);
  const context = f32(
    [1, 3, 24],
    Float32Array.from({ length: 72 }, () => random.normal()),
  );
  // Begin, four tokens of the first latent frame, then what is decoded.
  const ids = [64000, 5, 77, 4096, 63999, 12, 30000, 7];
  const prompt = 5;

  const stored = openAutoregressivePart(model);
  await using runtime = openRuntime({ threads: 1 });
  const own = openTokenModel({
    runtime,
    config: stored.config,
    symbols: namedWeights,
    weights: stored.weights,
    ...(stored.load === undefined ? {} : { load: stored.load }),
  });
  await own.begin({ context });
  const want = [await own.feed([ids.slice(0, prompt)])];
  for (const id of ids.slice(prompt)) want.push(await own.feed([[id]]));

  const text = await run(at, manifest, 'text', { context: context.data });
  const bigs = (list: readonly number[]): BigInt64Array => BigInt64Array.from(list, BigInt);
  const first = await run(at, manifest, 'prefill', { tokens: bigs(ids.slice(0, prompt)), ...text });
  expect(relativeError(first.logits!, want[0]!)).toBeLessThan(1e-5);
  // What a user keeps: a cache per layer, written at the places of the tokens.
  const { shape } = manifest.networks[2]!.inputs.find(({ name }) => name === 'past.0.keys')!;
  const [, heads, places, width] = shape as [number, number, number, number];
  const past: Record<string, Float32Array> = {};
  const put = (made: Record<string, ArrayLike<number>>, place: number, count: number): void => {
    for (const [name, values] of Object.entries(made)) {
      if (!name.startsWith('new.')) continue;
      const cache = (past[name.replace('new.', 'past.')] ??= new Float32Array(heads * places * width));
      for (let h = 0; h < heads; h++) {
        for (let i = 0; i < count * width; i++)
          cache[(h * places + place) * width + i] = values[h * count * width + i]!;
      }
    }
  };
  put(first, 0, prompt);
  for (const [i, id] of ids.slice(prompt).entries()) {
    const place = prompt + i;
    const step = await run(at, manifest, 'decode', { tokens: bigs([id]), position: bigs([place]), ...past, ...text });
    expect(relativeError(step.logits!, want[i + 1]!)).toBeLessThan(1e-5);
    put(step, place, 1);
  }
  await own.dispose();
}, 60_000);
