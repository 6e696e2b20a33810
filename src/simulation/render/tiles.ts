// Which parts may cover which 8×8 pixel tile, and which may shadow or dim the points seen in it. Always a superset.

import { BOUND, EXTENT, PART_STRIDE, PLANE, SPHERE } from './parts.ts';
import { mayShadow } from './shadow.ts';
import { mayOcclude } from './sky-light.ts';
import { type State, TILE } from './state.ts';

/** Projects every part's bounds to tile ranges, never too small. */
export function coverTiles(s: State): void {
  const { parts, eye, camera, tileRange } = s;
  const data = parts.data;
  for (let p = 0; p < parts.count; p++) {
    const o = p * PART_STRIDE;
    let left = 0;
    let right = s.width;
    let top = 0;
    let bottom = s.height;
    if (parts.shape[p] !== PLANE) {
      const dx = data[o]! - eye[9]!;
      const dy = data[o + 1]! - eye[10]!;
      const dz = data[o + 2]! - eye[11]!;
      const x = eye[0]! * dx + eye[1]! * dy + eye[2]! * dz;
      const y = eye[3]! * dx + eye[4]! * dy + eye[5]! * dz;
      const z = eye[6]! * dx + eye[7]! * dy + eye[8]! * dz;
      const r = data[o + BOUND]! * 1.000001;
      if (z + r <= 0) {
        right = -1;
      } else if (z > r) {
        // Tangents from the eye to the bounding circle, in the horizontal and in the vertical plane.
        const qx = Math.sqrt(x * x + z * z - r * r);
        const qy = Math.sqrt(y * y + z * z - r * r);
        left = ((x * qx - r * z) / (z * qx + r * x)) * camera.fx + camera.cx;
        right = ((x * qx + r * z) / (z * qx - r * x)) * camera.fx + camera.cx;
        top = ((y * qy - r * z) / (z * qy + r * y)) * camera.fy + camera.cy;
        bottom = ((y * qy + r * z) / (z * qy - r * y)) * camera.fy + camera.cy;
        // A tangent that points behind the eye gives no bound on its side.
        if (z * qx + r * x <= 0) left = 0;
        if (z * qx - r * x <= 0) right = s.width;
        if (z * qy + r * y <= 0) top = 0;
        if (z * qy - r * y <= 0) bottom = s.height;
        if (parts.shape[p] !== SPHERE) {
          // The eight corners of the part's box are tighter for long parts.
          let l = Number.POSITIVE_INFINITY;
          let t = Number.POSITIVE_INFINITY;
          let rr = Number.NEGATIVE_INFINITY;
          let b = Number.NEGATIVE_INFINITY;
          for (let c = 0; c < 8; c++) {
            const ex = (c & 1 ? 1.000001 : -1.000001) * data[o + EXTENT]!;
            const ey = (c & 2 ? 1.000001 : -1.000001) * data[o + EXTENT + 1]!;
            const ez = (c & 4 ? 1.000001 : -1.000001) * data[o + EXTENT + 2]!;
            const wx = dx + data[o + 3]! * ex + data[o + 4]! * ey + data[o + 5]! * ez;
            const wy = dy + data[o + 6]! * ex + data[o + 7]! * ey + data[o + 8]! * ez;
            const wz = dz + data[o + 9]! * ex + data[o + 10]! * ey + data[o + 11]! * ez;
            const cz = eye[6]! * wx + eye[7]! * wy + eye[8]! * wz;
            const u = ((eye[0]! * wx + eye[1]! * wy + eye[2]! * wz) / cz) * camera.fx + camera.cx;
            const v = ((eye[3]! * wx + eye[4]! * wy + eye[5]! * wz) / cz) * camera.fy + camera.cy;
            if (u < l) l = u;
            if (u > rr) rr = u;
            if (v < t) t = v;
            if (v > b) b = v;
          }
          // Every corner lies inside the bounding sphere, which is in front of the eye, so all depths are positive.
          if (l > left) left = l;
          if (rr < right) right = rr;
          if (t > top) top = t;
          if (b < bottom) bottom = b;
        }
      }
    }
    const k = p * 4;
    const empty = right < 0 || bottom < 0 || left > s.width || top > s.height || right < left;
    tileRange[k] = empty ? 1 : Math.max(0, Math.floor((left - 0.01) / TILE));
    tileRange[k + 1] = empty ? 0 : Math.min(s.tilesX - 1, Math.floor((right + 0.01) / TILE));
    tileRange[k + 2] = empty ? 1 : Math.max(0, Math.floor((top - 0.01) / TILE));
    tileRange[k + 3] = empty ? 0 : Math.min(s.tilesY - 1, Math.floor((bottom + 0.01) / TILE));
  }
}

