// Training orrery-nano: EDM loss on what changes (Karras et al. 2022, section 5), conditioned on 9, 1 or no given frames and a caption.
// Latents are encoded once; the score samples held-out clips and compares them with repeat-last-frame.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { f32, type NdArray, randomStream } from '../../base/index.ts';
import { div, input, mean, mul, square, sub, type Tensor } from '../../graph/index.ts';
import { nano, type OrreryNanoConfig } from '../../nets/orrery/nano.ts';
import { cellsOf, gridOf, type OrreryTokenizerConfig } from '../../nets/orrery/tokenizer.ts';
import { tableRows, vocabularyOf, wordIds } from '../../nets/orrery/words.ts';
import { openRuntime } from '../../runtime/index.ts';
import { edmScalings } from '../../sampling/index.ts';
import {
  CONDITIONS,
  type Condition,
  decodeLatents,
  encodeClip,
  type LatentStats,
  type LoadedTokenizer,
  loadTokenizer,
  type NanoRun,
  nanoFeeds,
  nanoGraph,
  normalise,
  RESIDUAL_SIGMA,
  repeatLast,
  sampleLatents,
  toBytes,
  type WindowSize,
} from '../../worlds/index.ts';
import type { Clips } from '../clips.ts';
import { type LatentCache, latentCache } from '../latents.ts';
import type { WorldRecipe } from '../recipe.ts';
import { writeSheet } from '../sheet.ts';
import type { TrainingTask, ValidationModel } from '../trainer.ts';
import { motionIoU, paletteOf, psnr, scoreObjects } from '../world-scores.ts';

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
  mkdirSync(folder, { recursive: true });
  const { frames, height, width, fps } = train;
  writeFileSync(join(folder, 'window.json'), JSON.stringify({ frames, height, width, fps } satisfies WindowSize));
  const vocabulary = vocabularyIn(folder, train);
  const lookup = new Map(vocabulary.map((w, i) => [w, i]));
  const runtime = openRuntime();
  const tokenizer = await loadTokenizer(runtime, recipe.tokenizer, train);
  const cache = await latentCache(tokenizer, train, folder, o);
  await runtime.dispose();
  const config = nanoConfig(recipe, tokenizer.config, train, vocabulary);
  const { batch } = recipe;
  const cells = cellsOf(config.grid);
  const { t } = config.grid;
  const c = config.channels;
  return {
    name: 'orrery-nano',
    clips: o.train.count,
    config,
    vocabulary,
    stats: cache.stats,
    loss(weights) {
      const r = input('residual', [batch, cells, c]);
      const base = input('base', [batch, cells, c]);
      const given = input('given', [batch, t, 1]);
      const noisy = input('noisy', [batch, cells, c]);
      const weight = input('weight', [batch, cells, 1]);
      const words = input('words', [batch, config.textLength], 'i64');
      // Scalars per sample, from σ: c_in, c_skip, 1/c_out, c_noise.
      const scalar = (name: string): Tensor => input(name, [batch, 1, 1]);
      const f = nano(
        { x: mul(noisy, scalar('cIn')), base, given, noise: input('cNoise', [batch, 1]), words },
        config,
        weights,
      );
      const target = mul(sub(r, mul(noisy, scalar('cSkip'))), scalar('cOutInverse'));
      const error = square(sub(f, target));
      return { loss: div(mean(mul(error, weight)), mean(weight)), metrics: { plain: mean(error) } };
    },
    batch: (step) => worldBatch(o, config, cache, lookup, step),
    validate: (model, samples) => validateWorld(o, config, cache.stats, lookup, model, samples),
  };
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
  clips: { frames: number; height: number; width: number },
  vocabulary: readonly string[],
): OrreryNanoConfig {
  const grid = gridOf(tokenizer, clips.frames, clips.height, clips.width);
  return { ...recipe.model, grid, channels: tokenizer.channels, words: tableRows(vocabulary) };
}

