// Post-training of a public Cosmos diffusion transformer: the EDM loss of Predict1 (Karras et al. 2022, 2024) or the flow matching of
// Predict2 and 2.5, on clips that are encoded once by the model's own tokenizer, with features of its own text encoder.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  f32,
  f32ToHalf,
  halfToF32,
  InputError,
  type NdArray,
  OrreryError,
  type RandomStream,
  randomStream,
  sizeOf,
  throwIfAborted,
  toF32,
} from '../../base/index.ts';
import { arraysOfPickle, makeFolder, openSafetensors, writeSafetensors } from '../../formats/index.ts';
import { constantF32, input, type Tensor } from '../../graph/index.ts';
import { edmLoss, flowLoss, generalDit } from '../../nets/index.ts';
import { type Block, plainBlock, type Weights } from '../../nets/orrery/weights.ts';
import { openRuntime } from '../../runtime/index.ts';
import { sigmaFromUniform } from '../../sampling/index.ts';
import { openTextEncoder, openTextPart, openTokenizerPart, openVideoTokenizer } from '../../worlds/index.ts';
import { type Clips, drawClip } from '../clips.ts';
import type { PublicModel } from '../public-model.ts';
import type { CosmosRecipe } from '../recipe.ts';
import type { TrainingTask } from '../trainer.ts';

export type CosmosTaskOptions = {
  readonly recipe: CosmosRecipe;
  readonly folder: string;
  readonly model: PublicModel;
  readonly train: Clips;
  readonly heldOut: Clips;
  readonly signal?: AbortSignal;
};

/** Latent frames, rows, columns. */
type Size = { readonly t: number; readonly h: number; readonly w: number };

/** σ_data of the two families: normalised latents are multiplied by it. */
const SIGMA_DATA = { edm: 0.5, flow: 1 } as const;
/** Places of the text that the public models see. */
const TEXT_TOKENS = 512;
/** σ of frames that are given clean, Predict2. */
const CLEAN_SIGMA = 1e-4;

/** Encodes what the folder's cache lacks, then gives the task. */
export async function cosmosTask(o: CosmosTaskOptions): Promise<TrainingTask> {
  const { recipe, train, heldOut, model } = o;
  const { config } = model;
  checkRecipe(o);
  const size = await encodeAll(o);
  const loss = cosmosLoss(recipe, model, size);
  const logVariance = model.logVariance.get('logvar.1.weight');
  return {
    name: recipe.name,
    clips: train.count,
    loss,
    start: async () => new Map(logVariance === undefined ? [] : [['logvar.1.weight', logVariance]]),
    batch: (step) => {
      const random = randomStream(recipe.seed, `batch ${step}`);
      const samples = Array.from({ length: recipe.batch }, () => drawClip(train, random));
      return feedsOf(o, size, 'train', samples, random);
    },
    async validate(validation) {
      const session = await validation.session('held out', (w) => {
        const { metrics } = loss(w);
        return { plain: metrics['plain']! };
      });
      const count = Math.max(1, Math.floor(Math.min(recipe.validationClips, heldOut.count) / recipe.batch));
      let sum = 0;
      for (let i = 0; i < count; i++) {
        // The same clips, noises and levels at every validation.
        const random = randomStream(recipe.seed, `held out ${i}`);
        const samples = Array.from({ length: recipe.batch }, (_, b) => (i * recipe.batch + b) % heldOut.count);
        const { plain } = await session.run(feedsOf(o, size, 'heldout', samples, random));
        sum += Number(plain!.data[0]);
      }
      return { score: -sum / count, heldOutLoss: sum / count };
    },
  };

  function checkRecipe({ recipe: r }: CosmosTaskOptions): void {
    const takesFrames = config.inChannels > config.outChannels;
    if (r.given !== undefined && !takesFrames) {
      throw new InputError('given', {
        got: 'given frames',
        need: 'none',
        why: `${model.parts.name} is a Text2World model`,
      });
    }
    if (config.hasAction === true && r.actionScale === undefined) {
      throw new InputError('actionScale', {
        got: undefined,
        need: 'seven factors, such as 20, 20, 20, 20, 20, 20, 1 of the public recipe',
        why: `${model.parts.name} is steered by actions`,
      });
    }
  }
}

