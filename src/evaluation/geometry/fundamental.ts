// The fundamental matrix from matches: normalised eight-point (Hartley 1997), seven-point samples, and a seeded RANSAC with a
// refit on its inliers. F takes points of view 1 to lines of view 0: aᵀFb = 0.
import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { InputError, randomStream } from '../../base/index.ts';
import type { Matches } from './sampson.ts';
import { det3, type Mat3, mul3, transpose3 } from './small.ts';

/** Chosen matches. */
export function pick({ a, b }: Matches, indices: readonly number[]): Matches {
  const from = (data: Float64Array): Float64Array =>
    Float64Array.from(indices.flatMap((i) => [data[2 * i]!, data[2 * i + 1]!]));
  return { count: indices.length, a: from(a), b: from(b) };
}

/** Similarity that moves the centroid to 0 and the mean distance to √2: [s 0 tx; 0 s ty; 0 0 1]. */
function normaliser(points: Float64Array): Float64Array {
  const n = points.length / 2;
  let x = 0;
  let y = 0;
  for (let i = 0; i < n; i++) {
    x += points[2 * i]! / n;
    y += points[2 * i + 1]! / n;
  }
  let distance = 0;
  for (let i = 0; i < n; i++) distance += Math.hypot(points[2 * i]! - x, points[2 * i + 1]! - y) / n;
  const s = distance === 0 ? 1 : Math.SQRT2 / distance;
  return Float64Array.of(s, 0, -s * x, 0, s, -s * y, 0, 0, 1);
}

function moved(points: Float64Array, t: Float64Array): Float64Array {
  return points.map((v, i) => t[0]! * v + (i % 2 === 0 ? t[2]! : t[5]!));
}

/** Over the Frobenius norm. */
export function unit(f: Mat3): Float64Array {
  const norm = Math.sqrt(Array.from(f).reduce((s, v) => s + v * v, 0));
  return Float64Array.from(f, (v) => v / norm);
}

/** The nearest matrix of rank 2: the third singular value becomes zero. */
function rankTwo(f: Float64Array): Float64Array {
  const svd = new SingularValueDecomposition(Matrix.from1DArray(3, 3, f));
  const d = Matrix.diag([svd.diagonal[0]!, svd.diagonal[1]!, 0]);
  return Float64Array.from(svd.leftSingularVectors.mmul(d).mmul(svd.rightSingularVectors.transpose()).to1DArray());
}

/** Normalised eight-point on all matches, unit Frobenius norm, rank 2. Needs at least 8 matches. */
export function eightPoint(matches: Matches): Float64Array {
  const { count } = matches;
  if (count < 8) throw new InputError('matches', { got: count, need: 'at least 8' });
  const ta = normaliser(matches.a);
  const tb = normaliser(matches.b);
  const a = moved(matches.a, ta);
  const b = moved(matches.b, tb);
  // Nine rows at least: a thinner matrix has no ninth right singular vector. Many rows are first reduced by their products,
  // which costs precision that only exact small problems need.
  const design = Matrix.zeros(Math.max(9, count), 9);
  for (let i = 0; i < count; i++) setRow(design, i, a, b);
  const svd = new SingularValueDecomposition(design, { computeLeftSingularVectors: false });
  const f = rankTwo(Float64Array.from(svd.rightSingularVectors.getColumn(8)));
  return unit(mul3(mul3(transpose3(ta), f), tb));
}

function setRow(design: Matrix, i: number, a: Float64Array, b: Float64Array): void {
  const [ax, ay, bx, by] = [a[2 * i]!, a[2 * i + 1]!, b[2 * i]!, b[2 * i + 1]!];
  const row = [ax * bx, ax * by, ax, ay * bx, ay * by, ay, bx, by, 1];
  for (let k = 0; k < 9; k++) design.set(i, k, row[k]!);
}

