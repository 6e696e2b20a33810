// The essential matrix of two views with known intrinsics from five matches (Nistér 2004; action matrix as Stewénius, Engels and
// Nistér 2006), and a seeded search among outliers. Works where all points lie on one plane, which eight-point does not.
// x₁ᵀ E x₀ = 0 with rays x of view 0 and view 1; x₁ ≃ R x₀ + t, E = [t]× R.
import { EigenvalueDecomposition, Matrix, SingularValueDecomposition } from 'ml-matrix';
import { randomStream } from '../../../base/index.ts';
import { angleDegrees, det3, mul3, transpose3 } from '../small.ts';

/** Rays (x, y, 1) of matched points, flat [n, 2] each. */
export type RayPairs = { readonly count: number; readonly a: Float64Array; readonly b: Float64Array };

/** Exponents of x y z of the twenty monomials up to degree three; the last ten are the basis of the quotient ring. */
const MONOMIALS: readonly (readonly [number, number, number])[] = [
  [3, 0, 0],
  [2, 1, 0],
  [2, 0, 1],
  [1, 2, 0],
  [1, 1, 1],
  [1, 0, 2],
  [0, 3, 0],
  [0, 2, 1],
  [0, 1, 2],
  [0, 0, 3],
  [2, 0, 0],
  [1, 1, 0],
  [1, 0, 1],
  [0, 2, 0],
  [0, 1, 1],
  [0, 0, 2],
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
  [0, 0, 0],
];
const INDEX = new Map(MONOMIALS.map((m, i) => [m.join(), i]));
/** Index of the product of two monomials; −1 above degree three. */
const PRODUCT = MONOMIALS.map((p) =>
  MONOMIALS.map((q) => INDEX.get([p[0] + q[0], p[1] + q[1], p[2] + q[2]].join()) ?? -1),
);

type Polynomial = Float64Array;

function times(p: Polynomial, q: Polynomial): Polynomial {
  const out = new Float64Array(20);
  for (let i = 0; i < 20; i++) {
    if (p[i] === 0) continue;
    for (let j = 0; j < 20; j++) if (q[j] !== 0) out[PRODUCT[i]![j]!]! += p[i]! * q[j]!;
  }
  return out;
}

const plus = (p: Polynomial, q: Polynomial, factor = 1): Polynomial => p.map((v, i) => v + factor * q[i]!);

