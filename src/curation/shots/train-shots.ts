// `trainShots(footage)`: a shot detector from the user's own videos and pictures, written as a model folder.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { f32ToHalf, type NdArray, OrreryError, randomStream, sizeOf } from '../../base/index.ts';
import { writeFileAtomic, writeSafetensors } from '../../formats/index.ts';
import { input } from '../../graph/index.ts';
import { decodeVideo } from '../../media/index.ts';
import { listWeights } from '../../nets/orrery/weights.ts';
import { shotNet } from '../../nets/vision/shot-net.ts';
import { averagedWeights, runTraining, type TrainEvent } from '../../training/index.ts';
import { FEATURES } from './features.ts';
import { filmDrive, filmPicture, isPicture, type Picture, readPicture } from './footage.ts';
import { FOOTAGE, type Footage } from './synthetic.ts';
import { type Example, makeExamples, SHOT_NET, shotTask, statisticsOf } from './training.ts';

/** Options of `trainShots`. */
export type TrainShotsOptions = {
  /** Videos without cuts (files with cuts teach wrong answers), and still pictures, which a camera is moved over. */
  readonly videos: readonly string[];
  /** Takes made out of the still pictures: half of them drives through a world of their patches. Default 3 per picture. */
  readonly takes?: number;
  /** Model folder to write. */
  readonly out: string;
  /** Folder of checkpoints; the same call continues there. */
  readonly folder: string;
  readonly seed?: number;
  readonly edits?: number;
  readonly steps?: number;
  readonly batch?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
};

/** Most frames taken of one file. */
const MAX_FRAMES = 300;
/** Frames of a take made out of pictures. */
const TAKE_FRAMES = 260;

/** Decodes footage to 96x54. */
export async function readFootage(path: string, signal?: AbortSignal): Promise<Footage> {
  const parts: Uint8Array[] = [];
  const options = { width: FOOTAGE.width, height: FOOTAGE.height, fit: 'stretch', maxFrames: MAX_FRAMES } as const;
  for await (const batch of decodeVideo(path, { ...options, allowDamaged: true, ...(signal && { signal }) }))
    parts.push(batch.data);
  const data = Buffer.concat(parts);
  return { name: path, frames: data.length / FOOTAGE.bytes, data };
}

async function takesOf(paths: readonly string[], takes = 3 * paths.length, seed: number): Promise<Footage[]> {
  if (paths.length === 0) return [];
  const pictures: Picture[] = [];
  for (const path of paths) pictures.push(await readPicture(path));
  return Array.from({ length: takes }, (_, i) =>
    (i % 2 === 0 ? filmPicture : filmDrive)(randomStream(seed, `take ${i}`), pictures, TAKE_FRAMES),
  );
}

/** Trains and exports; yields the trainer's events. */
export async function* trainShots(options: TrainShotsOptions): AsyncGenerator<TrainEvent> {
  const { videos, seed = 1, edits = 320, signal } = options;
  const footage: Footage[] = [];
  for (const path of videos.filter((v) => !isPicture(v))) footage.push(await readFootage(path, signal));
  footage.push(...(await takesOf(videos.filter(isPicture), options.takes, seed)));
  if (footage.every((f) => f.frames < 2))
    throw new OrreryError('data', 'no footage of two frames or more; name video files');
  const examples = makeExamples(footage, edits, seed);
  const heldOut = makeExamples(footage, Math.max(8, Math.round(edits / 16)), seed + 1_000_000);
  yield* trainOnExamples({ ...options, examples, heldOut, footage: footage.length });
}

/** The part of `trainShots` after the edits are made. */
export async function* trainOnExamples(
  options: Omit<TrainShotsOptions, 'videos'> & {
    readonly examples: readonly Example[];
    readonly heldOut: readonly Example[];
    readonly footage: number;
  },
): AsyncGenerator<TrainEvent> {
  const { examples, heldOut, footage, out, folder, seed = 1, steps = 3000, batch = 16, threads, signal } = options;
  const statistics = statisticsOf(examples);
  const task = shotTask({ examples, heldOut, statistics, seed, batch });
  const recipe = { kind: 'orrery-shots', seed, edits: examples.length, steps, batch, footage };
  let validation: Readonly<Record<string, number>> | undefined;
  for await (const event of runTraining(task, {
    folder,
    seed,
    steps,
    schedule: { lr: 0.003, warmup: 50, decayFrom: Math.round(steps * 0.4), decayTo: steps, floor: 0.02, ema: 0.995 },
    optimizer: { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.02, clip: 1 },
    validateEvery: Math.max(100, Math.round(steps / 5)),
    checkpointSeconds: 120,
    recipe,
    ...(threads === undefined ? {} : { threads }),
    ...(signal === undefined ? {} : { signal }),
  })) {
    if (event.type === 'validation') validation = event.scores;
    yield event;
  }
  const specs = listWeights((w) => shotNet(input('x', [1, FEATURES, 64]), SHOT_NET, w));
  const { weights, record } = await averagedWeights(folder, specs);
  const file = join(out, 'model.safetensors');
  await writeSafetensors(
    file,
    specs.map(({ key, shape }): readonly [string, NdArray] => [
      key,
      { dtype: 'f16', shape, data: f32ToHalf(weights.get(key)!) },
    ]),
  );
  const bytes = readFileSync(file);
  const short = (v: number): number => Number(v.toPrecision(6));
  const model = {
    version: 1,
    kind: 'orrery-shots',
    name: 'orrery-shots',
    config: { ...SHOT_NET, mean: statistics.mean.map(short), std: statistics.std.map(short), threshold: 0.5 },
    training: { recipe, steps: record.step, hours: Math.round(record.seconds / 36) / 100 },
    scores: validation ?? null,
    parameters: specs.reduce((n, s) => n + sizeOf(s.shape), 0),
    licence: 'Apache-2.0',
    files: {
      'model.safetensors': { sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') },
    },
  };
  writeFileAtomic(join(out, 'model.json'), `${JSON.stringify(model, null, 2)}\n`);
}