/** Models through seven matches: F = x·F₁ + (1−x)·F₂ with det F = 0, one or three of them; none for degenerate samples. */
export function sevenPoint(matches: Matches): Float64Array[] {
  const ta = normaliser(matches.a);
  const tb = normaliser(matches.b);
  const a = moved(matches.a, ta);
  const b = moved(matches.b, tb);
  const rows = new Float64Array(63);
  for (let i = 0; i < 7; i++) {
    const [ax, ay, bx, by] = [a[2 * i]!, a[2 * i + 1]!, b[2 * i]!, b[2 * i + 1]!];
    rows.set([ax * bx, ax * by, ax, ay * bx, ay * by, ay, bx, by, 1], i * 9);
  }
  const basis = nullSpace7x9(rows);
  if (basis === undefined) return [];
  const [f1, f2] = basis;
  const at = (x: number): number => det3(f1.map((v, k) => x * v + (1 - x) * f2[k]!));
  // The determinant is a cubic in x; four values give its coefficients.
  const [d0, d1, dm, d2] = [at(0), at(1), at(-1), at(2)];
  const c0 = d0;
  const c2 = (d1 + dm) / 2 - d0;
  const odd = (d1 - dm) / 2;
  const c3 = (d2 - c0 - 4 * c2 - 2 * odd) / 6;
  const c1 = odd - c3;
  return cubicRoots(c3, c2, c1, c0).map((x) => {
    const f = Float64Array.from(f1, (v, k) => x * v + (1 - x) * f2[k]!);
    return unit(mul3(mul3(transpose3(ta), f), tb));
  });
}

/** Two vectors that span the null space of a 7×9 matrix, by elimination with full pivoting; undefined below rank 7. */
function nullSpace7x9(m: Float64Array): [Float64Array, Float64Array] | undefined {
  const order = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  for (let k = 0; k < 7; k++) {
    let best = 0;
    let [pr, pc] = [k, k];
    for (let r = k; r < 7; r++) {
      for (let c = k; c < 9; c++) {
        const v = Math.abs(m[r * 9 + order[c]!]!);
        if (v > best) [best, pr, pc] = [v, r, c];
      }
    }
    if (best < 1e-10) return undefined;
    [order[k], order[pc]] = [order[pc]!, order[k]!];
    if (pr !== k) {
      for (let c = 0; c < 9; c++) [m[k * 9 + c], m[pr * 9 + c]] = [m[pr * 9 + c]!, m[k * 9 + c]!];
    }
    const p = m[k * 9 + order[k]!]!;
    for (let r = 0; r < 7; r++) {
      if (r === k) continue;
      const q = m[r * 9 + order[k]!]! / p;
      if (q !== 0) for (let c = k; c < 9; c++) m[r * 9 + order[c]!] = m[r * 9 + order[c]!]! - q * m[k * 9 + order[c]!]!;
    }
  }
  const vector = (free: 7 | 8): Float64Array => {
    const v = new Float64Array(9);
    v[order[free]!] = 1;
    for (let k = 0; k < 7; k++) v[order[k]!] = -m[k * 9 + order[free]!]! / m[k * 9 + order[k]!]!;
    return v;
  };
  return [vector(7), vector(8)];
}

/** Real roots of c₃x³ + c₂x² + c₁x + c₀. */
export function cubicRoots(c3: number, c2: number, c1: number, c0: number): number[] {
  const size = Math.max(Math.abs(c3), Math.abs(c2), Math.abs(c1), Math.abs(c0));
  if (size === 0) return [];
  if (Math.abs(c3) < 1e-12 * size) {
    if (Math.abs(c2) < 1e-12 * size) return Math.abs(c1) < 1e-12 * size ? [] : [-c0 / c1];
    const disc = c1 * c1 - 4 * c2 * c0;
    if (disc < 0) return [];
    const r = Math.sqrt(disc);
    return [(-c1 + r) / (2 * c2), (-c1 - r) / (2 * c2)];
  }
  const [p, q, r] = [c2 / c3, c1 / c3, c0 / c3];
  const s = (p * p - 3 * q) / 9;
  const t = (2 * p ** 3 - 9 * p * q + 27 * r) / 54;
  const polish = (x0: number): number => {
    let x = x0;
    for (let i = 0; i < 2; i++) {
      const slope = (3 * x + 2 * p) * x + q;
      if (slope !== 0) x -= (((x + p) * x + q) * x + r) / slope;
    }
    return x;
  };
  if (t * t < s ** 3) {
    const angle = Math.acos(Math.max(-1, Math.min(1, t / Math.sqrt(s ** 3))));
    return [0, 2 * Math.PI, -2 * Math.PI].map((turn) =>
      polish(-2 * Math.sqrt(s) * Math.cos((angle + turn) / 3) - p / 3),
    );
  }
  const u = -Math.sign(t || 1) * Math.cbrt(Math.abs(t) + Math.sqrt(Math.max(0, t * t - s ** 3)));
  return [polish(u + (u === 0 ? 0 : s / u) - p / 3)];
}

