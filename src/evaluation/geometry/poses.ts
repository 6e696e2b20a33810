// Camera tracks compared: similarity alignment (Umeyama 1991), absolute and relative pose errors, camera-control errors.
// Poses are camera-to-world, 4×4 row-major, metres.
import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { InputError } from '../../base/index.ts';
import { angleDegrees, det3, invertRigid, type Mat3, type Mat4, mul3, mul4, rotationOf, transpose3 } from './small.ts';

/** p_gt ≈ scale · R · p_est + t. */
export type Similarity = {
  readonly scale: number;
  readonly rotation: Float64Array;
  readonly translation: Float64Array;
  /** False for points on a line: the turn about it is arbitrary. */
  readonly isDetermined: boolean;
};

export type Alignment = 'sim3' | 'se3' | 'none';

const centreOf = (m: Mat4): [number, number, number] => [m[3]!, m[7]!, m[11]!];

/** Least-squares alignment of points x to y. @param withScale false: scale 1 */
export function umeyama(
  x: readonly (readonly number[])[],
  y: readonly (readonly number[])[],
  withScale = true,
): Similarity {
  const n = x.length;
  const mean = (points: readonly (readonly number[])[]): number[] =>
    [0, 1, 2].map((k) => points.reduce((s, p) => s + p[k]!, 0) / n);
  const mx = mean(x);
  const my = mean(y);
  const c = Matrix.zeros(3, 3);
  let variance = 0;
  for (let i = 0; i < n; i++) {
    for (let r = 0; r < 3; r++) {
      variance += (x[i]![r]! - mx[r]!) ** 2 / n;
      for (let k = 0; k < 3; k++) c.set(r, k, c.get(r, k) + ((y[i]![r]! - my[r]!) * (x[i]![k]! - mx[k]!)) / n);
    }
  }
  const svd = new SingularValueDecomposition(c);
  const u = Float64Array.from(svd.leftSingularVectors.to1DArray());
  const v = Float64Array.from(svd.rightSingularVectors.to1DArray());
  const sign = det3(u) * det3(v) < 0 ? -1 : 1;
  const rotation = mul3(mul3(u, [1, 0, 0, 0, 1, 0, 0, 0, sign]), transpose3(v));
  const [d0, d1, d2] = svd.diagonal as [number, number, number];
  const scale = withScale && variance > 0 ? (d0 + d1 + sign * d2) / variance : 1;
  const translation = translationFor(rotation, scale, mx, my);
  return { scale, rotation, translation, isDetermined: d1 > 1e-9 * d0 };
}

const translationFor = (r: Mat3, scale: number, mx: readonly number[], my: readonly number[]): Float64Array =>
  Float64Array.from(
    [0, 1, 2],
    (k) => my[k]! - scale * (r[k * 3]! * mx[0]! + r[k * 3 + 1]! * mx[1]! + r[k * 3 + 2]! * mx[2]!),
  );

function alignmentOf(truth: readonly Mat4[], got: readonly Mat4[], kind: Alignment): Similarity {
  if (kind === 'none') {
    const rotation = Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1);
    return { scale: 1, rotation, translation: new Float64Array(3), isDetermined: true };
  }
  return umeyama(got.map(centreOf), truth.map(centreOf), kind === 'sim3');
}

export type AbsoluteError = {
  /** Root mean square of distances, metres: the ATE. */
  readonly rmse: number;
  readonly mean: number;
  readonly alignment: Similarity;
  /** Angle between true and aligned orientation per frame, degrees. */
  readonly rotationDegrees: readonly number[];
};

/**
 * Absolute trajectory error after alignment of `got` to `truth`.
 * @param rotation uses this rotation instead of the least-squares one (for straight tracks, where it is not unique)
 */
