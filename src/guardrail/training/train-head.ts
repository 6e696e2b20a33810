// Trains a classifier head of one's own on embeddings of one's own pictures: the layout of the public head, batch statistics
// folded to constants of the training set, so that the stored head loads where the public one does.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { f32, InputError, type NdArray, OrreryError, randomStream, throwIfAborted } from '../../base/index.ts';
import { writeSafetensors } from '../../formats/index.ts';
import { input, linear, logSoftmax, mean, mul, neg, relu, sum, type Tensor } from '../../graph/index.ts';
import { readImage } from '../../media/index.ts';
import { FRAME_CLASSES, listWeights, type Weights } from '../../nets/index.ts';
import { averagedWeights, runTraining, type TrainEvent, type TrainingTask } from '../../training/index.ts';
import { openContentClassifier } from '../frames/content-classifier.ts';
import { requireSameRun } from './same-run.ts';

export type TrainHeadOptions = {
  /** Folder of the SigLIP tower. */
  readonly tower: string;
  /** Folder with one folder of pictures per class, named as the public classes. */
  readonly data: string;
  /** File to write, .safetensors. */
  readonly out: string;
  /** Folder of checkpoints. */
  readonly work: string;
  readonly steps?: number;
  readonly seed?: number;
  readonly signal?: AbortSignal;
};

export type TrainHeadEvent =
  | { readonly type: 'embedded'; readonly pictures: number; readonly classes: Readonly<Record<string, number>> }
  | TrainEvent
  | { readonly type: 'written'; readonly path: string; readonly accuracy: number };

const HIDDEN = [512, 256] as const;
const PICTURES = /\.(png|jpe?g|webp|avif|gif)$/i;

type Example = { readonly embedding: Float32Array; readonly label: number };

/** Embeds the pictures, trains, writes the head. A tenth of the pictures is held out for the stated accuracy. */
export async function* trainHead(options: TrainHeadOptions): AsyncGenerator<TrainHeadEvent> {
  const { tower, data, out, work, steps = 400, seed = 1, signal } = options;
  const files = picturesOf(data);
  const classifier = await openContentClassifier(tower, undefined);
  const examples: Example[] = [];
  try {
    for (const { path, label } of files) {
      const frames = await readImage(path, signal === undefined ? {} : { signal });
      const [embedding] = await classifier.embed(frames, signal);
      examples.push({ embedding: embedding!, label });
    }
  } finally {
    await classifier.dispose();
  }
  const classes = Object.fromEntries(
    FRAME_CLASSES.map((name, k) => [name, examples.filter((e) => e.label === k).length]),
  );
  yield { type: 'embedded', pictures: examples.length, classes };

  requireSameRun(work, [steps, seed, examples.map(({ embedding, label }) => [label, ...embedding])]);
  const shuffled = randomStream(seed, 'head split').shuffle([...examples]);
  const heldOut = shuffled.filter((_, i) => i % 10 === 0);
  const train = shuffled.filter((_, i) => i % 10 !== 0);
  const task = headTask(train, heldOut, seed);
  for await (const event of runTraining(task, {
    folder: work,
    seed,
    steps,
    schedule: { lr: 1e-3, warmup: 20, decayFrom: Math.floor(steps / 2), decayTo: steps, floor: 0.05, ema: 0.98 },
    optimizer: { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 1e-4, clip: 1 },
    validateEvery: steps,
    checkpointSeconds: 60,
    recipe: { kind: 'guard-head', steps, seed, classes },
    ...(signal === undefined ? {} : { signal }),
  })) {
    yield event;
  }
  // A run that was stopped ends quietly; no head is written from it.
  throwIfAborted(signal);
  const width = train[0]!.embedding.length;
  const specs = listWeights((w) => head(input('x', [1, width]), w));
  // The only validation is that of the last step, in this call or in the one that finished the run.
  const { weights, record } = await averagedWeights(work, specs);
  writeSafetensors(out, publicLayout(weights, width), { kind: 'frame-safety-head', classes: FRAME_CLASSES.join(',') });
  yield { type: 'written', path: out, accuracy: record.best?.score ?? Number.NaN };
}