export type RansacOptions = {
  /** Largest distance of a point from its line for an inlier, px. Default 3. */
  readonly threshold?: number;
  /** Wanted probability of one sample without outliers. Default 0.999. */
  readonly confidence?: number;
  /** Default 10000. */
  readonly maxIterations?: number;
  /** Seed of the samples. Default 1. */
  readonly seed?: number;
  /** Rounds of eight-point on the inliers after the search; 0 returns the best seven-point model as OpenCV does. Default 2. */
  readonly refits?: number;
};

export type RansacResult = {
  /** Unit Frobenius norm. */
  readonly f: Float64Array;
  /** 1 = inlier, per match. */
  readonly inliers: Uint8Array;
  readonly inlierCount: number;
  readonly iterations: number;
};

/** Robust F by seeded RANSAC; undefined with fewer than 8 matches or when no sample gives a model with 8 inliers. */
export function ransacFundamental(matches: Matches, options: RansacOptions = {}): RansacResult | undefined {
  const { threshold = 3, confidence = 0.999, maxIterations = 10_000, seed = 1, refits = 2 } = options;
  const { count } = matches;
  if (count < 8) return undefined;
  const random = randomStream(seed, 'ransac');
  const limit = threshold ** 2;
  let best: Float64Array | undefined;
  let bestCount = 0;
  let bestCost = Number.POSITIVE_INFINITY;
  let needed = maxIterations;
  let iteration = 0;
  for (; iteration < needed; iteration++) {
    for (const f of sevenPoint(pick(matches, sample(random.integer, count)))) {
      const { inside, cost } = support(f, matches, limit);
      // Truncated squared distances (MSAC) tell apart models with the same number of inliers.
      if (cost >= bestCost) continue;
      [best, bestCount, bestCost] = [f, inside, cost];
      const good = Math.min(1 - 1e-12, (inside / count) ** 7);
      needed = Math.min(
        maxIterations,
        good === 0 ? maxIterations : Math.ceil(Math.log(1 - confidence) / Math.log(1 - good)),
      );
    }
  }
  if (best === undefined || bestCount < 8) return undefined;
  let f = best;
  let inliers = inlierFlags(f, matches, limit);
  for (let i = 0; i < refits; i++) {
    const chosen = Array.from(inliers.keys()).filter((k) => inliers[k] === 1);
    if (chosen.length < 8) break;
    f = eightPoint(pick(matches, chosen));
    inliers = inlierFlags(f, matches, limit);
  }
  return { f, inliers, inlierCount: inliers.reduce((s, v) => s + v, 0), iterations: iteration };
}

/** Seven different indices. */
function sample(integer: (low: number, high: number) => number, count: number): number[] {
  const out: number[] = [];
  while (out.length < 7) {
    const i = integer(0, count - 1);
    if (!out.includes(i)) out.push(i);
  }
  return out;
}

/** Larger of the two squared point-line distances of match i. */
function lineDistance(f: Mat3, { a, b }: Matches, i: number): number {
  const ax = a[2 * i]!;
  const ay = a[2 * i + 1]!;
  const bx = b[2 * i]!;
  const by = b[2 * i + 1]!;
  const lx = f[0]! * bx + f[1]! * by + f[2]!;
  const ly = f[3]! * bx + f[4]! * by + f[5]!;
  const mx = f[0]! * ax + f[3]! * ay + f[6]!;
  const my = f[1]! * ax + f[4]! * ay + f[7]!;
  const r = ax * lx + ay * ly + f[6]! * bx + f[7]! * by + f[8]!;
  return (r * r) / Math.max(1e-300, Math.min(lx * lx + ly * ly, mx * mx + my * my));
}

function support(f: Mat3, matches: Matches, limit: number): { inside: number; cost: number } {
  let inside = 0;
  let cost = 0;
  for (let i = 0; i < matches.count; i++) {
    const d = lineDistance(f, matches, i);
    if (d <= limit) inside++;
    cost += Math.min(d, limit);
  }
  return { inside, cost };
}

const inlierFlags = (f: Mat3, matches: Matches, limit: number): Uint8Array =>
  Uint8Array.from({ length: matches.count }, (_, i) => (lineDistance(f, matches, i) <= limit ? 1 : 0));
