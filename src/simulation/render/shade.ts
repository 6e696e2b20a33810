// Light at one surface point: a sun disc with soft shadows, a sky hemisphere with occlusion, a glossy highlight and a
// faint reflection of the sky. Pure arithmetic on typed arrays; the caller supplies candidate lists in part order.

import type { Light } from '../scene.ts';
import { hitBox, hitLocal, RAY_SIZE } from './intersect.ts';
import { BOUND, CORE, EXTENT, INSCRIBED, OCCLUDER, PART_STRIDE, type PartTable, PLANE, SIZE, SPHERE } from './parts.ts';
import { albedo, MATERIAL_STRIDE, type MaterialTable } from './textures.ts';
import { toneMap } from './tone.ts';

/** Ambient occlusion reaches this many occluder radii beyond a part's surface. */
export const OCCLUSION_REACH = 3;
/** Values that describe the surface under a ray: see `Shading.hit`. */
export const HIT_SIZE = 13;
const ROTATIONS = 256;
const LIMITED = 5;

/** Everything that shading needs and that does not change from pixel to pixel. */
export type Shading = {
  readonly parts: PartTable;
  readonly materials: MaterialTable;
  /** sunDir 3, sunColor 3, ambient 3, groundBounce 3, horizon 3, zenith 3, tan softness, fog near, fog far, floor z. */
  readonly light: Float64Array;
  /** Sun direction and two tangents scaled by tan(softness), in the world: 9 values. */
  readonly sun: Float64Array;
  /** The same in every part's frame, [parts, 9]; refreshed once per frame. */
  readonly sunLocal: Float64Array;
  /** Points of the unit disc, outer ones first, [samples, 2]. */
  readonly disc: Float64Array;
  /** cos, sin of the disc's turn, [ROTATIONS, 2]. */
  readonly turns: Float64Array;
  readonly samples: number;
  /** The surface to shade: point 3, unit normal towards the viewer 3, point in the part 3, unit view direction 3, distance. */
  readonly hit: Float64Array;
  readonly ray: Float64Array;
  /** Result: display RGB 0…255 and sunlight 0…1 (facing × visibility). */
  readonly out: Float64Array;
  readonly color: Float64Array;
  readonly candidates: Int32Array;
  readonly origins: Float64Array;
};

/** Prepares the light of a scene. `samples` sun directions are tried in penumbrae, at most five elsewhere. */
export function shading(
  parts: PartTable,
  materials: MaterialTable,
  light: Light,
  samples: number,
  floorZ: number,
  hit: Float64Array,
): Shading {
  const [sx, sy, sz] = unit(light.sunDir);
  const spread = Math.tan(light.softness);
  const [tx, ty, tz] = unit(Math.abs(sz) < 0.9 ? [-sy, sx, 0] : [0, -sz, sy]);
  const [bx, by, bz] = [sy * tz - sz * ty, sz * tx - sx * tz, sx * ty - sy * tx];
  return {
    parts,
    materials,
    light: Float64Array.from([
      sx,
      sy,
      sz,
      ...light.sunColor,
      ...light.ambient,
      ...light.groundBounce,
      ...light.horizon,
      ...light.zenith,
      spread,
      ...light.fog,
      floorZ,
    ]),
    sun: Float64Array.from([sx, sy, sz, tx * spread, ty * spread, tz * spread, bx * spread, by * spread, bz * spread]),
    sunLocal: new Float64Array(parts.count * 9),
    disc: discPoints(samples),
    turns: Float64Array.from({ length: ROTATIONS * 2 }, (_, i) =>
      i & 1 ? Math.sin((2 * Math.PI * (i >> 1)) / ROTATIONS) : Math.cos((2 * Math.PI * (i >> 1)) / ROTATIONS),
    ),
    samples,
    hit,
    ray: new Float64Array(RAY_SIZE),
    out: new Float64Array(4),
    color: new Float64Array(3),
    candidates: new Int32Array(parts.count),
    origins: new Float64Array(parts.count * 3),
  };
}

function unit(v: readonly number[]): [number, number, number] {
  const n = 1 / Math.hypot(v[0]!, v[1]!, v[2]!);
  return [v[0]! * n, v[1]! * n, v[2]! * n];
}

