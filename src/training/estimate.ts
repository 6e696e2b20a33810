// What a training costs before anything of it starts: parameters, work per step, memory, data, disk, hours. Nothing is written.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type NdArray, OrreryError, randomStream, sizeOf } from '../base/index.ts';
import { compile, countFlops, input, isInput, type Tensor, topologicalOrder } from '../graph/index.ts';
import { openModelFolder } from '../hub/index.ts';
import { decode, encode, gridOf, type OrreryTokenizerConfig } from '../nets/orrery/tokenizer.ts';
import { vocabularyOf } from '../nets/orrery/words.ts';
import { availableMemory, estimateMemory, openRuntime, type Runtime } from '../runtime/index.ts';
import { type LatentStats, openTokenizerPart, tokenizerNetworks, WINDOW_FRAMES } from '../worlds/index.ts';
import { newestRecord } from './checkpoint.ts';
import { type Clips, loadClips } from './clips.ts';
import { isImported } from './imports/import-clips.ts';
import { windowsPerClip } from './latents.ts';
import { parameterCount } from './optimizer.ts';
import { openPublicModel } from './public-model.ts';
import { type CosmosRecipe, phasesOf, type Recipe, readRecipe, type WorldRecipe } from './recipe.ts';
import { mappedWeights, type StartWeights, weightsOfModel } from './start.ts';
import { stepGraphs } from './step.ts';
import { cosmosLoss } from './tasks/cosmos.ts';
import { tokenizerLoss } from './tasks/tokenizer.ts';
import { nanoConfig, worldLoss } from './tasks/world.ts';
import { dataOf, type TrainOptions, trainClips, tuningOf } from './train.ts';
import { planOf, type TrainingTask } from './trainer.ts';

export type TrainingEstimate = {
  readonly name: string;
  /** Start model, where there is one. */
  readonly from?: string;
  readonly parameters: number;
  /** Numbers that the optimizer changes. */
  readonly trained: number;
  /** Samples of one step, all its batches together. */
  readonly batch: number;
  /** Floating-point operations of a step's products, forward and backward. */
  readonly flopsPerStep: number;
  readonly steps: number;
  /** Steps that the run's folder has behind it. */
  readonly stepsDone: number;
  readonly memory: {
    /** Weights, moments, average, frozen weights. */
    readonly stateBytes: number;
    /** Intermediate values of a step, by an own count. */
    readonly activationBytes: number;
    /** Clips or latents that are held. */
    readonly dataBytes: number;
    /** Everything, with the slack that allocation needs. */
    readonly needBytes: number;
    readonly availableBytes: number;
  };
  readonly data: {
    readonly sets: readonly string[];
    readonly clips: number;
    readonly heldOutClips: number;
    readonly frames: number;
    /** Raw frames on disk. */
    readonly bytes: number;
    /** How often the run sees each clip or window, on average. */
    readonly passes: number;
  };
  readonly disk: {
    /** Checkpoints that are kept at one time. */
    readonly checkpointBytes: number;
    /** The latents cache that a world model needs, what is there already included. */
    readonly latentBytes: number;
  };
  /** Clips to encode before the first step; 0 for tokenizers and where the cache is complete. */
  readonly clipsToEncode: number;
  readonly rate: {
    /** Useful work per second, GFLOP/s. */
    readonly gflops: number;
    /** A few steps of this very graph on this machine now, or a rate that was given. */
    readonly source: 'measured steps' | 'given';
    readonly secondsPerStep: number;
  };
  /** Remaining training, encoding included; validation is not in it. */
  readonly hours: number;
};

export type EstimateOptions = Pick<TrainOptions, 'out' | 'data' | 'device' | 'threads' | 'signal'> & {
  /** GFLOP/s of another machine; nothing is run then. */
  readonly gflops?: number;
};

/** Steps that are timed after one that warms up. */
const TIMED_STEPS = 3;

/**
 * Estimates a training from its recipe and the metadata of its data sets. The step's graph is compiled and run a few times on made-up
 * numbers unless `gflops` tells a rate. Hours hold for the load that the machine has at this moment.
 */
