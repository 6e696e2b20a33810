// `bench precision`: what 8-bit and 4-bit weights cost and bring: loss of a network evaluation, PSNR of tokenizers, tokens per second.
// The shipped models are trained; the public shapes have random weights, whose numbers are harder to round than trained ones.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InputError, type NdArray, randomStream, sizeOf } from '../src/base/index.ts';
import { worldNetwork } from '../src/checkpoints/own.ts';
import { input, isInput, topologicalOrder } from '../src/graph/index.ts';
import { shippedModels } from '../src/hub/index.ts';
import { cosmosTokenizerConfig, namedWeights } from '../src/nets/index.ts';
import type { OrreryNanoConfig } from '../src/nets/orrery/nano.ts';
import { decode, encode, gridOf, type OrreryTokenizerConfig } from '../src/nets/orrery/tokenizer.ts';
import { openRuntime, type Runtime } from '../src/runtime/index.ts';
import {
  autoregressiveWeights,
  type Component,
  componentOf,
  ditNetwork,
  inBlocks,
  loadGraph,
  type Outputs,
  openTokenModel,
  tokenizerNetworks,
  tokenNetwork,
  weightsOf,
} from '../src/worlds/index.ts';
import { type Figure, figure, median, noise, weightNoise } from './measure.ts';
import { AUTOREGRESSIVE, dit } from './networks.ts';

const FORMS = [8, 4] as const;
/** Relative error at 8 bits from which something is broken: rounding gives 2 % in nano and the transformer. 4 bits is told, not judged. */
const MOST_LOSS = 0.04;

const PARTS = {
  nano: nanoLoss,
  tokenizer: tokenizerLoss,
  cosmos: publicTokenizerLoss,
  transformer: transformerLoss,
  autoregressive: autoregressiveLoss,
} as const;

/** @param only one part; '' for all */
export async function benchPrecision(only: string): Promise<Figure[]> {
  const names = Object.keys(PARTS) as (keyof typeof PARTS)[];
  if (only !== '' && !names.some((name) => name === only)) {
    throw new InputError('part', { got: only, need: names.join(', ') });
  }
  const folder = mkdtempSync(join(tmpdir(), 'orrery-bench-precision-'));
  await using runtime = openRuntime();
  try {
    const figures: Figure[] = [];
    for (const name of names)
      if (only === '' || name === only) figures.push(...(await PARTS[name]({ runtime, folder })));
    return figures;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

type Job = { readonly runtime: Runtime; readonly folder: string };

/** The component in each form, the stored one first. */
async function formsOf<C>({ folder }: Job, component: Component<C>, outputs: Outputs) {
  const made: [string, Component<C>][] = [['stored', component]];
  for (const bits of FORMS) {
    const steps = inBlocks(component, outputs, { bits, folder });
    let step = await steps.next();
    while (!step.done) step = await steps.next();
    made.push([`${bits} bits`, { ...step.value, hasBlocks: true }]);
  }
  return made;
}

/** Normal numbers for every input of a graph; whole numbers where it takes such. */
function feedsFor(outputs: Outputs): Record<string, NdArray> {
  const random = randomStream(4, 'precision');
  const feeds: Record<string, NdArray> = {};
  for (const node of topologicalOrder(Object.values(outputs))) {
    if (!isInput(node)) continue;
    const { name, shape, dtype } = node.attrs;
    const size = sizeOf(shape);
    if (dtype === 'i64') {
      feeds[name] = { dtype, shape, data: BigInt64Array.from({ length: size }, () => BigInt(random.integer(0, 30))) };
    } else feeds[name] = { dtype: 'f32', shape, data: Float32Array.from({ length: size }, () => random.normal()) };
  }
  return feeds;
}

const relL2 = (got: Float32Array, want: Float32Array): number =>
  Math.sqrt(got.reduce((s, v, i) => s + (v - want[i]!) ** 2, 0) / want.reduce((s, v) => s + v * v, 0));

/** Relative L2 of the first output of a network in each form, and the speed of a run. */
async function losses(job: Job, name: string, component: Component<unknown>, outputs: Outputs): Promise<Figure[]> {
  const feeds = feedsFor(outputs);
  const key = Object.keys(outputs)[0]!;
  const figures: Figure[] = [];
  let want = new Float32Array(0);
  let storedSeconds = 0;
  for (const [form, one] of await formsOf(job, component, outputs)) {
    await using session = await loadGraph(job.runtime, one, outputs, name);
    let got = new Float32Array(0);
    const times: number[] = [];
    for (let i = 0; i < 4; i++) {
      const from = performance.now();
      got = new Float32Array((await session.run(feeds))[key]!.data as Float32Array);
      times.push((performance.now() - from) / 1000);
    }
    const seconds = median(times.slice(1));
    if (form === 'stored') {
      want = got;
      storedSeconds = seconds;
      continue;
    }
    figures.push(
      figure({
        name: `${name}, ${form}: loss`,
        value: relL2(got, want),
        unit: 'rel L2',
        of: 'of one evaluation',
        floor: form === '8 bits' ? MOST_LOSS : null,
        isCeiling: true,
      }),
      figure({
        name: `${name}, ${form}: speed`,
        value: storedSeconds / seconds,
        unit: '×',
        of: 'the weights as stored, in float32',
        floor: null,
      }),
    );
  }
  return figures;
}

function shipped<C>(model: string): { readonly component: Component<C>; readonly config: C } {
  const folder = join(shippedModels(), model);
  const { config } = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8')) as { config: C };
  return { config, component: { config, weights: weightsOf(folder), load: { folder } } };
}

async function nanoLoss(job: Job): Promise<Figure[]> {
  const { component, config } = shipped<OrreryNanoConfig>('orrery-nano');
  return losses(job, 'orrery-nano (trained)', component, { f: worldNetwork(config, namedWeights) });
}

/** A 128×128 clip of discs that cross a floor of squares. */
function drawnClip(frames: number): Uint8Array {
  const side = 128;
  const data = new Uint8Array(frames * side * side * 3);
  for (let t = 0; t < frames; t++) {
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const at = ((t * side + y) * side + x) * 3;
        const floor = (Math.floor(x / 16) + Math.floor(y / 16)) % 2 === 0 ? 150 : 120;
        const isRed = (x - 20 - 3 * t) ** 2 + (y - 60) ** 2 < 200;
        const isBlue = (x - 100 + 2 * t) ** 2 + (y - 80) ** 2 < 300;
        data.set(isRed ? [210, 40, 30 + y / 4] : isBlue ? [40, 60, 200 - x / 4] : [floor, floor - 10, floor - 30], at);
      }
    }
  }
  return data;
}

