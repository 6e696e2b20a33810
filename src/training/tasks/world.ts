// Training orrery-nano: EDM loss on what changes (Karras et al. 2022, section 5), conditioned on 9, 1 or no given frames and a caption.
// Latents are encoded once; the score samples held-out clips and compares them with repeat-last-frame.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { f32, type NdArray, randomStream } from '../../base/index.ts';
import { makeFolder } from '../../formats/index.ts';
import { constantF32, div, input, mean, minimum, mul, square, sub, type Tensor } from '../../graph/index.ts';
import { openModelFolder } from '../../hub/index.ts';
import { lowerMedian } from '../../motion/index.ts';
import { nano, type OrreryNanoConfig } from '../../nets/orrery/nano.ts';
import { cellsOf, gridOf, type OrreryTokenizerConfig } from '../../nets/orrery/tokenizer.ts';
import { tableRows, vocabularyOf, wordIds } from '../../nets/orrery/words.ts';
import { openRuntime } from '../../runtime/index.ts';
import { edmScalings } from '../../sampling/index.ts';
import {
  actionShape,
  CONDITIONS,
  type Condition,
  contextCells,
  givenFlags,
  type LatentStats,
  loadTokenizer,
  nanoFeeds,
  nanoGraph,
  RESIDUAL_SIGMA,
  rollOut,
  WINDOW_FRAMES,
  type WindowModel,
  type WindowSize,
} from '../../worlds/index.ts';
import { type Clips, drawClip } from '../clips.ts';
import { isMirrored, type LatentCache, latentCache, latentsBeside } from '../latents.ts';
import type { WorldRecipe } from '../recipe.ts';
import { robotPredictors, scoreRobot } from '../score-robot.ts';
import { scoreText, scoreWorld } from '../score-world.ts';
import { writeSheet } from '../sheet.ts';
import type { TrainingTask, ValidationModel } from '../trainer.ts';
import { actionBatch } from './world-actions.ts';

export type WorldTaskOptions = {
  readonly recipe: WorldRecipe;
  readonly folder: string;
  readonly train: Clips;
  readonly heldOut: Clips;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
};

/** Prepares vocabulary and latents (kept in the folder), then gives the task. */
export async function worldTask(o: WorldTaskOptions): Promise<
  TrainingTask & {
    readonly config: OrreryNanoConfig;
    readonly vocabulary: readonly string[];
    readonly stats: LatentStats;
  }
> {
  const { recipe, folder, train } = o;
  makeFolder(folder);
  const { frames, height, width, fps } = train;
  writeFileSync(join(folder, 'window.json'), JSON.stringify({ frames, height, width, fps } satisfies WindowSize));
  const vocabulary = vocabularyIn(folder, train);
  const lookup = new Map(vocabulary.map((w, i) => [w, i]));
  const runtime = openRuntime();
  const tokenizerDir = openModelFolder(recipe.tokenizer).dir;
  const tokenizer = await loadTokenizer(runtime, tokenizerDir, {
    ...train,
    frames: WINDOW_FRAMES,
  });
  // Latents that came with the data set are used unless the run has its own, or the statistics of a model it starts from.
  const beside = latentsBeside(train.dir, tokenizerDir);
  const isBeside = train.parts === undefined && takesLatents(folder, beside);
  const cache = await latentCache(tokenizer, train, isBeside ? beside : folder, o);
  await runtime.dispose();
  const config = nanoConfig(recipe, tokenizer.config, train, vocabulary);
  return {
    name: 'orrery-nano',
    clips: o.train.count,
    config,
    vocabulary,
    stats: cache.stats,
    loss: worldLoss(recipe, config, cache.stats),
    batch: (step) => worldBatch(o, config, cache, lookup, step),
    validate: (model, samples) => validateWorld(o, config, cache.stats, lookup, model, samples),
  };
}