/** Vogel's spiral over the disc: equal areas; the four outermost points and the innermost come first. */
function discPoints(samples: number): Float64Array {
  const order = Array.from({ length: samples }, (_, i) => i).reverse();
  if (samples > LIMITED) order.splice(4, 0, order.pop()!);
  return Float64Array.from(
    order.flatMap((i) => {
      const radius = Math.sqrt((i + 0.5) / samples);
      const angle = i * Math.PI * (3 - Math.sqrt(5));
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    }),
  );
}

/** Turns the sun's directions into every part's frame. Call after `placeParts`. */
export function placeSun(s: Shading): void {
  const { data, count } = s.parts;
  for (let p = 0; p < count; p++) {
    const o = p * PART_STRIDE;
    for (let v = 0; v < 9; v += 3) {
      const x = s.sun[v]!;
      const y = s.sun[v + 1]!;
      const z = s.sun[v + 2]!;
      const k = p * 9 + v;
      s.sunLocal[k] = data[o + 3]! * x + data[o + 6]! * y + data[o + 9]! * z;
      s.sunLocal[k + 1] = data[o + 4]! * x + data[o + 7]! * y + data[o + 10]! * z;
      s.sunLocal[k + 2] = data[o + 5]! * x + data[o + 8]! * y + data[o + 11]! * z;
    }
  }
}

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
  const limit = r * (1 + spread) + (along > 0 ? along : 0) * spread;
  return dx * dx + dy * dy + dz * dz - along * along < limit * limit;
}

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

/**
 * Share of the sun disc that is seen from the point in `s.hit`: spheres in closed form, other parts by rays.
 * @param self the part that the point lies on: parts are convex, they do not shadow themselves
 */
function sunVisibility(s: Shading, self: number, noise: number, list: Int32Array, listed: number): number {
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
    // The first five agree: the point is outside the penumbra.
    if (n === LIMITED && (lit === 0 || lit === LIMITED)) return lit === 0 ? 0 : visible;
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
  const theta = Math.acos(cos > 1 ? 1 : cos < -1 ? -1 : cos);
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
  const area = s2 * Math.acos(p) + a2 * Math.acos(q) - 0.5 * Math.sqrt(k > 0 ? k : 0);
  return area / (Math.PI * s2);
}

