// Bundle adjustment: cameras, points and one shared focal length that minimise reprojection errors. Levenberg-Marquardt with
// Huber weights; points are eliminated first (Schur complement), the remaining dense system is solved by Cholesky.
import { mul3 } from '../small.ts';

/** World-to-camera pose: x = R X + t. */
export type View = { rotation: Float64Array; translation: Float64Array };

/** One sight of a point: indices, and where it is, pixels. */
export type Sight = { readonly view: number; readonly point: number; readonly x: number; readonly y: number };

/** Everything that is adjusted, in place. */
export type Scene3 = {
  readonly views: View[];
  /** x y z flat. */
  readonly points: Float64Array;
  /** Pixels; one for both axes. */
  focal: number;
  readonly centre: readonly [number, number];
};

export type BundleOptions = {
  /** Views that stay as they are. The first is fixed when none is named. */
  readonly fixed?: ReadonlySet<number>;
  readonly fixesPoints?: boolean;
  readonly refinesFocal?: boolean;
  readonly iterations?: number;
  /** Residual from which errors count linearly, pixels. Default 1. */
  readonly huber?: number;
};

/** exp of a rotation vector, row-major 3×3. */
export function rotationExp([x, y, z]: readonly [number, number, number]): Float64Array {
  const angle = Math.hypot(x, y, z);
  if (angle < 1e-12) return Float64Array.of(1, -z, y, z, 1, -x, -y, x, 1);
  const [u, v, w] = [x / angle, y / angle, z / angle];
  const [s, c] = [Math.sin(angle), Math.cos(angle)];
  const k = 1 - c;
  return Float64Array.of(
    c + u * u * k,
    u * v * k - w * s,
    u * w * k + v * s,
    v * u * k + w * s,
    c + v * v * k,
    v * w * k - u * s,
    w * u * k - v * s,
    w * v * k + u * s,
    c + w * w * k,
  );
}

/** Where a point is seen, and its depth. */
export function projected(
  scene: Scene3,
  view: View,
  point: number,
): { readonly x: number; readonly y: number; readonly z: number } {
  const { points, focal, centre } = scene;
  const { rotation: r, translation: t } = view;
  const [px, py, pz] = [points[3 * point]!, points[3 * point + 1]!, points[3 * point + 2]!];
  const x = r[0]! * px + r[1]! * py + r[2]! * pz + t[0]!;
  const y = r[3]! * px + r[4]! * py + r[5]! * pz + t[1]!;
  const z = r[6]! * px + r[7]! * py + r[8]! * pz + t[2]!;
  return { x: centre[0] + (focal * x) / z, y: centre[1] + (focal * y) / z, z };
}

const BEHIND = 1e3;

/** Distance of a sight from where the scene says it is, pixels; large behind the camera. */
export function sightError(scene: Scene3, s: Sight): number {
  const p = projected(scene, scene.views[s.view]!, s.point);
  return p.z <= 1e-6 ? BEHIND : Math.hypot(p.x - s.x, p.y - s.y);
}

const robust = (e: number, huber: number): number => (e <= huber ? e * e : huber * (2 * e - huber));

const costOf = (scene: Scene3, sights: readonly Sight[], huber: number): number =>
  sights.reduce((sum, s) => sum + robust(sightError(scene, s), huber), 0);

/** Adjusts the scene in place. */
export function adjust(scene: Scene3, sights: readonly Sight[], options: BundleOptions = {}): void {
  const { fixed = new Set([0]), fixesPoints = false, refinesFocal = false, iterations = 15, huber = 1 } = options;
  // Sights of a point lie together, so that it is eliminated in one go.
  const sorted = [...sights].sort((a, b) => a.point - b.point);
  const slot = new Int32Array(scene.views.length).fill(-1);
  let size = 0;
  for (const s of sorted) {
    if (fixed.has(s.view) || slot[s.view]! >= 0) continue;
    slot[s.view] = size;
    size += 6;
  }
  const focalSlot = refinesFocal ? size++ : -1;
  if (size === 0 && fixesPoints) return;
  let cost = costOf(scene, sorted, huber);
  let damping = 1e-4;
  for (let round = 0; round < iterations; round++) {
    const system = linearise(scene, sorted, { slot, focalSlot, size, huber, damping, fixesPoints });
    const step = solveCholesky(system.matrix, system.vector, size);
    if (step === undefined) {
      damping *= 10;
      if (damping > 1e6) break;
      continue;
    }
    const trial = moved(scene, step, system.points, slot, focalSlot);
    const next = costOf(trial, sorted, huber);
    if (!(next < cost)) {
      damping *= 8;
      if (damping > 1e6) break;
      continue;
    }
    for (const [i, v] of trial.views.entries()) scene.views[i] = v;
    scene.points.set(trial.points);
    scene.focal = trial.focal;
    const isDone = cost - next < 1e-5 * cost;
    cost = next;
    damping = Math.max(1e-9, damping / 5);
    if (isDone) break;
  }
}

