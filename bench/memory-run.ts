// Programs started by `bench memory`: FOLDER BILLIONS `write` makes the checkpoint, `round FORM` its form in blocks, `measure FORM` runs a step.
import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { f32, type NdArray, sizeOf } from '../src/base/index.ts';
import { BLOCK, createSafetensorsWriter, openSafetensors, type TensorSpec } from '../src/formats/index.ts';
import { add, blockWeights, compile, input, type WeightSource } from '../src/graph/index.ts';
import { type GeneralDitConfig, generalDit, listWeights, PREDICT1_7B, type Weights } from '../src/nets/index.ts';
import { openRuntime } from '../src/runtime/index.ts';
import {
  type Component,
  ditNetwork,
  loadGraph,
  networkNeed,
  type WeightForm,
  withWeights,
} from '../src/worlds/index.ts';
import { type Figure, figure, noise } from './measure.ts';

const [folder, billions, job, form] = process.argv.slice(2) as [string, string, string, string | undefined];

/** The 7B model, Predict2 2B, or a small one of about the size asked for: wide with few blocks, or narrow with very many. */
function networkOf(parameters: number): GeneralDitConfig {
  if (parameters >= 4e9) return PREDICT1_7B;
  const plain = { ...PREDICT1_7B, extraPositions: 'none' } as const;
  if (parameters >= 1e9) return { ...plain, width: 2048, heads: 16 };
  const width = parameters < 0.2e9 ? 1024 : 512;
  return { ...plain, width, heads: width / 128, blocks: Math.max(1, Math.round(parameters / (20 * width * width))) };
}

const config = networkOf(Number(billions) * 1e9);
/** Few tokens: activations stay small beside the weights, which the figures are about. */
const SIDE = Number(billions) >= 4 ? 8 : 32;
const SIZE = { t: 1, h: SIDE, w: SIDE };
const TOKENS = (SIDE / 2) ** 2;
const SHARDS = 4;

const everyWeight = (w: Weights): unknown =>
  generalDit(
    {
      x: input('x', [1, 16, 1, 4, 4]),
      timesteps: input('t', [1]),
      context: input('c', [1, 1, 1024]),
      fps: input('f', [1]),
      paddingMask: input('p', [1, 1, 4, 4]),
    },
    config,
    w,
  );

if (job === 'write') config === PREDICT1_7B ? writeBlocks() : write();
else if (job === 'round') await component(form as WeightForm);
else process.stdout.write(JSON.stringify(await measure(form!)));

/** ±(1…2)·2⁻⁷ in bfloat16: sign and seven fraction bits at random, exponent fixed. */
function randomBf16(shape: readonly number[], seed: number): NdArray {
  const data = new Uint16Array(sizeOf(shape));
  let state = seed;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = ((state >>> 16) & 0x807f) | 0x3c00;
  }
  return { dtype: 'bf16', shape, data };
}

function write(): void {
  const specs = listWeights((w) => everyWeight(w));
  const perShard = Math.ceil(specs.length / SHARDS);
  for (let k = 0; k < SHARDS; k++) {
    const part = specs.slice(k * perShard, (k + 1) * perShard);
    const writer = createSafetensorsWriter(
      join(folder, `model-${k}.safetensors`),
      part.map(({ key, shape }) => ({ name: key, dtype: 'bf16' as const, shape })),
    );
    for (const [i, { key, shape }] of part.entries())
      writer.write(key, randomBf16(shape, 12345 + 7919 * (k * perShard + i)));
    writer.close();
  }
}

/** Random blocks of 4 bits, without the 14 GB of numbers behind them: steps of 2⁻⁹. */
function writeBlocks(): void {
  const specs = listWeights((w) => everyWeight(w));
  const blocked = new Set(blockWeights(Object.values(ditNetwork(config)), BLOCK).map(({ name }) => name));
  const parts: TensorSpec[] = specs.flatMap(({ key, shape }): TensorSpec[] => {
    if (!blocked.has(key)) return [{ name: key, dtype: 'bf16' as const, shape }];
    const [rows, blocks] = [shape[0]!, sizeOf(shape.slice(1)) / BLOCK];
    return [
      { name: `${key}.packed`, dtype: 'u8' as const, shape: [rows, blocks, BLOCK / 2] },
      { name: `${key}.scales`, dtype: 'f32' as const, shape: [rows, blocks] },
    ];
  });
  const writer = createSafetensorsWriter(join(folder, 'blocks.safetensors'), parts);
  for (const { name, dtype, shape } of parts) {
    if (dtype === 'bf16') writer.write(name, randomBf16(shape, 12345 + name.length));
    else if (dtype === 'u8') writer.write(name, { dtype, shape, data: randomFillSync(new Uint8Array(sizeOf(shape))) });
    else writer.write(name, f32(shape, new Float32Array(sizeOf(shape)).fill(2 ** -9)));
  }
  writer.close();
}