/** The loss of a recipe as a function of the weights. */
export function worldLoss(
  recipe: WorldRecipe,
  config: OrreryNanoConfig,
  stats: Pick<LatentStats, 'pixelWeight'>,
): TrainingTask['loss'] {
  const { batch } = recipe;
  const cells = cellsOf(config.grid);
  const c = config.channels;
  return (weights) => {
    const pixelWeight = constantF32([c], stats.pixelWeight);
    const channelWeight = constantF32(
      [c],
      stats.pixelWeight.map((w) => w ** recipe.pixelGamma),
    );
    const r = input('residual', [batch, cells, c]);
    const base = input('base', [batch, cells, c]);
    const context = input('context', [batch, contextCells(config), c]);
    const given = input('given', [batch, 3]);
    const noisy = input('noisy', [batch, cells, c]);
    const weight = input('weight', [batch, cells, 1]);
    const words = input('words', [batch, config.textLength], 'i64');
    // Scalars per sample, from σ: c_in, c_skip, 1/c_out, c_noise.
    const scalar = (name: string): Tensor => input(name, [batch, 1, 1]);
    const f = nano(
      {
        x: mul(noisy, scalar('cIn')),
        base,
        context,
        given,
        noise: input('cNoise', [batch, 1]),
        words,
        ...(config.actions === undefined ? {} : { actions: input('actions', actionShape(config.actions, batch)) }),
      },
      config,
      weights,
    );
    const target = mul(sub(r, mul(noisy, scalar('cSkip'))), scalar('cOutInverse'));
    const error = square(sub(f, target));
    const weighted = mul(mul(error, weight), channelWeight);
    // For comparing runs: every cell and channel alike, and as pixels count them. Cells that are not made have weight 0.
    const made = minimum(weight, 1);
    const plain = div(mean(mul(error, made)), mean(made));
    const pixel = div(mean(mul(mul(error, made), pixelWeight)), mean(made));
    return { loss: div(mean(weighted), mean(weight)), metrics: { plain, pixel } };
  };
}

/** Whether a run takes the latents of its data set; their statistics are then kept with the run too, for its export. */
function takesLatents(folder: string, beside: string): boolean {
  if (existsSync(join(folder, 'latents.bin')) || !existsSync(join(beside, 'latents.bin'))) return false;
  const [own, theirs] = [join(folder, 'latent-stats.json'), readFileSync(join(beside, 'latent-stats.json'), 'utf8')];
  if (!existsSync(own)) writeFileSync(own, theirs);
  return readFileSync(own, 'utf8') === theirs;
}

/** The vocabulary of the training captions, kept so that a resumed run has the same one. */
function vocabularyIn(folder: string, train: Clips): string[] {
  const file = join(folder, 'vocabulary.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as string[];
  const words = vocabularyOf(train.meta.flatMap((m) => [m.caption, ...(m.captions ?? [])]));
  writeFileSync(file, JSON.stringify(words));
  return words;
}

export function nanoConfig(
  recipe: WorldRecipe,
  tokenizer: OrreryTokenizerConfig,
  clips: { height: number; width: number },
  vocabulary: readonly string[],
): OrreryNanoConfig {
  const { h, w } = gridOf(tokenizer, WINDOW_FRAMES, clips.height, clips.width);
  const { latents: context, madeLatents: t } = CONDITIONS.nine;
  const { actions, ...model } = recipe.model;
  return {
    ...model,
    grid: { t, h, w },
    context,
    channels: tokenizer.channels,
    words: tableRows(vocabulary),
    ...(actions === undefined ? {} : { actions: { frames: CONDITIONS.nine.madeFrames, ...actions } }),
  };
}

/** Noise level at which the extra weight of a cell has fallen to half, in units of σ_data: above it noise hides where things are. */
const WEIGHTED_SIGMA = 2;

/** Whether a cell of one latent frame [h·w·C] matters more than others: 1 or 0 per cell. */
type Attention = (frame: Float32Array, config: OrreryNanoConfig) => Uint8Array;

/** Cells that change. */
const changing: Attention = (frame, { grid, channels }) =>
  Uint8Array.from({ length: grid.h * grid.w }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < channels; k++) sum += frame[i * channels + k]! ** 2;
    return sum / channels > 0.5 ? 1 : 0;
  });

/**
 * Cells that stand out from their row as pixels count it: things, on a floor that is alike along a row. In a whole picture they are
 * few, and a caption speaks of them.
 */
const standingOut =
  (pixelWeight: readonly number[]): Attention =>
  (frame, { grid: { h, w }, channels }) => {
    const out = new Uint8Array(h * w);
    for (let y = 0; y < h; y++) {
      const at = (x: number, k: number): number => frame[(y * w + x) * channels + k]!;
      const middles = pixelWeight.map((_, k) => lowerMedian(Array.from({ length: w }, (_, x) => at(x, k))));
      for (let x = 0; x < w; x++) {
        const far = pixelWeight.reduce((sum, weight, k) => sum + weight * (at(x, k) - middles[k]!) ** 2, 0);
        out[y * w + x] = far > 4 ? 1 : 0;
      }
    }
    return out;
  };