async function tokenizerLoss(job: Job): Promise<Figure[]> {
  const { component, config } = shipped<OrreryTokenizerConfig>('orrery-tokenizer');
  const frames = 1 + 4 * config.timePatch;
  const size = [1, frames, 128, 128, 3];
  const clip = drawnClip(frames);
  const pixels = { dtype: 'u8', shape: size, data: clip } as const;
  const grid = gridOf(config, frames, 128, 128);
  const z = encode(input('frames', size, 'u8'), config, namedWeights);
  const coder = { x: decode(z, config, grid, namedWeights) };
  const figures: Figure[] = [];
  let storedPsnr = 0;
  let storedSeconds = 0;
  for (const [form, one] of await formsOf(job, component, coder)) {
    await using session = await loadGraph(job.runtime, one, coder, 'orrery-tokenizer');
    await session.run({ frames: pixels });
    const from = performance.now();
    const x = (await session.run({ frames: pixels })).x!.data as Float32Array;
    const seconds = (performance.now() - from) / 1000;
    const squared = clip.reduce((s, v, i) => s + (v - Math.max(0, Math.min(255, (x[i]! + 1) * 127.5))) ** 2, 0);
    const psnr = 10 * Math.log10(255 ** 2 / (squared / clip.length));
    if (form === 'stored') [storedPsnr, storedSeconds] = [psnr, seconds];
    figures.push(
      figure({
        name: `orrery-tokenizer (trained), ${form}: PSNR`,
        value: psnr,
        unit: 'dB',
        of: 'a drawn clip, 128×128, restored',
        // Half a decibel below the weights as stored: what nobody sees.
        floor: form === '8 bits' ? storedPsnr - 0.5 : null,
      }),
    );
    if (form === 'stored') continue;
    figures.push(
      figure({
        name: `orrery-tokenizer (trained), ${form}: speed`,
        value: storedSeconds / seconds,
        unit: '×',
        of: 'the weights as stored, in float32',
        floor: null,
      }),
    );
  }
  return figures;
}