/** The network's weights in a form, made at first use. */
async function component(weights: WeightForm, offload = false): Promise<Component<GeneralDitConfig>> {
  const sources = new Map<string, WeightSource>();
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.safetensors'))) {
    using opened = openSafetensors(join(folder, file));
    for (const [name, { offset, length, dtype }] of opened.tensors) {
      sources.set(name, { kind: 'file', file, offset, length, dtype: dtype as 'bf16' });
    }
  }
  const source = (name: string): WeightSource => {
    const plain = sources.get(name);
    if (plain !== undefined) return plain;
    const [packed, scales] = [sources.get(`${name}.packed`)!, sources.get(`${name}.scales`)!];
    if (packed.kind !== 'file' || scales.kind !== 'file') throw new Error(name);
    return { kind: 'blocks', bits: 4, blockSize: BLOCK, packed, scales };
  };
  const stored: Component<GeneralDitConfig> = { config, weights: source, load: { folder } };
  if (existsSync(join(folder, 'blocks.safetensors'))) return { ...stored, widen: 'use', hasBlocks: true };
  const steps = withWeights(stored, () => ditNetwork(config), { weights, offload });
  let step = await steps.next();
  while (!step.done) step = await steps.next();
  return step.value;
}

/** Takes the checkpoint out of the system's cache, as it is when a model does not fit. */
function forget(): boolean {
  try {
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.safetensors'))) {
      const to = join(folder, file);
      execFileSync('dd', [`of=${to}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'], {
        input: '',
      });
    }
    return true;
  } catch {
    return false;
  }
}

async function measure(name: string): Promise<Figure[]> {
  const isStreamed = name === 'offload';
  const weights = (isStreamed ? 'stored' : name) as WeightForm;
  const network = ditNetwork(config, SIZE);
  const need = networkNeed(network, { weights, offload: isStreamed });
  await using runtime = openRuntime();
  const status = (key: string): number =>
    Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
  // The runtime's own code and scratch space come with the first run of anything.
  await using first = await runtime.load(compile({ y: add(input('x', [1]), 1) }));
  await first.run({ x: f32([1]) });
  const baseline = status('VmRSS');
  const isCold = isStreamed && forget();
  const from = performance.now();
  const session = await loadGraph(runtime, await component(weights, isStreamed), network, 'memory');
  const loadSeconds = (performance.now() - from) / 1000;
  const feeds = {
    x: noise([1, 16, SIZE.t, SIZE.h, SIZE.w]),
    timesteps: f32([1], [0.3]),
    context: noise([1, 512, 1024]),
    fps: f32([1], [24]),
    paddingMask: f32([1, 1, SIZE.h, SIZE.w]),
  };
  const began = performance.now();
  const f = (await session.run(feeds)).f!.data as Float32Array;
  const seconds = (performance.now() - began) / 1000;
  const peak = status('VmHWM');
  const what = `${(listCount() / 1e9).toFixed(2)}B, ${name}`;
  const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(2);
  const used = (peak - baseline - need.activationBytes) / need.diskBytes;
  const figures = [
    figure({
      name: `${what}: weights in memory`,
      value: used,
      unit: '×',
      of: `${gigabytes(need.diskBytes)} GB of files, activations apart`,
      floor: name === 'stored' ? 1.15 : null,
      isCeiling: true,
    }),
    figure({
      name: `${what}: peak`,
      value: peak / 1e9,
      unit: 'GB',
      of: `predicted ${gigabytes(need.peakBytes)} = weights ${gigabytes(need.weightBytes)} + activations ${gigabytes(need.activationBytes)} + program ${gigabytes(need.programBytes)}`,
      floor: Number(billions) >= 4 ? 12 : null,
      isCeiling: true,
    }),
    figure({
      name: `${what}: prediction`,
      value: Math.abs(need.peakBytes / peak - 1),
      unit: '×',
      of: 'off the measured peak',
      floor: 0.15,
      isCeiling: true,
    }),
    figure({ name: `${what}: load`, value: loadSeconds, unit: 's', of: 'session with its weights', floor: null }),
    figure({
      name: `${what}: one step`,
      value: seconds,
      unit: 's',
      of: `${TOKENS} video tokens${isStreamed ? `, ${gigabytes(need.diskBytes / seconds)} GB/s of weights, ${isCold ? 'from the disk' : 'from the cache'}` : ''}`,
      floor: null,
    }),
  ];
  const reference = join(folder, 'stored.f32');
  if (name === 'stored') writeFileSync(reference, f);
  else if (existsSync(reference)) {
    const bytes = readFileSync(reference);
    const want = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const error = Math.sqrt(f.reduce((s, v, i) => s + (v - want[i]!) ** 2, 0) / want.reduce((s, v) => s + v * v, 0));
    figures.push(
      figure({
        name: `${what}: loss`,
        value: error,
        unit: 'rel L2',
        of: 'of one evaluation, weights as stored',
        floor: isStreamed ? 0 : null,
        isCeiling: true,
      }),
    );
  } else if (!f.every(Number.isFinite)) throw new Error('the step gave no numbers');
  return figures;
}

function listCount(): number {
  return listWeights((w) => everyWeight(w)).reduce((n, { shape }) => n + sizeOf(shape), 0);
}