export async function estimateTraining(recipePath: string, options: EstimateOptions = {}): Promise<TrainingEstimate> {
  const recipe = readRecipe(recipePath);
  const folder = options.out ?? join('data', 'train', recipe.name);
  const folders = dataOf(recipe, recipePath, options);
  const missing = folders.find(({ dir, source }) => source !== undefined && !isImported(dir));
  if (missing !== undefined) {
    throw new OrreryError(
      'data',
      `${missing.source}: its videos are not decoded yet, so that their number and length are not known; start the training once (it decodes first), stop it and ask again`,
    );
  }
  const clips = trainClips(recipe, folders);
  const heldOut = loadClips(folders[0]!.dir, 'heldout');
  const from =
    recipe.kind === 'cosmos'
      ? openPublicModel(recipe).start
      : recipe.from === undefined
        ? undefined
        : weightsOfModel(recipe.from);
  const { loss, perClip, latentBytes, encodeFlops } = lossOf(recipe, clips);

  const plan = planOf({ loss }, tuningOf(recipe, from));
  const { accumulate = 1, optimizer } = recipe;
  const graphs = stepGraphs({ loss }, plan, { optimizer, accumulate });
  const flopsPerStep = countFlops(graphs[0]!) * accumulate;
  const trained = parameterCount(plan.trained);
  const stateBytes = 4 * (4 * trained + parameterCount(plan.frozen) + (accumulate > 1 ? trained : 0));
  const counts = estimateMemory(graphs[0]!);
  const frameBytes = clips.frames * clips.height * clips.width * 3;
  // Latents of a public model stay on the disk, a file per clip.
  const dataBytes = recipe.kind === 'world' ? latentBytes : recipe.kind === 'cosmos' ? 0 : clips.count * frameBytes;

  const stepsDone = newestRecord(join(folder, 'checkpoints'))?.record.step ?? 0;
  const clipsToEncode =
    recipe.kind === 'world'
      ? clipsLeft(folder, clips.count, latentBytes)
      : recipe.kind === 'cosmos'
        ? clips.count - encodedClips(folder)
        : 0;
  const seconds = options.gflops === undefined ? await timeSteps(graphs, options, from?.source) : undefined;
  const gflops = options.gflops ?? flopsPerStep / accumulate / (seconds! * 1e9);
  const secondsPerStep = flopsPerStep / (gflops * 1e9);
  const secondsLeft = leftFlops(recipe, recipePath, folder, options, stepsDone, flopsPerStep, from) / (gflops * 1e9);
  const encodeSeconds = (clipsToEncode * encodeFlops) / (gflops * 1e9);
  const batch = recipe.batch * accumulate;
  return {
    name: recipe.name,
    ...(recipe.from === undefined ? {} : { from: recipe.from }),
    parameters: parameterCount(plan.all),
    trained,
    batch,
    flopsPerStep,
    steps: recipe.steps,
    stepsDone,
    memory: {
      stateBytes,
      activationBytes: counts.activationBytes,
      dataBytes,
      needBytes: counts.needBytes + dataBytes,
      availableBytes: availableMemory(),
    },
    data: {
      sets: folders.map(({ name }) => name),
      clips: clips.count,
      heldOutClips: heldOut.count,
      frames: clips.count * clips.frames,
      bytes: (clips.count + heldOut.count) * frameBytes,
      passes: (recipe.steps * batch) / (clips.count * perClip),
    },
    disk: { checkpointBytes: 2 * 16 * trained, latentBytes },
    clipsToEncode,
    rate: { gflops, source: options.gflops === undefined ? 'measured steps' : 'given', secondsPerStep },
    hours: (secondsLeft + encodeSeconds) / 3600,
  };
}

/** Loss, samples of a clip, and what the latents of all clips take; all from metadata. */
function lossOf(
  recipe: Recipe,
  clips: Clips,
): { loss: TrainingTask['loss']; perClip: number; latentBytes: number; encodeFlops: number } {
  if (recipe.kind === 'tokenizer') {
    const { model: config, batch, frames, size, movingWeight } = recipe;
    const windows = (clips.frames / frames) * ((clips.height * clips.width) / size ** 2);
    return {
      loss: tokenizerLoss({ config, batch, frames, size, movingWeight }),
      perClip: windows,
      latentBytes: 0,
      encodeFlops: 0,
    };
  }
  if (recipe.kind === 'cosmos') return cosmosCost(recipe, clips);
  const tokenizer = openModelFolder(recipe.tokenizer).record.config as OrreryTokenizerConfig;
  const config = nanoConfig(recipe, tokenizer, clips, vocabularyOfRecipe(recipe, clips));
  const stats: Pick<LatentStats, 'pixelWeight'> = { pixelWeight: new Array<number>(tokenizer.channels).fill(1) };
  const perClip = windowsPerClip(clips);
  const { h, w } = config.grid;
  // Truth of a window, and two latent frames for each of the two conditions.
  const perWindow = (config.context + config.grid.t + 2 * config.grid.t) * h * w * tokenizer.channels * 2;
  return {
    loss: worldLoss(recipe, config, stats),
    perClip,
    latentBytes: clips.count * perClip * perWindow,
    encodeFlops: (2 * perClip + 1) * encodeCost(tokenizer, clips),
  };
}

/** Work of the steps that are left, phase by phase. */
function leftFlops(
  recipe: Recipe,
  recipePath: string,
  folder: string,
  options: EstimateOptions,
  done: number,
  lastFlops: number,
  from: StartWeights | undefined,
): number {
  const phases = phasesOf(recipe, recipePath);
  return phases.reduce((sum, phase, i) => {
    const end = phases[i + 1]?.from ?? recipe.steps;
    const steps = Math.max(0, end - Math.max(done, phase.from));
    if (i === phases.length - 1 || steps === 0) return sum + steps * lastFlops;
    const own = phase.recipe;
    const out = join(folder, `phase-${i + 1}`);
    const folders = dataOf(own, recipePath, { ...options, out: existsSync(out) ? out : folder });
    const { loss } = lossOf(own, trainClips(own, folders));
    const { accumulate = 1, optimizer } = own;
    const [graph] = stepGraphs({ loss }, planOf({ loss }, tuningOf(own, from)), { optimizer, accumulate });
    return sum + steps * countFlops(graph!) * accumulate;
  }, 0);
}