/** All essential matrices (unit Frobenius norm) through five matches, at most ten. */
function fivePoint({ a, b }: RayPairs): Float64Array[] {
  const design = Matrix.zeros(9, 9);
  for (let i = 0; i < 5; i++) {
    const [x, y, u, v] = [a[2 * i]!, a[2 * i + 1]!, b[2 * i]!, b[2 * i + 1]!];
    design.setRow(i, [u * x, u * y, u, v * x, v * y, v, x, y, 1]);
  }
  const basis = new SingularValueDecomposition(design, { computeLeftSingularVectors: false }).rightSingularVectors;
  // E = x X + y Y + z Z + W, entry by entry a polynomial of degree one.
  const entries = Array.from({ length: 9 }, (_, k): Polynomial => {
    const p = new Float64Array(20);
    p[16] = basis.get(k, 5);
    p[17] = basis.get(k, 6);
    p[18] = basis.get(k, 7);
    p[19] = basis.get(k, 8);
    return p;
  });
  const rows = constraints(entries);
  if (!eliminate(rows)) return [];
  // Multiplication by x in the basis (x² xy xz y² yz z² x y z 1).
  const action = Matrix.zeros(10, 10);
  for (let i = 0; i < 6; i++) for (let j = 0; j < 10; j++) action.set(i, j, -rows[i]![10 + j]!);
  action.set(6, 0, 1);
  action.set(7, 1, 1);
  action.set(8, 2, 1);
  action.set(9, 6, 1);
  const { realEigenvalues, imaginaryEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(action);
  const out: Float64Array[] = [];
  for (let k = 0; k < 10; k++) {
    if (Math.abs(imaginaryEigenvalues[k]!) > 1e-9 * Math.max(1, Math.abs(realEigenvalues[k]!))) continue;
    const one = eigenvectorMatrix.get(9, k);
    if (Math.abs(one) < 1e-14) continue;
    const [x, y, z] = [6, 7, 8].map((i) => eigenvectorMatrix.get(i, k) / one) as [number, number, number];
    const e = Float64Array.from({ length: 9 }, (_, i) => {
      return x * basis.get(i, 5) + y * basis.get(i, 6) + z * basis.get(i, 7) + basis.get(i, 8);
    });
    const norm = Math.hypot(...e);
    if (Number.isFinite(norm) && norm > 0) out.push(e.map((v) => v / norm));
  }
  return out;
}

/** det E = 0 and 2EEᵀE − tr(EEᵀ)E = 0: ten cubics. */
function constraints(e: readonly Polynomial[]): Polynomial[] {
  const at = (i: number, j: number): Polynomial => e[3 * i + j]!;
  const minor = (i: number, j: number): Polynomial => {
    const [r0, r1] = [0, 1, 2].filter((r) => r !== i) as [number, number];
    const [c0, c1] = [0, 1, 2].filter((c) => c !== j) as [number, number];
    return plus(times(at(r0, c0), at(r1, c1)), times(at(r0, c1), at(r1, c0)), -1);
  };
  const det = plus(plus(times(at(0, 0), minor(0, 0)), times(at(0, 1), minor(0, 1)), -1), times(at(0, 2), minor(0, 2)));
  const square = Array.from({ length: 9 }, (_, k) => {
    const [i, j] = [Math.floor(k / 3), k % 3];
    return plus(plus(times(at(i, 0), at(j, 0)), times(at(i, 1), at(j, 1))), times(at(i, 2), at(j, 2)));
  });
  const trace = plus(plus(square[0]!, square[4]!), square[8]!);
  const out = [det];
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) {
      let sum: Polynomial = new Float64Array(20);
      for (let k = 0; k < 3; k++) sum = plus(sum, times(square[3 * i + k]!, at(k, j)), 2);
      out.push(plus(sum, times(trace, at(i, j)), -1));
    }
  }
  return out;
}

/** Gauss-Jordan on the ten leading monomials with row pivoting; false when singular. */
function eliminate(rows: Polynomial[]): boolean {
  for (let k = 0; k < 10; k++) {
    let best = k;
    for (let r = k + 1; r < 10; r++) if (Math.abs(rows[r]![k]!) > Math.abs(rows[best]![k]!)) best = r;
    if (Math.abs(rows[best]![k]!) < 1e-12) return false;
    [rows[k], rows[best]] = [rows[best]!, rows[k]!];
    const pivot = rows[k]!;
    const scale = 1 / pivot[k]!;
    for (let c = k; c < 20; c++) pivot[c]! *= scale;
    for (let r = 0; r < 10; r++) {
      if (r === k) continue;
      const row = rows[r]!;
      const f = row[k]!;
      if (f !== 0) for (let c = k; c < 20; c++) row[c]! -= f * pivot[c]!;
    }
  }
  return true;
}

/** A relative pose x₁ ≃ R x₀ + t with |t| = 1. */
export type TwoView = { readonly rotation: Float64Array; readonly translation: Float64Array };

/** The four poses of an essential matrix. */
function decompose(e: Float64Array): TwoView[] {
  const svd = new SingularValueDecomposition(Matrix.from1DArray(3, 3, e));
  const u = Float64Array.from(svd.leftSingularVectors.to1DArray());
  const v = Float64Array.from(svd.rightSingularVectors.to1DArray());
  const w = [0, -1, 0, 1, 0, 0, 0, 0, 1];
  const proper = (r: Float64Array): Float64Array => (det3(r) < 0 ? r.map((x) => -x) : r);
  const rotations = [w, transpose3(w)].map((m) => proper(mul3(mul3(u, m), transpose3(v))));
  const t = Float64Array.of(u[2]!, u[5]!, u[8]!);
  return rotations.flatMap((rotation) => [
    { rotation, translation: t },
    { rotation, translation: t.map((x) => -x) },
  ]);
}

