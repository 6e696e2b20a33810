// One video of an action-conditioned model: a frame per action, each from the frame before.
import { f32, InputError } from '../../base/index.ts';
import type { Frames } from '../../media/index.ts';
import type { GenerateEvent } from '../generate.ts';
import { readRobotActions } from './conditions.ts';
import { type DiffusionModel, openDiffusionModel } from './diffusion-model.ts';
import { held, type Job, joined, openTokenizer, readInput, started, stepEvent, written } from './job.ts';
import { ditNetwork } from './networks.ts';
import { openTransformerPart } from './open-model.ts';
import type { PixelFrames, VideoTokenizer } from './video-tokenizer.ts';

/** What the public recipe trains with. */
const TRAINED = { height: 256, width: 320, fps: 4 } as const;
/** Places of the text, which is all zeros. */
const TEXT_PLACES = 512;

export async function* oneActions(job: Job): AsyncGenerator<GenerateEvent> {
  const { parts, resolved: r, runtime, seed } = job;
  const began = performance.now();
  if (r.actions === undefined || r.input === undefined) {
    const name = r.actions === undefined ? 'actions' : 'input';
    throw new InputError(name, {
      got: undefined,
      need: name === 'actions' ? 'a file with a row of 7 numbers per frame' : 'a picture or a video',
      why: `${parts.name} goes on from a picture, a frame per action`,
    });
  }
  for (const name of ['views', 'camera', 'trajectory'] as const) {
    if (r[name] !== undefined)
      throw new InputError(name, { got: 'given', need: 'none', why: `${parts.name} is an action model` });
  }
  const actions = readRobotActions(r.actions);
  if (r.frames !== undefined && r.frames > actions.length + 1) {
    throw new InputError('frames', {
      got: r.frames,
      need: `at most ${actions.length + 1}`,
      why: 'there is a frame per action',
    });
  }
  const stored = openTransformerPart(parts.network!);
  const { config } = stored;
  const size = { height: r.height ?? TRAINED.height, width: r.width ?? TRAINED.width };
  const component = yield* held(job, 'transformer', stored, ditNetwork);
  await using tokenizer = openTokenizer(job, { name: parts.name, channels: config.outChannels });
  tokenizer.latentSize(1, size.height, size.width);
  await using model = openDiffusionModel({ runtime, component });
  yield started(job);
  const given = yield* readInput(job, size.height, size.width, 1);
  let frame = given!;
  let video: Frames = joined(undefined, frame);
  const progress = { done: 0, began: performance.now() };
  const used = actions.slice(0, (r.frames ?? actions.length + 1) - 1);
  yield { type: 'stage', name: 'sample' };
  for (const [i, action] of used.entries()) {
    const steps = nextFrame({
      job,
      model,
      tokenizer,
      frame,
      action,
      seed: (seed + i) % 2 ** 32,
      contextWidth: config.contextWidth,
    });
    let step = await steps.next();
    for (; !step.done; step = await steps.next()) {
      progress.done++;
      yield stepEvent(progress, step.value.total * used.length);
    }
    frame = step.value;
    video = joined(video, frame);
  }
  yield* written(job, video, TRAINED.fps, began);
}

type NextFrame = {
  readonly job: Job;
  readonly model: DiffusionModel;
  readonly tokenizer: VideoTokenizer;
  readonly frame: PixelFrames;
  readonly action: ReturnType<typeof readRobotActions>[number];
  readonly seed: number;
  readonly contextWidth: number;
};

/** The frame after an action. Both frames are encoded as pictures. */
async function* nextFrame(o: NextFrame): AsyncGenerator<{ total: number }, PixelFrames> {
  const { resolved: r, options } = o.job;
  const { height, width } = o.frame;
  const { h, w } = o.tokenizer.latentSize(1, height, width);
  const { data, channels } = await o.tokenizer.encode(o.frame);
  const area = h * w;
  const latents = new Float32Array(channels * 2 * area);
  for (let ch = 0; ch < channels; ch++)
    latents.set((data as Float32Array).subarray(ch * area, (ch + 1) * area), 2 * ch * area);
  const next = new Float32Array(channels * area);
  const steps = o.model.sample({
    size: { t: 2, h, w },
    context: f32([1, TEXT_PLACES, o.contextWidth]),
    fps: TRAINED.fps,
    seed: o.seed,
    // Both branches see the same: there is no text to guide by.
    guidance: r.guidance ?? 0,
    compatibility: r.compatibility,
    given: { data: latents, frames: 1 },
    action: o.action,
    ...(r.steps === undefined ? {} : { steps: r.steps }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  for await (const s of steps) {
    yield { total: s.total };
    if (s.step < s.total) continue;
    const all = s.latents();
    for (let ch = 0; ch < channels; ch++) next.set(all.subarray((2 * ch + 1) * area, (2 * ch + 2) * area), ch * area);
  }
  return o.tokenizer.decode({ data: next, channels, t: 1, h, w });
}
