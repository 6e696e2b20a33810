// One video of an autoregressive model, decoded by its tokenizer or by the diffusion decoder.
import { InputError } from '../../base/index.ts';
import type { Frames } from '../../media/index.ts';
import { namedWeights } from '../../nets/index.ts';
import { openTokenModel } from '../autoregressive/token-model.ts';
import type { GenerateEvent } from '../generate.ts';
import { autoregressiveWorld } from './autoregressive-world.ts';
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
import { tokenNetwork } from './networks.ts';
import { openAutoregressivePart } from './open-model.ts';

/** The rate of the models' clips. */
const FPS = 25;

export async function* oneAutoregressive(job: Job): AsyncGenerator<GenerateEvent> {
  const { parts, resolved: r, options, runtime, seed } = job;
  const began = performance.now();
  const stored = openAutoregressivePart(parts.network!);
  const { config } = stored;
  const context = config.cross === undefined ? undefined : (yield* textOf(job)).context;
  const component = yield* held(job, 'transformer', stored, tokenNetwork);
  await using tokenizer = openTokenizer(job);
  const { t, h, w } = config.latent!;
  const [height, width] = [h * tokenizer.config.spatialCompression, w * tokenizer.config.spatialCompression];
  const frames = 1 + (t - 1) * tokenizer.config.temporalCompression;
  const fixed = { height, width, frames };
  for (const name of ['height', 'width', 'frames'] as const) {
    if (r[name] !== undefined && (name === 'frames' ? r.frames! > frames : r[name] !== fixed[name])) {
      throw new InputError(name, {
        got: r[name],
        need: String(fixed[name]),
        why: 'the only size that this model was trained with',
      });
    }
  }
  await using model = openTokenModel({
    runtime,
    config,
    symbols: namedWeights,
    weights: component.weights,
    ...(component.load === undefined ? {} : { load: component.load }),
    isStreamed: component.isStreamed === true,
  });
  yield started(job);
  const input = yield* readInput(job, height, width);
  if (input === undefined) {
    throw new InputError('input', {
      got: undefined,
      need: 'an image or a video',
      why: 'this model goes on from given frames',
    });
  }
  yield { type: 'stage', name: 'sample' };
  const progress = { done: 0, began: performance.now() };
  let video: Frames | undefined;
  const events = autoregressiveWorld({
    model,
    tokenizer,
    input,
    seed,
    temperature: 1,
    topP: config.cross === undefined ? 0.8 : 0.7,
    ...(context === undefined ? {} : { context }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  for await (const event of events) {
    if (event.type === 'token') {
      progress.done++;
      yield stepEvent(progress, event.total);
    }
    if (event.type === 'codes') yield { type: 'stage', name: 'decode' };
    if (event.type === 'frames') video = joined(undefined, event.frames);
  }
  yield* written(job, firstOf(video!, r.frames ?? frames), FPS, began);
}
