// The network families at realistic widths: fraction of the matrix product, tokens per second against the memory bandwidth, time per
// frame. Yardsticks are measured in turn with the networks, so that other work on the machine strikes both.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NdArray } from '../src/base/index.ts';
import { createSafetensorsWriter, openSafetensors } from '../src/formats/index.ts';
import {
  compile,
  concat,
  countFlops,
  input,
  linear,
  mean,
  param,
  reshape,
  sum,
  type TensorType,
} from '../src/graph/index.ts';
import {
  type AutoregressiveConfig,
  type CosmosTokenizerConfig,
  cosmosTokenizerConfig,
  decodeImage,
  decodeVideo,
  encodeImage,
  encodeVideo,
  namedWeights,
  T5_11B,
  t5Encoder,
} from '../src/nets/index.ts';
import { openRuntime, type Runtime } from '../src/runtime/index.ts';
import { autoregressiveWeights, openTokenModel, type TokenModel } from '../src/worlds/index.ts';
import { compare, type Figure, figure, matrixRate, median, noise, type Rate, weightNoise } from './measure.ts';
import { AUTOREGRESSIVE, dit, ditForward, type Work } from './networks.ts';

const OF_MATRIX = 'of the matrix product 1024³ in the same run';

/** All figures of the networks, or those whose name holds `only`. */
export async function benchNets(only = ''): Promise<Figure[]> {
  const figures: Figure[] = [];
  await using runtime = openRuntime();
  const rate = await matrixRate(runtime);
  const add = async (name: string, work: () => Work, floor: number | null, frames = 0): Promise<void> => {
    if (!name.includes(only)) return;
    const built = work();
    const weights = (_: string, type: TensorType) => ({ kind: 'value', value: weightNoise(type.shape) }) as const;
    await using session = await runtime.load(compile(built.outputs, { weights }));
    const flops = countFlops(built.outputs);
    const { fraction, seconds } = await compare(rate, flops, () => session.run(built.feeds), flops > 1e11 ? 3 : 7);
    figures.push(figure({ name, value: fraction, unit: '×', of: OF_MATRIX, floor }));
    if (frames > 0) {
      const value = (1000 * seconds) / frames;
      figures.push(figure({ name: `${name}: time`, value, unit: 'ms per frame', of: '256×256', floor: null }));
    }
  };
  for (const [name, options] of TOKENIZERS) {
    const config = cosmosTokenizerConfig(options);
    const frames = isVideo(config) ? 9 : 4;
    await add(`${name} encode`, () => encodeWork(config), 0.7, frames);
    await add(`${name} decode`, () => decodeWork(config), 0.7, frames);
  }
  await add('diffusion transformer, width 1024, 1024 tokens', () => ditForward(dit()), 0.8);
  await add('T5 encoder, width 1024, 256 tokens', t5Work, null);
  if ('autoregressive'.includes(only) || only.startsWith('autoregressive'))
    figures.push(...(await autoregressive(runtime, rate)));
  await rate.dispose();
  return figures;
}

const TOKENIZERS: readonly [string, Readonly<Record<string, unknown>>][] = [
  ['CV8x8x8', { kind: 'CV' }],
  ['CV4x8x8 patch 2', { kind: 'CV', patch_size: 2, temporal_compression: 4 }],
  ['DV8x16x16', { kind: 'DV', spatial_compression: 16 }],
  ['CI8x8', { kind: 'CI', patch_size: 2 }],
  ['DI16x16', { kind: 'DI', patch_size: 2, spatial_compression: 16, z_channels: 256 }],
];

const isVideo = (c: CosmosTokenizerConfig): boolean => c.kind === 'CV' || c.kind === 'DV';
const weight = (key: string, shape: readonly number[]) => param(key, shape);

function encodeWork(c: CosmosTokenizerConfig): Work {
  const shape = isVideo(c) ? [1, 3, 9, 256, 256] : [4, 3, 256, 256];
  const x = input('x', shape);
  return { outputs: { y: mean((isVideo(c) ? encodeVideo : encodeImage)(x, c, weight)) }, feeds: { x: noise(shape) } };
}

function decodeWork(c: CosmosTokenizerConfig): Work {
  const side = 256 / c.spatialCompression;
  const channels = c.levels?.length ?? c.latentChannels;
  const shape = isVideo(c) ? [1, channels, 1 + 8 / c.temporalCompression, side, side] : [4, channels, side, side];
  const z = input('z', shape);
  return { outputs: { y: mean((isVideo(c) ? decodeVideo : decodeImage)(z, c, weight)) }, feeds: { z: noise(shape) } };
}

/** The width of T5-11B with a quarter of its heads and hidden width, two layers. */
function t5Work(): Work {
  const c = { ...T5_11B, layers: 2, heads: 32, hidden: 16384 };
  const inputs = { tokens: input('tokens', [1, 256], 'i64'), mask: input('mask', [1, 256]) };
  const tokens: NdArray = {
    dtype: 'i64',
    shape: [1, 256],
    data: BigInt64Array.from({ length: 256 }, (_, i) => BigInt(i)),
  };
  const mask = noise([1, 256]);
  mask.data.fill(1);
  return { outputs: { y: mean(t5Encoder(inputs, c, weight)) }, feeds: { tokens, mask } };
}

const PROMPT = 512;
const CAPACITY = 1024;

