// f-theta fisheye cameras of the driving rigs: keypoints to rays and to the ideal 120° pinhole of the multi-view metrics.
import { InputError } from '../../base/index.ts';

/** A calibrated f-theta camera: angle = Σ cᵢ rⁱ (i = 0…4), r = distance from the centre in calibration pixels. */
export type FTheta = {
  readonly centre: readonly [number, number];
  readonly backward: readonly number[];
  /** Calibration size, width × height. */
  readonly width: number;
  readonly height: number;
};

/** Median calibration of the driving rig, 3848×2168 (public cookbook). */
const RIG = { width: 3848, height: 2168 } as const;
export const DRIVING_RIG: Readonly<Record<string, FTheta>> = {
  front: {
    ...RIG,
    centre: [1919.998, 1096.904],
    backward: [0, 5.374527536e-4, 1.663001514e-9, 2.446582867e-12, 2.182996638e-17],
  },
  cross_left: {
    ...RIG,
    centre: [1923.454, 1097.607],
    backward: [0, 5.35405532e-4, 4.879811555e-10, 2.739263677e-12, 1.713107261e-17],
  },
  cross_right: {
    ...RIG,
    centre: [1921.772, 1089.947],
    backward: [0, 5.356403999e-4, 5.987578766e-10, 2.469163329e-12, -2.721215104e-17],
  },
  rear_left: {
    ...RIG,
    centre: [1918.673, 1114.759],
    backward: [0, 3.187999246e-4, 1.299814811e-9, -2.267872088e-12, 8.71417967e-16],
  },
  rear_right: {
    ...RIG,
    centre: [1923.241, 1103.156],
    backward: [0, 3.193806042e-4, 9.980457572e-10, -2.209112883e-12, 9.363256782e-16],
  },
  rear_tele: {
    ...RIG,
    centre: [1925.646, 1092.215],
    backward: [0, 1.354787528e-4, -1.220203522e-10, -8.965561177e-14, 3.285919728e-17],
  },
  front_tele: {
    ...RIG,
    centre: [1921.475, 1104.496],
    backward: [0, 1.351480606e-4, -4.707874715e-11, 5.524693455e-14, -7.031902919e-18],
  },
};

const polynomial = (c: readonly number[], r: number): number => c.reduceRight((s, v) => s * r + v, 0);

/** Unit rays (x right, y down, z forward) of keypoints: flat [n, 2] in pixels of a video of the given size → flat [n, 3]. */
export function fthetaRays(
  camera: FTheta,
  points: ArrayLike<number>,
  video: { readonly width: number; readonly height: number },
): Float64Array {
  const n = points.length / 2;
  const out = new Float64Array(n * 3);
  for (let i = 0; i < n; i++) {
    const dx = (points[2 * i]! * camera.width) / video.width - camera.centre[0];
    const dy = (points[2 * i + 1]! * camera.height) / video.height - camera.centre[1];
    const r = Math.hypot(dx, dy);
    if (r < 1.2e-7) {
      out[3 * i + 2] = 1;
      continue;
    }
    const angle = polynomial(camera.backward, r);
    out[3 * i] = (Math.sin(angle) * dx) / r;
    out[3 * i + 1] = (Math.sin(angle) * dy) / r;
    out[3 * i + 2] = Math.cos(angle);
  }
  return out;
}

/** Rays back to pixels of the calibration image, by Newton on the backward polynomial. */
export function fthetaPixels(camera: FTheta, rays: ArrayLike<number>): Float64Array {
  const n = rays.length / 3;
  const out = new Float64Array(n * 2);
  const slopeOf = camera.backward.map((c, i) => c * i).slice(1);
  for (let i = 0; i < n; i++) {
    const [x, y, z] = [rays[3 * i]!, rays[3 * i + 1]!, rays[3 * i + 2]!];
    const side = Math.hypot(x, y);
    const angle = Math.atan2(side, z);
    let r = angle / camera.backward[1]!;
    for (let k = 0; k < 20; k++) r -= (polynomial(camera.backward, r) - angle) / polynomial(slopeOf, r);
    out[2 * i] = camera.centre[0] + (side === 0 ? 0 : (r * x) / side);
    out[2 * i + 1] = camera.centre[1] + (side === 0 ? 0 : (r * y) / side);
  }
  return out;
}

/** The ideal pinhole of the multi-view metrics: 120° wide, 960×540, f = 960/(2 tan 60°). Row-major 3×3. */
export const TARGET_PINHOLE: Float64Array = (() => {
  const f = 960 / (2 * Math.tan(Math.PI / 3));
  return Float64Array.of(f, 0, 480, 0, f, 270, 0, 0, 1);
})();

/** Rays to pinhole pixels: flat [n, 3] → flat [n, 2]. Rays at or behind the image plane have no pixel. */
export function raysToPinhole(rays: ArrayLike<number>, k: ArrayLike<number> = TARGET_PINHOLE): Float64Array {
  const n = rays.length / 3;
  const out = new Float64Array(n * 2);
  for (let i = 0; i < n; i++) {
    const z = rays[3 * i + 2]!;
    if (z === 0) throw new InputError('ray', { got: 'a ray in the image plane', need: 'rays in front of the camera' });
    out[2 * i] = (k[0]! * rays[3 * i]!) / z + k[2]!;
    out[2 * i + 1] = (k[4]! * rays[3 * i + 1]!) / z + k[5]!;
  }
  return out;
}
