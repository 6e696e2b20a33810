// What the shot detector sees of a video: per frame a few dozen distances between small pictures, at several lags. Streams:
// frames in, feature rows out `LOOK_AHEAD` frames later. Pure numbers, no files.

/** Size of the small pictures. */
export const TINY = { width: 48, height: 27, bytes: 48 * 27 * 3 } as const;

const LAGS = [1, 2, 3, 4, 6, 8, 12, 16, 24] as const;
const SHIFT_LAGS = [1, 2, 4, 8, 16] as const;
const BLENDS = [2, 4, 8, 12, 16] as const;
const WIPES = [4, 8, 16] as const;
/** Frames after t that the features of t need. */
export const LOOK_AHEAD = 16;
/** Numbers per frame. */
export const FEATURES = 3 * LAGS.length + SHIFT_LAGS.length + 2 * BLENDS.length + WIPES.length + 4;

const W = 24;
const H = 13;
const CELLS = W * H;
const BINS = 512;
const KEEP = 64;

/** One frame in the form that distances are taken of. */
type Look = {
  /** Pooled colours [3, 13, 24], 0…1. */
  readonly colour: Float32Array;
  /** Luma with zero mean and unit deviation [13, 24]. */
  readonly luma: Float32Array;
  /** Square roots of a colour histogram, unit length [512]. */
  readonly histogram: Float32Array;
  readonly mean: number;
  readonly deviation: number;
  readonly peak: number;
};

function lookAt(rgb: Uint8Array): Look {
  const colour = new Float32Array(3 * CELLS);
  const luma = new Float32Array(CELLS);
  const counts = new Float32Array(BINS);
  for (let p = 0; p < TINY.bytes; p += 3) {
    const bin = ((rgb[p]! >> 5) << 6) | ((rgb[p + 1]! >> 5) << 3) | (rgb[p + 2]! >> 5);
    counts[bin]!++;
  }
  const histogram = new Float32Array(BINS);
  const total = TINY.bytes / 3;
  for (let i = 0; i < BINS; i++) if (counts[i]! > 0) histogram[i] = Math.sqrt(counts[i]! / total);
  let sum = 0;
  let squares = 0;
  let peak = 0;
  for (let y = 0; y < H; y++)
    for (let x = 0; x < W; x++) {
      const at = y * W + x;
      const p = (2 * y * TINY.width + 2 * x) * 3;
      const below = p + TINY.width * 3;
      for (let c = 0; c < 3; c++)
        colour[c * CELLS + at] = (rgb[p + c]! + rgb[p + 3 + c]! + rgb[below + c]! + rgb[below + 3 + c]!) / 1020;
      const l = 0.299 * colour[at]! + 0.587 * colour[CELLS + at]! + 0.114 * colour[2 * CELLS + at]!;
      luma[at] = l;
      sum += l;
      squares += l * l;
      if (l > peak) peak = l;
    }
  const mean = sum / CELLS;
  const deviation = Math.sqrt(Math.max(0, squares / CELLS - mean * mean));
  const scale = 1 / Math.max(deviation, 0.02);
  for (let i = 0; i < CELLS; i++) luma[i] = (luma[i]! - mean) * scale;
  return { colour, luma, histogram, mean, deviation, peak };
}

function colourDistance(a: Look, b: Look): number {
  let sum = 0;
  for (let i = 0; i < 3 * CELLS; i++) sum += Math.abs(a.colour[i]! - b.colour[i]!);
  return sum / (3 * CELLS);
}

/** 1 − Bhattacharyya coefficient. */
function histogramDistance(a: Look, b: Look): number {
  let dot = 0;
  for (let i = 0; i < BINS; i++) dot += a.histogram[i]! * b.histogram[i]!;
  return Math.max(0, 1 - dot);
}

/** 1 − normalised correlation of luma: blind to brightness and contrast. */
function structureDistance(a: Look, b: Look): number {
  let dot = 0;
  for (let i = 0; i < CELLS; i++) dot += a.luma[i]! * b.luma[i]!;
  return 1 - dot / CELLS;
}