type PointSolve = {
  readonly point: number;
  readonly inverse: Float64Array;
  readonly right: Float64Array;
  readonly blocks: readonly Block[];
};
/** Part of the reduced system that a point touches: first unknown, how many, and JcᵀJp [n, 3]. */
type Block = { readonly at: number; readonly n: number; readonly w: Float64Array };

function linearise(
  scene: Scene3,
  sights: readonly Sight[],
  setting: {
    readonly slot: Int32Array;
    readonly focalSlot: number;
    readonly size: number;
    readonly huber: number;
    readonly damping: number;
    readonly fixesPoints: boolean;
  },
): { readonly matrix: Float64Array; readonly vector: Float64Array; readonly points: PointSolve[] } {
  const { slot, focalSlot, size, huber, damping, fixesPoints } = setting;
  const matrix = new Float64Array(size * size);
  const vector = new Float64Array(size);
  const solves: PointSolve[] = [];
  const jc = new Float64Array(14);
  const jp = new Float64Array(6);
  for (let from = 0; from < sights.length; ) {
    const point = sights[from]!.point;
    let to = from;
    while (to < sights.length && sights[to]!.point === point) to++;
    const v = new Float64Array(9);
    const bp = new Float64Array(3);
    const blocks: Block[] = [];
    const wf = new Float64Array(3);
    for (let k = from; k < to; k++) {
      const s = sights[k]!;
      const view = scene.views[s.view]!;
      const r = view.rotation;
      const p = projected(scene, view, point);
      if (p.z <= 1e-6) continue;
      const [rx, ry] = [p.x - s.x, p.y - s.y];
      const e = Math.hypot(rx, ry);
      const weight = e <= huber ? 1 : huber / e;
      const f = scene.focal;
      // In the camera: x, y over z.
      const [u, w] = [(p.x - scene.centre[0]) / f, (p.y - scene.centre[1]) / f];
      const iz = f / p.z;
      // d pixel / d camera point.
      const d = [iz, 0, -iz * u, 0, iz, -iz * w] as const;
      const [cx, cy, cz] = [u * p.z, w * p.z, p.z];
      const t = view.translation;
      // Rotation acts from the left on R X (the camera point without its translation).
      const [ax, ay, az] = [cx - t[0]!, cy - t[1]!, cz - t[2]!];
      for (let i = 0; i < 2; i++) {
        const [d0, d1, d2] = [d[3 * i]!, d[3 * i + 1]!, d[3 * i + 2]!];
        jc[7 * i] = d2 * ay - d1 * az;
        jc[7 * i + 1] = d0 * az - d2 * ax;
        jc[7 * i + 2] = d1 * ax - d0 * ay;
        jc[7 * i + 3] = d0;
        jc[7 * i + 4] = d1;
        jc[7 * i + 5] = d2;
        jc[7 * i + 6] = i === 0 ? u : w;
        for (let c = 0; c < 3; c++) jp[3 * i + c] = d0 * r[c]! + d1 * r[3 + c]! + d2 * r[6 + c]!;
      }
      const res = [rx, ry] as const;
      const at = slot[s.view]!;
      const block = at < 0 ? undefined : { at, n: 6, w: new Float64Array(18) };
      for (let i = 0; i < 2; i++) {
        const j = 7 * i;
        if (at >= 0) {
          for (let a = 0; a < 6; a++) {
            const wa = weight * jc[j + a]!;
            vector[at + a]! -= wa * res[i]!;
            for (let b = 0; b < 6; b++) matrix[(at + a) * size + at + b]! += wa * jc[j + b]!;
            for (let c = 0; c < 3; c++) block!.w[3 * a + c]! += wa * jp[3 * i + c]!;
            if (focalSlot >= 0) {
              matrix[(at + a) * size + focalSlot]! += wa * jc[j + 6]!;
              matrix[focalSlot * size + at + a]! += wa * jc[j + 6]!;
            }
          }
        }
        if (focalSlot >= 0) {
          const wa = weight * jc[j + 6]!;
          vector[focalSlot]! -= wa * res[i]!;
          matrix[focalSlot * size + focalSlot]! += wa * jc[j + 6]!;
          for (let c = 0; c < 3; c++) wf[c]! += wa * jp[3 * i + c]!;
        }
        for (let a = 0; a < 3; a++) {
          const wa = weight * jp[3 * i + a]!;
          bp[a]! -= wa * res[i]!;
          for (let b = 0; b < 3; b++) v[3 * a + b]! += wa * jp[3 * i + b]!;
        }
      }
      if (block !== undefined) blocks.push(block);
    }
    if (!fixesPoints) {
      if (focalSlot >= 0) blocks.push({ at: focalSlot, n: 1, w: wf });
      for (let a = 0; a < 3; a++) v[4 * a]! += damping * v[4 * a]! + 1e-12;
      const inverse = inverse3(v);
      if (inverse !== undefined) {
        eliminatePoint(matrix, vector, size, blocks, inverse, bp);
        solves.push({ point, inverse, right: bp, blocks });
      }
    }
    from = to;
  }
  for (let i = 0; i < size; i++) matrix[i * size + i]! += damping * matrix[i * size + i]! + 1e-12;
  return { matrix, vector, points: solves };
}