/** Share of the sky hemisphere that reaches the surface in `s.hit`, 0…1. */
function skyVisibility(s: Shading, self: number, list: Int32Array, listed: number): number {
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
      vx -= vx > cx ? cx : vx < -cx ? -cx : vx;
      vy -= vy > cy ? cy : vy < -cy ? -cy : vy;
      vz -= vz > cz ? cz : vz < -cz ? -cz : vz;
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

/** Linear sky colour of channel k in direction (x, y, z), with a glow around the sun. */
function sky(light: Float64Array, k: number, up: number, glow: number): number {
  const t = up > 0 ? (up < 1 ? 1 - up : 0) : 1;
  const blend = 1 - t * t * t;
  return light[12 + k]! * (1 - blend) + light[15 + k]! * blend + 0.1 * glow * light[3 + k]!;
}

function sunGlow(cos: number): number {
  if (cos <= 0) return 0;
  const a = cos * cos;
  const b = a * a;
  return b * b;
}

/** Shades the sky in the view direction of `s.hit` into `s.out`. */
export function shadeSky(s: Shading): void {
  const { light, hit } = s;
  const glow = sunGlow(hit[9]! * light[0]! + hit[10]! * light[1]! + hit[11]! * light[2]!);
  for (let k = 0; k < 3; k++) s.out[k] = toneMap(sky(light, k, hit[11]!, glow));
  s.out[3] = 1;
}

/**
 * Shades the surface in `s.hit` into `s.out`.
 * @param part the part hit
 * @param footprint width of a pixel there, metres
 * @param noise hash that turns the shadow samples
 * @param shadowers,occluders part lists (ascending) that hold at least all parts that pass `mayShadow`, `mayOcclude`
 */
export function shadePoint(
  s: Shading,
  part: number,
  footprint: number,
  noise: number,
  shadowers: Int32Array,
  shadowerCount: number,
  occluders: Int32Array,
  occluderCount: number,
): void {
  const { light, out, color, materials, hit } = s;
  const distance = hit[12]!;
  const nx = hit[3]!;
  const ny = hit[4]!;
  const nz = hit[5]!;
  const vx = hit[9]!;
  const vy = hit[10]!;
  const vz = hit[11]!;
  if (distance >= light[20]!) {
    // Wholly in the fog.
    shadeSky(s);
    out[3] = 0;
    return;
  }
  const data = s.parts.data;
  const material = s.parts.material[part]!;
  const m = material * MATERIAL_STRIDE;
  const facing = -(nx * vx + ny * vy + nz * vz);

  if (materials.texture[material] === 0) {
    color[0] = materials.data[m]!;
    color[1] = materials.data[m + 1]!;
    color[2] = materials.data[m + 2]!;
  } else {
    // The pixel's shadow on the surface: `footprint` wide, stretched by 1/cos along the view.
    const o = part * PART_STRIDE;
    const stretch = 1 / (facing > 0.04 ? facing : 0.04) - 1;
    const gx = vx + facing * nx;
    const gy = vy + facing * ny;
    const gz = vz + facing * nz;
    const g = 1 / Math.sqrt(gx * gx + gy * gy + gz * gz + 1e-12);
    let w0 = 0;
    let w1 = 0;
    let w2 = 0;
    for (let a = 0; a < 3; a++) {
      const ax = data[o + 3 + a]!;
      const ay = data[o + 6 + a]!;
      const az = data[o + 9 + a]!;
      const na = ax * nx + ay * ny + az * nz;
      const va = (ax * gx + ay * gy + az * gz) * g;
      const flat = 1 - na * na;
      const w = footprint * ((flat > 0 ? Math.sqrt(flat) : 0) + (va < 0 ? -va : va) * stretch);
      if (a === 0) w0 = w;
      else if (a === 1) w1 = w;
      else w2 = w;
    }
    albedo(materials, material, hit[6]!, hit[7]!, hit[8]!, w0, w1, w2, s.parts.shape[part] === PLANE, color);
  }

  // Sun: the part of the disc above the surface's own horizon, times the part that no other part hides.
  const cosSun = nx * light[0]! + ny * light[1]! + nz * light[2]!;
  const spread = light[18]!;
  let sunlight = 0;
  if (cosSun > -spread) {
    const lit = cosSun >= spread ? cosSun : ((cosSun + spread) * (cosSun + spread)) / (4 * spread);
    sunlight = lit * sunVisibility(s, part, noise, shadowers, shadowerCount);
  }

  const open = skyVisibility(s, part, occluders, occluderCount);
  const up = 0.5 + 0.5 * nz;
  // Light from the ground dims close to it, where the body shades the floor that would send it.
  const height = hit[2]! - light[21]!;
  const ground = height > 0 ? 0.3 + (0.7 * height) / (height + 0.12) : 0.3;

  const specular = materials.data[m + 7]!;
  let highlight = 0;
  if (specular > 0 && sunlight > 0) {
    const hx = light[0]! - vx;
    const hy = light[1]! - vy;
    const hz = light[2]! - vz;
    const cos = (nx * hx + ny * hy + nz * hz) / Math.sqrt(hx * hx + hy * hy + hz * hz);
    const gloss = materials.data[m + 8]!;
    if (cos > 0.6) highlight = specular * sunlight * (0.25 + gloss * 0.02) * cos ** gloss;
  }
  const f = 1 - (facing > 0 ? facing : 0);
  const f2 = f * f;
  const fresnel = (0.25 + specular) * (0.03 + 0.6 * f2 * f2 * f) * open;
  const mirror = vz + 2 * facing * nz;
  const glow =
    fresnel > 0.02
      ? 0.5 * sunGlow((vx + 2 * facing * nx) * light[0]! + (vy + 2 * facing * ny) * light[1]! + mirror * light[2]!)
      : 0;

  const fogNear = light[19]!;
  let fog = (distance - fogNear) / (light[20]! - fogNear);
  fog = fog <= 0 ? 0 : fog >= 1 ? 1 : fog * fog * (3 - 2 * fog);
  const haze = fog > 0 ? sunGlow(vx * light[0]! + vy * light[1]! + vz * light[2]!) : 0;

  for (let k = 0; k < 3; k++) {
    const ambient = (light[6 + k]! * up + light[9 + k]! * (1 - up) * ground) * open;
    const reflected = mirror > 0 ? sky(light, k, mirror, glow) : light[9 + k]!;
    let c =
      color[k]! * (light[3 + k]! * sunlight + ambient) * (1 - fresnel) +
      light[3 + k]! * highlight +
      fresnel * reflected;
    if (fog > 0) c += (sky(light, k, vz, haze) - c) * fog;
    out[k] = toneMap(c);
  }
  // In the fog shadow borders fade with everything else.
  out[3] = sunlight * (1 - fog);
}
