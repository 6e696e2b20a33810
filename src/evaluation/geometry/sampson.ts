// Sampson error of matches under a fundamental matrix, and its aggregation over frame pairs (TSE, CSE).
import { lowerMedian } from '../../motion/index.ts';
import { type Mat3, median } from './small.ts';

/** Matches: x y of view 0 and of view 1, flat [n, 2] each, pixels. */
export type Matches = { readonly count: number; readonly a: Float64Array; readonly b: Float64Array };

/**
 * Squared Sampson error of each match, px²: (aᵀFb)² / ((Fb)ₓ² + (Fb)ᵧ² + (Fᵀa)ₓ² + (Fᵀa)ᵧ²), aᵀFb = 0 being the constraint.
 * F takes a point of view 1 to its line in view 0. A match with zero gradient has error 0.
 */
export function sampsonSquared(f: Mat3, { count, a, b }: Matches): Float64Array {
  const out = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const ax = a[2 * i]!;
    const ay = a[2 * i + 1]!;
    const bx = b[2 * i]!;
    const by = b[2 * i + 1]!;
    const lx = f[0]! * bx + f[1]! * by + f[2]!;
    const ly = f[3]! * bx + f[4]! * by + f[5]!;
    const lz = f[6]! * bx + f[7]! * by + f[8]!;
    const mx = f[0]! * ax + f[3]! * ay + f[6]!;
    const my = f[1]! * ax + f[4]! * ay + f[7]!;
    const r = ax * lx + ay * ly + lz;
    const gradient = lx * lx + ly * ly + mx * mx + my * my;
    out[i] = gradient === 0 ? 0 : (r * r) / gradient;
  }
  return out;
}

/** Sampson error in pixels. */
export const sampsonPixels = (f: Mat3, matches: Matches): Float64Array => sampsonSquared(f, matches).map(Math.sqrt);

/** Errors of one frame pair in one number each; −1 without matches. */
export type PairError = {
  readonly mean: number;
  /** Lower median. */
  readonly median: number;
  /** Mean of the smallest 80 %, at least one. */
  readonly keep80: number;
};

export function pairError(pixels: Float64Array): PairError {
  if (pixels.length === 0) return { mean: -1, median: -1, keep80: -1 };
  const sorted = Float64Array.from(pixels).sort();
  const kept = sorted.subarray(0, Math.max(1, Math.floor(0.8 * sorted.length)));
  const mean = (v: Float64Array): number => v.reduce((s, x) => s + x, 0) / v.length;
  return { mean: mean(pixels), median: lowerMedian(pixels), keep80: mean(kept) };
}

/** Over the pairs of a view: mean of means and median of medians, pairs without matches left out; NaN when all are. */
export function aggregatePairs(pairs: readonly PairError[]): { mean: number; median: number; pairs: number } {
  const there = pairs.filter((p) => p.mean >= 0);
  const mean = there.length === 0 ? Number.NaN : there.reduce((s, p) => s + p.mean, 0) / there.length;
  return { mean, median: median(there.map((p) => p.median)), pairs: there.length };
}

/** Factor that brings pixel errors to the 960×540 canvas of published figures: 1101.45 / frame diagonal. */
export const canvasScale = (width: number, height: number): number => Math.hypot(960, 540) / Math.hypot(width, height);