/** S −= W V⁻¹ Wᵀ and b −= W V⁻¹ bₚ for one point. */
function eliminatePoint(
  matrix: Float64Array,
  vector: Float64Array,
  size: number,
  blocks: readonly Block[],
  inverse: Float64Array,
  bp: Float64Array,
): void {
  for (const p of blocks) {
    for (let a = 0; a < p.n; a++) {
      const [x, y, z] = [p.w[3 * a]!, p.w[3 * a + 1]!, p.w[3 * a + 2]!];
      const y0 = x * inverse[0]! + y * inverse[3]! + z * inverse[6]!;
      const y1 = x * inverse[1]! + y * inverse[4]! + z * inverse[7]!;
      const y2 = x * inverse[2]! + y * inverse[5]! + z * inverse[8]!;
      vector[p.at + a]! -= y0 * bp[0]! + y1 * bp[1]! + y2 * bp[2]!;
      const row = (p.at + a) * size;
      for (const q of blocks) {
        for (let b = 0; b < q.n; b++) {
          matrix[row + q.at + b]! -= y0 * q.w[3 * b]! + y1 * q.w[3 * b + 1]! + y2 * q.w[3 * b + 2]!;
        }
      }
    }
  }
}

function moved(
  scene: Scene3,
  step: Float64Array,
  solves: readonly PointSolve[],
  slot: Int32Array,
  focalSlot: number,
): Scene3 {
  const views = scene.views.map((view, i): View => {
    const at = slot[i]!;
    if (at < 0) return view;
    return {
      rotation: mul3(rotationExp([step[at]!, step[at + 1]!, step[at + 2]!]), view.rotation),
      translation: view.translation.map((v, k) => v + step[at + 3 + k]!),
    };
  });
  const points = scene.points.slice();
  for (const { point, inverse, right, blocks } of solves) {
    const b = right.slice();
    for (const block of blocks) {
      for (let a = 0; a < block.n; a++) {
        for (let c = 0; c < 3; c++) b[c]! -= block.w[3 * a + c]! * step[block.at + a]!;
      }
    }
    for (let c = 0; c < 3; c++) {
      points[3 * point + c]! += inverse[3 * c]! * b[0]! + inverse[3 * c + 1]! * b[1]! + inverse[3 * c + 2]! * b[2]!;
    }
  }
  const focal = focalSlot < 0 ? scene.focal : Math.max(1, scene.focal + step[focalSlot]!);
  return { views, points, focal, centre: scene.centre };
}

function inverse3(m: Float64Array): Float64Array | undefined {
  const [a, b, c, d, e, f, g, h, i] = m as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [p, q, r] = [e * i - f * h, f * g - d * i, d * h - e * g];
  const det = a * p + b * q + c * r;
  if (!(Math.abs(det) > 1e-30)) return undefined;
  return Float64Array.of(
    p,
    c * h - b * i,
    b * f - c * e,
    q,
    a * i - c * g,
    c * d - a * f,
    r,
    b * g - a * h,
    a * e - b * d,
  ).map((v) => v / det);
}

/** Solves a symmetric positive system; undefined when it is not positive. */
function solveCholesky(m: Float64Array, b: Float64Array, n: number): Float64Array | undefined {
  const l = m.slice();
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = l[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= l[i * n + k]! * l[j * n + k]!;
      if (i === j) {
        if (!(sum > 0)) return undefined;
        l[i * n + i] = Math.sqrt(sum);
      } else l[i * n + j] = sum / l[j * n + j]!;
    }
  }
  const x = b.slice();
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i]! -= l[i * n + k]! * x[k]!;
    x[i]! /= l[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i]! -= l[k * n + i]! * x[k]!;
    x[i]! /= l[i * n + i]!;
  }
  return x;
}
