// One window of orrery-nano: the frames known so far in, the next frames out. Everything that generates or scores goes through
// here, so that a score is that of what users get.
import { cellsOf } from '../nets/orrery/tokenizer.ts';
import type { Actions } from './actions.ts';
import type { OpenedNano } from './open-nano.ts';
import {
  CONDITIONS,
  type Condition,
  conditionOf,
  contextCells,
  type Given,
  type SampleOptions,
  type Sampler,
  type Sampling,
  sampleWindow,
  WINDOW_FRAMES,
} from './orrery-nano.ts';
import { decodeLatents, encodeClip, expectation, normalise, toBytes } from './orrery-tokenizer.ts';

/** The parts of an opened model that a window needs. */
export type WindowModel = Pick<OpenedNano, 'config' | 'stats' | 'tokenizer' | 'evaluate' | 'window'>;

/** What the network is told when the last of `frames` (uint8 [n, H, W, 3], n ≥ 0) are known. */
export async function lookAt(frames: Uint8Array, m: WindowModel): Promise<{ given: Given; latents: Float32Array }> {
  const { config, window: size } = m;
  const each = size.height * size.width * 3;
  const condition = conditionOf(frames.length / each);
  const { frames: known, latents: seen, madeLatents } = CONDITIONS[condition];
  const cell = config.channels;
  const perLatent = config.grid.h * config.grid.w * cell;
  const base = new Float32Array(cellsOf(config.grid) * cell);
  const context = new Float32Array(contextCells(config) * cell);
  if (condition === 'none') return { given: { condition, base, context }, latents: new Float32Array(0) };
  const last = frames.slice(frames.length - known * each);
  const latents = await encodeClip(m.tokenizer, await expectation(last, { ...size, frames: WINDOW_FRAMES }));
  const z = normalise(latents, m.stats);
  context.set(z.subarray(0, seen * perLatent));
  base.set(z.subarray(seen * perLatent, (seen + madeLatents) * perLatent));
  return { given: { condition, base, context }, latents };
}

/** What `nextFrames` is told beside the frames. */
export type WindowRequest = {
  readonly caption: string;
  /** Caption of the other evaluation of guidance. Default empty. */
  readonly otherCaption?: string;
  /** Actions that lead to the frames to make, for models that are conditioned on them; unknown where none is given. */
  readonly actions?: Actions;
  readonly sampling: Sampling;
  /** Sampler steps of every window, instead of the sampling's own. */
  readonly steps?: number | undefined;
  /** Weight of the caption in every window, instead of the sampling's own. */
  readonly guidance?: number | undefined;
} & Pick<SampleOptions, 'seed' | 'window' | 'signal'>;

/** After every sampler step; `frames()` decodes what the new frames are believed to become: uint8 [n, H, W, 3]. */
export type WindowProgress = { readonly step: number; readonly total: number; frames(): Promise<Uint8Array> };

/** Makes the frames that follow: 1 after none, 8 after others. The last event holds the result. */
export async function* nextFrames(
  frames: Uint8Array,
  m: WindowModel,
  request: WindowRequest,
): AsyncGenerator<WindowProgress> {
  const { caption, otherCaption = '', seed, window = 0, sampling, signal } = request;
  const { given, latents } = await lookAt(frames, m);
  const sampler = samplerOf(sampling, given.condition);
  const { guidance = sampler.guidance } = request;
  const { frames: known, latents: seen, madeLatents, madeFrames } = CONDITIONS[given.condition];
  const { config, window: size } = m;
  const each = size.height * size.width * 3;
  const perLatent = config.grid.h * config.grid.w * config.channels;
  const options: SampleOptions = {
    config,
    stats: m.stats,
    given,
    run: m.evaluate(given, caption, request.actions),
    ...(guidance === 0 ? {} : { guidance, runOther: m.evaluate(given, otherCaption, request.actions) }),
    seed,
    window,
    steps: request.steps ?? sampler.steps,
    range: sampler,
    ...(signal === undefined ? {} : { signal }),
  };
  for await (const s of sampleWindow(options)) {
    yield {
      step: s.step,
      total: s.total,
      async frames() {
        // Frames before do not change and later ones do not count: the decoder is causal.
        const all = new Float32Array(cellsOf(m.tokenizer.grid) * config.channels);
        all.set(latents);
        all.set(s.latents().subarray(0, madeLatents * perLatent), seen * perLatent);
        const pixels = toBytes(await decodeLatents(m.tokenizer, all));
        return pixels.slice(known * each, (known + madeFrames) * each);
      },
    };
  }
}

/**
 * Goes on from `frames` until there are `count`: uint8 [count, H, W, 3].
 * @param request `actions` are here those of the whole video: number k leads from frame k to frame k + 1
 */
export async function rollOut(
  frames: Uint8Array,
  count: number,
  m: WindowModel,
  request: WindowRequest,
): Promise<Uint8Array> {
  const each = m.window.height * m.window.width * 3;
  const video = new Uint8Array(count * each);
  video.set(frames.subarray(0, Math.min(video.length, frames.length)));
  let made = frames.length / each;
  for (let window = 0; made < count; window++) {
    let last: WindowProgress | undefined;
    const actions = request.actions?.slice(Math.max(0, made - 1), made + 7);
    const asked = { ...request, window, ...(actions === undefined ? {} : { actions }) };
    for await (const p of nextFrames(video.subarray(0, made * each), m, asked)) last = p;
    const next = await last!.frames();
    video.set(next.subarray(0, Math.min(next.length, (count - made) * each)), made * each);
    made += next.length / each;
  }
  return video;
}

const samplerOf = (s: Sampling, condition: Condition): Sampler => (condition === 'none' ? s.picture : s.motion);

/** The conditions of the windows that it takes to go from so many known frames to `count`. */
export function windowsFor(known: number, count: number): Condition[] {
  const windows: Condition[] = [];
  for (let made = known; made < count; made += CONDITIONS[windows.at(-1)!].madeFrames) windows.push(conditionOf(made));
  return windows;
}

/** Sampler steps of all windows together, the closing ones included. */
export function stepsFor(known: number, count: number, sampling: Sampling, steps?: number): number {
  return windowsFor(known, count).reduce((sum, c) => sum + (steps ?? samplerOf(sampling, c).steps) + 1, 0);
}
