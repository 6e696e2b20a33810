// One video of a single-view diffusion model: Predict1, Predict2, Predict2.5; along a camera path where the model takes one.
import { InputError, type NdArray } from '../../base/index.ts';
import type { Frames } from '../../media/index.ts';
import type { GeneralDitConfig } from '../../nets/index.ts';
import type { GenerateEvent } from '../generate.ts';
import { readCamera } from './conditions.ts';
import { openDiffusionModel } from './diffusion-model.ts';
import { diffusionWorld } from './diffusion-world.ts';
import { openFlowModel } from './flow-model.ts';
import {
  firstOf,
  held,
  type Job,
  joined,
  openTokenizer,
  readInput,
  started,
  stepEvent,
  textOf,
  written,
} from './job.ts';
import { ditNetwork } from './networks.ts';
import { openTransformerPart } from './open-model.ts';

/** What the public models were trained with. */
type Defaults = { readonly height: number; readonly width: number; readonly frames: number; readonly fps: number };

/** Sizes by the kind of a network. */
export function trainedSize({ flow, inChannels, outChannels }: GeneralDitConfig): Defaults {
  if (flow === undefined) return { height: 704, width: 1280, frames: 121, fps: 24 };
  // Text2Image is the only later model that takes no frames.
  if (inChannels === outChannels) return { height: 768, width: 1360, frames: 1, fps: 16 };
  return { height: 704, width: 1280, frames: 93, fps: 16 };
}

/** Channels of a camera path among those of the input. */
const hasCamera = ({ inChannels, outChannels }: GeneralDitConfig): boolean => inChannels - outChannels > 1;

export async function* oneDiffusion(job: Job): AsyncGenerator<GenerateEvent> {
  const { parts, resolved: r, options, runtime, seed } = job;
  const { signal } = options;
  const began = performance.now();
  const stored = openTransformerPart(parts.network!);
  const { config } = stored;
  const trained = trainedSize(config);
  refuseConditions(job, config);
  const features = yield* textOf(job, config.flow !== undefined);
  const height = r.height ?? trained.height;
  const width = r.width ?? trained.width;
  const component = yield* held(job, 'transformer', stored, ditNetwork);
  const world = { name: parts.name, channels: config.outChannels, isFlow: config.flow !== undefined };
  await using tokenizer = openTokenizer(job, world);
  const time = tokenizer.config.temporalCompression;
  // One chunk as long as asked for, at most the trained length; longer videos go on from their last frame.
  const wanted = r.frames ?? trained.frames;
  const chunkFrames = Math.min(trained.frames, 1 + time * Math.ceil((wanted - 1) / time));
  const chunks = wanted <= chunkFrames ? 1 : 1 + Math.ceil((wanted - chunkFrames) / Math.max(1, chunkFrames - 1));
  if (chunks > 1 && trained.frames === 1) {
    throw new InputError('frames', { got: wanted, need: '1', why: 'this model makes pictures; use a Video2World one' });
  }
  const size = tokenizer.latentSize(chunkFrames, height, width);
  const cameraRays = await cameraOf(job, config, size, time);
  await using model =
    config.flow === undefined ? openDiffusionModel({ runtime, component }) : openFlowModel({ runtime, component });
  yield started(job);
  const input = yield* readInput(job, height, width, 1 + time);
  let video: Frames | undefined;
  const progress = { done: 0, began: performance.now() };
  const events = diffusionWorld({
    model,
    tokenizer,
    features,
    ...(input === undefined ? {} : { input }),
    ...(cameraRays === undefined ? {} : { cameraRays }),
    height,
    width,
    chunkFrames,
    chunks,
    fps: trained.fps,
    seed,
    compatibility: r.compatibility,
    ...(r.steps === undefined ? {} : { steps: r.steps }),
    ...(r.guidance === undefined ? {} : { guidance: r.guidance }),
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const event of events) {
    if (event.type === 'stage' && event.name !== 'text') yield { type: 'stage', name: event.name };
    if (event.type === 'step') {
      progress.done++;
      yield stepEvent(progress, event.total * chunks);
      if ((options.previewEvery ?? 0) > 0 && event.step % options.previewEvery! === 0 && event.step < event.total) {
        const shown = await tokenizer.decode({ data: event.latents(), channels: config.outChannels, ...size });
        yield { type: 'preview', frames: shown.data, shape: [shown.frames, height, width, 3] };
      }
    }
    if (event.type === 'frames') video = joined(video, event.frames);
  }
  yield* written(job, firstOf(video!, wanted), trained.fps, began);
}

/** Conditions of other kinds of models, by the names of a request. */
function refuseConditions({ resolved: r, parts }: Job, config: GeneralDitConfig): void {
  for (const name of ['views', 'trajectory', 'actions'] as const) {
    if (r[name] === undefined) continue;
    const need = {
      views: 'a multi-view model',
      trajectory: 'a multi-view model with a trajectory',
      actions: 'an action model',
    };
    throw new InputError(name, { got: 'given', need: 'none', why: `${parts.name} is not ${need[name]}` });
  }
  if (r.camera !== undefined && !hasCamera(config)) {
    throw new InputError('camera', { got: r.camera, need: 'none', why: `${parts.name} takes no camera path` });
  }
  if (r.compatibility === 'scripts' && config.flow !== undefined) {
    throw new InputError('compatibility', { got: 'scripts', need: 'clean', why: 'the scripts are those of Predict1' });
  }
}

async function cameraOf(
  { resolved: r, parts }: Job,
  config: GeneralDitConfig,
  size: { readonly t: number; readonly h: number; readonly w: number },
  time: number,
): Promise<NdArray | undefined> {
  if (!hasCamera(config)) return undefined;
  if (r.camera === undefined) {
    throw new InputError('camera', {
      got: undefined,
      need: 'a file with the camera path',
      why: `${parts.name} was trained with one; see docs/generate.md`,
    });
  }
  return readCamera(r.camera, { ...size, time });
}
