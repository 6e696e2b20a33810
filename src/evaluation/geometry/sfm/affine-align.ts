// A patch found again in another picture under a change of viewpoint: position and affine change of shape that explain its look
// (inverse compositional alignment, Baker and Matthews 2004, section 3.2), the mean of both patches taken out.
import { CholeskyDecomposition, Matrix } from 'ml-matrix';

/** One channel of float pixels, row-major. */
export type Plane = { readonly data: Float32Array; readonly width: number; readonly height: number };

/** A patch with everything that does not depend on the other picture. Offsets are relative to (x, y). */
export type Template = {
  readonly radius: number;
  /** Values less their weighted mean, [n]. */
  readonly values: Float64Array;
  readonly weights: Float64Array;
  /** Steepest descent of the parameters (a b c d x y), [n, 6]. */
  readonly descent: Float64Array;
  /** Inverse of the 6×6 normal matrix. */
  readonly inverse: Float64Array;
};

/** Offset o of the template lies at A o + (x, y) in the other picture; A = [a b; c d]. */
export type Placement = {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly x: number;
  readonly y: number;
};

/** Damping of the shape as a share of its own curvature: patches with one edge must not turn at will. */
const SHAPE_DAMPING = 0.02;
/** Smallest pivot of the normal matrix. */
const LEAST_HOLD = 3e-5;
const ITERATIONS = 20;
/** A step below this ends the search, pixels. */
const STILL = 0.002;

/** Value at a place between pixels; NaN outside. */
function at({ data, width, height }: Plane, x: number, y: number): number {
  const i = Math.floor(x);
  const j = Math.floor(y);
  if (i < 0 || j < 0 || i + 1 >= width || j + 1 >= height) return Number.NaN;
  const u = x - i;
  const v = y - j;
  const k = j * width + i;
  return (
    (data[k]! * (1 - u) + data[k + 1]! * u) * (1 - v) + (data[k + width]! * (1 - u) + data[k + width + 1]! * u) * v
  );
}

/** The patch of (2 radius + 1)² pixels around a point; undefined at the border or where nothing holds it in both directions. */
export function templateAt(plane: Plane, x: number, y: number, radius: number): Template | undefined {
  const side = 2 * radius + 1;
  const n = side * side;
  if (x < radius + 2 || y < radius + 2 || x > plane.width - radius - 3 || y > plane.height - radius - 3)
    return undefined;
  const values = new Float64Array(n);
  const weights = new Float64Array(n);
  const descent = new Float64Array(n * 6);
  const normal = new Float64Array(36);
  let mean = 0;
  let total = 0;
  let k = 0;
  for (let oy = -radius; oy <= radius; oy++) {
    for (let ox = -radius; ox <= radius; ox++, k++) {
      const weight = Math.exp((-2 * (ox * ox + oy * oy)) / (radius * radius));
      const value = at(plane, x + ox, y + oy);
      const gx = (at(plane, x + ox + 1, y + oy) - at(plane, x + ox - 1, y + oy)) / 2;
      const gy = (at(plane, x + ox, y + oy + 1) - at(plane, x + ox, y + oy - 1)) / 2;
      values[k] = value;
      weights[k] = weight;
      mean += weight * value;
      total += weight;
      const d = 6 * k;
      descent[d] = gx * ox;
      descent[d + 1] = gx * oy;
      descent[d + 2] = gy * ox;
      descent[d + 3] = gy * oy;
      descent[d + 4] = gx;
      descent[d + 5] = gy;
    }
  }
  mean /= total;
  // The mean is free: its direction is taken out of the descent, too.
  const drift = new Float64Array(6);
  for (k = 0; k < n; k++) for (let i = 0; i < 6; i++) drift[i]! += (weights[k]! * descent[6 * k + i]!) / total;
  for (k = 0; k < n; k++) {
    values[k]! -= mean;
    for (let i = 0; i < 6; i++) descent[6 * k + i]! -= drift[i]!;
    for (let i = 0; i < 6; i++)
      for (let j = 0; j <= i; j++) normal[6 * i + j]! += weights[k]! * descent[6 * k + i]! * descent[6 * k + j]!;
  }
  for (let i = 0; i < 6; i++) for (let j = 0; j < i; j++) normal[6 * j + i] = normal[6 * i + j]!;
  for (let i = 0; i < 4; i++) normal[7 * i]! *= 1 + SHAPE_DAMPING;
  const factor = new CholeskyDecomposition(Matrix.from1DArray(6, 6, normal));
  // A patch that one edge holds can slide along it.
  if (!factor.isPositiveDefinite() || factor.lowerTriangularMatrix.diagonal().some((v) => v < LEAST_HOLD))
    return undefined;
  const inverse = Float64Array.from(factor.solve(Matrix.eye(6)).to1DArray());
  return { radius, values, weights, descent, inverse };
}

/**
 * Aligns a template with a picture, from a first guess.
 * @returns where it is and how alike both looks are (correlation, at most 1); undefined when it leaves the picture or does not settle
 */
export function alignTemplate(
  { radius, values, weights, descent, inverse }: Template,
  plane: Plane,
  guess: Placement,
): { readonly placement: Placement; readonly alike: number } | undefined {
  const side = 2 * radius + 1;
  const n = side * side;
  const seen = new Float64Array(n);
  let { a, b, c, d, x, y } = guess;
  for (let round = 0; round < ITERATIONS; round++) {
    let mean = 0;
    let total = 0;
    let k = 0;
    for (let oy = -radius; oy <= radius; oy++) {
      for (let ox = -radius; ox <= radius; ox++, k++) {
        const value = at(plane, a * ox + b * oy + x, c * ox + d * oy + y);
        seen[k] = value;
        mean += weights[k]! * value;
        total += weights[k]!;
      }
    }
    if (!Number.isFinite(mean)) return undefined;
    mean /= total;
    const right = new Float64Array(6);
    let own = 0;
    let other = 0;
    let both = 0;
    for (k = 0; k < n; k++) {
      const w = weights[k]!;
      const v = values[k]!;
      const s = seen[k]! - mean;
      own += w * v * v;
      other += w * s * s;
      both += w * v * s;
      const e = w * (s - v);
      for (let i = 0; i < 6; i++) right[i]! += e * descent[6 * k + i]!;
    }
    const step = new Float64Array(6);
    for (let i = 0; i < 6; i++) for (let j = 0; j < 6; j++) step[i]! += inverse[6 * i + j]! * right[j]!;
    // W ← W ∘ ΔW⁻¹.
    const [da, db, dc, dd] = [1 + step[0]!, step[1]!, step[2]!, 1 + step[3]!];
    const det = da * dd - db * dc;
    if (!(det > 0.2)) return undefined;
    const [ia, ib, ic, id] = [dd / det, -db / det, -dc / det, da / det];
    [a, b, c, d] = [a * ia + b * ic, a * ib + b * id, c * ia + d * ic, c * ib + d * id];
    x -= a * step[4]! + b * step[5]!;
    y -= c * step[4]! + d * step[5]!;
    if (Math.hypot(step[4]!, step[5]!) < STILL)
      return { placement: { a, b, c, d, x, y }, alike: both / Math.sqrt(own * other + 1e-12) };
  }
  return undefined;
}
