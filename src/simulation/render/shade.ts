// Light at one surface point: a sun disc with soft shadows, a sky hemisphere with occlusion, a glossy highlight and a
// faint reflection of the sky. Pure arithmetic on typed arrays; the caller supplies candidate lists in part order.

import type { Light } from '../scene.ts';
import { RAY_SIZE } from './intersect.ts';
import { PART_STRIDE, type PartTable, PLANE } from './parts.ts';
import { CERTAIN_RAYS, ROTATIONS, sunVisibility } from './shadow.ts';
import { skyVisibility } from './sky-light.ts';
import { albedo, MATERIAL_STRIDE, type MaterialTable } from './textures.ts';
import { toneMap } from './tone.ts';

/** Values that describe the surface under a ray: see `Shading.hit`. */
export const HIT_SIZE = 13;

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
  if (samples > CERTAIN_RAYS) order.splice(4, 0, order.pop()!);
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
    const stretch = 1 / Math.max(facing, 0.04) - 1;
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
  const f = 1 - Math.max(facing, 0);
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
