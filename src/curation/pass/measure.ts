// Facts of a clip from a handful of pictures and the per-frame numbers: sharpness, exposure, bars, freezes, flashes, static
// overlays, colours, perceptual hashes. Pure numbers.
import { SIGNATURE_MOMENTS, signatureOf } from '../dedup/pictures.ts';

/** Pictures taken of a clip: uint8 RGB [n, H, W, 3] with their times. */
export type Samples = {
  readonly width: number;
  readonly height: number;
  readonly times: readonly number[];
  readonly frames: readonly Uint8Array[];
};

/** Numbers of every frame of a clip. */
export type FrameNumbers = {
  /** Mean luma 0…1. */
  readonly luma: readonly number[];
  /** Mean absolute difference to the frame before, 0…1. */
  readonly change: readonly number[];
};

/** Measured facts. */
export type QualityFacts = {
  /** Variance of the Laplacian of luma (8-bit), median over the pictures: below about 20 is blurred. */
  readonly sharpness: number;
  /** Mean luma 0…1, and shares of pixels below 0.04 and above 0.96. */
  readonly brightness: number;
  readonly contrast: number;
  readonly darkShare: number;
  readonly brightShare: number;
  /** Share of the height (top and bottom) and width (left and right) that are flat dark bars in every picture. */
  readonly letterbox: number;
  readonly pillarbox: number;
  /** Share of frames that repeat the one before. */
  readonly freezeShare: number;
  /** Sudden jumps of brightness that come back, per second. */
  readonly flashes: number;
  /** Share of the picture covered by sharp edges that stay in place while the rest moves: logos, captions. */
  readonly overlayShare: number;
  /** The same in the four corners only. */
  readonly cornerOverlayShare: number;
  /** Mean saturation 0…1. */
  readonly saturation: number;
  /** Up to three colour names with their shares. */
  readonly colours: readonly { readonly name: string; readonly share: number }[];
  /** 64-bit difference hashes of five pictures, hexadecimal. */
  readonly hashes: readonly string[];
  /** Small luma pictures of three moments, base64: what decides whether two clips show the same. */
  readonly signature?: string;
};