/** PSNR between what a public tokenizer decodes with stored and with rounded weights. */
async function publicTokenizerLoss(job: Job): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [name, options] of [
    ['CV8x8x8', { kind: 'CV' }],
    ['DV8x16x16', { kind: 'DV', spatial_compression: 16 }],
    ['CI8x8', { kind: 'CI', patch_size: 2 }],
  ] as const) {
    const config = cosmosTokenizerConfig(options);
    const { decode: outputs } = tokenizerNetworks(config, {
      frames: config.kind.endsWith('V') ? 9 : 1,
      height: 64,
      width: 64,
    });
    const component = randomComponent(outputs);
    const feeds = feedsFor(outputs);
    let want = new Float32Array(0);
    let storedSeconds = 0;
    for (const [form, one] of await formsOf(job, component, outputs)) {
      await using session = await loadGraph(job.runtime, one, outputs, name);
      await session.run(feeds);
      const from = performance.now();
      const x = new Float32Array((await session.run(feeds)).x!.data as Float32Array);
      const seconds = (performance.now() - from) / 1000;
      if (form === 'stored') {
        want = x;
        storedSeconds = seconds;
        continue;
      }
      // Random weights have no scale of their own: four deviations count as the range of pixels.
      const range = 4 * Math.sqrt(want.reduce((s, v) => s + v * v, 0) / want.length);
      const mse = x.reduce((s, v, i) => s + (v - want[i]!) ** 2, 0) / x.length;
      figures.push(
        figure({
          name: `${name} decoder (random), ${form}: PSNR`,
          value: 10 * Math.log10(range ** 2 / mse),
          unit: 'dB',
          of: 'against the weights as stored',
          // No limit: there is no finished run to take one from.
          floor: null,
        }),
        figure({
          name: `${name} decoder (random), ${form}: speed`,
          value: storedSeconds / seconds,
          unit: '×',
          of: 'the weights as stored, in float32',
          floor: null,
        }),
      );
    }
  }
  return figures;
}

/** A component with random values for every weight of a graph. */
function randomComponent(outputs: Outputs): Component<undefined> {
  const tensors = new Map<string, NdArray>();
  for (const node of topologicalOrder(Object.values(outputs))) {
    if (node.op.name !== 'param') continue;
    const { name, shape } = node.attrs as { readonly name: string; readonly shape: readonly number[] };
    const isNorm = shape.length === 1 && name.endsWith('weight');
    const value = isNorm ? noise(shape, 0.1) : weightNoise(shape);
    if (isNorm) for (let i = 0; i < value.data.length; i++) value.data[i]! += 1;
    tensors.set(name, value);
  }
  return componentOf(undefined, tensors);
}

async function transformerLoss(job: Job): Promise<Figure[]> {
  const outputs = ditNetwork(dit(), { t: 1, h: 32, w: 32 });
  return losses(job, 'diffusion transformer, width 1024 (random)', randomComponent(outputs), outputs);
}

async function autoregressiveLoss(job: Job): Promise<Figure[]> {
  const component = componentOf(
    AUTOREGRESSIVE,
    new Map(autoregressiveWeights(AUTOREGRESSIVE).map(({ key, shape }) => [key, weightNoise(shape)])),
  );
  const figures: Figure[] = [];
  let want = new Float32Array(0);
  for (const [form, { weights, load }] of await formsOf(job, component, tokenNetwork(AUTOREGRESSIVE))) {
    await using model = openTokenModel({
      runtime: job.runtime,
      config: AUTOREGRESSIVE,
      symbols: namedWeights,
      weights,
      widen: 'load',
      ...(load === undefined ? {} : { load }),
    });
    await model.begin({ capacity: 128 });
    await model.feed([Array.from({ length: 64 }, (_, i) => (i * 31) % 16000)]);
    await model.feed([[7]]);
    const times: number[] = [];
    let logits = new Float32Array(0);
    for (let i = 0; i < 12; i++) {
      const from = performance.now();
      logits = (await model.feed([[(i * 97) % 16000]])).data as Float32Array<ArrayBuffer>;
      times.push((performance.now() - from) / 1000);
    }
    if (form === 'stored') want = logits;
    figures.push(
      figure({
        name: `autoregressive, ${form}: rate`,
        value: 1 / median(times),
        unit: 'tokens/s',
        of: `284M weights (random)${form === 'stored' ? ', float32' : ''}`,
        floor: null,
      }),
    );
    if (form !== 'stored') {
      figures.push(
        figure({
          name: `autoregressive, ${form}: loss`,
          value: relL2(logits, want),
          unit: 'rel L2',
          of: 'of the logits',
          // No limit: there is no finished run to take one from.
          floor: null,
        }),
      );
    }
  }
  return figures;
}
