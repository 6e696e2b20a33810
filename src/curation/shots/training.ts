// Training of the shot detector with Orrery's own trainer on synthetic edits. The footage is the user's; edits are made on
// the fly from the seed, so a training is repeated by its recipe and its footage.
import { type NdArray, randomStream } from '../../base/index.ts';
import { add, div, input, mean, mul, softplus, sub, sum, type Tensor } from '../../graph/index.ts';
import { type ShotNetConfig, shotNet } from '../../nets/vision/shot-net.ts';
import type { TrainingTask } from '../../training/index.ts';
import { FEATURES, featureStream, TINY } from './features.ts';
import { type Edit, type Footage, makeEdit, type Truth } from './synthetic.ts';

/** Frames of a training window. */
const WINDOW = 192;

/** The shipped size. */
export const SHOT_NET: ShotNetConfig = {
  kind: 'orrery-shots',
  features: FEATURES,
  width: 32,
  dilations: [1, 2, 4, 8, 16],
};

/** Features of an edit with the answers wanted: per frame inside, middle and the weight of the middle answer. */
export type Example = {
  readonly frames: number;
  /** [n, F]. */
  readonly features: Float32Array;
  readonly inside: Float32Array;
  readonly middle: Float32Array;
  readonly weight: Float32Array;
  readonly transitions: readonly Truth[];
};

/** Feature rows of a whole video of small frames [n, F]. */
export function featuresOf(data: Uint8Array): Float32Array {
  const n = data.length / TINY.bytes;
  const out = new Float32Array(n * FEATURES);
  const stream = featureStream();
  let at = 0;
  const keep = (row: Float32Array): void => {
    out.set(row, at);
    at += FEATURES;
  };
  for (let i = 0; i < n; i++) {
    const row = stream.push(data.subarray(i * TINY.bytes, (i + 1) * TINY.bytes));
    if (row !== undefined) keep(row);
  }
  for (const row of stream.end()) keep(row);
  return out;
}

/** Answers wanted for a list of transitions. */
export function exampleOf(edit: Edit): Example {
  const n = edit.frames;
  const inside = new Float32Array(n);
  const middle = new Float32Array(n);
  const weight = new Float32Array(n).fill(1);
  for (const { start, end } of edit.transitions) {
    for (let i = start === end ? start - 1 : start; i <= end; i++) if (i >= 0 && i < n) inside[i] = 1;
    const centre = (start + end) / 2;
    // Around the middle the answer is a matter of taste.
    const slack = Math.max(1, (end - start + 1) / 4);
    for (let i = Math.floor(centre - slack); i <= Math.ceil(centre + slack); i++) if (i >= 0 && i < n) weight[i] = 0;
    for (const i of [Math.floor(centre), Math.ceil(centre)])
      if (i >= 0 && i < n) {
        middle[i] = 1;
        weight[i] = 1;
      }
  }
  return { frames: n, features: featuresOf(edit.data), inside, middle, weight, transitions: edit.transitions };
}

/** Edits made from footage, as examples. */
export function makeExamples(footage: readonly Footage[], count: number, seed: number, frames = 500): Example[] {
  return Array.from({ length: count }, (_, i) => exampleOf(makeEdit(randomStream(seed, `edit ${i}`), footage, frames)));
}

/** Mean and deviation of every feature. */
export function statisticsOf(examples: readonly Example[]): { mean: number[]; std: number[] } {
  const sums = new Float64Array(FEATURES);
  const squares = new Float64Array(FEATURES);
  let n = 0;
  for (const { features, frames } of examples) {
    n += frames;
    for (let i = 0; i < features.length; i++) {
      sums[i % FEATURES]! += features[i]!;
      squares[i % FEATURES]! += features[i]! ** 2;
    }
  }
  const mean = [...sums].map((s) => s / n);
  return { mean, std: [...squares].map((s, i) => Math.sqrt(Math.max(1e-6, s / n - mean[i]! ** 2))) };
}

