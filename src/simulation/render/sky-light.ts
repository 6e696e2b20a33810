// Ambient occlusion: how much of the sky hemisphere a surface sees, each part standing in as a ball.

import { BOUND, CORE, INSCRIBED, OCCLUDER, PART_STRIDE, SPHERE } from './parts.ts';
import type { Shading } from './shade.ts';

/** Ambient occlusion reaches this many occluder radii beyond a part's surface. */
export const OCCLUSION_REACH = 3;

/** Whether a part may dim the ambient light of points within `reach` of (x, y, z). */
export function mayOcclude(s: Shading, part: number, x: number, y: number, z: number, reach: number): boolean {
  const o = part * PART_STRIDE;
  const data = s.parts.data;
  const r = data[o + BOUND]! + OCCLUSION_REACH * data[o + OCCLUDER]! + reach;
  const dx = data[o]! - x;
  const dy = data[o + 1]! - y;
  const dz = data[o + 2]! - z;
  return dx * dx + dy * dy + dz * dz < r * r;
}

/** Share of the sky hemisphere that reaches the surface in `s.hit`, 0…1. */
export function skyVisibility(s: Shading, self: number, list: Int32Array, listed: number): number {
  const data = s.parts.data;
  const { hit } = s;
  const x = hit[0]!;
  const y = hit[1]!;
  const z = hit[2]!;
  const nx = hit[3]!;
  const ny = hit[4]!;
  const nz = hit[5]!;
  let open = 1;
  for (let i = 0; i < listed; i++) {
    const p = list[i]!;
    if (p === self || !mayOcclude(s, p, x, y, z, 0)) continue;
    const o = p * PART_STRIDE;
    const dx = x - data[o]!;
    const dy = y - data[o + 1]!;
    const dz = z - data[o + 2]!;
    let vx = dx;
    let vy = dy;
    let vz = dz;
    let along: number;
    if (s.parts.shape[p] === SPHERE) along = -(vx * nx + vy * ny + vz * nz);
    else {
      // To the nearest place of the inscribed sphere, in the part's frame.
      const r0 = data[o + 3]!;
      const r1 = data[o + 4]!;
      const r2 = data[o + 5]!;
      const r3 = data[o + 6]!;
      const r4 = data[o + 7]!;
      const r5 = data[o + 8]!;
      const r6 = data[o + 9]!;
      const r7 = data[o + 10]!;
      const r8 = data[o + 11]!;
      vx = r0 * dx + r3 * dy + r6 * dz;
      vy = r1 * dx + r4 * dy + r7 * dz;
      vz = r2 * dx + r5 * dy + r8 * dz;
      const cx = data[o + CORE]!;
      const cy = data[o + CORE + 1]!;
      const cz = data[o + CORE + 2]!;
      vx -= vx > cx ? cx : Math.max(vx, -cx);
      vy -= vy > cy ? cy : Math.max(vy, -cy);
      vz -= vz > cz ? cz : Math.max(vz, -cz);
      along = -(
        vx * (r0 * nx + r3 * ny + r6 * nz) +
        vy * (r1 * nx + r4 * ny + r7 * nz) +
        vz * (r2 * nx + r5 * ny + r8 * nz)
      );
    }
    const d = Math.sqrt(vx * vx + vy * vy + vz * vz);
    const radius = data[o + OCCLUDER]!;
    let gap = d - data[o + INSCRIBED]!;
    if (gap < 0) gap = 0;
    const fade = gap / (OCCLUSION_REACH * radius);
    if (fade >= 1) continue;
    const h = (gap + radius) / radius; // 1 / sine of the occluder's angular radius
    const cos = d > 1e-9 ? along / d : 0;
    // Form factor of a sphere: cos/h² above the horizon; a power law joins it to zero where the sphere sinks below
    // (Quilez, "sphere occlusion", approximate form).
    let cover: number;
    if (cos * h >= 1) cover = cos / (h * h);
    else if (cos * h <= -1) continue;
    else {
      const c = (0.5 * (cos * h + 1)) / (h * h);
      cover = c * Math.sqrt(c);
    }
    const window = 1 - fade * fade;
    open *= 1 - cover * window * window;
  }
  return open;
}
