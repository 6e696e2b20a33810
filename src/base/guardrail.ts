// What pipelines know of a guardrail: an interface of layer 0, so that worlds can require one without importing it.

/** One checker's answer. Everything but `safe` blocks, except `not-configured` of a checker that the policy calls optional. */
export type GuardVerdict = 'safe' | 'unsafe' | 'error' | 'not-configured';

/** Codes of the categories O1…O13; `-` where a check has none. */
export type GuardCategory = `O${number}` | 'flash' | 'frame' | '-';

/** What one checker said about one thing. Never holds the words or pixels that led to it. */
export type GuardCheck = {
  /** Such as `blocklist`, `classifier`, `faces`. */
  readonly checker: string;
  readonly version: string;
  readonly stage: 'pre' | 'post';
  /** What was looked at, such as `prompt`, `negative_prompt`, `input`, `frames`. */
  readonly subject: string;
  readonly verdict: GuardVerdict;
  readonly category: GuardCategory;
  /** All categories that were found, `category` first; only of an `unsafe` verdict. */
  readonly categories?: readonly GuardCategory[];
  /** Probability or other score 0…1; absent where the checker has none. */
  readonly score?: number;
  /** One line for people: what happened and, for errors, what to mend. */
  readonly reason: string;
  /** Time of the check in milliseconds. */
  readonly ms: number;
};

/** The result of a stage. */
export type GuardDecision = {
  readonly isAllowed: boolean;
  readonly verdict: GuardVerdict;
  readonly category: GuardCategory;
  /** The checker that decided; `none` when all were safe. */
  readonly checker: string;
  /** Highest score of the scoring checkers, 0…1. */
  readonly score: number;
  /** For an untrusted caller: category code and stage, no detail. */
  readonly message: string;
  readonly checks: readonly GuardCheck[];
};

/** A text with what it is for. */
export type GuardText = { readonly subject: string; readonly text: string };

/** Frames uint8 RGB [T, H, W, 3]. */
export type GuardFrames = {
  readonly dtype: 'u8';
  readonly shape: readonly [number, number, number, number];
  readonly data: Uint8Array;
};

/** How frames are checked. */
export type GuardFrameOptions = {
  /** `input` for given frames, `frames` for generated ones. */
  readonly subject: string;
  /** Frames per second, for flash rates. */
  readonly fps: number;
  /** Change people's faces. Default: what the policy says. */
  readonly blurFaces?: boolean;
  readonly signal?: AbortSignal;
};

/** A guardrail as pipelines use it. */
export type Guardrail = {
  /** Name of the policy; `none` for the explicit opt-out. */
  readonly policy: string;
  /** Checks every text; the first that is not allowed decides. */
  checkTexts(texts: readonly GuardText[], options?: { readonly signal?: AbortSignal }): Promise<GuardDecision>;
  /** Checks frames and, when they pass, gives them back with faces made unrecognisable. The given frames stay as they are. */
  checkFrames(
    frames: GuardFrames,
    options: GuardFrameOptions,
  ): Promise<GuardDecision & { readonly frames: GuardFrames | undefined }>;
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Lets everything through and says so: the explicit opt-out. Records must show its name. */
export function noGuardrail(): Guardrail {
  const passed: GuardDecision = {
    isAllowed: true,
    verdict: 'not-configured',
    category: '-',
    checker: 'none',
    score: 0,
    message: 'no guardrail: switched off by the caller',
    checks: [],
  };
  const dispose = (): Promise<void> => Promise.resolve();
  return {
    policy: 'none',
    checkTexts: () => Promise.resolve(passed),
    checkFrames: (frames) => Promise.resolve({ ...passed, frames }),
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}
