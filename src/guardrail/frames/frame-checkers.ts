// Frame checkers as the runner sees them.
import type { GuardFrames } from '../../base/index.ts';
import type { GuardPolicy } from '../policy.ts';
import type { Answer, Checker } from '../runner.ts';
import {
  blockingClass,
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

/** The content of frames, with weights; without, it says so. */
export function contentChecker(settings: GuardPolicy['content']): {
  readonly checker: Checker<TimedFrames>;
  dispose(): Promise<void>;
} {
  let opened: Promise<ContentClassifier> | undefined;
  return {
    checker: {
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
        const classes = await classifier.classify(everyNth(frames, strideOf(fps, settings.maxFps)), signal);
        if (classes.length === 0) return { verdict: 'error', reason: 'there were no frames to look at' };
        const found = blockingClass(classes, settings.count, settings.of);
        if (found === 0) return { verdict: 'safe', reason: `${classes.length} frames looked at` };
        return { verdict: 'unsafe', category: CLASS_CATEGORIES[found] ?? '-', reason: `a frame of class ${found}` };
      },
    },
    dispose: async () => void (await opened?.then((c) => c.dispose()).catch(() => undefined)),
  };
}

function everyNth({ shape: [t, h, w, c], data }: GuardFrames, n: number): GuardFrames {
  if (n === 1) return { dtype: 'u8', shape: [t, h, w, c], data };
  const each = h * w * c;
  const count = Math.ceil(t / n);
  const out = new Uint8Array(count * each);
  for (let i = 0; i < count; i++) out.set(data.subarray(i * n * each, (i * n + 1) * each), i * each);
  return { dtype: 'u8', shape: [count, h, w, c], data: out };
}
