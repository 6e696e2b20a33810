// Training orrery-tokenizer: random windows, L1 + MSE with more weight where the picture moves, linear path started as
// principal components.
import { join } from 'node:path';
import { type NdArray, randomStream } from '../../base/index.ts';
import { makeFolder } from '../../formats/index.ts';
import {
  abs,
  add,
  cast,
  div,
  greater,
  input,
  max,
  mean,
  mul,
  slice,
  square,
  sub,
  type Tensor,
} from '../../graph/index.ts';
import { cellsOf, decode, encode, gridOf, type OrreryTokenizerConfig } from '../../nets/orrery/tokenizer.ts';
import type { Runtime } from '../../runtime/index.ts';
import { toBytes } from '../../worlds/index.ts';
import { type Clips, randomWindows } from '../clips.ts';
import { principalComponents } from '../pca.ts';
import { writeSheet } from '../sheet.ts';
import type { TrainingTask, ValidationModel } from '../trainer.ts';

export type TokenizerTaskOptions = {
  readonly config: OrreryTokenizerConfig;
  readonly train: Clips;
  readonly heldOut: Clips;
  readonly seed: number;
  readonly batch: number;
  /** Frames and side of a training window. */
  readonly frames: number;
  readonly size: number;
  /** Extra weight of moving pixels. */
  readonly movingWeight: number;
  readonly validationClips: number;
};

/** A pixel moves when it differs from the window's first frame by more than this (of 255). */
const MOVING = 24;

export function tokenizerTask(o: TokenizerTaskOptions): TrainingTask {
  const { batch, frames, size } = o;
  return {
    name: 'orrery-tokenizer',
    clips: o.train.count,
    loss: tokenizerLoss(o),
    batch(step) {
      const data = randomWindows(o.train, randomStream(o.seed, `batch ${step}`), { batch, frames, size });
      return { frames: { dtype: 'u8', shape: [batch, frames, size, size, 3], data } };
    },
    start: (runtime) => linearStart(o, runtime),
    validate: (model, folder) => validate(o, model, folder),
  };
}

/** The loss as a function of the weights. */
export function tokenizerLoss(
  o: Pick<TokenizerTaskOptions, 'config' | 'batch' | 'frames' | 'size' | 'movingWeight'>,
): TrainingTask['loss'] {
  const { config: c, batch, frames, size } = o;
  return (weights) => {
    const x = input('frames', [batch, frames, size, size, 3], 'u8');
    const target = sub(mul(cast(x, 'f32'), 1 / 127.5), 1);
    const latents = encode(x, c, weights);
    const error = sub(decode(latents, c, gridOf(c, frames, size, size), weights), target);
    const change = max(abs(sub(target, slice(target, 1, 0, 1))), [4], true);
    const weight = add(mul(cast(greater(change, (2 * MOVING) / 255), 'f32'), o.movingWeight), 1);
    const squared = square(error);
    const scale = mean(weight);
    const weighted = (e: Tensor): Tensor => div(mean(mul(e, weight)), scale);
    const size2 = mean(square(latents));
    const loss = add(add(weighted(abs(error)), mul(weighted(squared), 2)), mul(size2, 1e-4));
    return { loss, metrics: { mse: mean(squared), latent: size2 } };
  };
}

/** Start values: the linear path is the PCA with unit-variance latents; the trunk's inputs see more components. */
async function linearStart(o: TokenizerTaskOptions, runtime: Runtime): Promise<Map<string, Float32Array>> {
  const { config: c } = o;
  const start = new Map<string, Float32Array>();
  for (const kind of ['first', 'rest'] as const) {
    const depth = kind === 'first' ? 1 : c.timePatch;
    const width = c.patch * c.patch * 3 * depth;
    const rows = randomBlocks(o, depth, 24_000);
    const trunk = Math.min(c.width, kind === 'first' ? 64 : 96);
    const pca = await principalComponents(runtime, rows, width, Math.max(trunk, c.channels));
    const encoder = new Float32Array(c.channels * width);
    const bias = new Float32Array(c.channels);
    const decoder = new Float32Array(width * c.channels);
    for (let k = 0; k < c.channels; k++) {
      const deviation = Math.sqrt(pca.variances[k]!);
      for (let j = 0; j < width; j++) {
        const e = pca.components[k * width + j]!;
        encoder[k * width + j] = e / deviation;
        bias[k]! -= (e / deviation) * pca.mean[j]!;
        decoder[j * c.channels + k] = e * deviation;
      }
    }
    start.set(`encoder.linear.${kind}`, encoder);
    start.set(`encoder.linear.${kind}_bias`, bias);
    start.set(`decoder.linear.${kind}`, decoder);
    start.set(`decoder.linear.${kind}_bias`, pca.mean);
    const embed = new Float32Array(c.width * width);
    const embedBias = new Float32Array(c.width);
    for (let k = 0; k < trunk; k++) {
      for (let j = 0; j < width; j++) {
        const e = pca.components[k * width + j]! / pca.variances[k]! ** 0.4;
        embed[k * width + j] = e;
        embedBias[k]! -= e * pca.mean[j]!;
      }
    }
    start.set(`encoder.embed.${kind}`, embed);
    start.set(`encoder.embed.${kind}_bias`, embedBias);
  }
  return start;
}

