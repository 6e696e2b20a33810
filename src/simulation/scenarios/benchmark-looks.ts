// What the benchmark scenes and the extra training scenes share: floor, light, cameras, objects in all textures.
import type { RandomStream } from '../../base/index.ts';
import { type Orbit, orbitCamera } from '../cameras.ts';
import { volumeOf } from '../physics-shapes.ts';
import type { Camera, Part, Scene, Vec3 } from '../scene.ts';
import { axisAngle, normalize } from '../vector.ts';
import { type Draw, part, type SceneBuilder } from './builder.ts';
import { COLOR_NAMES, type ColorName, daylight, floorMaterial, objectMaterial } from './palette.ts';

export const degrees = Math.PI / 180;

/** Adds the floor, which is body 1. */
export function addFloor(builder: SceneBuilder, draw: Draw): void {
  const { name, material } = floorMaterial(draw.stream('floor'));
  const floor = builder.material(`floor_${name}`, material);
  builder.body({ name: 'floor', class: 'floor', kind: 'static', pos: [0, 0, 0], parts: [part('plane', [], floor)] });
}

/** Hands out object materials, each of another colour while the palette lasts. */
export function objectMaterials(builder: SceneBuilder, draw: Draw): (name: string) => string {
  const random = draw.stream('materials');
  const colors: ColorName[] = random.shuffle([...COLOR_NAMES]);
  let next = 0;
  return (name) => {
    const color = colors[next++ % colors.length]!;
    return builder.material(`${name}_${color}`, objectMaterial(random, color));
  };
}

/** Plain material of fixed things: planks, troughs, tables. */
export function fixtureMaterial(builder: SceneBuilder, draw: Draw, name: string): string {
  const color = draw.stream('fixture').pick<Vec3>([
    [0.5, 0.5, 0.52],
    [0.45, 0.38, 0.3],
    [0.34, 0.38, 0.45],
  ]);
  const color2: Vec3 = [color[0] * 0.85, color[1] * 0.85, color[2] * 0.85];
  return builder.material(name, { color, color2, texture: 'flat', scale: 2, specular: 0.2, gloss: 40 });
}

/** kg/m³ of the materials that objects are made of. */
export function density(random: RandomStream, allowsSteel = false): number {
  const kind = random.pick(['wood', 'plastic', 'rubber', 'stone', ...(allowsSteel ? ['steel'] : [])]);
  switch (kind) {
    case 'wood':
      return random.uniform(600, 700);
    case 'plastic':
      return random.uniform(900, 1200);
    case 'rubber':
      return 1100;
    case 'stone':
      return 2500;
    default:
      return 7800;
  }
}

/** Mass of parts of one density. */
export function massOf(parts: readonly Part[], perCubicMetre: number): number {
  return perCubicMetre * parts.reduce((sum, one) => sum + volumeOf(one), 0);
}

/** A uniformly drawn unit vector. */
export function randomAxis(random: RandomStream): Vec3 {
  return normalize([random.normal(), random.normal(), random.normal() + 1e-9]);
}

/** Lays the z axis of a part along y. */
export const ALONG_Y = axisAngle([1, 0, 0], Math.PI / 2);

export type View = { readonly target: Vec3; readonly distance: number };
export const WHOLE_SCENE: View = { target: [0, 0, 0.4], distance: 3.2 };

/** The four static views of the benchmark, or one view for training: still, going round, or coming nearer. */
export function viewsOf(draw: Draw, view: View = WHOLE_SCENE): readonly Camera[] {
  const random = draw.stream('camera');
  const { width, height, frames, cameras } = draw.options;
  const lens = { width, height, verticalFov: 46 * degrees };
  const ratio = view.distance / WHOLE_SCENE.distance;
  if (cameras === 'benchmark') {
    const first = (-69 + random.uniform(-10, 10)) * degrees;
    return [0, 81, 162, 243].map((azimuth, i) => {
      const orbit = {
        target: view.target,
        distance: view.distance + random.uniform(-0.2, 0.2) * ratio,
        azimuth: first + azimuth * degrees,
        elevation: ([20, 29, 16, 46][i]! + random.uniform(-3, 3)) * degrees,
      };
      return orbitCamera(`view${i}`, lens, [orbit]);
    });
  }
  const start: Orbit = {
    target: view.target,
    distance: random.uniform(2.5, 3.3) * ratio,
    azimuth: random.uniform(0, 2 * Math.PI),
    elevation: random.uniform(13, 43) * degrees,
  };
  if (cameras === 'static') return [orbitCamera('view0', lens, [start])];
  const isOrbit = random.uniform() < 0.5;
  const turn = random.uniform(-20, 20) * degrees;
  const approach = random.uniform(-0.5, 0.5) * ratio;
  const path = Array.from({ length: frames }, (_, frame) => {
    const t = frames === 1 ? 0 : frame / (frames - 1);
    return isOrbit
      ? { ...start, azimuth: start.azimuth + turn * t }
      : { ...start, distance: start.distance + approach * t };
  });
  return [orbitCamera('view0', lens, path)];
}

/** Seconds before release: none in the benchmark; up to 0.4 s in training, so that the fall is not over at once. */
export function leadIn(draw: Draw, random: RandomStream): number {
  return draw.options.cameras === 'benchmark' ? 0 : random.uniform(0, 0.4);
}

/** Light, cameras and gravity as the benchmark draws them. */
export function finishScene(builder: SceneBuilder, draw: Draw, view: View = WHOLE_SCENE, stepRate = 960): Scene {
  const random = draw.stream('gravity');
  const isOdd = draw.options.varyGravity && random.uniform() < 0.1;
  return builder.finish({
    light: daylight(draw.stream('light')),
    cameras: viewsOf(draw, view),
    gravity: isOdd ? random.uniform(7, 12) : 9.81,
    stepRate,
  });
}