/** The loss of a recipe as a function of the weights; `plain` leaves the learned weighting out. */
export function cosmosLoss(
  recipe: Pick<CosmosRecipe, 'batch' | 'objective' | 'given' | 'recompute' | 'seed'>,
  { config, logVariance }: Pick<PublicModel, 'config' | 'logVariance'>,
  { t, h, w }: Size,
): TrainingTask['loss'] {
  const { batch: b, objective } = recipe;
  const shape = [b, config.outChannels, t, h, w];
  const takesFrames = config.inChannels > config.outChannels;
  return (weights: Weights, block: Block = plainBlock): ReturnType<TrainingTask['loss']> => {
    const shown = takesFrames ? input('shown', [b, 1, t, h, w]) : undefined;
    const fixed = {
      context: input('context', [b, TEXT_TOKENS, config.contextProjection ?? config.contextWidth]),
      fps: input('fps', [b]),
      ...(config.hasPaddingMask ? { paddingMask: constantF32([1, 1, h, w], new Float32Array(h * w)) } : {}),
      ...(shown === undefined ? {} : { conditionMask: shown }),
      ...(config.hasAction === true ? { action: input('action', [b, 1, 7]) } : {}),
    };
    const network = (x: Tensor, timesteps: Tensor): Tensor =>
      generalDit({ ...fixed, x, timesteps }, config, weights, undefined, recipe.recompute ? block : plainBlock);
    const x0 = input('x0', shape);
    const epsilon = input('epsilon', shape);
    const indicator = takesFrames ? { indicator: input('indicator', [1, 1, t, 1, 1]) } : undefined;
    if (objective.kind === 'flow') {
      const loss = flowLoss({ x0, epsilon, time: input('time', [b]), ...indicator, cleanSigma: CLEAN_SIGMA }, network);
      return { loss, metrics: { plain: loss } };
    }
    // Fixed random features and one learned row, of the checkpoint or new.
    const uncertainty: Weights = (key, s) => {
      if (key === 'logvar.1.weight') return weights(key, s, { kind: 'zeros' });
      const random = randomStream(recipe.seed, key);
      const made = (): Float32Array =>
        Float32Array.from(
          { length: sizeOf(s) },
          () => 2 * Math.PI * (key.endsWith('freqs') ? random.normal() : random.uniform()),
        );
      return constantF32(s, logVariance.get(key) ?? made());
    };
    const out = edmLoss(
      {
        x0,
        epsilon,
        sigma: input('sigma', [b]),
        ...(indicator === undefined
          ? {}
          : {
              condition: {
                ...indicator,
                sigmaAug: input('sigmaAug', [b]),
                noise: input('noiseAug', shape),
                keep: input('keep', [1]),
              },
            }),
      },
      network,
      uncertainty,
    );
    return {
      loss: objective.reduce === 'sum' ? out.lossSum : out.lossMean,
      metrics: { plain: out.edmLossMean, mse: out.mseMean },
    };
  };
}

