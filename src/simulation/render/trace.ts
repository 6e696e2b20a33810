// Primary rays: the nearest part, and the surface there. No light.

import { hitLocal } from './intersect.ts';
import { BOX, CAPSULE, CYLINDER, EYE, PART_STRIDE, PLANE, SIZE } from './parts.ts';
import type { State } from './state.ts';

/** Aims the primary ray through image-plane point (u, v) at depth 1; its direction has z = 1 in the camera. */
export function aim(s: State, u: number, v: number): void {
  const { eye, direction } = s;
  direction[0] = u * eye[0]! + v * eye[3]! + eye[6]!;
  direction[1] = u * eye[1]! + v * eye[4]! + eye[7]!;
  direction[2] = u * eye[2]! + v * eye[5]! + eye[8]!;
}

/**
 * Nearest of the first `listed` parts of `s.primary` along the aimed ray, better than the surface already known:
 * `part` (−1 = none) at depth `s.found[0]`. Returns the part and leaves its z-depth in `s.found[0]`. Equal depths go to
 * the lower part index, whatever the order of the search.
 */
export function trace(s: State, listed: number, part: number): number {
  const { primary, parts, direction, ray } = s;
  const { data, shape } = parts;
  const dx = direction[0]!;
  const dy = direction[1]!;
  const dz = direction[2]!;
  let best = s.found[0]!;
  let bestPart = part;
  for (let k = 0; k < listed; k++) {
    const p = primary[k]!;
    const o = p * PART_STRIDE;
    ray[0] = data[o + EYE]!;
    ray[1] = data[o + EYE + 1]!;
    ray[2] = data[o + EYE + 2]!;
    ray[3] = data[o + 3]! * dx + data[o + 6]! * dy + data[o + 9]! * dz;
    ray[4] = data[o + 4]! * dx + data[o + 7]! * dy + data[o + 10]! * dz;
    ray[5] = data[o + 5]! * dx + data[o + 8]! * dy + data[o + 11]! * dz;
    hitLocal(data, o, shape[p]!, ray);
    const t = ray[6]!;
    if (t < best || (t === best && p < bestPart)) {
      best = t;
      bestPart = p;
    }
  }
  s.found[0] = best;
  return bestPart;
}

/** Point, view direction and distance of the aimed ray at depth `s.found[0]` into `s.hit`. */
export function reach(s: State): void {
  const { eye, hit, direction } = s;
  const dx = direction[0]!;
  const dy = direction[1]!;
  const dz = direction[2]!;
  const depth = s.found[0]!;
  const length = Math.sqrt(dx * dx + dy * dy + dz * dz);
  hit[9] = dx / length;
  hit[10] = dy / length;
  hit[11] = dz / length;
  hit[0] = eye[9]! + depth * dx;
  hit[1] = eye[10]! + depth * dy;
  hit[2] = eye[11]! + depth * dz;
  hit[12] = depth * length;
}

/** Normal, and point in the part's frame, of the surface of `part` at the point in `s.hit`. */
export function resolve(s: State, part: number): void {
  const { hit, direction } = s;
  const { data, shape } = s.parts;
  const o = part * PART_STRIDE;
  const r0 = data[o + 3]!;
  const r1 = data[o + 4]!;
  const r2 = data[o + 5]!;
  const r3 = data[o + 6]!;
  const r4 = data[o + 7]!;
  const r5 = data[o + 8]!;
  const r6 = data[o + 9]!;
  const r7 = data[o + 10]!;
  const r8 = data[o + 11]!;
  const x = hit[0]! - data[o]!;
  const y = hit[1]! - data[o + 1]!;
  const z = hit[2]! - data[o + 2]!;
  const lx = r0 * x + r3 * y + r6 * z;
  const ly = r1 * x + r4 * y + r7 * z;
  const lz = r2 * x + r5 * y + r8 * z;
  hit[6] = lx;
  hit[7] = ly;
  hit[8] = lz;
  const a = data[o + SIZE]!;
  const b = data[o + SIZE + 1]!;
  let nx = 0;
  let ny = 0;
  let nz = 0;
  switch (shape[part]) {
    case PLANE:
      nz = 1;
      break;
    case BOX: {
      // The face whose plane is nearest, as a distance and not as a ratio: thin plates have shallow sides.
      const fx = a - Math.abs(lx);
      const fy = b - Math.abs(ly);
      const fz = data[o + SIZE + 2]! - Math.abs(lz);
      if (fx <= fy && fx <= fz) nx = lx < 0 ? -1 : 1;
      else if (fy <= fz) ny = ly < 0 ? -1 : 1;
      else nz = lz < 0 ? -1 : 1;
      break;
    }
    case CYLINDER: {
      const radial = Math.sqrt(lx * lx + ly * ly);
      if (a - radial <= b - Math.abs(lz)) {
        nx = lx / radial;
        ny = ly / radial;
      } else nz = lz < 0 ? -1 : 1;
      break;
    }
    default: {
      const core = shape[part] === CAPSULE ? (lz > b ? b : Math.max(lz, -b)) : 0;
      nx = lx;
      ny = ly;
      nz = lz - core;
      const n = 1 / Math.sqrt(nx * nx + ny * ny + nz * nz);
      nx *= n;
      ny *= n;
      nz *= n;
    }
  }
  let wx = r0 * nx + r1 * ny + r2 * nz;
  let wy = r3 * nx + r4 * ny + r5 * nz;
  let wz = r6 * nx + r7 * ny + r8 * nz;
  if (wx * direction[0]! + wy * direction[1]! + wz * direction[2]! > 0) {
    wx = -wx;
    wy = -wy;
    wz = -wz;
  }
  hit[3] = wx;
  hit[4] = wy;
  hit[5] = wz;
}
