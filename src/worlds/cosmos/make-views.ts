// One video per camera of a multi-view model, and all of them side by side.
import { basename } from 'node:path';
import { InputError, OrreryError } from '../../base/index.ts';
import type { Frames } from '../../media/index.ts';
import { readFrames } from '../../media/index.ts';
import type { GenerateEvent } from '../generate.ts';
import { guardFrames } from '../guarded.ts';
import type { GenerateRequest } from '../request.ts';
import { readTrajectory } from './conditions.ts';
import { openDiffusionModel } from './diffusion-model.ts';
import {
  featuresOf,
  firstOf,
  held,
  type Job,
  joined,
  openTokenizer,
  sideBySide,
  started,
  stepEvent,
  written,
} from './job.ts';
import { multiviewWorld, VIEW_NAMES } from './multiview-world.ts';
import { ditNetwork } from './networks.ts';
import { openTransformerPart } from './open-model.ts';
import type { PixelFrames } from './video-tokenizer.ts';

/** What the public models were trained with. */
const TRAINED = { height: 480, width: 848, frames: 57, fps: 24 } as const;
/** Six cameras as they are looked at: left, front, right, then rear-left, back, rear-right. */
const SIX = [1, 0, 2, 4, 3, 5] as const;
/** Given frames of a camera. */
const GIVEN = 9;

export async function* oneMultiview(job: Job): AsyncGenerator<GenerateEvent> {
  const { parts, resolved: r, options, runtime, seed } = job;
  const { signal } = options;
  const began = performance.now();
  const stored = openTransformerPart(parts.network!);
  const { config } = stored;
  const count = config.views!.count;
  const wanted = requestOf(job, count);
  const takesTrajectory = config.views!.trajectoryWidth > 0;
  if (takesTrajectory !== (r.trajectory !== undefined)) {
    throw new InputError('trajectory', {
      got: r.trajectory,
      need: takesTrajectory ? 'a file of 192 numbers' : 'none',
      why: `${parts.name} was trained with${takesTrajectory ? '' : 'out'} one`,
    });
  }
  const trajectory = r.trajectory === undefined ? undefined : readTrajectory(r.trajectory);
  const size = { height: r.height ?? TRAINED.height, width: r.width ?? TRAINED.width };
  const context = sideBySide(yield* featuresOf(job, wanted.prompts));
  // Without words for the other branch it sees zeros, as the public models do.
  const negative =
    r.negative_prompt === ''
      ? undefined
      : sideBySide(yield* featuresOf(job, new Array<string>(count).fill(r.negative_prompt)));
  const component = yield* held(job, 'transformer', stored, ditNetwork);
  await using tokenizer = openTokenizer(job, { name: parts.name, channels: config.outChannels });
  const time = tokenizer.config.temporalCompression;
  const frames = r.frames ?? TRAINED.frames;
  const clip = 1 + time * Math.ceil((frames - 1) / time);
  if (frames > TRAINED.frames) {
    throw new InputError('frames', {
      got: frames,
      need: `at most ${TRAINED.frames}`,
      why: 'a multi-view model makes one clip',
    });
  }
  tokenizer.latentSize(clip, size.height, size.width);
  await using model = openDiffusionModel({ runtime, component });
  yield started(job);
  const inputs = yield* inputsOf(job, wanted.inputs, size, count);
  const progress = { done: 0, began: performance.now() };
  const made: PixelFrames[] = [];
  const events = multiviewWorld({
    model,
    tokenizer,
    features: { context, ...(negative === undefined ? {} : { negative }) },
    ...size,
    frames: clip,
    fps: TRAINED.fps,
    seed,
    compatibility: r.compatibility,
    ...(inputs === undefined ? {} : { inputs }),
    ...(trajectory === undefined ? {} : { trajectory }),
    ...(wanted.frameRepeat === undefined ? {} : { frameRepeat: wanted.frameRepeat }),
    ...(r.steps === undefined ? {} : { steps: r.steps }),
    ...(r.guidance === undefined ? {} : { guidance: r.guidance }),
    ...(signal === undefined ? {} : { signal }),
  });
  yield { type: 'stage', name: 'sample' };
  for await (const event of events) {
    if (event.type === 'step') {
      progress.done++;
      yield stepEvent(progress, event.total);
      continue;
    }
    if (event.view === 0) yield { type: 'stage', name: 'decode' };
    made.push(event.frames);
  }
  const names = Array.from({ length: count }, (_, i) => (count === VIEW_NAMES.length ? VIEW_NAMES[i]! : String(i + 1)));
  const views = made.map((view, i) => ({ name: names[i]!, frames: firstOf(joined(undefined, view), frames) }));
  yield* written(
    job,
    tiled(
      views.map((v) => v.frames),
      count === SIX.length ? SIX : undefined,
    ),
    TRAINED.fps,
    began,
    views,
  );
}

