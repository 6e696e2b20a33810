// Recipes: JSON files that say everything about a training run, checked at the border.
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { InputError, needOf, OrreryError, type SchemaIssue } from '../base/index.ts';

const positive = z.number().positive();
const count = z.number().int().positive();

/** Name patterns of weights, `*` for any text. */
const patterns = z.array(z.string().min(1));

const tuning = z.strictObject({
  freeze: patterns.optional(),
  lora: z.strictObject({ rank: count, alpha: positive, targets: patterns.min(1) }).optional(),
  train: patterns.optional(),
});

/** AdamW as recipes name it. */
export const optimizerSettings = z.strictObject({
  beta1: z.number().min(0).max(1),
  beta2: z.number().min(0).max(1),
  eps: positive,
  weightDecay: z.number().min(0),
  clip: positive,
  /** Large matrices by orthogonalised momentum (Muon), the rest by AdamW. */
  muon: z.strictObject({ momentum: z.number().min(0).max(0.999), rate: positive }).optional(),
});

/** How videos of a foreign data set become clips. */
const importSettings = z.strictObject({
  frames: count,
  height: count,
  width: count,
  fps: positive.optional(),
  camera: z.string().optional(),
  /** Which numbers of an action are used, and in which order. */
  actions: z.array(z.number().int().nonnegative()).min(1).optional(),
  /** What a step over several recorded rows does. */
  rows: z.enum(['sum', 'last']).optional(),
  heldOut: z.number().positive().max(0.5).optional(),
});

const common = {
  name: z.string().regex(/^[a-z0-9][a-z0-9-]*$/),
  /** Name of the data set (its specification lies beside the recipe) or path of its folder. */
  dataset: z.string(),
  /** Data sets to train on and their shares, for more than one; held-out clips are those of `dataset`, which must be among them. */
  mixture: z
    .record(z.string(), positive)
    .refine((m) => Object.keys(m).length > 0)
    .optional(),
  /** For data sets of other people (LeRobot, videos/ with captions): the size and rate of the clips that are made of them. */
  import: importSettings.optional(),
  /** Model folder whose weights are the start; what it lacks starts as from nothing. */
  from: z.string().optional(),
  /** What is trained of the start model; default everything. */
  tune: tuning.optional(),
  /** Batches whose gradients are summed for one step; default 1. */
  accumulate: count.optional(),
  /** Several processes that share the run's folder: local steps between synchronisations, and the outer step. */
  parallel: z
    .strictObject({
      slots: count,
      localSteps: count,
      outerRate: positive.max(2),
      outerMomentum: z.number().min(0).max(0.99),
    })
    .optional(),
  /** Stop when so many validations in a row were no better than the best by more than `minDelta`. */
  stop: z.strictObject({ patience: count, minDelta: z.number().min(0) }).optional(),
  /**
   * What is different before the recipe as it stands begins, in order: each holds until its step, and what it does not name is as below.
   * Data, sizes and weights of the loss may differ; what makes the network and its optimizer may not.
   */
  phases: z
    .array(z.looseObject({ until: count }))
    .min(1)
    .optional(),
  /** Largest number of training clips to load; default all. */
  clips: count.optional(),
  seed: z.number().int().nonnegative(),
  batch: count,
  steps: count,
  schedule: z.strictObject({
    lr: positive,
    warmup: z.number().int().nonnegative(),
    decayFrom: z.number().int().nonnegative(),
    decayTo: count,
    floor: z.number().min(0).max(1),
    decay: z.enum(['cosine', 'linear', 'root']).optional(),
    ema: z.union([z.number().min(0).max(1), z.strictObject({ power: z.number().positive().max(0.28) })]),
  }),
  optimizer: optimizerSettings,
  validateEvery: count,
  validationClips: count,
  checkpointSeconds: positive,
};

