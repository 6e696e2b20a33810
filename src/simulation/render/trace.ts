// Primary rays: the nearest part, and the surface there. No light.

import { hitLocal } from './intersect.ts';
import { BOX, CAPSULE, CYLINDER, EYE, PART_STRIDE, PLANE, SIZE } from './parts.ts';
import type { State } from './state.ts';

/**
 * Nearest of the first `listed` parts of `s.primary` along the ray through image-plane point (u, v) at depth 1.
 * Starts from a known surface (`part` at `depth`; −1 and Infinity = none). Returns the part and leaves its z-depth in
 * `s.found[0]`. Equal depths go to the lower part index, whatever the order of the search.
 */
export function trace(s: State, u: number, v: number, listed: number, part: number, depth: number): number {
  const { eye, primary, parts } = s;
  const { data, shape } = parts;
  const dx = u * eye[0]! + v * eye[3]! + eye[6]!;
  const dy = u * eye[1]! + v * eye[4]! + eye[7]!;
  const dz = u * eye[2]! + v * eye[5]! + eye[8]!;
  let best = depth;
  let bestPart = part;
  for (let k = 0; k < listed; k++) {
    const p = primary[k]!;
    const o = p * PART_STRIDE;
    const t = hitLocal(
      data,
      o,
      shape[p]!,
      data[o + EYE]!,
      data[o + EYE + 1]!,
      data[o + EYE + 2]!,
      data[o + 3]! * dx + data[o + 6]! * dy + data[o + 9]! * dz,
      data[o + 4]! * dx + data[o + 7]! * dy + data[o + 10]! * dz,
      data[o + 5]! * dx + data[o + 8]! * dy + data[o + 11]! * dz,
    );
    if (t < best || (t === best && p < bestPart)) {
      best = t;
      bestPart = p;
    }
  }
  s.found[0] = best;
  return bestPart;
}

/** Fills `s.hit` for the ray through (u, v); `part` −1 (sky) sets only the view direction. */
export function resolve(s: State, u: number, v: number, part: number, depth: number): void {
  const { eye, hit } = s;
  const dx = u * eye[0]! + v * eye[3]! + eye[6]!;
  const dy = u * eye[1]! + v * eye[4]! + eye[7]!;
  const dz = u * eye[2]! + v * eye[5]! + eye[8]!;
  const length = Math.sqrt(dx * dx + dy * dy + dz * dz);
  hit[9] = dx / length;
  hit[10] = dy / length;
  hit[11] = dz / length;
  if (part < 0) return;
  hit[0] = eye[9]! + depth * dx;
  hit[1] = eye[10]! + depth * dy;
  hit[2] = eye[11]! + depth * dz;
  hit[12] = depth * length;
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
      const core = shape[part] === CAPSULE ? (lz > b ? b : lz < -b ? -b : lz) : 0;
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
  if (wx * dx + wy * dy + wz * dz > 0) {
    wx = -wx;
    wy = -wy;
    wz = -wz;
  }
  hit[3] = wx;
  hit[4] = wy;
  hit[5] = wz;
}
