// World models as predictors: the given frames and a caption in, the whole clip out. All knowledge of a model family is here.

import { InputError } from '../../base/index.ts';
import type { Frames } from '../../media/index.ts';
import type { Device } from '../../runtime/index.ts';
import {
  CONDITIONS,
  decodeLatents,
  encodeClip,
  openNano,
  rollOut,
  toBytes,
  WINDOW_FRAMES,
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

/** Guidance of text alone, as `orrery generate` has it by default. */
const TEXT_GUIDANCE = 1;

/** Opens a model folder by name or path. */
export async function openPredictor(
  model: string,
  options: { readonly device?: Device; readonly threads?: number } = {},
): Promise<Predictor> {
  const { device, threads } = options;
  const nano = await openNano(model, {
    ...(device === undefined ? {} : { device }),
    ...(threads === undefined ? {} : { threads }),
  });
  const { window, sampling, tokenizer } = nano;
  const each = window.width * window.height * 3;
  const framesOf = (data: Uint8Array): Frames => ({
    dtype: 'u8',
    shape: [data.length / each, window.height, window.width, 3],
    data,
  });
  return {
    name: nano.record.name,
    width: window.width,
    height: window.height,
    fps: window.fps,
    frames: window.frames,
    conditions: Object.values(CONDITIONS).map((c) => c.frames),
    parameters: nano.record.parameters,
    async predict(clip, { given, caption, seed, signal }) {
      const made = await rollOut(clip.data.subarray(0, given * each), window.frames, nano, {
        sampling,
        caption,
        seed,
        ...(given === 0 ? { guidance: TEXT_GUIDANCE } : {}),
        ...(signal === undefined ? {} : { signal }),
      });
      return framesOf(made);
    },
    async reconstruct(clip) {
      const count = clip.shape[0];
      if (count < WINDOW_FRAMES) {
        throw new InputError('clip', { got: `${count} frames`, need: `at least ${WINDOW_FRAMES}` });
      }
      const out = new Uint8Array(count * each);
      // Neighbouring windows share a frame; the last window ends with the clip.
      for (let from = 0; ; from = Math.min(from + WINDOW_FRAMES - 1, count - WINDOW_FRAMES)) {
        const part = clip.data.slice(from * each, (from + WINDOW_FRAMES) * each);
        const restored = toBytes(await decodeLatents(tokenizer, await encodeClip(tokenizer, part)));
        // The shared frame stays as the window before restored it.
        out.set(from === 0 ? restored : restored.subarray(each), (from === 0 ? 0 : from + 1) * each);
        if (from + WINDOW_FRAMES >= count) return framesOf(out);
      }
    },
    [Symbol.asyncDispose]: () => nano[Symbol.asyncDispose](),
  };
}

/** Refuses numbers of given frames that the model does not know, or that leave nothing to predict. */
export function checkGiven(given: number, frames: number, model: Predictor | undefined): void {
  if (given >= 1 && given < frames && (model === undefined || model.conditions.includes(given))) return;
  const known = (model?.conditions ?? [1, 9]).filter((c) => c > 0);
  throw new InputError('--given', { got: given, need: `${known.join(' or ')} frames` });
}

/** A model for a benchmark, or none: baselines alone. */
export type OpenedModel = AsyncDisposable & { readonly model?: Predictor };

/** Opens a model by name or folder; `none` opens nothing. */
export async function openModel(
  name: string,
  options: { readonly device?: Device; readonly threads?: number } = {},
): Promise<OpenedModel> {
  if (name === 'none') return { async [Symbol.asyncDispose]() {} };
  const model = await openPredictor(name, options);
  return { model, [Symbol.asyncDispose]: () => model[Symbol.asyncDispose]() };
}