/** Lists the parts that may cover a tile. `which`: 0 all, 1 the still ones, 2 the moving ones. */
export function listPrimary(s: State, tx: number, ty: number, which: number): number {
  const { tileRange, primary, moving } = s;
  let n = 0;
  for (let p = 0; p < s.parts.count; p++) {
    const k = p * 4;
    if (tx < tileRange[k]! || tx > tileRange[k + 1]! || ty < tileRange[k + 2]! || ty > tileRange[k + 3]!) continue;
    if (which === 0 || moving[p] === which - 1) primary[n++] = p;
  }
  return n;
}

/** Centre and radius of the ball around a tile's surface points into `s.ball`; false when the tile shows only sky. */
export function tileBall(s: State, bounds: Float64Array, at: number): boolean {
  const x0 = bounds[at]!;
  const x1 = bounds[at + 3]!;
  if (!(x0 <= x1)) return false;
  const y0 = bounds[at + 1]!;
  const y1 = bounds[at + 4]!;
  const z0 = bounds[at + 2]!;
  const z1 = bounds[at + 5]!;
  s.ball[0] = 0.5 * (x0 + x1);
  s.ball[1] = 0.5 * (y0 + y1);
  s.ball[2] = 0.5 * (z0 + z1);
  // The slack covers rounding in the tests that use it.
  s.ball[3] = 0.5 * Math.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2 + (z1 - z0) ** 2) * 1.000001 + 1e-6;
  return true;
}

/** Fills `s.shadowers` and `s.occluders` from the first `everyCount` of `s.everyPart` for the points in `bounds`. */
export function listLight(s: State, bounds: Float64Array, at: number, everyCount: number): void {
  s.counts[0] = 0;
  s.counts[1] = 0;
  if (!tileBall(s, bounds, at)) return;
  const { ball, shading, everyPart, shadowers, occluders } = s;
  let n = 0;
  let m = 0;
  for (let k = 0; k < everyCount; k++) {
    const p = everyPart[k]!;
    if (mayShadow(shading, p, ball[0]!, ball[1]!, ball[2]!, ball[3]!)) shadowers[n++] = p;
    if (mayOcclude(shading, p, ball[0]!, ball[1]!, ball[2]!, ball[3]!)) occluders[m++] = p;
  }
  s.counts[0] = n;
  s.counts[1] = m;
}

/** Marks in `s.dirty` the tiles that a moving part covers, shadows or dims; `bounds` are those of the still layer. */
export function markDirty(s: State, bounds: Float64Array): void {
  const { dirty, moving, parts, tileRange, tilesX, tilesY, ball, shading } = s;
  for (let ty = 0; ty < tilesY; ty++) {
    for (let tx = 0; tx < tilesX; tx++) {
      const tile = ty * tilesX + tx;
      const seen = tileBall(s, bounds, tile * 6);
      let touched = 0;
      for (let p = 0; p < parts.count && touched === 0; p++) {
        if (moving[p] === 0) continue;
        const k = p * 4;
        if (tx >= tileRange[k]! && tx <= tileRange[k + 1]! && ty >= tileRange[k + 2]! && ty <= tileRange[k + 3]!) {
          touched = 1;
        } else if (parts.shape[p] !== PLANE && seen) {
          if (
            mayShadow(shading, p, ball[0]!, ball[1]!, ball[2]!, ball[3]!) ||
            mayOcclude(shading, p, ball[0]!, ball[1]!, ball[2]!, ball[3]!)
          ) {
            touched = 1;
          }
        }
      }
      dirty[tile] = touched;
    }
  }
}
