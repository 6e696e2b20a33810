// Programs started by `bench memory`: `write FOLDER BILLIONS` makes the checkpoint, `measure FOLDER BILLIONS` runs one step.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { f32, sizeOf } from '../src/base/index.ts';
import { createSafetensorsWriter, openSafetensors } from '../src/formats/index.ts';
import { add, compile, input, planMemory, type WeightSource } from '../src/graph/index.ts';
import { type GeneralDitConfig, listWeights } from '../src/nets/index.ts';
import { openRuntime } from '../src/runtime/index.ts';
import { figure } from './measure.ts';
import { dit, ditFeeds, ditForward, ditLoss } from './networks.ts';

const [job, folder, billions] = process.argv.slice(2) as [string, string, string];

/** A transformer of about `parameters` weights: 21·D² per block with its share of everything else. */
function networkOf(parameters: number): GeneralDitConfig {
  const width = parameters >= 1e9 ? 2048 : 512;
  return dit(width, Math.max(1, Math.round(parameters / (20 * width * width))), width / 128);
}

const config = networkOf(Number(billions) * 1e9);
const specs = listWeights((w) => ditLoss(config, w));
const SHARDS = 4;

if (job === 'write') write();
else process.stdout.write(JSON.stringify(await measure()));

function write(): void {
  const perShard = Math.ceil(specs.length / SHARDS);
  for (let k = 0; k < SHARDS; k++) {
    const part = specs.slice(k * perShard, (k + 1) * perShard);
    const writer = createSafetensorsWriter(
      join(folder, `model-${k}.safetensors`),
      part.map(({ key, shape }) => ({ name: key, dtype: 'bf16' as const, shape })),
      {},
    );
    for (const { key, shape } of part) {
      // ±(1…2)·2⁻⁷: sign and seven fraction bits at random, exponent fixed.
      const data = new Uint16Array(sizeOf(shape));
      let state = 12345 + key.length;
      for (let i = 0; i < data.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        data[i] = ((state >>> 16) & 0x807f) | 0x3c00;
      }
      writer.write(key, { dtype: 'bf16', shape, data });
    }
    writer.close();
  }
}

async function measure() {
  const sources = new Map<string, WeightSource>();
  let stored = 0;
  for (const file of readdirSync(folder)) {
    for (const [name, { offset, length }] of openSafetensors(join(folder, file)).tensors) {
      sources.set(name, { kind: 'file', file, offset, length, dtype: 'bf16' });
      stored += length;
    }
  }
  const { outputs } = ditForward(config);
  const { activationBytes, constantBytes } = planMemory(outputs);
  await using runtime = openRuntime();
  const status = (key: string): number =>
    Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
  // The runtime's own code and scratch space come with the first run of anything.
  await using first = await runtime.load(compile({ y: add(input('x', [1]), 1) }));
  await first.run({ x: f32([1]) });
  const baseline = status('VmRSS');
  const session = await runtime.load(
    compile(outputs, { weights: (name) => sources.get(name)!, widen: 'use', name: 'memory' }),
    { folder },
  );
  const from = performance.now();
  await session.run(ditFeeds());
  const seconds = (performance.now() - from) / 1000;
  const used = status('VmHWM') - baseline - activationBytes - constantBytes;
  const name = `${(stored / 2e9).toFixed(2)}B parameters in bfloat16, as stored`;
  return [
    figure({
      name,
      value: used / stored,
      unit: '×',
      of: 'bytes of the files, activations apart',
      floor: 1.15,
      isCeiling: true,
    }),
    figure({
      name: `${name}: peak`,
      value: (used + activationBytes) / 1e9,
      unit: 'GB',
      of: `files ${(stored / 1e9).toFixed(2)} GB + activations ${(activationBytes / 1e9).toFixed(2)} GB + widest layer`,
      floor: null,
    }),
    figure({ name: `${name}: one step`, value: seconds, unit: 's', of: '1024 video tokens', floor: null }),
  ];
}