/** Weight 1 + extra on cells that matter, and on their neighbours in the frame, in the first `frames` latent frames; 0 after. */
function cellWeights(
  out: Float32Array,
  residual: Float32Array,
  config: OrreryNanoConfig,
  frames: number,
  extra: number,
  attention: Attention,
): void {
  const { h, w } = config.grid;
  const c = config.channels;
  const space = h * w;
  for (let f = 0; f < frames; f++) {
    const moves = attention(residual.subarray(f * space * c, (f + 1) * space * c), config);
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        let near = 0;
        for (let dy = -1; dy <= 1; dy++) {
          for (let dx = -1; dx <= 1; dx++) {
            if (y + dy >= 0 && y + dy < h && x + dx >= 0 && x + dx < w) near |= moves[(y + dy) * w + x + dx]!;
          }
        }
        out[f * space + y * w + x] = 1 + extra * near;
      }
    }
  }
}

function worldBatch(
  o: WorldTaskOptions,
  config: OrreryNanoConfig,
  cache: LatentCache,
  lookup: ReadonlyMap<string, number>,
  step: number,
): Record<string, NdArray> {
  const { batch, conditions, noise: level, movingWeight, thingsWeight, contextNoise, textDropout } = o.recipe;
  const random = randomStream(o.recipe.seed, `batch ${step}`);
  const cells = cellsOf(config.grid);
  const c = config.channels;
  const perFrame = config.grid.h * config.grid.w * c;
  const seen = contextCells(config);
  const feeds = {
    residual: new Float32Array(batch * cells * c),
    base: new Float32Array(batch * cells * c),
    noisy: new Float32Array(batch * cells * c),
    context: new Float32Array(batch * seen * c),
    given: new Float32Array(batch * 3),
    weight: new Float32Array(batch * cells),
    cIn: new Float32Array(batch),
    cSkip: new Float32Array(batch),
    cOutInverse: new Float32Array(batch),
    cNoise: new Float32Array(batch),
  };
  const words = new BigInt64Array(batch * config.textLength);
  const act = actionBatch(o.recipe, o.train, config, step);
  for (let b = 0; b < batch; b++) {
    const u = random.uniform(0, conditions.nine + conditions.one + conditions.none);
    const condition: Condition = u < conditions.nine ? 'nine' : u < conditions.nine + conditions.one ? 'one' : 'none';
    const { latents: known, madeLatents } = CONDITIONS[condition];
    // A single picture is the beginning of a clip: what happens next is what the caption tells.
    const perClip = cache.windowsPerClip;
    const any =
      o.train.parts === undefined
        ? random.integer(0, cache.count - 1)
        : drawClip(o.train, random) * perClip + random.integer(0, perClip - 1);
    const window = condition === 'nine' ? any : any - (any % perClip);
    const truth = cache.truth(window);
    const base = condition === 'none' ? new Float32Array(cells * c) : cache.base(window, condition);
    const scale = cache.stats.residualScale[condition];
    const isTop = random.uniform() < level.top;
    const { mean: logMean, std: logStd } = condition === 'none' ? level.picture : level;
    const sigma = isTop ? o.recipe.sampling.motion.sigmaMax : Math.exp(logMean + logStd * random.normal());
    const s = edmScalings(sigma, RESIDUAL_SIGMA);
    const at = b * cells * c;
    const residual = feeds.residual.subarray(at, at + cells * c);
    const noisy = feeds.noisy.subarray(at, at + cells * c);
    for (let i = 0; i < madeLatents * perFrame; i++) {
      residual[i] = (truth[known * perFrame + i]! - base[i]!) * scale;
      noisy[i] = residual[i]! + sigma * random.normal();
    }
    feeds.base.set(base, at);
    feeds.context.set(truth.subarray(0, known * perFrame), b * seen * c);
    const blur = random.uniform() < 0.5 ? 0 : random.uniform(0, contextNoise);
    if (blur > 0) {
      for (let i = b * seen * c; i < b * seen * c + known * perFrame; i++) feeds.context[i]! += blur * random.normal();
    }
    feeds.given.set(givenFlags(condition), b * 3);
    cellWeights(
      feeds.weight.subarray(b * cells, (b + 1) * cells),
      residual,
      config,
      madeLatents,
      (condition === 'none' ? thingsWeight : movingWeight) / (1 + (sigma / WEIGHTED_SIGMA) ** 2),
      condition === 'none' ? standingOut(cache.stats.pixelWeight) : changing,
    );
    feeds.cIn[b] = s.cIn;
    feeds.cSkip[b] = s.cSkip;
    feeds.cOutInverse[b] = 1 / s.cOut;
    feeds.cNoise[b] = s.cNoise;
    const meta = o.train.meta[Math.floor(window / perClip)]!;
    // Half the time the short caption, else one of any length.
    const told = random.uniform() < 0.5 ? meta.caption : random.pick(meta.captions ?? [meta.caption]);
    const caption = isMirrored(o.train, window) ? mirrored(told) : told;
    act?.add(b, window, known === 0 ? undefined : CONDITIONS[condition].frames, perClip);
    if (random.uniform() >= textDropout) words.set(wordIds(caption, lookup, config.textLength), b * config.textLength);
  }
  const one = [batch, 1, 1];
  const wide = [batch, cells, c];
  return {
    residual: f32(wide, feeds.residual),
    base: f32(wide, feeds.base),
    noisy: f32(wide, feeds.noisy),
    context: f32([batch, seen, c], feeds.context),
    given: f32([batch, 3], feeds.given),
    weight: f32([batch, cells, 1], feeds.weight),
    cIn: f32(one, feeds.cIn),
    cSkip: f32(one, feeds.cSkip),
    cOutInverse: f32(one, feeds.cOutInverse),
    cNoise: f32([batch, 1], feeds.cNoise),
    words: { dtype: 'i64', shape: [batch, config.textLength], data: words },
    ...(act === undefined ? {} : { actions: act.feed() }),
  };
}