const tokenizerRecipe = z.strictObject({
  kind: z.literal('tokenizer'),
  ...common,
  model: z.strictObject({
    kind: z.literal('orrery-tokenizer'),
    patch: count,
    timePatch: count,
    channels: count,
    width: count.multipleOf(4),
    encoderBlocks: z.number().int().nonnegative(),
    decoderBlocks: z.number().int().nonnegative(),
    smoothing: z.number().int().nonnegative(),
  }),
  /** Frames and side of a training window. */
  frames: count,
  size: count,
  movingWeight: z.number().min(0),
});

const sampler = z.strictObject({
  steps: count,
  sigmaMax: positive,
  sigmaMin: positive,
  rho: positive,
  guidance: z.number().min(0),
});

const worldRecipe = z.strictObject({
  kind: z.literal('world'),
  ...common,
  /** Folder of the trained tokenizer (a model folder). */
  tokenizer: z.string(),
  model: z.strictObject({
    kind: z.literal('orrery-nano'),
    patch: count,
    width: count,
    heads: count,
    blocks: count,
    mlpRatio: positive,
    cellWidth: count.multipleOf(2),
    cellBlocksIn: z.number().int().nonnegative(),
    cellBlocksOut: z.number().int().nonnegative(),
    textWidth: count,
    textLength: count,
    textBlocks: z.number().int().nonnegative(),
    /** Actions of a robot as a further input: width of their embedding, and a factor for each of the seven numbers. */
    actions: z.strictObject({ width: count, scale: z.array(positive).length(7) }).optional(),
  }),
  /**
   * Shares of the samples in which no action is known, and in which only the first ones are: a model that has seen both can be
   * stepped one action at a time, and shows what the actions tell it.
   */
  unknownActions: z.strictObject({ all: z.number().min(0).max(1), some: z.number().min(0).max(1) }).optional(),
  /** ln σ ~ N(mean, std²). */
  noise: z.strictObject({
    mean: z.number(),
    std: positive,
    /** The same for pictures without given frames: what stands where is decided at high levels. */
    picture: z.strictObject({ mean: z.number(), std: positive }),
    /** Share of samples at the highest level, where only the given frames and the caption speak. */
    top: z.number().min(0).max(1),
  }),
  /** Extra weight of cells that change, when frames are given. It fades with the noise, see `thingsWeight`. */
  movingWeight: z.number().min(0),
  /**
   * Extra weight of cells that stand out, in pictures without given frames, divided by 1 + (σ/2)². It has to fade: where noise hides
   * which cells hold things, a weight that knows them pulls the denoiser towards things everywhere, and pictures get too many.
   */
  thingsWeight: z.number().min(0),
  /** Channels are weighted by (their effect on pixels)^γ: 0 all alike, 1 as squared pixel error counts them. */
  pixelGamma: z.number().min(0).max(1),
  /** Largest deviation of the noise added to the given latents, drawn anew for each sample: a model that goes on from its own frames must bear their faults. */
  contextNoise: z.number().min(0).max(2),
  /** Shares of training samples that are given 9 frames, 1 frame and none. */
  conditions: z.strictObject({ nine: z.number().min(0), one: z.number().min(0), none: z.number().min(0) }),
  /** Probability that the caption is left out. */
  textDropout: z.number().min(0).max(1),
  /** Samplers of validation and of the shipped model: pictures from words, and what follows given frames. */
  sampling: z.strictObject({ picture: sampler, motion: sampler }),
});

/** ln σ ~ N(mean, std²), then times `multiplier`: √(latent frames) in the public Video2World recipe. */
const sigma = { mean: z.number().optional(), std: positive.optional(), multiplier: positive.optional() };