async function autoregressive(runtime: Runtime, rate: Rate): Promise<Figure[]> {
  const c = AUTOREGRESSIVE;
  const dir = mkdtempSync(join(tmpdir(), 'orrery-bench-'));
  try {
    const specs = autoregressiveWeights(c);
    const writer = createSafetensorsWriter(
      join(dir, 'model.safetensors'),
      specs.map((s) => ({ name: s.key, dtype: 'f32', shape: s.shape })),
    );
    for (const s of specs) writer.write(s.key, weightNoise(s.shape));
    writer.close();
    const file = openSafetensors(join(dir, 'model.safetensors'));
    const weights = (name: string) => {
      const { offset, length } = file.tensors.get(name)!;
      return { kind: 'file', file: 'model.safetensors', offset, length, dtype: 'f32' } as const;
    };
    await using model = openTokenModel({ runtime, config: c, symbols: namedWeights, weights, load: { folder: dir } });
    const figures = [...(await prefill(model, rate)), ...(await decode(model, runtime))];
    file.close();
    return figures;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Weights that take part in every token: all but the embedding table. */
const activeWeights = (c: AutoregressiveConfig): number =>
  autoregressiveWeights(c)
    .filter((s) => !s.key.includes('tok_embeddings'))
    .reduce((n, s) => n + s.shape.reduce((a, b) => a * b, 1), 0);

async function prefill(model: TokenModel, rate: Rate): Promise<Figure[]> {
  const c = model.config;
  const prompt = Array.from({ length: PROMPT }, (_, i) => (i * 31) % c.outputVocabulary);
  // Two per weight and token, the logits for one token only; attention over all earlier tokens.
  const logits = c.width * c.outputVocabulary;
  const flops =
    2 * PROMPT * (activeWeights(c) - logits) + 2 * logits + 4 * c.layers * c.heads * c.headWidth * PROMPT * PROMPT;
  const once = async (): Promise<void> => {
    await model.begin({ capacity: CAPACITY });
    await model.feed([prompt]);
  };
  const { fraction, seconds } = await compare(rate, flops, once, 5);
  return [
    figure({ name: 'autoregressive prefill 512 tokens', value: fraction, unit: '×', of: OF_MATRIX, floor: 0.75 }),
    figure({
      name: 'autoregressive prefill: rate',
      value: PROMPT / seconds,
      unit: 'tokens/s',
      of: '284M weights',
      floor: null,
    }),
  ];
}

async function decode(model: TokenModel, runtime: Runtime): Promise<Figure[]> {
  const c = model.config;
  const kv = 2 * c.layers * c.keyValueHeads * c.headWidth * CAPACITY;
  const bytes = 4 * (activeWeights(c) + kv);
  const bandwidth = await memoryRate(runtime);
  let token = 1;
  const once = async (): Promise<void> => {
    await model.feed([[token++ % c.outputVocabulary]]);
  };
  await once();
  const seconds: number[] = [];
  const fractions: number[] = [];
  let before = await bandwidth.measure();
  for (let round = 0; round < 9; round++) {
    const from = performance.now();
    for (let i = 0; i < 4; i++) await once();
    const s = (performance.now() - from) / 4000;
    const after = await bandwidth.measure();
    seconds.push(s);
    fractions.push(bytes / s / 1e9 / ((before + after) / 2));
    before = after;
  }
  await bandwidth.dispose();
  const of = 'of the memory bandwidth in the same run';
  return [
    figure({
      name: 'memory bandwidth',
      value: before,
      unit: 'GB/s',
      of: 'weights read once by products with a vector',
      floor: null,
    }),
    figure({ name: 'autoregressive decode', value: median(fractions), unit: '×', of, floor: 0.6 }),
    figure({
      name: 'autoregressive decode: rate',
      value: 1 / median(seconds),
      unit: 'tokens/s',
      of: '284M weights, float32',
      floor: null,
    }),
  ];
}

/**
 * How fast memory is read: 400 MB that no cache holds, once by row sums and once by plain products of a row with large matrices; the
 * faster of the two is the limit.
 */
async function memoryRate(runtime: Runtime): Promise<Rate> {
  const side = 4096;
  const count = 6;
  const names = Array.from({ length: count }, (_, i) => `w${i}`);
  let y = input('x', [1, side]);
  for (const name of names) y = linear(y, param(name, [side, side]));
  const weights = (_: string, type: TensorType) => ({ kind: 'value', value: weightNoise(type.shape) }) as const;
  const products = await runtime.load(compile({ y }, { weights }));
  const arrays = names.map((name) => input(name, [side, side]));
  const sums = await runtime.load(
    compile({
      y: concat(
        arrays.map((t) => reshape(sum(t, [1]), [side])),
        0,
      ),
    }),
  );
  for (const name of names) await runtime.setState(`bandwidth.${name}`, weightNoise([side, side]), { move: true });
  const state = Object.fromEntries(names.map((name) => [name, `bandwidth.${name}`]));
  const x = noise([1, side]);
  const bytes = count * side * side * 4;
  const best = async (once: () => Promise<unknown>): Promise<number> => {
    let shortest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; i++) {
      const from = performance.now();
      await once();
      shortest = Math.min(shortest, performance.now() - from);
    }
    return bytes / shortest / 1e6;
  };
  await products.run({ x });
  return {
    measure: async () => Math.max(await best(() => products.run({ x })), await best(() => sums.run({}, { state }))),
    async dispose() {
      await products.dispose();
      await sums.dispose();
      for (const name of names) await runtime.dropState(`bandwidth.${name}`);
    },
  };
}