/** Depths of a match along its two rays; both positive in front of both cameras. */
export function depthsOf(view: TwoView, pairs: RayPairs, i: number): readonly [number, number] {
  const { rotation: r, translation: t } = view;
  const [x, y] = [pairs.a[2 * i]!, pairs.a[2 * i + 1]!];
  const p = [0, 1, 2].map((k) => r[3 * k]! * x + r[3 * k + 1]! * y + r[3 * k + 2]!) as [number, number, number];
  const q = [pairs.b[2 * i]!, pairs.b[2 * i + 1]!, 1] as const;
  // Least squares of z₁ q = z₀ p + t.
  const pp = p[0] * p[0] + p[1] * p[1] + p[2] * p[2];
  const qq = q[0] * q[0] + q[1] * q[1] + 1;
  const pq = p[0] * q[0] + p[1] * q[1] + p[2];
  const pt = p[0] * t[0]! + p[1] * t[1]! + p[2] * t[2]!;
  const qt = q[0] * t[0]! + q[1] * t[1]! + t[2]!;
  const det = pp * qq - pq * pq;
  if (det < 1e-18) return [-1, -1];
  return [(pq * qt - qq * pt) / det, (pp * qt - pq * pt) / det];
}

const sampson = (e: Float64Array, { a, b }: RayPairs, i: number): number => {
  const [x, y, u, v] = [a[2 * i]!, a[2 * i + 1]!, b[2 * i]!, b[2 * i + 1]!];
  const lx = e[0]! * x + e[1]! * y + e[2]!;
  const ly = e[3]! * x + e[4]! * y + e[5]!;
  const mx = e[0]! * u + e[3]! * v + e[6]!;
  const my = e[1]! * u + e[4]! * v + e[7]!;
  const r = u * lx + v * ly + e[6]! * x + e[7]! * y + e[8]!;
  return (r * r) / Math.max(1e-300, lx * lx + ly * ly + mx * mx + my * my);
};

export type EssentialOptions = {
  /** Largest error of an inlier, in ray units (pixels over focal length). */
  readonly threshold: number;
  readonly seed?: number;
  readonly iterations?: number;
  /** Most different poses to return. Default 3. */
  readonly limit?: number;
};

/** The best few relative poses that differ, best first: nearly flat scenes leave two that fit equally well. */
export function relativePoses(pairs: RayPairs, options: EssentialOptions): TwoView[] {
  const { threshold, seed = 1, iterations = 150, limit = 3 } = options;
  if (pairs.count < 8) return [];
  const random = randomStream(seed, 'five-point');
  const worst = threshold * threshold;
  const found: { e: Float64Array; cost: number }[] = [];
  for (let round = 0; round < iterations; round++) {
    const chosen: number[] = [];
    while (chosen.length < 5) {
      const i = random.integer(0, pairs.count - 1);
      if (!chosen.includes(i)) chosen.push(i);
    }
    const pick = (v: Float64Array): Float64Array =>
      Float64Array.from(chosen.flatMap((i) => [v[2 * i]!, v[2 * i + 1]!]));
    for (const e of fivePoint({ count: 5, a: pick(pairs.a), b: pick(pairs.b) })) {
      let cost = 0;
      for (let i = 0; i < pairs.count; i++) cost += Math.min(worst, sampson(e, pairs, i));
      found.push({ e, cost });
    }
  }
  found.sort((p, q) => p.cost - q.cost);
  const out: TwoView[] = [];
  for (const { e } of found.slice(0, 60)) {
    const inside = Array.from({ length: pairs.count }, (_, i) => i).filter((i) => sampson(e, pairs, i) < worst);
    let best: TwoView | undefined;
    let most = 0;
    for (const view of decompose(e)) {
      const front = inside.filter((i) => Math.min(...depthsOf(view, pairs, i)) > 0).length;
      if (front > most) [most, best] = [front, view];
    }
    if (best === undefined || most < 0.7 * inside.length) continue;
    const isNew = out.every((o) => {
      const [dr, dt] = differenceOf(o, best);
      return dr > 0.02 || dt > 0.25;
    });
    if (isNew) out.push(best);
    if (out.length >= limit) break;
  }
  return out;
}

/** Angle between rotations and between directions of translation, rad. */
function differenceOf(p: TwoView, q: TwoView): readonly [number, number] {
  const turn = (angleDegrees(mul3(transpose3(p.rotation), q.rotation)) * Math.PI) / 180;
  const dot = p.translation.reduce((s, v, i) => s + v * q.translation[i]!, 0);
  return [turn, Math.acos(Math.min(1, Math.max(-1, dot)))];
}