type View = NonNullable<GenerateRequest['views']>[number];

type Wanted = {
  readonly prompts: readonly string[];
  readonly inputs: readonly (string | undefined)[];
  readonly frameRepeat?: readonly number[];
};

/** Checks what a request says about views. */
function requestOf({ resolved: r, parts }: Job, count: number): Wanted {
  for (const name of ['camera', 'actions'] as const) {
    if (r[name] !== undefined)
      throw new InputError(name, { got: 'given', need: 'none', why: `${parts.name} is a multi-view model` });
  }
  const views: readonly View[] = r.views ?? new Array<View>(count).fill({});
  if (views.length !== count) {
    throw new InputError('views', {
      got: `${views.length} entries`,
      need: `${count}, one per camera${count === VIEW_NAMES.length ? ` (${VIEW_NAMES.join(', ')})` : ''}`,
    });
  }
  const inputs = views.map((v) => v.input);
  const given = inputs.filter((input) => input !== undefined).length;
  if (given !== 0 && given !== count)
    throw new InputError('views', { got: `${given} inputs`, need: `none or ${count}, one per camera` });
  if (given !== 0 && r.input !== undefined)
    throw new InputError('input', { got: r.input, need: 'none', why: 'each view has its own input' });
  const repeats = views.map((v) => v.frame_repeat);
  return {
    prompts: views.map((v) => v.prompt ?? r.prompt),
    inputs,
    ...(repeats.every((n) => n === undefined) ? {} : { frameRepeat: repeats.map((n) => n ?? 0) }),
  };
}

/** The given frames of each camera: a file each, or one file with all cameras one after the other. */
async function* inputsOf(
  { resolved: r, options }: Job,
  paths: readonly (string | undefined)[],
  size: { readonly height: number; readonly width: number },
  count: number,
): AsyncGenerator<GenerateEvent, PixelFrames[] | undefined> {
  if (r.input === undefined && paths[0] === undefined) return undefined;
  yield { type: 'stage', name: 'read' };
  const stop = options.signal === undefined ? {} : { signal: options.signal };
  const clips: Frames[] = [];
  if (r.input === undefined) {
    for (const path of paths) clips.push(await readFrames(path!, { ...size, fit: 'crop', lastFrames: GIVEN, ...stop }));
  } else {
    const all = await readFrames(r.input, { ...size, fit: 'crop', ...stop });
    const each = Math.floor(all.shape[0] / count);
    if (each * count !== all.shape[0]) {
      throw new OrreryError(
        'data',
        `${basename(r.input)} has ${all.shape[0]} frames, need a multiple of the ${count} cameras, one after the other`,
      );
    }
    for (let i = 0; i < count; i++) clips.push(part(all, i * each, (i + 1) * each));
  }
  for (const clip of clips) await guardFrames(clip, 'input', TRAINED.fps, options);
  return clips.map(({ shape: [frames, height, width], data }) => ({ data: data.slice(), frames, height, width }));
}

function part({ shape: [, height, width], data }: Frames, from: number, to: number): Frames {
  const each = height * width * 3;
  return { dtype: 'u8', shape: [to - from, height, width, 3], data: data.subarray(from * each, to * each) };
}

/** All cameras in one picture, up to three in a row. */
function tiled(views: readonly Frames[], order: readonly number[] = views.map((_, i) => i)): Frames {
  const [frames, height, width] = views[0]!.shape;
  const columns = Math.min(3, views.length);
  const rows = Math.ceil(views.length / columns);
  const data = new Uint8Array(frames * rows * height * columns * width * 3);
  for (const [place, index] of order.entries()) {
    const [row, column] = [Math.floor(place / columns), place % columns];
    for (let f = 0; f < frames; f++) {
      for (let y = 0; y < height; y++) {
        const from = (f * height + y) * width * 3;
        const to = (((f * rows + row) * height + y) * columns + column) * width * 3;
        data.set(views[index]!.data.subarray(from, from + width * 3), to);
      }
    }
  }
  return { dtype: 'u8', shape: [frames, rows * height, columns * width, 3], data };
}