function picturesOf(data: string): { readonly path: string; readonly label: number }[] {
  const files = FRAME_CLASSES.flatMap((name, label) => {
    try {
      return readdirSync(join(data, name))
        .filter((file) => PICTURES.test(file))
        .sort()
        .map((file) => ({ path: join(data, name, file), label }));
    } catch {
      return [];
    }
  });
  const present = new Set(files.map((f) => f.label));
  if (present.size < 2 || files.length < 20) {
    throw new InputError('data', {
      got: `${files.length} pictures in ${present.size} classes in ${data}`,
      need: `at least 20 pictures in folders named ${FRAME_CLASSES.join(', ')}, two of them at least`,
    });
  }
  return files;
}

/** The head without batch normalisation: with constant statistics it is a part of the linear layers. */
function head(x: Tensor, weights: Weights): Tensor {
  const dense = (y: Tensor, n: number, size: number): Tensor =>
    linear(y, weights(`${n}.weight`, [size, y.shape[1]!]), weights(`${n}.bias`, [size], { kind: 'zeros' }));
  return dense(relu(dense(relu(dense(x, 0, HIDDEN[0])), 3, HIDDEN[1])), 6, FRAME_CLASSES.length);
}

function headTask(train: readonly Example[], heldOut: readonly Example[], seed: number): TrainingTask {
  const width = train[0]!.embedding.length;
  const batch = Math.min(64, train.length);
  const classes = FRAME_CLASSES.length;
  const feeds = (list: readonly Example[]): { x: NdArray; target: NdArray } => {
    const x = new Float32Array(list.length * width);
    const target = new Float32Array(list.length * classes);
    for (const [i, { embedding, label }] of list.entries()) {
      x.set(embedding, i * width);
      target[i * classes + label] = 1;
    }
    return { x: f32([list.length, width], x), target: f32([list.length, classes], target) };
  };
  return {
    name: 'frame-safety-head',
    loss(weights) {
      const target = input('target', [batch, classes]);
      const logits = head(input('x', [batch, width]), weights);
      return { loss: neg(mean(sum(mul(logSoftmax(logits), target), [1]))), metrics: {} };
    },
    batch(step) {
      const random = randomStream(seed, `head batch ${step}`);
      return feeds(Array.from({ length: batch }, () => random.pick(train)));
    },
    async validate(model) {
      const session = await model.session('head', (weights) => ({
        logits: head(input('x', [heldOut.length, width]), weights),
      }));
      const { logits } = await session.run({ x: feeds(heldOut).x });
      const values = logits!.data as Float32Array;
      if (values.some((v) => Number.isNaN(v)))
        throw new OrreryError('data', 'the trained head gives NaN; lower the learning rate');
      const right = heldOut.filter(({ label }, i) => {
        const row = values.subarray(i * classes, (i + 1) * classes);
        return row.indexOf(Math.max(...row)) === label;
      });
      return { score: right.length / heldOut.length };
    },
  };
}

/** Keys of the public head; its normalisations become the identity. */
function publicLayout(weights: ReadonlyMap<string, Float32Array>, width: number): [string, NdArray][] {
  const sizes: Readonly<Record<number, readonly [number, number]>> = {
    0: [HIDDEN[0], width],
    3: [HIDDEN[1], HIDDEN[0]],
    6: [FRAME_CLASSES.length, HIDDEN[1]],
  };
  const out: [string, NdArray][] = [];
  for (const [n, shape] of Object.entries(sizes)) {
    out.push([`network.layers.${n}.weight`, f32(shape, weights.get(`${n}.weight`)!)]);
    out.push([`network.layers.${n}.bias`, f32([shape[0]], weights.get(`${n}.bias`)!)]);
  }
  for (const [n, size] of [
    [1, HIDDEN[0]],
    [4, HIDDEN[1]],
  ] as const) {
    const fill = (value: number): NdArray => f32([size], new Float32Array(size).fill(value));
    out.push([`network.layers.${n}.weight`, fill(1)], [`network.layers.${n}.bias`, fill(0)]);
    // ε of the normalisation is 1e-5: this variance makes it the identity.
    out.push([`network.layers.${n}.running_mean`, fill(0)], [`network.layers.${n}.running_var`, fill(1 - 1e-5)]);
  }
  return out;
}