/** Weight 1 + extra on cells that change, and on their neighbours in the frame; 0 on given frames. */
function cellWeights(
  out: Float32Array,
  residual: Float32Array,
  config: OrreryNanoConfig,
  givenLatents: number,
  extra: number,
): void {
  const { t, h, w } = config.grid;
  const c = config.channels;
  const space = h * w;
  for (let f = givenLatents; f < t; f++) {
    const moves = new Uint8Array(space);
    for (let i = 0; i < space; i++) {
      let sum = 0;
      for (let k = 0; k < c; k++) sum += residual[(f * space + i) * c + k]! ** 2;
      moves[i] = sum / c > 0.5 ? 1 : 0;
    }
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
  const { batch, conditions, noise: level, movingWeight, textDropout } = o.recipe;
  const random = randomStream(o.recipe.seed, `batch ${step}`);
  const cells = cellsOf(config.grid);
  const c = config.channels;
  const { t } = config.grid;
  const perFrame = (cells / t) * c;
  const feeds = {
    residual: new Float32Array(batch * cells * c),
    base: new Float32Array(batch * cells * c),
    noisy: new Float32Array(batch * cells * c),
    given: new Float32Array(batch * t),
    weight: new Float32Array(batch * cells),
    cIn: new Float32Array(batch),
    cSkip: new Float32Array(batch),
    cOutInverse: new Float32Array(batch),
    cNoise: new Float32Array(batch),
  };
  const words = new BigInt64Array(batch * config.textLength);
  for (let b = 0; b < batch; b++) {
    const record = random.integer(0, cache.count - 1);
    const u = random.uniform(0, conditions.nine + conditions.one + conditions.none);
    const condition: Condition = u < conditions.nine ? 'nine' : u < conditions.nine + conditions.one ? 'one' : 'none';
    const { latents: givenLatents } = CONDITIONS[condition];
    const truth = cache.read(record, 'true');
    const base = condition === 'none' ? new Float32Array(cells * c) : cache.read(record, condition);
    const scale = cache.stats.residualScale[condition];
    const sigma = Math.exp(level.mean + level.std * random.normal());
    const s = edmScalings(sigma, RESIDUAL_SIGMA);
    const at = b * cells * c;
    const residual = feeds.residual.subarray(at, at + cells * c);
    const noisy = feeds.noisy.subarray(at, at + cells * c);
    for (let i = givenLatents * perFrame; i < cells * c; i++) {
      residual[i] = (truth[i]! - base[i]!) * scale;
      noisy[i] = residual[i]! + sigma * random.normal();
    }
    feeds.base.set(base, at);
    feeds.given.fill(1, b * t, b * t + givenLatents);
    // Without given frames everything is new, and weighting says nothing.
    cellWeights(
      feeds.weight.subarray(b * cells, (b + 1) * cells),
      residual,
      config,
      givenLatents,
      condition === 'none' ? 0 : movingWeight,
    );
    feeds.cIn[b] = s.cIn;
    feeds.cSkip[b] = s.cSkip;
    feeds.cOutInverse[b] = 1 / s.cOut;
    feeds.cNoise[b] = s.cNoise;
    const meta = o.train.meta[record >> 1]!;
    // A mirrored clip keeps its caption only where no side is named.
    const caption = record % 2 === 1 ? mirrored(meta.caption) : meta.caption;
    if (random.uniform() >= textDropout) words.set(wordIds(caption, lookup, config.textLength), b * config.textLength);
  }
  const one = [batch, 1, 1];
  const wide = [batch, cells, c];
  return {
    residual: f32(wide, feeds.residual),
    base: f32(wide, feeds.base),
    noisy: f32(wide, feeds.noisy),
    given: f32([batch, t, 1], feeds.given),
    weight: f32([batch, cells, 1], feeds.weight),
    cIn: f32(one, feeds.cIn),
    cSkip: f32(one, feeds.cSkip),
    cOutInverse: f32(one, feeds.cOutInverse),
    cNoise: f32([batch, 1], feeds.cNoise),
    words: { dtype: 'i64', shape: [batch, config.textLength], data: words },
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
  const tokenizer = await loadTokenizer(runtime, o.recipe.tokenizer, o.heldOut);
  const run =
    (base: Float32Array, condition: Condition, caption: string): NanoRun =>
    async (x, cNoise) =>
      (
        await session.run(
          nanoFeeds(config, { x, base, condition, cNoise, words: wordIds(caption, lookup, config.textLength) }),
        )
      ).f!.data as Float32Array;
  const predict = async (clip: Uint8Array, caption: string, seed: number): Promise<Uint8Array> => {
    const base = normalise(await encodeClip(tokenizer, repeatLast(clip, o.heldOut, 9)), stats);
    const z = await sampleLatents({
      config,
      stats,
      condition: 'nine',
      base,
      run: run(base, 'nine', caption),
      seed,
      steps: o.recipe.sampling.steps,
      range: o.recipe.sampling,
    });
    return toBytes(await decodeLatents(tokenizer, z));
  };
  const { scores, rows } = await scoreWorld(
    o.heldOut,
    Math.min(o.recipe.validationClips, o.heldOut.count),
    tokenizer,
    predict,
  );
  if (samples !== undefined) {
    const text: Uint8Array[] = [];
    const base = new Float32Array(cellsOf(config.grid) * config.channels);
    for (let i = 0; i < 4; i++) {
      const z = await sampleLatents({
        config,
        stats,
        condition: 'none',
        base,
        run: run(base, 'none', o.heldOut.meta[i]!.caption),
        seed: i,
        steps: o.recipe.sampling.steps,
        range: o.recipe.sampling,
      });
      text.push(toBytes(await decodeLatents(tokenizer, z)));
    }
    mkdirSync(samples, { recursive: true });
    const layout = { ...o.heldOut, every: 3 };
    await writeSheet(join(samples, 'predictions.png'), rows, layout);
    await writeSheet(join(samples, 'text.png'), text, layout);
  }
  return scores;
}

type Predict = (clip: Uint8Array, caption: string, seed: number) => Promise<Uint8Array>;

/** All scores of section "held-out clips" over `count` clips, with pictures of the first ones (truth, then prediction). */
export async function scoreWorld(
  clips: Clips,
  count: number,
  tokenizer: LoadedTokenizer,
  predict: Predict,
): Promise<{ scores: { score: number } & Record<string, number>; rows: Uint8Array[] }> {
  const given = 9;
  const totals: Record<string, number> = {};
  const tally = (key: string, value: number): void => {
    totals[key] = (totals[key] ?? 0) + value;
  };
  const rows: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const truth = clips.clipView(i);
    const { caption, objects = [] } = clips.meta[i]!;
    const got = await predict(truth, caption, i);
    const repeat = repeatLast(truth, clips, given);
    if (i < 5) {
      rows.push(truth, got);
      tally(
        'ceiling8',
        psnr(
          truth,
          toBytes(await decodeLatents(tokenizer, await encodeClip(tokenizer, truth.slice()))),
          clips,
          given,
          given + 8,
        ),
      );
      tally('ceilings', 1);
    }
    for (const [name, to] of [
      ['8', given + 8],
      ['24', given + 24],
    ] as const) {
      tally(`psnr${name}`, psnr(truth, got, clips, given, to));
      tally(`repeat${name}`, psnr(truth, repeat, clips, given, to));
    }
    const overlap = motionIoU(truth, got, clips, given, given + 8);
    tally('both', overlap.both);
    tally('any', overlap.any);
    const instance = clips.instanceView(i);
    if (instance === undefined) continue;
    const ids = objects.filter((body) => body.dynamic).map((body) => body.id);
    const palette = paletteOf(truth, instance, clips, ids, given);
    for (const [suffix, frames] of [
      ['', got],
      ['Truth', truth],
    ] as const) {
      for (const s of scoreObjects(frames, instance, palette, clips, ids, given + 23, given)) {
        tally(`seen${suffix}`, 1);
        tally(`whole${suffix}`, s.areaRatio >= 0.6 && s.areaRatio <= 1.6 ? 1 : 0);
      }
      for (const s of scoreObjects(frames, instance, palette, clips, ids, given + 7, given)) {
        if (s.moved < 1 / 3) continue;
        tally(`moved${suffix}`, 1);
        tally(`placed${suffix}`, s.offset <= 1 / 3 && s.areaRatio >= 0.6 && s.areaRatio <= 1.6 ? 1 : 0);
      }
    }
  }
  const ratio = (a: string, b: string): number => (totals[a] ?? 0) / Math.max(1, totals[b] ?? 0);
  const gain8 = (totals.psnr8! - totals.repeat8!) / count;
  const gain24 = (totals.psnr24! - totals.repeat24!) / count;
  const motion = ratio('both', 'any');
  const scores = {
    score: gain8 + gain24 + 4 * motion + 2 * ratio('whole', 'seen') + 2 * ratio('placed', 'moved'),
    gain8,
    gain24,
    psnr8: totals.psnr8! / count,
    repeat8: totals.repeat8! / count,
    motionIoU: motion,
    whole: ratio('whole', 'seen'),
    wholeOfTruth: ratio('wholeTruth', 'seenTruth'),
    placed: ratio('placed', 'moved'),
    placedOfTruth: ratio('placedTruth', 'movedTruth'),
    ceiling8: ratio('ceiling8', 'ceilings'),
    clips: count,
  };
  return { scores, rows };
}