/** Random pixel blocks of `depth` frames as rows of values −1…1. */
function randomBlocks(o: TokenizerTaskOptions, depth: number, count: number): Float32Array {
  const { patch: p } = o.config;
  const random = randomStream(o.seed, `blocks ${depth}`);
  const width = p * p * 3 * depth;
  const rows = new Float32Array(count * width);
  const clips = o.train;
  let at = 0;
  for (let i = 0; i < count; i++) {
    const source = clips.clipView(random.integer(0, clips.count - 1));
    const t = random.integer(0, clips.frames - depth);
    const y = random.integer(0, clips.height - p);
    const x = random.integer(0, clips.width - p);
    for (let f = 0; f < depth; f++) {
      for (let row = 0; row < p; row++) {
        const from = (((t + f) * clips.height + y + row) * clips.width + x) * 3;
        for (let k = 0; k < p * 3; k++) rows[at++] = source[from + k]! / 127.5 - 1;
      }
    }
  }
  return rows;
}

/** PSNR over all pixels and over moving pixels of whole held-out clips (squared errors summed over all clips). */
async function validate(
  o: TokenizerTaskOptions,
  model: ValidationModel,
  folder: string | undefined,
): Promise<{ score: number } & Record<string, number>> {
  const { config: c, heldOut } = o;
  const { frames, height, width } = heldOut;
  const g = gridOf(c, frames, height, width);
  const session = await model.session('reconstruct', (weights) => {
    const x = input('frames', [1, frames, height, width, 3], 'u8');
    const z = encode(x, c, weights);
    return { y: decode(z, c, g, weights), z };
  });
  const count = Math.min(o.validationClips, heldOut.count);
  const totals = { all: 0, allN: 0, moving: 0, movingN: 0, edge: 0, edgeN: 0, inner: 0, innerN: 0 };
  const latent = new Float64Array(2);
  const rows: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const clip = heldOut.clipView(i);
    const feeds: Record<string, NdArray> = {
      frames: { dtype: 'u8', shape: [1, frames, height, width, 3], data: clip.slice() },
    };
    const { y, z } = (await session.run(feeds)) as { y: NdArray; z: NdArray };
    const restored = toBytes(y.data as Float32Array);
    accumulate(totals, clip, restored, height * width * 3, width, c.patch);
    for (const v of z.data as Float32Array) {
      latent[0]! += v * v;
      latent[1]! += 1;
    }
    if (i < 4) rows.push(clip, restored);
  }
  if (folder !== undefined) {
    makeFolder(folder);
    await writeSheet(join(folder, 'reconstruction.png'), rows, { frames, height, width, every: 4 });
  }
  const psnr = (sum: number, n: number): number => 10 * Math.log10(255 ** 2 / Math.max(1e-9, sum / Math.max(1, n)));
  const all = psnr(totals.all, totals.allN);
  const moving = psnr(totals.moving, totals.movingN);
  return {
    score: all + moving,
    psnr: all,
    psnrMoving: moving,
    // Error on the two pixel columns and rows at patch borders relative to the inner ones: 1 = no block grid.
    grid: totals.edge / totals.edgeN / (totals.inner / totals.innerN),
    latentRms: Math.sqrt(latent[0]! / latent[1]!),
    cells: cellsOf(g),
  };
}

type Totals = {
  all: number;
  allN: number;
  moving: number;
  movingN: number;
  edge: number;
  edgeN: number;
  inner: number;
  innerN: number;
};

function accumulate(
  totals: Totals,
  truth: Uint8Array,
  got: Uint8Array,
  frameSize: number,
  width: number,
  patch: number,
): void {
  for (let p = 0; p < truth.length; p += 3) {
    let squared = 0;
    let change = 0;
    const still = p % frameSize;
    for (let k = 0; k < 3; k++) {
      squared += (truth[p + k]! - got[p + k]!) ** 2;
      change = Math.max(change, Math.abs(truth[p + k]! - truth[still + k]!));
    }
    totals.all += squared;
    totals.allN += 3;
    if (change > MOVING) {
      totals.moving += squared;
      totals.movingN += 3;
    }
    const x = ((p / 3) % width) % patch;
    const y = Math.floor(still / 3 / width) % patch;
    if (x === 0 || y === 0 || x === patch - 1 || y === patch - 1) {
      totals.edge += squared;
      totals.edgeN += 3;
    } else {
      totals.inner += squared;
      totals.innerN += 3;
    }
  }
}
