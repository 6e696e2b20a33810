// From the raw numbers of RetinaFace to boxes: priors, decoding, selection. Plain float32 arithmetic in the order of the
// public code, because near ties decide which boxes stay.

/** A face, in pixels of the frame; corners may lie outside. */
export type FaceBox = {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  /** Probability 0…1. */
  readonly score: number;
};

/** Rules of selection. */
export type SelectionOptions = {
  /** Keep scores above this. Default 0.7. */
  readonly minScore?: number;
  /** A box goes when it overlaps a better one by more than this IoU. Default 0.4. */
  readonly maxOverlap?: number;
  /** Candidates looked at, best first. Default 5000. */
  readonly topK?: number;
  /** Boxes kept. Default 750. */
  readonly keep?: number;
};

const STEPS = [8, 16, 32] as const;
const SIZES = [
  [16, 32],
  [64, 128],
  [256, 512],
] as const;
const f = Math.fround;

/** Prior boxes [P, 4] as (cx, cy, w, h) in parts of the frame: level, row, column, size. Not clipped. */
export function facePriors(height: number, width: number): Float32Array {
  const out: number[] = [];
  for (const [level, step] of STEPS.entries()) {
    for (let i = 0; i < Math.ceil(height / step); i++) {
      for (let j = 0; j < Math.ceil(width / step); j++) {
        for (const size of SIZES[level]!) {
          out.push(((j + 0.5) * step) / width, ((i + 0.5) * step) / height, size / width, size / height);
        }
      }
    }
  }
  return Float32Array.from(out);
}

/** Boxes [P, 4] in pixels (x1, y1, x2, y2) from offsets [P, 4]; variances 0.1 and 0.2. */
export function decodeBoxes(loc: Float32Array, priors: Float32Array, height: number, width: number): Float32Array {
  const out = new Float32Array(loc.length);
  const scale = [width, height];
  for (let p = 0; p < loc.length; p += 4) {
    for (let a = 0; a < 2; a++) {
      const center = f(priors[p + a]! + f(f(loc[p + a]! * f(0.1)) * priors[p + 2 + a]!));
      const size = f(priors[p + 2 + a]! * f(Math.exp(f(loc[p + 2 + a]! * f(0.2)))));
      const low = f(center - f(size / 2));
      out[p + a] = f(low * scale[a]!);
      out[p + 2 + a] = f(f(low + size) * scale[a]!);
    }
  }
  return out;
}

/** Five landmarks [P, 10] in pixels (x, y, x, y, …) from offsets [P, 10]. */
export function decodeLandmarks(
  landms: Float32Array,
  priors: Float32Array,
  height: number,
  width: number,
): Float32Array {
  return landms.map((value, i) => {
    const p = Math.floor(i / 10) * 4;
    const a = i % 2;
    return f(f(priors[p + a]! + f(f(value * f(0.1)) * priors[p + 2 + a]!)) * (a === 0 ? width : height));
  });
}

/**
 * Indices of the boxes that stay, best first. Widths and areas count both border pixels (+1), as in the public code.
 * @param boxes [P, 4] pixels @param scores [P]
 */
export function selectFaces(boxes: Float32Array, scores: Float32Array, options: SelectionOptions = {}): number[] {
  const { minScore = 0.7, maxOverlap = 0.4, topK = 5000, keep = 750 } = options;
  const order = Array.from(scores.keys()).filter((i) => scores[i]! > minScore);
  // NumPy's ascending sort read backwards: of equal scores the later one comes first.
  order.sort((i, j) => scores[j]! - scores[i]! || j - i);
  const area = (i: number): number =>
    f(f(boxes[4 * i + 2]! - boxes[4 * i]! + 1) * f(boxes[4 * i + 3]! - boxes[4 * i + 1]! + 1));
  let rest = order.slice(0, topK);
  const kept: number[] = [];
  while (rest.length > 0) {
    const best = rest[0]!;
    kept.push(best);
    const own = area(best);
    rest = rest.slice(1).filter((i) => {
      const w = Math.max(
        0,
        f(f(Math.min(boxes[4 * i + 2]!, boxes[4 * best + 2]!) - Math.max(boxes[4 * i]!, boxes[4 * best]!)) + 1),
      );
      const h = Math.max(
        0,
        f(f(Math.min(boxes[4 * i + 3]!, boxes[4 * best + 3]!) - Math.max(boxes[4 * i + 1]!, boxes[4 * best + 1]!)) + 1),
      );
      const shared = f(w * h);
      return f(shared / f(f(own + area(i)) - shared)) <= f(maxOverlap);
    });
  }
  return kept.slice(0, keep);
}

/** The float32 network input [3, H, W] of one frame uint8 [H, W, 3] RGB: blue, green, red minus their means. */
export function faceInput(frame: Uint8Array, out: Float32Array, mean: readonly number[]): void {
  const n = frame.length / 3;
  for (let i = 0; i < n; i++) {
    out[i] = frame[3 * i + 2]! - mean[0]!;
    out[n + i] = frame[3 * i + 1]! - mean[1]!;
    out[2 * n + i] = frame[3 * i]! - mean[2]!;
  }
}
