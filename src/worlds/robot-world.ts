// An action-conditioned model as a world that can be stepped: actions in, frames out, its own last frames as what it sees next.
import { type GuardFrames, type Guardrail, InputError, throwIfAborted } from '../base/index.ts';
import type { Device } from '../runtime/index.ts';
import { ACTION_SIZE, type Actions, requireActions } from './actions.ts';
import { guardFrames } from './guarded.ts';
import { nextFrames, type WindowModel, type WindowProgress } from './nano-window.ts';
import { openNano } from './open-nano.ts';
import { CONDITIONS, type Sampling } from './orrery-nano.ts';

/** Frames that one call of the network makes. */
const CALL = CONDITIONS.nine.madeFrames;
/** Frames that it looks back at. */
const SEEN = CONDITIONS.nine.frames;

/** A world that answers actions. */
export type RobotWorld = {
  readonly fps: number;
  readonly height: number;
  readonly width: number;
  /** Frames since the beginning, given ones included. */
  readonly length: number;
  /** The last frame: uint8 [H, W, 3], a copy. */
  readonly frame: Uint8Array;
  /**
   * Begins anew with these frames, uint8 [n, H, W, 3], n ≥ 1. With fewer than nine the motion before them is not seen.
   * The guardrail looks at them before the next step.
   */
  reset(frames: Uint8Array): void;
  /**
   * Takes one action, or several in a row, one per frame, and gives the frames that follow: uint8 [actions, H, W, 3].
   * Eight at once cost as much as one: the network makes eight frames a call, and those beyond the actions are thrown away.
   */
  step(
    actions: readonly number[] | readonly (readonly number[])[],
    options?: { signal?: AbortSignal },
  ): Promise<Uint8Array>;
  [Symbol.asyncDispose](): Promise<void>;
};

export type RobotWorldOptions = {
  /** Model folder, as `recipes/orrery-robot.json` trains one. */
  readonly model: string;
  /** First frames, see `RobotWorld.reset`. */
  readonly frames: Uint8Array;
  /** What is in the scene, in words. Default: nothing. */
  readonly caption?: string;
  /** Seed of the sampler's noise. Default 1. */
  readonly seed?: number;
  readonly device?: Device;
  readonly threads?: number;
  /** Checks the given and the made frames; `noGuardrail()` of the base switches it off. */
  readonly guardrail: Guardrail;
};

/** Opens an action-conditioned model on given frames. Dispose it: it holds a worker thread. */
export async function openRobotWorld(options: RobotWorldOptions): Promise<RobotWorld> {
  const { model, frames, guardrail } = options;
  const nano = await openNano(model, {
    ...(options.device === undefined ? {} : { device: options.device }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  });
  try {
    if (nano.config.actions === undefined) {
      throw new InputError('model', {
        got: model,
        need: 'a model that is conditioned on actions, such as one trained by recipes/orrery-robot.json',
        why: 'this one has no input for them',
      });
    }
    const { fps } = nano.window;
    const stepper = steppedWorld(nano, nano.sampling, frames, options);
    const { height, width } = stepper;
    const asFrames = (data: Uint8Array): GuardFrames => ({
      dtype: 'u8',
      shape: [data.length / (3 * height * width), height, width, 3],
      data,
    });
    await guardFrames(asFrames(frames), 'input', fps, { guardrail });
    /** Given frames that were not looked at yet. */
    let unseen: Uint8Array | undefined;
    let shown = stepper.frame;
    return {
      ...stepper,
      get length() {
        return stepper.length;
      },
      get frame() {
        return shown.slice();
      },
      reset(given) {
        stepper.reset(given);
        unseen = given.slice();
        shown = stepper.frame;
      },
      async step(actions, asked = {}) {
        const how = { guardrail, ...asked };
        if (unseen !== undefined) await guardFrames(asFrames(unseen), 'input', fps, how);
        unseen = undefined;
        const { data } = await guardFrames(asFrames(await stepper.step(actions, asked)), 'frames', fps, how);
        shown = data.slice(-3 * height * width);
        return data;
      },
      [Symbol.asyncDispose]: () => nano[Symbol.asyncDispose](),
    };
  } catch (error) {
    await nano[Symbol.asyncDispose]();
    throw error;
  }
}

/** The stepping itself, on an opened model and without a guardrail. */
function steppedWorld(
  parts: WindowModel,
  sampling: Sampling,
  first: Uint8Array,
  { caption = '', seed = 1 }: { readonly caption?: string; readonly seed?: number } = {},
): Omit<RobotWorld, typeof Symbol.asyncDispose> {
  const { height, width, fps } = parts.window;
  const each = height * width * 3;
  let seen: Uint8Array = new Uint8Array(0);
  let length = 0;
  let calls = 0;
  const reset = (frames: Uint8Array): void => {
    const n = frames.length / each;
    if (!Number.isInteger(n) || n < 1) {
      throw new InputError('frames', {
        got: `${frames.length} bytes`,
        need: `whole frames of ${width}×${height}, ${each} bytes each, at least one`,
      });
    }
    seen = frames.slice(Math.max(0, n - SEEN) * each);
    length = n;
    calls = 0;
  };
  reset(first);
  return {
    fps,
    height,
    width,
    get length() {
      return length;
    },
    get frame() {
      return seen.slice(seen.length - each);
    },
    reset,
    async step(given, { signal } = {}) {
      const actions = (typeof given[0] === 'number' ? [given] : given) as readonly (readonly number[])[];
      if (actions.length === 0) throw new InputError('actions', { got: 'none', need: 'at least one action' });
      requireActions(actions, parts.config.actions?.scale.length ?? ACTION_SIZE);
      const out = new Uint8Array(actions.length * each);
      for (let at = 0; at < actions.length; at += CALL) {
        throwIfAborted(signal);
        const now: Actions = actions.slice(at, at + CALL);
        let last: WindowProgress | undefined;
        const request = {
          caption,
          seed,
          window: calls++,
          sampling,
          actions: now,
          ...(signal === undefined ? {} : { signal }),
        };
        for await (const progress of nextFrames(seen, parts, request)) last = progress;
        const made = (await last!.frames()).slice(0, now.length * each);
        out.set(made, at * each);
        const all = new Uint8Array(seen.length + made.length);
        all.set(seen);
        all.set(made, seen.length);
        seen = all.slice(Math.max(0, all.length / each - SEEN) * each);
        length += now.length;
      }
      return out;
    },
  };
}