const median = (values: readonly number[]): number =>
  values.length === 0 ? 0 : [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** Measures a clip. */
export function measure(samples: Samples, numbers: FrameNumbers): QualityFacts {
  const { width, height, frames } = samples;
  const lumas = frames.map((rgb) => lumaOf(rgb));
  let dark = 0;
  let bright = 0;
  let sum = 0;
  let squares = 0;
  let count = 0;
  for (const luma of lumas)
    for (let i = 0; i < luma.length; i += 3) {
      const v = luma[i]!;
      if (v < 10) dark++;
      if (v > 245) bright++;
      sum += v;
      squares += v * v;
      count++;
    }
  const mean = sum / Math.max(1, count);
  const bars = barsOf(lumas, width, height);
  const overlay = overlayOf(lumas, width, height);
  const { colours, saturation } = coloursOf(frames);
  const picks = [0.1, 0.3, 0.5, 0.7, 0.9].map((u) => lumas[Math.min(lumas.length - 1, Math.floor(u * lumas.length))]!);
  const seconds = Math.max(0.1, (samples.times.at(-1) ?? 0) - (samples.times[0] ?? 0));
  return {
    sharpness: median(lumas.map((luma) => sharpnessOf(luma, width, height))),
    brightness: mean / 255,
    contrast: Math.sqrt(Math.max(0, squares / Math.max(1, count) - mean * mean)) / 255,
    darkShare: dark / Math.max(1, count),
    brightShare: bright / Math.max(1, count),
    ...bars,
    freezeShare: shareOf(numbers.change.slice(1), (c) => c < 4e-4),
    flashes: flashesOf(numbers.luma) / seconds,
    ...overlay,
    saturation,
    colours,
    signature: Buffer.from(
      signatureOf(
        SIGNATURE_MOMENTS.map((u) => lumas[Math.min(lumas.length - 1, Math.floor(u * lumas.length))]!),
        width,
        height,
      ),
    ).toString('base64'),
    hashes: picks.map((luma) => hashOf(luma, width, height)),
  };
}

function lumaOf(rgb: Uint8Array): Uint8Array {
  const out = new Uint8Array(rgb.length / 3);
  for (let i = 0, p = 0; i < out.length; i++, p += 3)
    out[i] = (rgb[p]! * 77 + rgb[p + 1]! * 150 + rgb[p + 2]! * 29) >> 8;
  return out;
}

function shareOf(values: readonly number[], test: (v: number) => boolean): number {
  return values.length === 0 ? 0 : values.filter(test).length / values.length;
}

function sharpnessOf(luma: Uint8Array, width: number, height: number): number {
  let sum = 0;
  let squares = 0;
  let n = 0;
  for (let y = 1; y < height - 1; y += 2)
    for (let x = 1; x < width - 1; x++) {
      const i = y * width + x;
      const l = luma[i - 1]! + luma[i + 1]! + luma[i - width]! + luma[i + width]! - 4 * luma[i]!;
      sum += l;
      squares += l * l;
      n++;
    }
  return n === 0 ? 0 : squares / n - (sum / n) ** 2;
}

/** Rows and columns at the borders that are dark and flat in every picture. */
function barsOf(lumas: readonly Uint8Array[], width: number, height: number): { letterbox: number; pillarbox: number } {
  const isBar = (at: (k: number) => number, n: number): boolean =>
    lumas.every((luma) => {
      let most = 0;
      for (let k = 0; k < n; k += 2) most = Math.max(most, luma[at(k)]!);
      return most < 28;
    });
  const row = (y: number): boolean => isBar((k) => y * width + k, width);
  const column = (x: number): boolean => isBar((k) => k * width + x, height);
  let [top, bottom, left, right] = [0, 0, 0, 0];
  while (top < height && row(top)) top++;
  if (top === height) return { letterbox: 0, pillarbox: 0 };
  while (row(height - 1 - bottom)) bottom++;
  while (column(left)) left++;
  while (column(width - 1 - right)) right++;
  // A one-sided border is part of the picture.
  const both = (a: number, b: number, n: number): number => (Math.min(a, b) >= 2 ? (a + b) / n : 0);
  return { letterbox: both(top, bottom, height), pillarbox: both(left, right, width) };
}

/** A jump of brightness that is mostly undone within six frames. */
function flashesOf(luma: readonly number[]): number {
  let flashes = 0;
  for (let i = 1; i < luma.length - 1; i++) {
    const rise = luma[i]! - luma[i - 1]!;
    if (Math.abs(rise) < 0.08) continue;
    for (let k = i + 1; k <= Math.min(luma.length - 1, i + 6); k++)
      if (Math.abs(luma[k]! - luma[i - 1]!) < 0.3 * Math.abs(rise)) {
        flashes++;
        i = k;
        break;
      }
  }
  return flashes;
}

/** Edges that are strong in nearly every picture at the same place, against how many edges each picture has anyway. */
function overlayOf(
  lumas: readonly Uint8Array[],
  width: number,
  height: number,
): { overlayShare: number; cornerOverlayShare: number } {
  const none = { overlayShare: 0, cornerOverlayShare: 0 };
  if (lumas.length < 4) return none;
  const [columns, rows] = [Math.floor(width / 4), Math.floor(height / 4)];
  const always = new Uint16Array(columns * rows);
  let edges = 0;
  for (const luma of lumas)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) {
        let most = 0;
        for (let y = r * 4; y < r * 4 + 4 && y < height - 1; y++)
          for (let x = c * 4; x < c * 4 + 4 && x < width - 1; x++) {
            const i = y * width + x;
            most = Math.max(most, Math.abs(luma[i]! - luma[i + 1]!), Math.abs(luma[i]! - luma[i + width]!));
          }
        if (most > 48) {
          always[r * columns + c]!++;
          edges++;
        }
      }
  const need = Math.ceil(lumas.length * 0.9);
  let stable = 0;
  let corner = 0;
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++)
      if (always[r * columns + c]! >= need) {
        stable++;
        const isCorner = (r < rows * 0.2 || r > rows * 0.8) && (c < columns * 0.25 || c > columns * 0.75);
        if (isCorner) corner++;
      }
  const perPicture = edges / lumas.length;
  // When most edges stay, the camera stands still: nothing can be said about overlays.
  if (perPicture === 0 || stable / perPicture > 0.5) return none;
  return { overlayShare: stable / (columns * rows), cornerOverlayShare: corner / (columns * rows) };
}