/** Feeds of one batch of clips. */
function feedsOf(
  o: CosmosTaskOptions,
  { t, h, w }: Size,
  split: 'train' | 'heldout',
  samples: readonly number[],
  random: RandomStream,
): Record<string, NdArray> {
  const { recipe, model, folder } = o;
  const { config } = model;
  const { objective } = recipe;
  const clips = split === 'train' ? o.train : o.heldOut;
  const b = samples.length;
  const shape = [b, config.outChannels, t, h, w];
  const each = sizeOf(shape) / b;
  const width = config.contextProjection ?? config.contextWidth;
  const normal = (count: number): Float32Array => Float32Array.from({ length: count }, () => random.normal());
  const x0 = new Float32Array(b * each);
  const context = new Float32Array(b * TEXT_TOKENS * width);
  for (const [i, clip] of samples.entries()) {
    using file = openSafetensors(cacheFile(folder, split, clip));
    const latents = halfToF32(file.read('latents').data as Uint16Array);
    for (let k = 0; k < each; k++) x0[i * each + k] = latents[k]! * SIGMA_DATA[objective.kind];
    // A dropped text is zeros, as that of the unconditional branch.
    const isDropped = random.uniform() < recipe.textDropout;
    if (!isDropped && file.tensors.has('text'))
      context.set(halfToF32(file.read('text').data as Uint16Array), i * TEXT_TOKENS * width);
  }
  const feeds: Record<string, NdArray> = {
    x0: f32(shape, x0),
    epsilon: f32(shape, normal(b * each)),
    context: f32([b, TEXT_TOKENS, width], context),
    fps: f32([b], new Float32Array(b).fill(clips.fps)),
  };
  const levels = Float32Array.from({ length: b }, () => levelOf(objective, random));
  if (objective.kind === 'edm') feeds['sigma'] = f32([b], levels);
  else feeds['time'] = f32([b], levels);
  if (config.inChannels > config.outChannels) {
    const { most = 0, dropout = 0, sigma = {} } = recipe.given ?? {};
    const count = Math.min(t, random.integer(0, most));
    const keep = random.uniform() < dropout ? 0 : 1;
    const indicator = Float32Array.from({ length: t }, (_, f) => (f < count ? 1 : 0));
    const shown = Float32Array.from(
      { length: b * t * h * w },
      (_, i) => keep * indicator[Math.floor(i / (h * w)) % t]!,
    );
    feeds['indicator'] = f32([1, 1, t, 1, 1], indicator);
    feeds['shown'] = f32([b, 1, t, h, w], shown);
    if (objective.kind === 'edm') {
      feeds['keep'] = f32([1], [keep]);
      feeds['sigmaAug'] = f32(
        [b],
        Float32Array.from({ length: b }, () => sigmaFromUniform(random.uniform(1e-7, 1 - 1e-7), sigmaOf(sigma))),
      );
      feeds['noiseAug'] = f32(shape, normal(b * each));
    }
  }
  if (config.hasAction === true) {
    const rows = samples.flatMap((clip) => {
      const row = clips.meta[clip]!.robot?.actions[0];
      if (row?.length !== 7) {
        throw new OrreryError(
          'data',
          `clip ${clips.meta[clip]!.id} has ${row?.length ?? 'no'} action numbers, need 7; choose them with "import": {"actions": […]}`,
        );
      }
      return row.map((v, k) => v * recipe.actionScale![k]!);
    });
    feeds['action'] = f32([b, 1, 7], rows);
  }
  return feeds;
}

/** σ of EDM, or the time of the flow, 0 (data) to 1 (noise), in steps of a thousandth. */
function levelOf(objective: CosmosRecipe['objective'], random: RandomStream): number {
  const u = random.uniform(1e-7, 1 - 1e-7);
  if (objective.kind === 'edm') return sigmaFromUniform(u, sigmaOf(objective));
  // Logit-normal, then shifted towards noise: t′ = s·t/(1 + (s − 1)·t).
  const isTop = random.uniform() < (objective.top ?? 0);
  const plain = 1 / (1 + 1 / sigmaFromUniform(u));
  const time = isTop ? 0.98 + 0.02 * u : (objective.shift * plain) / (1 + (objective.shift - 1) * plain);
  return Math.max(1, Math.round(time * 1000)) / 1000;
}

const sigmaOf = ({
  mean,
  std,
  multiplier,
}: {
  mean?: number | undefined;
  std?: number | undefined;
  multiplier?: number | undefined;
}): { mean?: number; std?: number; multiplier?: number } => ({
  ...(mean === undefined ? {} : { mean }),
  ...(std === undefined ? {} : { std }),
  ...(multiplier === undefined ? {} : { multiplier }),
});

const cacheFile = (folder: string, split: string, clip: number): string =>
  join(folder, 'latents', `${split}-${String(clip).padStart(6, '0')}.safetensors`);