/** Left and right exchanged. */
export function mirrored(caption: string): string {
  return caption.replace(/\b(left|right)\b/gi, (w) => {
    const other = w.toLowerCase() === 'left' ? 'right' : 'left';
    return w[0] === w[0]!.toUpperCase() ? other[0]!.toUpperCase() + other.slice(1) : other;
  });
}

async function validateWorld(
  o: WorldTaskOptions,
  config: OrreryNanoConfig,
  stats: LatentStats,
  lookup: ReadonlyMap<string, number>,
  model: ValidationModel,
  samples: string | undefined,
): Promise<{ score: number } & Record<string, number>> {
  const session = await model.session('nano', (weights) => ({ f: nanoGraph(config, weights) }));
  await using runtime = openRuntime();
  const { height, width, fps, frames } = o.heldOut;
  const tokenizer = await loadTokenizer(runtime, openModelFolder(o.recipe.tokenizer).dir, {
    height,
    width,
    frames: WINDOW_FRAMES,
  });
  const parts: WindowModel = {
    config,
    stats,
    tokenizer,
    window: { height, width, fps, frames },
    evaluate(given, caption, actions) {
      const words = wordIds(caption, lookup, config.textLength);
      return async (x, cNoise) =>
        (await session.run(nanoFeeds(config, { x, given, cNoise, words, actions }))).f!.data as Float32Array;
    },
  };
  const each = height * width * 3;
  const { sampling } = o.recipe;
  if (config.actions !== undefined) {
    const robot = await scoreRobot(o.heldOut, o.recipe.validationClips, robotPredictors(parts, o.heldOut, sampling));
    if (samples !== undefined) {
      makeFolder(samples);
      await writeSheet(join(samples, 'predictions.png'), robot.rows, { ...o.heldOut, every: 4 });
    }
    return robot.scores;
  }
  const { scores, rows } = await scoreWorld(
    o.heldOut,
    Math.min(o.recipe.validationClips, o.heldOut.count),
    tokenizer,
    (clip, caption, seed) => rollOut(clip.subarray(0, 9 * each), frames, parts, { caption, seed, sampling }),
  );
  const count = Math.min(o.recipe.validationClips, o.heldOut.count);
  const text = await scoreText(o.heldOut, count, (caption, seed, length) =>
    rollOut(new Uint8Array(0), length, parts, {
      caption,
      seed,
      sampling,
    }),
  );
  if (samples !== undefined) {
    makeFolder(samples);
    const layout = { ...o.heldOut, every: 3 };
    await writeSheet(join(samples, 'predictions.png'), rows, layout);
    await writeSheet(join(samples, 'text.png'), text.rows, layout);
  }
  return { ...scores, ...text.scores, score: scores.score + 2 * text.scores.textRight };
}
