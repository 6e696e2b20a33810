// Colours, floors and light that scenes are drawn in. Colours are linear RGB.
import type { RandomStream } from '../../base/index.ts';
import type { Light, Material, Vec3 } from '../scene.ts';
import { normalize, scale } from '../vector.ts';

export const PALETTE = {
  red: [0.75, 0.12, 0.1],
  blue: [0.1, 0.32, 0.72],
  green: [0.12, 0.5, 0.18],
  yellow: [0.85, 0.62, 0.08],
  purple: [0.5, 0.2, 0.6],
  teal: [0.08, 0.55, 0.58],
  orange: [0.85, 0.38, 0.08],
  white: [0.82, 0.78, 0.72],
  black: [0.1, 0.1, 0.12],
  pink: [0.82, 0.45, 0.55],
} as const satisfies Readonly<Record<string, Vec3>>;

export type ColorName = keyof typeof PALETTE;
export const COLOR_NAMES = Object.keys(PALETTE) as readonly ColorName[];

/** The palette's name for a colour (nearest in linear RGB). */
export function colorName(color: Vec3): ColorName {
  const far = (name: ColorName): number =>
    PALETTE[name].reduce<number>((sum, value, i) => sum + (value - color[i]!) ** 2, 0);
  return COLOR_NAMES.reduce((best, name) => (far(name) < far(best) ? name : best));
}

/** The second colour of a two-tone material: 0.45·c + 0.25. */
export function secondColor(color: Vec3): Vec3 {
  return [0.45 * color[0] + 0.25, 0.45 * color[1] + 0.25, 0.45 * color[2] + 0.25];
}

/** Object material with the full variety of textures. */
export function objectMaterial(random: RandomStream, color: ColorName): Material {
  return {
    color: PALETTE[color],
    color2: secondColor(PALETTE[color]),
    texture: random.pick(['flat', 'flat', 'checker', 'stripes', 'fbm', 'wood'] as const),
    scale: random.uniform(4, 8),
    specular: random.pick([0, 0.3, 0.6]),
    gloss: random.pick([20, 60, 120]),
  };
}

export type FloorName = 'tiles' | 'wood' | 'stone' | 'checker';

/** Floor material of the benchmark scenes. */
export function floorMaterial(random: RandomStream): { readonly name: FloorName; readonly material: Material } {
  const name = random.pick(['tiles', 'wood', 'stone', 'checker'] as const);
  const shade = random.uniform(0.85, 1.15);
  const tint = (c: Vec3): Vec3 => scale(c, shade);
  const size = random.uniform(1.2, 2);
  const look = { scale: size, specular: 0.1, gloss: 40 } as const;
  switch (name) {
    case 'tiles':
      return {
        name,
        material: { ...look, texture: 'tiles', color: tint([0.45, 0.44, 0.42]), color2: tint([0.28, 0.27, 0.26]) },
      };
    case 'wood':
      return {
        name,
        material: { ...look, texture: 'wood', color: tint([0.42, 0.27, 0.15]), color2: tint([0.28, 0.17, 0.09]) },
      };
    case 'stone':
      return {
        name,
        material: { ...look, texture: 'fbm', color: tint([0.4, 0.39, 0.37]), color2: tint([0.25, 0.25, 0.26]) },
      };
    case 'checker':
      return {
        name,
        material: { ...look, texture: 'checker', color: tint([0.46, 0.46, 0.45]), color2: tint([0.27, 0.28, 0.3]) },
      };
  }
}

/** Sun and sky of the benchmark scenes. */
export function daylight(random: RandomStream): Light {
  const azimuth = random.uniform(0, 2 * Math.PI);
  const elevation = random.uniform((34 * Math.PI) / 180, (66 * Math.PI) / 180);
  return {
    ...sky(azimuth, elevation),
    sunColor: [1.9, random.uniform(1.75, 1.85), random.uniform(1.5, 1.75)],
    softness: random.uniform(0.03, 0.12),
  };
}

/** A clear sky with the sun at the given angles (rad). */
export function sky(azimuth: number, elevation: number): Light {
  const c = Math.cos(elevation);
  return {
    sunDir: normalize([c * Math.cos(azimuth), c * Math.sin(azimuth), Math.sin(elevation)]),
    sunColor: [1.9, 1.8, 1.65],
    ambient: [0.32, 0.37, 0.45],
    groundBounce: [0.16, 0.14, 0.12],
    horizon: [0.66, 0.71, 0.76],
    zenith: [0.3, 0.44, 0.66],
    softness: 0.06,
    fog: [5, 14],
  };
}