const cosmosRecipe = z.strictObject({
  kind: z.literal('cosmos'),
  ...common,
  /** Folder of a public diffusion transformer, as published or as a diffusers pipeline. */
  from: z.string(),
  /** Folders of tokenizer and text encoder where they do not lie beside the model. */
  parts: z.strictObject({ tokenizer: z.string().optional(), textEncoder: z.string().optional() }).optional(),
  objective: z.discriminatedUnion('kind', [
    /** Predict1; `reduce` over the elements of a sample. */
    z.strictObject({ kind: z.literal('edm'), ...sigma, reduce: z.enum(['mean', 'sum']) }),
    /** Predict2 and 2.5: logit-normal times, shifted; `top` is the share of extra draws at the highest levels. */
    z.strictObject({ kind: z.literal('flow'), shift: positive, top: z.number().min(0).max(1).optional() }),
  ]),
  /** Video2World: 0 to `most` given latent frames, at noise levels of their own; share of batches without them. */
  given: z
    .strictObject({
      most: z.number().int().nonnegative(),
      dropout: z.number().min(0).max(1),
      sigma: z.strictObject(sigma).optional(),
    })
    .optional(),
  /** Share of samples whose text is zeros. */
  textDropout: z.number().min(0).max(1),
  /** Captions (or ready features, where the data set has them), or zeros for all. */
  text: z.enum(['captions', 'none']),
  /** Factors of the seven action numbers, for models that actions steer. */
  actionScale: z.array(positive).length(7).optional(),
  /** Compute blocks again in the backward pass: a third more work, memory for one block's inner values. */
  recompute: z.boolean(),
});

const recipeSchema = z.discriminatedUnion('kind', [tokenizerRecipe, worldRecipe, cosmosRecipe]);

export type TokenizerRecipe = z.infer<typeof tokenizerRecipe>;
export type WorldRecipe = z.infer<typeof worldRecipe>;
export type CosmosRecipe = z.infer<typeof cosmosRecipe>;
/** Recipes of this package's own networks. */
export type OwnRecipe = TokenizerRecipe | WorldRecipe;
export type Recipe = z.infer<typeof recipeSchema>;

/** Keys that no phase may change: they belong to the run, or to the network and its optimizer. */
const FIXED = [
  'kind',
  'name',
  'model',
  'from',
  'parts',
  'tune',
  'tokenizer',
  'seed',
  'steps',
  'schedule',
  'optimizer',
  'accumulate',
  'parallel',
  'stop',
  'phases',
  'validateEvery',
  'validationClips',
  'checkpointSeconds',
  'sampling',
];

/** A recipe's phases, each a recipe of its own with the step at which it begins; the last one is the recipe as it stands. */
export function phasesOf<R extends Recipe>(
  recipe: R,
  source: string,
): readonly { readonly from: number; readonly recipe: R }[] {
  const { phases = [], ...last } = recipe;
  let from = 0;
  const list = phases.map(({ until, ...changes }, i) => {
    const where = `${source}: phases.${i}`;
    const fixed = Object.keys(changes).find((key) => FIXED.includes(key));
    if (fixed !== undefined) {
      throw new InputError(where, {
        got: fixed,
        need: 'data, sizes and weights of the loss',
        why: `${fixed} is that of the whole run`,
      });
    }
    if (until <= from || until >= recipe.steps) {
      throw new InputError(`${where}.until`, {
        got: until,
        need: `more than ${from} and less than ${recipe.steps} steps`,
      });
    }
    const phase = { from, recipe: parseRecipe({ ...last, ...changes }, where) as R };
    from = until;
    return phase;
  });
  return [...list, { from, recipe: last as unknown as R }];
}

/** Checks a recipe that has been parsed from JSON; `source` names it in errors. */
export function parseRecipe(value: unknown, source: string): Recipe {
  const parsed = recipeSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new InputError(`${source}: ${issue.path.join('.') || 'recipe'}`, {
    got: issue.path.reduce<unknown>((v, key) => (v as Record<PropertyKey, unknown> | undefined)?.[key], value),
    need: needOf(issue as SchemaIssue),
  });
}

/** Reads a recipe file. */
export function readRecipe(path: string): Recipe {
  if (!existsSync(path)) {
    throw new OrreryError('data', `${path}: no such recipe; the shipped ones lie in the folder recipes/`);
  }
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new OrreryError('data', `${path}: no valid JSON (${(cause as Error).message})`, { cause });
  }
  return parseRecipe(value, path);
}