/** Latents and text features of every clip, one file each: what is there already is kept. */
async function encodeAll(o: CosmosTaskOptions): Promise<Size> {
  const { recipe, folder, model, train, heldOut, signal } = o;
  makeFolder(join(folder, 'latents'));
  await using runtime = openRuntime();
  const { component, latents } = openTokenizerPart(model.parts.tokenizer);
  await using tokenizer = openVideoTokenizer({ runtime, component, ...(latents === undefined ? {} : { latents }) });
  if (tokenizer.isDiscrete || tokenizer.config.latentChannels !== model.config.outChannels) {
    throw new InputError('tokenizer', {
      got: `${tokenizer.config.kind} of ${tokenizer.config.latentChannels} channels`,
      need: `a continuous one of ${model.config.outChannels}, which ${model.parts.name} was trained with`,
    });
  }
  const text = textOf(o);
  await using encoder = text === undefined ? undefined : openTextEncoder({ runtime, ...text, length: TEXT_TOKENS });
  const known = new Map<string, NdArray>();
  for (const [split, clips] of [
    ['heldout', heldOut],
    ['train', train],
  ] as const) {
    const count =
      split === 'train' ? clips.count : Math.min(clips.count, Math.max(recipe.validationClips, recipe.batch));
    for (let i = 0; i < count; i++) {
      const path = cacheFile(folder, split, i);
      if (existsSync(path)) continue;
      throwIfAborted(signal);
      const { frames, height, width } = clips;
      const { data, channels, t, h, w } = await tokenizer.encode({
        data: clips.clipView(i).slice(),
        frames,
        height,
        width,
      });
      const tensors: [string, NdArray][] = [
        ['latents', { dtype: 'f16', shape: [channels, t, h, w], data: f32ToHalf(data as Float32Array) }],
      ];
      const features = recipe.text === 'none' ? undefined : await featuresOf(clips, i);
      if (features !== undefined) tensors.push(['text', features]);
      writeSafetensors(path, tensors);
    }
  }
  return tokenizer.latentSize(train.frames, train.height, train.width);

  /** Ready features, or those of the caption; one caption of many clips is encoded once. */
  async function featuresOf(clips: Clips, i: number): Promise<NdArray> {
    const { embedding, caption, id } = clips.meta[i]!;
    const width = model.config.contextProjection ?? model.config.contextWidth;
    const trimmed = (data: Float32Array, rows: number): NdArray => ({
      dtype: 'f16',
      shape: [rows, width],
      data: f32ToHalf(data.slice(0, rows * width)),
    });
    if (embedding !== undefined) {
      const [array] = arraysOfPickle(new Uint8Array(readFileSync(embedding)), embedding);
      const rows = array?.shape.at(-2) ?? 0;
      if (array === undefined || array.shape.at(-1) !== width || rows > TEXT_TOKENS) {
        throw new OrreryError(
          'data',
          `${embedding}: features [${array?.shape ?? ''}], need [up to ${TEXT_TOKENS}, ${width}]; make them with the text encoder of ${model.parts.name}`,
        );
      }
      return trimmed(toF32(array), rows);
    }
    if (encoder === undefined) {
      throw new OrreryError(
        'model',
        `clip ${id} has a caption but no features, and ${model.parts.name} has no text encoder beside it; put one there (google-t5/t5-11b), name it in "parts", or set "text": "none"`,
      );
    }
    if (encoder.config.width !== width) {
      throw new InputError('text encoder', {
        got: `features of width ${encoder.config.width}`,
        need: `${width}, which ${model.parts.name} was trained with`,
      });
    }
    const found = known.get(caption);
    if (found !== undefined) return found;
    const { data } = await encoder.encode(caption);
    let rows = TEXT_TOKENS;
    while (rows > 1 && data.subarray((rows - 1) * width, rows * width).every((v) => v === 0)) rows--;
    const features = trimmed(data, rows);
    known.set(caption, features);
    return features;
  }
}

/** The text encoder, when some clip needs it and there is one. */
function textOf({ recipe, model, train, heldOut }: CosmosTaskOptions): ReturnType<typeof openTextPart> | undefined {
  const { textEncoder, textTokenizer } = model.parts;
  const isNeeded =
    recipe.text !== 'none' && [train, heldOut].some(({ meta }) => meta.some((m) => m.embedding === undefined));
  return isNeeded && textEncoder !== undefined && textTokenizer !== undefined
    ? openTextPart(textEncoder, textTokenizer)
    : undefined;
}