function cosmosCost(recipe: CosmosRecipe, clips: Clips): ReturnType<typeof lossOf> {
  const model = openPublicModel(recipe);
  const { config } = openTokenizerPart(model.parts.tokenizer).component;
  const { frames, height, width } = clips;
  const [time, space] = [config.temporalCompression, config.spatialCompression];
  const size = { t: 1 + Math.floor((frames - 1) / time), h: Math.floor(height / space), w: Math.floor(width / space) };
  return {
    loss: cosmosLoss(recipe, model, size),
    perClip: 1,
    latentBytes: clips.count * 2 * config.latentChannels * size.t * size.h * size.w,
    encodeFlops: countFlops(tokenizerNetworks(config, { frames, height, width }).encode),
  };
}

function vocabularyOfRecipe(recipe: WorldRecipe, clips: Clips): readonly string[] {
  if (recipe.from !== undefined) {
    return (openModelFolder(recipe.from).record.config as { vocabulary: readonly string[] }).vocabulary;
  }
  return vocabularyOf(clips.meta.flatMap((m) => [m.caption, ...(m.captions ?? [])]));
}

/** Work of encoding one window. */
function encodeCost(config: OrreryTokenizerConfig, { height, width }: Clips): number {
  const weights = (key: string, shape: readonly number[]): Tensor => input(`weight ${key}`, shape);
  const frames = input('frames', [1, WINDOW_FRAMES, height, width, 3], 'u8');
  const z = encode(frames, config, weights);
  // The statistics also decode a little; one decoding per window bounds it.
  return countFlops({ z, y: decode(z, config, gridOf(config, WINDOW_FRAMES, height, width), weights) });
}

function encodedClips(folder: string): number {
  const dir = join(folder, 'latents');
  return existsSync(dir) ? readdirSync(dir).filter((n) => n.startsWith('train-')).length : 0;
}

function clipsLeft(folder: string, clips: number, latentBytes: number): number {
  const size = statSync(join(folder, 'latents.bin'), { throwIfNoEntry: false })?.size ?? 0;
  return Math.max(0, clips - Math.floor((size * clips) / latentBytes));
}

/** Seconds of one run of the (first) step graph, the least of a few, on made-up numbers. */
async function timeSteps(
  graphs: readonly Record<string, Tensor>[],
  { device, threads }: EstimateOptions,
  source: StartWeights['source'],
): Promise<number> {
  await using runtime = openRuntime({
    ...(device === undefined ? {} : { device }),
    ...(threads === undefined ? {} : { threads }),
  });
  const outputs = graphs[0]!;
  const session = await runtime.load(
    compile(outputs, { name: 'estimate', target: runtime.device === 'cpu' ? 'cpu' : 'gpu', ...mappedWeights(source) }),
    source?.load,
  );
  const feeds = await madeUp(runtime, outputs);
  const state = Object.fromEntries(feeds.state.map((name) => [name, name]));
  const names = session.graph.outputs.map((o) => o.name);
  const keep = Object.fromEntries(names.filter((n) => n.startsWith('next.')).map((n) => [n, n.slice(5)]));
  const fetch = names.filter((n) => !n.startsWith('next.'));
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= TIMED_STEPS; i++) {
    const at = performance.now();
    await session.run(feeds.fed, { state, keep, fetch, inPlace: true });
    if (i > 0) least = Math.min(least, (performance.now() - at) / 1000);
  }
  return least;
}

/** Small random numbers for every input of a graph; large ones become state of the runtime. */
async function madeUp(
  runtime: Runtime,
  outputs: Readonly<Record<string, Tensor>>,
): Promise<{ fed: Record<string, NdArray>; state: string[] }> {
  const random = randomStream(1, 'estimate');
  const fed: Record<string, NdArray> = {};
  const state: string[] = [];
  for (const node of topologicalOrder(Object.values(outputs))) {
    if (!isInput(node)) continue;
    const { shape, dtype } = node.outputs[0]!;
    const name = String(node.attrs['name']);
    const n = sizeOf(shape);
    const isState = /^(p|m|v|ema|g|frozen):/.test(name);
    const value: NdArray =
      dtype === 'f32'
        ? { dtype, shape, data: Float32Array.from({ length: n }, () => 0.02 * random.uniform(0, 1)) }
        : dtype === 'i64'
          ? { dtype, shape, data: new BigInt64Array(n) }
          : { dtype: 'u8', shape, data: new Uint8Array(n).fill(100) };
    if (!isState) fed[name] = value;
    else if (!state.includes(name)) {
      state.push(name);
      await runtime.setState(name, value, { move: true });
    }
  }
  return { fed, state };
}
