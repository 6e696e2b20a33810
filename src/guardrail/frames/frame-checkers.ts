// Frame checkers as the runner sees them.
import type { GuardFrames } from '../../base/index.ts';
import type { GuardPolicy } from '../policy.ts';
import type { Answer, Checker } from '../runner.ts';
import {
  blockingClasses,
  CLASS_CATEGORIES,
  type ContentClassifier,
  openContentClassifier,
  strideOf,
} from './content-classifier.ts';
import { checkFrameData, type FrameFindings } from './frame-checks.ts';

/** Frames with their rate. */
export type TimedFrames = { readonly frames: GuardFrames; readonly fps: number };

/** Undecodable frames, black videos, flashes. */
export function frameChecker(settings: GuardPolicy['frames']): Checker<TimedFrames> {
  return {
    name: 'frames',
    version: '1',
    check: ({ frames, fps }) => judgeFindings(checkFrameData(frames, fps), settings),
  };
}

/** The verdict on what was found. */
export function judgeFindings(found: FrameFindings, settings: GuardPolicy['frames']): Answer {
  if (found.problem !== undefined) return { verdict: 'error', category: 'frame', reason: found.problem };
  if (found.isBlack && settings.blockBlack) {
    return { verdict: 'unsafe', category: 'frame', reason: 'the video is black from start to end' };
  }
  const { flashesPerSecond } = found;
  if (flashesPerSecond <= settings.maxFlashesPerSecond)
    return { verdict: 'safe', reason: `${flashesPerSecond} flashes a second at most` };
  const reason = `${flashesPerSecond} flashes within a second, ${settings.maxFlashesPerSecond} allowed`;
  return settings.onFlash === 'block'
    ? { verdict: 'unsafe', category: 'flash', reason }
    : { verdict: 'safe', category: 'flash', reason: `warning: ${reason}` };
}

export type ContentChecker = {
  /** Judges whole videos, each by itself. */
  readonly checker: Checker<TimedFrames>;
  /** A checker for one video that comes in parts: strides and windows go on where the last part ended. */
  follow(): Checker<TimedFrames>;
  dispose(): Promise<void>;
};

/** The content of frames, with weights; without, it says so. */
export function contentChecker(settings: GuardPolicy['content']): ContentChecker {
  let opened: Promise<ContentClassifier> | undefined;
  const follow = (): Checker<TimedFrames> => {
    const classes: number[] = [];
    let seen = 0;
    return {
      name: 'content',
      version: '1',
      async check({ frames, fps }, signal) {
        if (settings === undefined) {
          return {
            verdict: 'not-configured',
            reason: 'frame content not checked: no classifier weights in the policy',
          };
        }
        opened ??= openContentClassifier(settings.tower, settings.head);
        const classifier = await opened;
        const stride = strideOf(fps, settings.maxFps);
        const first = (stride - (seen % stride)) % stride;
        seen += frames.shape[0];
        classes.push(...(await classifier.classify(everyNth(frames, stride, first), signal)));
        if (classes.length === 0) return { verdict: 'error', reason: 'there were no frames to look at' };
        const found = blockingClasses(classes, settings.count, settings.of);
        if (found.length === 0) return { verdict: 'safe', reason: `${classes.length} frames looked at` };
        const [category, ...also] = found.map((k) => CLASS_CATEGORIES[k] ?? '-');
        return { verdict: 'unsafe', category: category!, also, reason: `frames of class ${found.join(', ')}` };
      },
    };
  };
  return {
    checker: { name: 'content', version: '1', check: (subject, signal) => follow().check(subject, signal) },
    follow,
    dispose: async () => void (await opened?.then((c) => c.dispose()).catch(() => undefined)),
  };
}

/** Every n-th frame from `first` on; none when `first` lies behind the last. */
function everyNth({ shape: [t, h, w, c], data }: GuardFrames, n: number, first: number): GuardFrames {
  if (n === 1) return { dtype: 'u8', shape: [t, h, w, c], data };
  const each = h * w * c;
  const count = Math.max(0, Math.ceil((t - first) / n));
  const out = new Uint8Array(count * each);
  for (let i = 0; i < count; i++) {
    const at = first + i * n;
    out.set(data.subarray(at * each, (at + 1) * each), i * each);
  }
  return { dtype: 'u8', shape: [count, h, w, c], data: out };
}
