// World models as predictors: the given frames and a caption in, the whole clip out. All knowledge of a model family is here.

import { InputError } from '../../base/index.ts';
import type { Frames } from '../../media/index.ts';
import { cellsOf } from '../../nets/orrery/tokenizer.ts';
import type { Device } from '../../runtime/index.ts';
import {
  CONDITIONS,
  decodeLatents,
  encodeClip,
  normalise,
  openNano,
  repeatLast,
  sampleLatents,
  toBytes,
} from '../../worlds/index.ts';

/** A model opened for benchmarks. */
export type Predictor = AsyncDisposable & {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** Frames of one window, the given ones included. */
  readonly frames: number;
  /** Numbers of given frames that it knows. */
  readonly conditions: readonly number[];
  readonly parameters: number;
  /** The clip with the given frames first, unchanged. @param clip uint8 [≥ given, H, W, 3] */
  predict(
    clip: Frames,
    options: { readonly given: number; readonly caption: string; readonly seed: number; readonly signal?: AbortSignal },
  ): Promise<Frames>;
  /** The tokenizer's own reconstruction of a clip of the window's length: what no model on it can beat in fidelity. */
  reconstruct(clip: Frames): Promise<Frames>;
};

/** Opens a model folder by name or path. */
export async function openPredictor(
  model: string,
  options: { readonly device?: Device; readonly threads?: number } = {},
): Promise<Predictor> {
  const nano = await openNano(model, options);
  const { window, config, stats, sampling, tokenizer } = nano;
  const each = window.width * window.height * 3;
  const framesOf = (data: Uint8Array): Frames => ({
    dtype: 'u8',
    shape: [window.frames, window.height, window.width, 3],
    data,
  });
  return {
    name: nano.record.name,
    width: window.width,
    height: window.height,
    fps: window.fps,
    frames: window.frames,
    conditions: [0, 1, 9],
    parameters: nano.record.parameters,
    async predict(clip, { given, caption, seed, signal }) {
      const condition = (['none', 'one', 'nine'] as const).find(
        (c) => (c === 'none' ? 0 : CONDITIONS[c].frames) === given,
      );
      if (condition === undefined) throw new InputError('given', { got: given, need: '0, 1 or 9 frames' });
      const held = new Uint8Array(window.frames * each);
      held.set(clip.data.subarray(0, given * each));
      const base =
        given === 0
          ? new Float32Array(cellsOf(config.grid) * config.channels)
          : normalise(await encodeClip(tokenizer, repeatLast(held, window, given)), stats);
      const latents = await sampleLatents({
        config,
        stats,
        condition,
        base,
        run: nano.evaluate(base, condition, caption),
        ...(given === 0 ? { guidance: 1, runOther: nano.evaluate(base, condition, '') } : {}),
        seed,
        steps: sampling.steps,
        range: sampling,
        ...(signal === undefined ? {} : { signal }),
      });
      const made = toBytes(await decodeLatents(tokenizer, latents));
      made.set(held.subarray(0, given * each));
      return framesOf(made);
    },
    async reconstruct(clip) {
      return framesOf(
        toBytes(await decodeLatents(tokenizer, await encodeClip(tokenizer, clip.data.slice(0, window.frames * each)))),
      );
    },
    [Symbol.asyncDispose]: () => nano[Symbol.asyncDispose](),
  };
}