/** Smallest mean difference of luma over shifts up to ±4 columns and ±2 rows: a pan is no cut. */
function shiftedDistance(a: Look, b: Look): number {
  let best = Number.POSITIVE_INFINITY;
  for (let dy = -2; dy <= 2; dy++)
    for (let dx = -4; dx <= 4; dx++) {
      const [x0, x1] = [Math.max(0, dx), Math.min(W, W + dx)];
      const [y0, y1] = [Math.max(0, dy), Math.min(H, H + dy)];
      let sum = 0;
      for (let y = y0; y < y1; y++) {
        const row = y * W;
        const other = (y - dy) * W - dx;
        for (let x = x0; x < x1; x++) sum += Math.abs(a.luma[row + x]! - b.luma[other + x]!);
      }
      const mean = sum / ((x1 - x0) * (y1 - y0));
      if (mean < best) best = mean;
    }
  return best;
}

/** How badly `m` fits the middle of a blend from `a` to `b`: [‖m − (a+b)/2‖/‖b − a‖, ‖b − a‖]. About 0 inside a dissolve. */
function blendMisfit(a: Look, m: Look, b: Look): [number, number] {
  let rest = 0;
  let span = 0;
  for (let i = 0; i < 3 * CELLS; i++) {
    const d = b.colour[i]! - a.colour[i]!;
    const e = m.colour[i]! - (a.colour[i]! + b.colour[i]!) / 2;
    rest += e * e;
    span += d * d;
  }
  return [Math.sqrt(rest / (span + 0.05)), Math.sqrt(span / (3 * CELLS))];
}

/** How badly each cell of `m` fits either `a` or `b`: about 0 inside a wipe. */
function wipeMisfit(a: Look, m: Look, b: Look): number {
  let rest = 0;
  let span = 0;
  for (let i = 0; i < 3 * CELLS; i++) {
    const v = m.colour[i]!;
    rest += Math.min(Math.abs(v - a.colour[i]!), Math.abs(v - b.colour[i]!));
    span += Math.abs(b.colour[i]! - a.colour[i]!);
  }
  return rest / (span + 5);
}

/** 1 − correlation of luma with the picture three frames before: blind to brightness and contrast. */
export const structureOf = (row: Float32Array): number => Math.exp(row[3 * LAGS.indexOf(3) + 2]!) - 0.01;

/** [mean, deviation, peak] of luma in a feature row, 0…1. */
export const brightnessOf = (row: Float32Array): [number, number, number] => [
  row[FEATURES - 4]!,
  row[FEATURES - 3]!,
  row[FEATURES - 2]!,
];

const log = (x: number): number => Math.log(x + 0.01);

/** Streams frames into feature rows. */
export type FeatureStream = {
  /** Takes the next frame (uint8 RGB [27, 48, 3]); returns the row of the frame `LOOK_AHEAD` before it, if there is one. */
  push(rgb: Uint8Array): Float32Array | undefined;
  /** The rows of the last frames, at the end of the video. */
  end(): Float32Array[];
};

/** Frames before the first and after the last count as copies of those. */
export function featureStream(): FeatureStream {
  const ring: Look[] = [];
  let count = 0;
  const at = (i: number, newest: number): Look => ring[Math.max(0, Math.min(newest, i)) % KEEP]!;
  const rowOf = (t: number, newest: number): Float32Array => {
    const row = new Float32Array(FEATURES);
    let n = 0;
    const now = at(t, newest);
    for (const k of LAGS) {
      const before = at(t - k, newest);
      row[n++] = log(colourDistance(before, now));
      row[n++] = log(histogramDistance(before, now));
      row[n++] = log(structureDistance(before, now));
    }
    for (const k of SHIFT_LAGS) row[n++] = log(shiftedDistance(at(t - k, newest), now));
    for (const k of BLENDS) {
      const [misfit, span] = blendMisfit(at(t - k, newest), now, at(t + k, newest));
      row[n++] = log(misfit);
      row[n++] = log(span);
    }
    for (const k of WIPES) row[n++] = log(wipeMisfit(at(t - k, newest), now, at(t + k, newest)));
    row[n++] = now.mean;
    row[n++] = now.deviation;
    row[n++] = now.peak;
    row[n++] = log(histogramDistance(at(t - 16, newest), at(t + 16, newest)));
    return row;
  };
  return {
    push(rgb) {
      ring[count % KEEP] = lookAt(rgb);
      count++;
      const t = count - 1 - LOOK_AHEAD;
      return t >= 0 ? rowOf(t, count - 1) : undefined;
    },
    end() {
      const rows: Float32Array[] = [];
      for (let t = Math.max(0, count - LOOK_AHEAD); t < count; t++) rows.push(rowOf(t, count - 1));
      return rows;
    },
  };
}
