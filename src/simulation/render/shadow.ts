// Soft shadows: how much of the sun disc a point sees.

import { hitBox, hitLocal } from './intersect.ts';
import { BOUND, EXTENT, PART_STRIDE, SIZE, SPHERE } from './parts.ts';
import type { Shading } from './shade.ts';

/** Turns of the sun disc that noise chooses from; a power of two. */
export const ROTATIONS = 256;

/** When the first rays agree, the point is taken to lie outside the penumbra. */
export const CERTAIN_RAYS = 5;

/** Whether a part may shadow points within `reach` of (x, y, z): its bounding sphere meets the cone towards the sun. */
export function mayShadow(s: Shading, part: number, x: number, y: number, z: number, reach: number): boolean {
  const { light } = s;
  const o = part * PART_STRIDE;
  const data = s.parts.data;
  const r = data[o + BOUND]! + reach;
  const dx = data[o]! - x;
  const dy = data[o + 1]! - y;
  const dz = data[o + 2]! - z;
  const along = dx * light[0]! + dy * light[1]! + dz * light[2]!;
  if (along < -r) return false;
  const spread = light[18]!;
  const limit = r * (1 + spread) + Math.max(along, 0) * spread;
  return dx * dx + dy * dy + dz * dz - along * along < limit * limit;
}

/**
 * Share of the sun disc that is seen from the point in `s.hit`: spheres in closed form, other parts by rays.
 * @param self the part that the point lies on: parts are convex, they do not shadow themselves
 */
export function sunVisibility(s: Shading, self: number, noise: number, list: Int32Array, listed: number): number {
  const { light, hit, ray, candidates, origins, sunLocal } = s;
  const { data, shape } = s.parts;
  const x = hit[0]!;
  const y = hit[1]!;
  const z = hit[2]!;
  const spread = light[18]!;
  let visible = 1;
  let rays = 0;
  for (let i = 0; i < listed; i++) {
    const p = list[i]!;
    if (p === self || !mayShadow(s, p, x, y, z, 0)) continue;
    const o = p * PART_STRIDE;
    const dx = x - data[o]!;
    const dy = y - data[o + 1]!;
    const dz = z - data[o + 2]!;
    if (shape[p] === SPHERE) {
      visible *= 1 - sphereCover(data[o + SIZE]!, -dx, -dy, -dz, light[0]!, light[1]!, light[2]!, spread);
      if (visible <= 0) return 0;
      continue;
    }
    const k = rays * 3;
    ray[0] = origins[k] = data[o + 3]! * dx + data[o + 6]! * dy + data[o + 9]! * dz;
    ray[1] = origins[k + 1] = data[o + 4]! * dx + data[o + 7]! * dy + data[o + 10]! * dz;
    ray[2] = origins[k + 2] = data[o + 5]! * dx + data[o + 8]! * dy + data[o + 11]! * dz;
    ray[3] = sunLocal[p * 9]!;
    ray[4] = sunLocal[p * 9 + 1]!;
    ray[5] = sunLocal[p * 9 + 2]!;
    // No ray of the cone strays further from its axis than `pad` within the part's reach, so an axis that misses the
    // padded box of the part proves that all of them miss the part.
    const along = -(dx * light[0]! + dy * light[1]! + dz * light[2]!) + data[o + BOUND]!;
    const pad = along * spread * 1.0001 + 1e-9;
    hitBox(ray, data[o + EXTENT]! + pad, data[o + EXTENT + 1]! + pad, data[o + EXTENT + 2]! + pad);
    if (ray[6]! < Number.POSITIVE_INFINITY) candidates[rays++] = p;
  }
  if (rays === 0) return visible;
  const turn = (noise & (ROTATIONS - 1)) * 2;
  const cos = s.turns[turn]!;
  const sin = s.turns[turn + 1]!;
  const { disc, samples } = s;
  let lit = 0;
  let last = 0;
  for (let n = 0; n < samples; n++) {
    if (n === CERTAIN_RAYS && (lit === 0 || lit === CERTAIN_RAYS)) return lit === 0 ? 0 : visible;
    const a = disc[n * 2]!;
    const b = disc[n * 2 + 1]!;
    const u = a * cos - b * sin;
    const v = a * sin + b * cos;
    let blocked = false;
    // Neighbouring rays tend to meet the same part: start with the last that blocked.
    for (let i = 0; i < rays; i++) {
      const c = i === 0 ? last : i <= last ? i - 1 : i;
      const p = candidates[c]!;
      const k = p * 9;
      ray[0] = origins[c * 3]!;
      ray[1] = origins[c * 3 + 1]!;
      ray[2] = origins[c * 3 + 2]!;
      ray[3] = sunLocal[k]! + u * sunLocal[k + 3]! + v * sunLocal[k + 6]!;
      ray[4] = sunLocal[k + 1]! + u * sunLocal[k + 4]! + v * sunLocal[k + 7]!;
      ray[5] = sunLocal[k + 2]! + u * sunLocal[k + 5]! + v * sunLocal[k + 8]!;
      hitLocal(data, p * PART_STRIDE, shape[p]!, ray);
      if (ray[6]! < Number.POSITIVE_INFINITY) {
        blocked = true;
        last = c;
        break;
      }
    }
    if (!blocked) lit++;
  }
  return (visible * lit) / samples;
}

/**
 * Share of the sun disc (angular radius `sun`) that a sphere covers: the area of the lens of two discs.
 * r: sphere radius; v: vector to its centre; l: unit vector to the sun.
 */
function sphereCover(
  r: number,
  vx: number,
  vy: number,
  vz: number,
  lx: number,
  ly: number,
  lz: number,
  sun: number,
): number {
  const d2 = vx * vx + vy * vy + vz * vz;
  if (d2 <= r * r) return 1;
  const d = Math.sqrt(d2);
  const cos = (vx * lx + vy * ly + vz * lz) / d;
  const theta = Math.acos(cos > 1 ? 1 : Math.max(cos, -1));
  const alpha = Math.asin(r / d);
  if (theta >= alpha + sun) return 0;
  if (theta <= alpha - sun) return 1;
  if (theta <= sun - alpha) return (alpha / sun) ** 2;
  const t2 = theta * theta;
  const a2 = alpha * alpha;
  const s2 = sun * sun;
  const p = (t2 + s2 - a2) / (2 * theta * sun);
  const q = (t2 + a2 - s2) / (2 * theta * alpha);
  const k = (sun + alpha - theta) * (theta + sun - alpha) * (theta - sun + alpha) * (theta + sun + alpha);
  const area = s2 * Math.acos(p) + a2 * Math.acos(q) - 0.5 * Math.sqrt(Math.max(k, 0));
  return area / (Math.PI * s2);
}