const NAMES: readonly (readonly [string, number])[] = [
  ['red', 0],
  ['orange', 30],
  ['yellow', 55],
  ['green', 120],
  ['cyan', 180],
  ['blue', 225],
  ['purple', 275],
  ['pink', 325],
  ['red', 360],
];

function coloursOf(frames: readonly Uint8Array[]): { colours: { name: string; share: number }[]; saturation: number } {
  const counts = new Map<string, number>();
  let total = 0;
  let saturationSum = 0;
  for (const rgb of frames)
    for (let p = 0; p + 2 < rgb.length; p += 3 * 29) {
      const [r, g, b] = [rgb[p]!, rgb[p + 1]!, rgb[p + 2]!];
      const [high, low] = [Math.max(r, g, b), Math.min(r, g, b)];
      const saturation = high === 0 ? 0 : (high - low) / high;
      saturationSum += saturation;
      let name: string;
      if (high < 40) name = 'black';
      else if (saturation < 0.18) name = high > 205 ? 'white' : 'grey';
      else {
        const d = high - low;
        const hue = 60 * (high === r ? ((g - b) / d + 6) % 6 : high === g ? (b - r) / d + 2 : (r - g) / d + 4);
        name = NAMES.reduce((a, n) => (Math.abs(n[1] - hue) < Math.abs(a[1] - hue) ? n : a))[0];
        if ((name === 'orange' || name === 'yellow' || name === 'red') && high < 140) name = 'brown';
      }
      counts.set(name, (counts.get(name) ?? 0) + 1);
      total++;
    }
  const colours = [...counts]
    .map(([name, n]) => ({ name, share: n / Math.max(1, total) }))
    .sort((a, b) => b.share - a.share)
    .filter((c) => c.share > 0.08)
    .slice(0, 3);
  return { colours, saturation: saturationSum / Math.max(1, total) };
}

/** Difference hash: is each of 8x8 cells brighter than its right neighbour? Borders are left out, so that bars and logos count less. */
export function hashOf(luma: Uint8Array, width: number, height: number): string {
  const means = new Float64Array(72);
  const [x0, y0] = [width * 0.06, height * 0.06];
  const [w, h] = [(width - 2 * x0) / 9, (height - 2 * y0) / 8];
  for (let r = 0; r < 8; r++)
    for (let c = 0; c < 9; c++) {
      let sum = 0;
      let n = 0;
      for (let y = Math.floor(y0 + r * h); y < Math.floor(y0 + (r + 1) * h); y += 2)
        for (let x = Math.floor(x0 + c * w); x < Math.floor(x0 + (c + 1) * w); x += 2) {
          sum += luma[y * width + x]!;
          n++;
        }
      means[r * 9 + c] = n === 0 ? 0 : sum / n;
    }
  let hex = '';
  for (let r = 0; r < 8; r++) {
    let byte = 0;
    for (let c = 0; c < 8; c++) byte = (byte << 1) | (means[r * 9 + c]! > means[r * 9 + c + 1]! ? 1 : 0);
    hex += byte.toString(16).padStart(2, '0');
  }
  return hex;
}
