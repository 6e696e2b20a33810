// Distances between two sets of feature vectors: Fréchet (FID, FVD) without any epsilon, and the unbiased polynomial MMD (KID, JEDi).
import { EigenvalueDecomposition, Matrix, SingularValueDecomposition } from 'ml-matrix';
import { InputError } from '../../base/index.ts';

/** A set of feature vectors: `rows` vectors of `columns` numbers, row-major. */
export type Features = { readonly rows: number; readonly columns: number; readonly data: ArrayLike<number> };

export type Frechet = {
  /** |m₁−m₂|² + tr S₁ + tr S₂ − 2 tr (S₁S₂)^½, never below 0. */
  readonly distance: number;
  /** |m₁−m₂|². */
  readonly meanTerm: number;
  readonly traceA: number;
  readonly traceB: number;
};

/**
 * Fréchet distance of two gaussians fitted to features, covariances with n−1, all sums in float64.
 * With fewer samples than dimensions the last trace is the nuclear norm of A·Bᵀ (A, B: centred features over √(n−1)), which
 * is exact where a matrix square root is off in the fifth digit; otherwise eigenvalues of S₁^½ S₂ S₁^½, clamped at 0.
 */
export function frechetDistance(a: Features, b: Features): Frechet {
  checkFeatures(a, b, 2);
  const x = centred(a);
  const y = centred(b);
  let meanTerm = 0;
  for (let k = 0; k < a.columns; k++) meanTerm += (x.mean[k]! - y.mean[k]!) ** 2;
  const traceA = squares(x.matrix);
  const traceB = squares(y.matrix);
  const isThin = a.rows < a.columns || b.rows < b.columns;
  const cross = isThin ? nuclearNorm(x.matrix.mmul(y.matrix.transpose())) : traceOfRoot(x.matrix, y.matrix);
  return { distance: Math.max(0, meanTerm + traceA + traceB - 2 * cross), meanTerm, traceA, traceB };
}

/** Mean of the rows, and the rows minus it over √(n−1): MᵀM is the covariance. */
function centred(f: Features): { mean: Float64Array; matrix: Matrix } {
  const mean = new Float64Array(f.columns);
  for (let i = 0; i < f.rows; i++) {
    for (let k = 0; k < f.columns; k++) mean[k] = mean[k]! + f.data[i * f.columns + k]! / f.rows;
  }
  const scale = 1 / Math.sqrt(f.rows - 1);
  const matrix = Matrix.zeros(f.rows, f.columns);
  for (let i = 0; i < f.rows; i++) {
    for (let k = 0; k < f.columns; k++) matrix.set(i, k, (f.data[i * f.columns + k]! - mean[k]!) * scale);
  }
  return { mean, matrix };
}

function squares(m: Matrix): number {
  let sum = 0;
  for (let i = 0; i < m.rows; i++) for (let k = 0; k < m.columns; k++) sum += m.get(i, k) ** 2;
  return sum;
}

function nuclearNorm(m: Matrix): number {
  const { diagonal } = new SingularValueDecomposition(m, {
    computeLeftSingularVectors: false,
    computeRightSingularVectors: false,
    autoTranspose: true,
  });
  return diagonal.reduce((s, v) => s + v, 0);
}

/** tr (S₁S₂)^½ through the symmetric S₁^½ S₂ S₁^½. */
function traceOfRoot(a: Matrix, b: Matrix): number {
  const s1 = a.transpose().mmul(a);
  const s2 = b.transpose().mmul(b);
  const first = new EigenvalueDecomposition(s1, { assumeSymmetric: true });
  const roots = Matrix.diag(first.realEigenvalues.map((v) => Math.sqrt(Math.max(0, v))));
  const v = first.eigenvectorMatrix;
  const root = v.mmul(roots).mmul(v.transpose());
  const inner = root.mmul(s2).mmul(root);
  // Rounding leaves a little asymmetry that the solver may not assume away.
  const symmetric = Matrix.add(inner, inner.transpose()).mul(0.5);
  const { realEigenvalues } = new EigenvalueDecomposition(symmetric, { assumeSymmetric: true });
  return realEigenvalues.reduce((s, e) => s + Math.sqrt(Math.max(0, e)), 0);
}

/** Unbiased squared MMD with the kernel (x·y/d + 1)³, as in KID and JEDi (no subset averaging, no factor 100). May be negative. */
export function polynomialMmd(a: Features, b: Features): number {
  checkFeatures(a, b, 2);
  const d = a.columns;
  const kernel = (p: Features, i: number, q: Features, j: number): number => {
    let dot = 0;
    for (let k = 0; k < d; k++) dot += p.data[i * d + k]! * q.data[j * d + k]!;
    return (dot / d + 1) ** 3;
  };
  const within = (p: Features): number => {
    let sum = 0;
    for (let i = 0; i < p.rows; i++) for (let j = i + 1; j < p.rows; j++) sum += 2 * kernel(p, i, p, j);
    return sum / (p.rows * (p.rows - 1));
  };
  let cross = 0;
  for (let i = 0; i < a.rows; i++) for (let j = 0; j < b.rows; j++) cross += kernel(a, i, b, j);
  return within(a) + within(b) - (2 * cross) / (a.rows * b.rows);
}

function checkFeatures(a: Features, b: Features, least: number): void {
  if (a.columns !== b.columns) {
    throw new InputError('features', {
      got: `${a.columns} and ${b.columns} numbers each`,
      need: 'vectors of one length',
    });
  }
  if (a.rows < least || b.rows < least) {
    throw new InputError('features', {
      got: `${a.rows} and ${b.rows} vectors`,
      need: `at least ${least} in each set`,
      why: 'a covariance needs two samples; published figures use 1000 and more',
    });
  }
}
