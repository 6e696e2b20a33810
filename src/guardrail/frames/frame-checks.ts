// Checks of frames that need no weights: frames that cannot be there, videos that are black, and flashes that can harm people
// with photosensitive epilepsy. They say nothing about what the frames show.
import type { GuardFrames } from '../../base/index.ts';

/** Grid on which brightness is followed. */
const COLUMNS = 16;
const ROWS = 9;
/** A cell flashes when its relative luminance changes by a tenth while the darker state is below 0.8. */
const STEP = 0.1;
const BRIGHT = 0.8;
/** Part of the picture that must change together. */
const AREA = 0.25;

/** sRGB value 0…255 → linear light 0…1. */
const LINEAR = Float64Array.from({ length: 256 }, (_, v) => {
  const s = v / 255;
  return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
});

/** Mean relative luminance (ITU-R BT.709 weights) of each grid cell of one frame. */
function luminanceGrid(data: Uint8Array, width: number, height: number): Float64Array {
  const sums = new Float64Array(COLUMNS * ROWS);
  const counts = new Float64Array(COLUMNS * ROWS);
  // Every third pixel of every third row is plenty for means of cells.
  const stride = width * height > 40_000 ? 3 : 1;
  for (let y = 0; y < height; y += stride) {
    const row = Math.floor((y * ROWS) / height) * COLUMNS;
    for (let x = 0; x < width; x += stride) {
      const i = (y * width + x) * 3;
      const cell = row + Math.floor((x * COLUMNS) / width);
      sums[cell]! += 0.2126 * LINEAR[data[i]!]! + 0.7152 * LINEAR[data[i + 1]!]! + 0.0722 * LINEAR[data[i + 2]!]!;
      counts[cell]! += 1;
    }
  }
  return sums.map((s, i) => (counts[i]! > 0 ? s / counts[i]! : 0));
}

/** Follows brightness through a video, frame by frame. */
export type FlashMeter = {
  /** @param data one frame uint8 [H, W, 3] */
  add(data: Uint8Array, width: number, height: number): void;
  /** Most flashes within any second so far; a flash is a pair of opposing changes. */
  perSecond(): number;
  /** Highest mean luminance of any frame, 0…1. */
  brightest(): number;
};

export function flashMeter(fps: number): FlashMeter {
  let extremes: Float64Array | undefined;
  const directions = new Int8Array(COLUMNS * ROWS);
  let frame = 0;
  let lastDirection = 0;
  let brightest = 0;
  const transitions: number[] = [];
  let most = 0;
  return {
    add(data, width, height) {
      const grid = luminanceGrid(data, width, height);
      brightest = Math.max(brightest, grid.reduce((a, b) => a + b, 0) / grid.length);
      if (extremes === undefined) extremes = grid.slice();
      let up = 0;
      let down = 0;
      for (const [i, value] of grid.entries()) {
        const change = value - extremes[i]!;
        const direction = Math.sign(change);
        if (direction === directions[i] || directions[i] === 0) {
          if (Math.abs(change) >= STEP && Math.min(value, extremes[i]!) < BRIGHT && directions[i] === 0) {
            directions[i] = direction;
            if (direction > 0) up++;
            else down++;
            extremes[i] = value;
          } else if (direction === directions[i]) extremes[i] = value;
        } else if (Math.abs(change) >= STEP && Math.min(value, extremes[i]!) < BRIGHT) {
          directions[i] = direction;
          extremes[i] = value;
          if (direction > 0) up++;
          else down++;
        }
      }
      const direction = up >= down ? 1 : -1;
      if (Math.max(up, down) >= AREA * grid.length && direction !== lastDirection) {
        lastDirection = direction;
        transitions.push(frame / fps);
        while (transitions[0]! < frame / fps - 1) transitions.shift();
        most = Math.max(most, Math.floor(transitions.length / 2));
      }
      frame++;
    },
    perSecond: () => most,
    brightest: () => brightest,
  };
}

/** What frame checks found. */
export type FrameFindings = {
  readonly frames: number;
  readonly flashesPerSecond: number;
  /** True when no frame is brighter than a dark room: mean luminance below 0.0005 everywhere. */
  readonly isBlack: boolean;
  /** Frames that cannot be there: wrong length of the data. */
  readonly problem?: string;
};

/** Mean relative luminance below which a video counts as black. */
export const BLACK = 0.0005;

/** Looks at whole frames in memory. */
export function checkFrameData(frames: GuardFrames, fps: number): FrameFindings {
  const [t, h, w, c] = frames.shape;
  const need = t * h * w * 3;
  const nothing = { frames: t, flashesPerSecond: 0, isBlack: false };
  if (t === 0) return { ...nothing, problem: 'there are no frames' };
  if (c !== 3 || !(h > 0) || !(w > 0))
    return { ...nothing, problem: `frames of shape [${frames.shape}] are no pictures` };
  if (frames.data.length !== need) {
    return {
      ...nothing,
      problem: `${frames.data.length} bytes for frames of shape [${frames.shape}], ${need} expected`,
    };
  }
  if (!(fps > 0) || !Number.isFinite(fps)) return { ...nothing, problem: `a rate of ${fps} frames per second` };
  const meter = flashMeter(fps);
  for (let i = 0; i < t; i++) meter.add(frames.data.subarray(i * h * w * 3, (i + 1) * h * w * 3), w, h);
  return { frames: t, flashesPerSecond: meter.perSecond(), isBlack: meter.brightest() < BLACK };
}