/** The task for the trainer. */
export function shotTask(options: {
  readonly examples: readonly Example[];
  readonly heldOut: readonly Example[];
  readonly statistics: { readonly mean: readonly number[]; readonly std: readonly number[] };
  readonly seed: number;
  readonly batch: number;
  readonly config?: ShotNetConfig;
}): TrainingTask {
  const { examples, heldOut, statistics, seed, batch, config = SHOT_NET } = options;
  const fill = (source: Example, from: number, x: Float32Array, at: number, t: number): void => {
    for (let i = 0; i < t; i++)
      for (let f = 0; f < FEATURES; f++)
        x[at + f * t + i] = (source.features[(from + i) * FEATURES + f]! - statistics.mean[f]!) / statistics.std[f]!;
  };
  return {
    name: 'orrery-shots',
    clips: examples.length,
    loss(weights) {
      const x = input('x', [batch, FEATURES, WINDOW]);
      const y = input('y', [batch, 2, WINDOW]);
      const w = input('w', [batch, 2, WINDOW]);
      const z = shotNet(x, config, weights);
      // Binary cross-entropy of logits: softplus(z) − z·y.
      const each: Tensor = mul(sub(softplus(z), mul(z, y)), w);
      const loss = div(sum(each), add(sum(w), 1));
      return { loss, metrics: { entropy: mean(each) } };
    },
    batch(step) {
      const random = randomStream(seed, `batch ${step}`);
      const x = new Float32Array(batch * FEATURES * WINDOW);
      const y = new Float32Array(batch * 2 * WINDOW);
      const w = new Float32Array(batch * 2 * WINDOW);
      for (let b = 0; b < batch; b++) {
        const example = random.pick(examples);
        const from = random.integer(0, example.frames - WINDOW);
        fill(example, from, x, b * FEATURES * WINDOW, WINDOW);
        // Few edits, many steps: noise, a shift of each feature and missing features keep the network from learning them by heart.
        for (let f = 0; f < FEATURES; f++) {
          const at = (b * FEATURES + f) * WINDOW;
          const shift = random.normal() * 0.15;
          const keep = random.uniform() < 0.06 ? 0 : 1;
          for (let i = 0; i < WINDOW; i++) x[at + i] = keep * (x[at + i]! + shift + 0.15 * random.normal());
        }
        for (let i = 0; i < WINDOW; i++) {
          const at = 2 * b * WINDOW + i;
          y[at] = example.inside[from + i]!;
          y[at + WINDOW] = example.middle[from + i]!;
          w[at] = 1;
          w[at + WINDOW] = example.weight[from + i]! * (example.middle[from + i]! > 0 ? 4 : 1);
        }
      }
      const array = (shape: readonly number[], data: Float32Array): NdArray => ({ dtype: 'f32', shape, data });
      return {
        x: array([batch, FEATURES, WINDOW], x),
        y: array([batch, 2, WINDOW], y),
        w: array([batch, 2, WINDOW], w),
      };
    },
    async validate(model) {
      const frames = heldOut[0]!.frames;
      const session = await model.session('shots', (weights) => ({
        z: shotNet(input('x', [1, FEATURES, frames]), config, weights),
      }));
      let total = 0;
      let count = 0;
      for (const example of heldOut) {
        const x = new Float32Array(FEATURES * frames);
        fill(example, 0, x, 0, frames);
        const { z } = await session.run({ x: { dtype: 'f32', shape: [1, FEATURES, frames], data: x } });
        const logits = z!.data as Float32Array;
        for (let i = 0; i < frames; i++) {
          const bce = (v: number, y: number): number => Math.max(v, 0) - v * y + Math.log1p(Math.exp(-Math.abs(v)));
          total +=
            bce(logits[i]!, example.inside[i]!) + bce(logits[frames + i]!, example.middle[i]!) * example.weight[i]!;
          count++;
        }
      }
      return { score: -total / count };
    },
  };
}