export function absoluteError(
  truth: readonly Mat4[],
  got: readonly Mat4[],
  kind: Alignment = 'sim3',
  rotation?: Mat3,
): AbsoluteError {
  checkTracks(truth, got);
  const fitted = alignmentOf(truth, got, kind);
  const centres = (track: readonly Mat4[]): number[] =>
    [3, 7, 11].map((k) => track.reduce((s, m) => s + m[k]!, 0) / track.length);
  const alignment =
    rotation === undefined
      ? fitted
      : {
          ...fitted,
          rotation: Float64Array.from(rotation),
          translation: translationFor(rotation, fitted.scale, centres(got), centres(truth)),
        };
  const { scale, rotation: r, translation: t } = alignment;
  const distances = truth.map((g, i) => {
    const p = centreOf(got[i]!);
    const q = centreOf(g);
    let sum = 0;
    for (let k = 0; k < 3; k++) {
      sum += (q[k]! - (scale * (r[k * 3]! * p[0] + r[k * 3 + 1]! * p[1] + r[k * 3 + 2]! * p[2]) + t[k]!)) ** 2;
    }
    return Math.sqrt(sum);
  });
  return {
    rmse: Math.sqrt(distances.reduce((s, d) => s + d * d, 0) / distances.length),
    mean: distances.reduce((s, d) => s + d, 0) / distances.length,
    alignment,
    rotationDegrees: truth.map((g, i) => angleDegrees(mul3(transpose3(rotationOf(g)), mul3(r, rotationOf(got[i]!))))),
  };
}

export type RelativeError = {
  /** Per neighbouring pair, metres and degrees. */
  readonly translation: readonly number[];
  readonly rotationDegrees: readonly number[];
};

/**
 * Relative pose error at distance `step` frames: E = (G_i⁻¹G_{i+step})⁻¹ (S_i⁻¹S_{i+step}).
 * @param scale factor for the estimate's translations; default: that of the sim3 alignment
 */
export function relativeError(
  truth: readonly Mat4[],
  got: readonly Mat4[],
  options: { readonly step?: number; readonly scale?: number } = {},
): RelativeError {
  checkTracks(truth, got);
  const { step = 1, scale = alignmentOf(truth, got, 'sim3').scale } = options;
  const scaled = got.map((m) => scaleTranslation(m, scale));
  const translation: number[] = [];
  const rotationDegrees: number[] = [];
  for (let i = 0; i + step < truth.length; i++) {
    const g = mul4(invertRigid(truth[i]!), truth[i + step]!);
    const s = mul4(invertRigid(scaled[i]!), scaled[i + step]!);
    const e = mul4(invertRigid(g), s);
    translation.push(Math.hypot(...centreOf(e)));
    rotationDegrees.push(angleDegrees(rotationOf(e)));
  }
  return { translation, rotationDegrees };
}

function scaleTranslation(m: Mat4, scale: number): Float64Array {
  const out = Float64Array.from(m);
  for (const k of [3, 7, 11]) out[k] = out[k]! * scale;
  return out;
}

/**
 * Camera-control errors: both tracks seen from their first camera, translations over the largest distance from it; means over
 * frames 1…n−1. The normalisation behind published figures is not verified: compare within one table only.
 */
export function cameraControlError(
  truth: readonly Mat4[],
  got: readonly Mat4[],
): { readonly rotationDegrees: number; readonly translation: number } {
  checkTracks(truth, got);
  const normal = (track: readonly Mat4[]): Float64Array[] => {
    const first = invertRigid(track[0]!);
    const seen = track.map((m) => mul4(first, m));
    const far = Math.max(...seen.map((m) => Math.hypot(...centreOf(m))));
    return seen.map((m) => scaleTranslation(m, far === 0 ? 1 : 1 / far));
  };
  const g = normal(truth);
  const s = normal(got);
  let rotation = 0;
  let translation = 0;
  for (let i = 1; i < g.length; i++) {
    rotation += angleDegrees(mul3(transpose3(rotationOf(g[i]!)), rotationOf(s[i]!))) / (g.length - 1);
    const [a, b] = [centreOf(g[i]!), centreOf(s[i]!)];
    translation += Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) / (g.length - 1);
  }
  return { rotationDegrees: rotation, translation };
}

function checkTracks(truth: readonly Mat4[], got: readonly Mat4[]): void {
  if (truth.length !== got.length || truth.length < 2) {
    throw new InputError('tracks', {
      got: `${truth.length} and ${got.length} poses`,
      need: 'two tracks of equal length with at least two poses',
    });
  }
}
