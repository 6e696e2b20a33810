// Which frames belong to which clip: fixed stride, detected shots or given spans, decided frame by frame as frames leave
// the look-ahead. Pure logic over frame numbers and times.
import type { Transition } from '../shots/detector.ts';

/** Rules for clips from shots. Seconds become frames as published: ceil for the limits, floor for the crop. */
export type ShotRules = {
  /** Shorter shots are dropped. Default 2. */
  readonly minSeconds: number;
  /** Longer shots are cut. Default 60. */
  readonly maxSeconds: number;
  /** Taken off both ends of every piece. Default 0.5. */
  readonly cropSeconds: number;
  /** What becomes of the rest of a long shot: further pieces, or nothing. Default `stride`. */
  readonly longShots: 'stride' | 'truncate';
};

/** How a video is split. */
export type SplitPlan =
  | ({ readonly by: 'shots' } & ShotRules)
  | {
      readonly by: 'fixed';
      readonly lengthSeconds: number;
      readonly strideSeconds: number;
      readonly minSeconds: number;
      readonly limit?: number;
    };

/** A clip that a frame belongs to. The key names it before its end is known. */
export type OpenSpan = {
  readonly key: string;
  readonly startFrame: number;
  /** Nominal start and length for fixed spans, seconds. */
  readonly nominal?: { readonly start: number; readonly end: number };
};

/** Decides frame by frame. */
export type Cutter = {
  /** Frames that must be decided after the current one before `spansOf` may be asked. */
  readonly lookAhead: number;
  /** A transition that the detector told. */
  transition(t: Transition): void;
  /** The spans that frame `f`, `seconds` after the first frame, belongs to. Frames come in order. */
  spansOf(f: number, seconds: number): readonly OpenSpan[];
  /** Whether a finished span of so many frames and seconds is kept. */
  isKept(frames: number, seconds: number): boolean;
  /** Says that the video has `frames` frames. */
  end(frames: number): void;
};

/** Opens a cutter. */
export function openCutter(plan: SplitPlan, fps: number): Cutter {
  return plan.by === 'fixed' ? fixedCutter(plan) : shotCutter(plan, fps);
}

function fixedCutter(plan: Extract<SplitPlan, { by: 'fixed' }>): Cutter {
  const { lengthSeconds, strideSeconds, minSeconds, limit = 0 } = plan;
  // Frame times are rounded in many containers: half a millisecond of tolerance.
  const slack = 5e-4;
  return {
    lookAhead: 0,
    transition: () => {},
    spansOf(f, seconds) {
      const spans: OpenSpan[] = [];
      const last = Math.floor((seconds + slack) / strideSeconds);
      const first = Math.max(0, Math.floor((seconds + slack - lengthSeconds) / strideSeconds) + 1);
      for (let k = first; k <= last; k++) {
        if (limit > 0 && k >= limit) break;
        const start = k * strideSeconds;
        spans.push({ key: `${k}`, startFrame: f, nominal: { start, end: start + lengthSeconds } });
      }
      return spans;
    },
    isKept: (_frames, seconds) => seconds >= minSeconds - slack,
    end: () => {},
  };
}

function shotCutter(plan: Extract<SplitPlan, { by: 'shots' }>, fps: number): Cutter {
  const max = Math.max(1, Math.ceil(plan.maxSeconds * fps));
  const min = Math.ceil(plan.minSeconds * fps);
  const crop = Math.floor(plan.cropSeconds * fps);
  let sceneStart = 0;
  /** Transitions still ahead of the current frame. */
  const ahead: Transition[] = [];
  let total = Number.POSITIVE_INFINITY;
  return {
    lookAhead: crop + 1,
    transition: (t) => {
      // Told again: its end is known now.
      const known = ahead.findIndex((a) => a.isPending === true && a.start === t.start);
      if (known >= 0) ahead[known] = t;
      else ahead.push(t);
    },
    end: (frames) => {
      total = frames;
    },
    spansOf(f) {
      while (ahead.length > 0) {
        const t = ahead[0]!;
        // A cut's own frame opens the new shot; the frames of a gradual transition belong to no shot.
        const next = t.kind === 'cut' ? t.start : t.end + 1;
        if (f < next || t.isPending === true) break;
        sceneStart = next;
        ahead.shift();
      }
      const transition = ahead[0];
      if (transition !== undefined && f >= transition.start) return [];
      const sceneEnd = Math.min(total, transition?.start ?? Number.POSITIVE_INFINITY);
      const piece = Math.floor((f - sceneStart) / max);
      if (piece > 0 && plan.longShots === 'truncate') return [];
      const start = sceneStart + piece * max;
      const end = Math.min(start + max, sceneEnd);
      // A last piece shorter than the limit is dropped before cropping; its end may not be known yet: `isKept` sees it too.
      if (end - start < min) return [];
      if (f < start + crop || f >= end - crop) return [];
      return [{ key: `${start + crop}`, startFrame: start + crop }];
    },
    // 48 frames at least, whatever the rate (published rule).
    isKept: (frames) => frames >= Math.max(min, Math.min(48, max)),
  };
}
