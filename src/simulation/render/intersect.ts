// Ray against one part, in the part's own frame. Distances are in units of the direction's length, so a primary ray
// whose direction has z = 1 in the camera gets z-depth at once. No normals here.

import { BOX, CAPSULE, CYLINDER, PLANE, SIZE, SPHERE } from './parts.ts';

/** A ray that starts nearer than this to a surface does not hit it. */
const NEAR = 1e-6;

/** Values of a ray register: origin 3, direction 3, distance of the hit. Numbers passed as arguments would be boxed. */
export const RAY_SIZE = 7;

/**
 * Nearest distance above 1e-6 at which a ray meets a part, from outside or inside, into `ray[6]`; Infinity = none.
 * @param data part rows; @param at offset of the part's row; @param shape its shape code
 * @param ray origin and direction in the part's frame, direction of any length
 */
export function hitLocal(data: Float64Array, at: number, shape: number, ray: Float64Array): void {
  const ox = ray[0]!;
  const oy = ray[1]!;
  const oz = ray[2]!;
  const dx = ray[3]!;
  const dy = ray[4]!;
  const dz = ray[5]!;
  ray[6] = Number.POSITIVE_INFINITY;
  switch (shape) {
    case PLANE: {
      if (dz === 0) return;
      const t = -oz / dz;
      if (t > NEAR) ray[6] = t;
      return;
    }
    case SPHERE: {
      const r = data[at + SIZE]!;
      const a = dx * dx + dy * dy + dz * dz;
      const b = ox * dx + oy * dy + oz * dz;
      // Distance of the ray to the centre from the perpendicular foot: no cancellation for far origins.
      const f = b / a;
      const px = ox - f * dx;
      const py = oy - f * dy;
      const pz = oz - f * dz;
      const h = r * r - (px * px + py * py + pz * pz);
      if (h < 0) return;
      const s = Math.sqrt(h / a);
      keepNearest(ray, -f - s, -f + s);
      return;
    }
    case BOX:
      hitBox(ray, data[at + SIZE]!, data[at + SIZE + 1]!, data[at + SIZE + 2]!);
      return;
    case CYLINDER: {
      const r = data[at + SIZE]!;
      const h = data[at + SIZE + 1]!;
      const a = dx * dx + dy * dy;
      const c = ox * ox + oy * oy - r * r;
      let near = Number.NEGATIVE_INFINITY;
      let far = Number.POSITIVE_INFINITY;
      if (a > 1e-18) {
        const b = ox * dx + oy * dy;
        const q = b * b - a * c;
        if (q < 0) return;
        const s = Math.sqrt(q);
        near = (-b - s) / a;
        far = (-b + s) / a;
      } else if (c > 0) return;
      if (dz !== 0) {
        const i = 1 / dz;
        const k = Math.abs(i) * h;
        const n = -oz * i;
        if (n - k > near) near = n - k;
        if (n + k < far) far = n + k;
      } else if (Math.abs(oz) > h) return;
      if (near <= far) keepNearest(ray, near, far);
      return;
    }
    case CAPSULE:
      hitCapsule(ray, data[at + SIZE]!, data[at + SIZE + 1]!);
      return;
    default:
      return;
  }
}

function keepNearest(ray: Float64Array, near: number, far: number): void {
  if (near > NEAR) ray[6] = near;
  else if (far > NEAR) ray[6] = far;
}

/** Slab test against a box with half extents a, b, c around the origin. */
export function hitBox(ray: Float64Array, a: number, b: number, c: number): void {
  const dx = ray[3]!;
  const dy = ray[4]!;
  const dz = ray[5]!;
  // A zero component would make 0·∞; a tiny one gives the same answer without a branch later.
  const ix = 1 / (dx === 0 ? 1e-12 : dx);
  const iy = 1 / (dy === 0 ? 1e-12 : dy);
  const iz = 1 / (dz === 0 ? 1e-12 : dz);
  const kx = Math.abs(ix) * a;
  const ky = Math.abs(iy) * b;
  const kz = Math.abs(iz) * c;
  const nx = -ray[0]! * ix;
  const ny = -ray[1]! * iy;
  const nz = -ray[2]! * iz;
  let near = nx - kx;
  if (ny - ky > near) near = ny - ky;
  if (nz - kz > near) near = nz - kz;
  let far = nx + kx;
  if (ny + ky < far) far = ny + ky;
  if (nz + kz < far) far = nz + kz;
  ray[6] = Number.POSITIVE_INFINITY;
  if (near <= far) keepNearest(ray, near, far);
}

// The union of an open cylinder and two balls: the side's entry is the first hit wherever it lies between the caps.
function hitCapsule(ray: Float64Array, r: number, h: number): void {
  const ox = ray[0]!;
  const oy = ray[1]!;
  const oz = ray[2]!;
  const dx = ray[3]!;
  const dy = ray[4]!;
  const dz = ray[5]!;
  let best = Number.POSITIVE_INFINITY;
  const a = dx * dx + dy * dy;
  if (a > 1e-18) {
    const b = ox * dx + oy * dy;
    const q = b * b - a * (ox * ox + oy * oy - r * r);
    if (q < 0) return;
    const s = Math.sqrt(q);
    const t = (-b - s) / a;
    if (t > NEAR && Math.abs(oz + t * dz) <= h) {
      ray[6] = t;
      return;
    }
    const u = (-b + s) / a;
    if (u > NEAR && Math.abs(oz + u * dz) <= h) best = u;
  }
  const aa = a + dz * dz;
  for (let side = -1; side <= 1; side += 2) {
    const z = oz - side * h;
    const f = (ox * dx + oy * dy + z * dz) / aa;
    const px = ox - f * dx;
    const py = oy - f * dy;
    const pz = z - f * dz;
    const q = r * r - (px * px + py * py + pz * pz);
    if (q < 0) continue;
    const s = Math.sqrt(q / aa);
    const near = -f - s;
    if (near > NEAR) {
      if (near < best) best = near;
    } else if (-f + s > NEAR && -f + s < best) best = -f + s;
  }
  ray[6] = best;
}
