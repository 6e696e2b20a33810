// Ray against one part, in the part's own frame. Distances are in units of the direction's length, so a primary ray
// whose direction has z = 1 in the camera gets z-depth at once. No normals here.

import { BOX, CAPSULE, CYLINDER, PLANE, SIZE, SPHERE } from './parts.ts';

/** A ray that starts nearer than this to a surface does not hit it. */
const NEAR = 1e-6;

/**
 * Nearest distance in (1e-6, limit) at which a ray meets a part from outside or inside, or Infinity.
 * @param data part rows; @param at offset of the part's row; @param shape its shape code
 * @param ox,oy,oz origin in the part's frame; @param dx,dy,dz direction in the part's frame, any length
 */
export function hitLocal(
  data: Float64Array,
  at: number,
  shape: number,
  ox: number,
  oy: number,
  oz: number,
  dx: number,
  dy: number,
  dz: number,
): number {
  switch (shape) {
    case PLANE: {
      if (dz === 0) return Number.POSITIVE_INFINITY;
      const t = -oz / dz;
      return t > NEAR ? t : Number.POSITIVE_INFINITY;
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
      if (h < 0) return Number.POSITIVE_INFINITY;
      const s = Math.sqrt(h / a);
      const near = -f - s;
      if (near > NEAR) return near;
      const far = -f + s;
      return far > NEAR ? far : Number.POSITIVE_INFINITY;
    }
    case BOX: {
      // A zero component would make 0·∞; a tiny one gives the same answer without a branch later.
      const ix = 1 / (dx === 0 ? 1e-12 : dx);
      const iy = 1 / (dy === 0 ? 1e-12 : dy);
      const iz = 1 / (dz === 0 ? 1e-12 : dz);
      const kx = Math.abs(ix) * data[at + SIZE]!;
      const ky = Math.abs(iy) * data[at + SIZE + 1]!;
      const kz = Math.abs(iz) * data[at + SIZE + 2]!;
      const nx = -ox * ix;
      const ny = -oy * iy;
      const nz = -oz * iz;
      let near = nx - kx;
      if (ny - ky > near) near = ny - ky;
      if (nz - kz > near) near = nz - kz;
      let far = nx + kx;
      if (ny + ky < far) far = ny + ky;
      if (nz + kz < far) far = nz + kz;
      if (!(near <= far)) return Number.POSITIVE_INFINITY;
      if (near > NEAR) return near;
      return far > NEAR ? far : Number.POSITIVE_INFINITY;
    }
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
        if (q < 0) return Number.POSITIVE_INFINITY;
        const s = Math.sqrt(q);
        near = (-b - s) / a;
        far = (-b + s) / a;
      } else if (c > 0) return Number.POSITIVE_INFINITY;
      if (dz !== 0) {
        const i = 1 / dz;
        const k = Math.abs(i) * h;
        const n = -oz * i;
        if (n - k > near) near = n - k;
        if (n + k < far) far = n + k;
      } else if (Math.abs(oz) > h) return Number.POSITIVE_INFINITY;
      if (near > far) return Number.POSITIVE_INFINITY;
      if (near > NEAR) return near;
      return far > NEAR ? far : Number.POSITIVE_INFINITY;
    }
    case CAPSULE:
      return hitCapsule(data[at + SIZE]!, data[at + SIZE + 1]!, ox, oy, oz, dx, dy, dz);
    default:
      return Number.POSITIVE_INFINITY;
  }
}

// The union of an open cylinder and two balls: entering distance = smallest, and only that one is needed, because
// rays start outside (the camera and other parts' surfaces).
function hitCapsule(
  r: number,
  h: number,
  ox: number,
  oy: number,
  oz: number,
  dx: number,
  dy: number,
  dz: number,
): number {
  let best = Number.POSITIVE_INFINITY;
  const a = dx * dx + dy * dy;
  if (a > 1e-18) {
    const b = ox * dx + oy * dy;
    const q = b * b - a * (ox * ox + oy * oy - r * r);
    if (q < 0) return best;
    const s = Math.sqrt(q);
    const t = (-b - s) / a;
    if (t > NEAR && Math.abs(oz + t * dz) <= h) return t;
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
  return best;
}

/** The same for an origin and direction in the world frame. */
export function hitWorld(
  data: Float64Array,
  at: number,
  shape: number,
  ox: number,
  oy: number,
  oz: number,
  dx: number,
  dy: number,
  dz: number,
): number {
  const x = ox - data[at]!;
  const y = oy - data[at + 1]!;
  const z = oz - data[at + 2]!;
  const r0 = data[at + 3]!;
  const r1 = data[at + 4]!;
  const r2 = data[at + 5]!;
  const r3 = data[at + 6]!;
  const r4 = data[at + 7]!;
  const r5 = data[at + 8]!;
  const r6 = data[at + 9]!;
  const r7 = data[at + 10]!;
  const r8 = data[at + 11]!;
  return hitLocal(
    data,
    at,
    shape,
    r0 * x + r3 * y + r6 * z,
    r1 * x + r4 * y + r7 * z,
    r2 * x + r5 * y + r8 * z,
    r0 * dx + r3 * dy + r6 * dz,
    r1 * dx + r4 * dy + r7 * dz,
    r2 * dx + r5 * dy + r8 * dz,
  );
}
