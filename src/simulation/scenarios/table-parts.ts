// Fixed parts of the table world: a ramp whose foot meets the floor, and a round trough of flat slabs.
import type { RandomStream } from '../../base/index.ts';
import type { Material, Quat, Vec3 } from '../scene.ts';
import { add, axisAngle, rotate } from '../vector.ts';
import { part, type SceneBuilder } from './builder.ts';

const FIXED: readonly Vec3[] = [
  [0.3, 0.3, 0.31],
  [0.27, 0.23, 0.18],
  [0.19, 0.22, 0.27],
];

/** A ramp that falls towards +x (`side` 1) or −x (−1); its upper surface meets the floor at x = `foot`. */
export type Ramp = {
  readonly side: number;
  /** rad above the floor. */
  readonly angle: number;
  /** Length of the slope, m. */
  readonly length: number;
  readonly foot: number;
};

const RAMP_HALF_WIDTH = 0.42;
const RAMP_HALF_THICKNESS = 0.05;

/** Orientation of the ramp: x along the slope (down for side 1), z out of it. */
function rampTurn(ramp: Ramp): Quat {
  return axisAngle([0, 1, 0], ramp.side * ramp.angle);
}

/** Pose of a body on the slope, `up` metres from the foot, its centre `height` above the surface. */
export function onRamp(ramp: Ramp, up: number, height: number, y: number): { readonly pos: Vec3; readonly quat: Quat } {
  const quat = rampTurn(ramp);
  return { pos: add([ramp.foot, y, 0], rotate(quat, [-ramp.side * up, 0, height + 0.0005])), quat };
}

function fixedMaterial(random: RandomStream): Material {
  const color = random.pick(FIXED);
  return { texture: 'flat', color, color2: color, scale: 1, specular: 0.1, gloss: 40 };
}

export function addRamp(builder: SceneBuilder, random: RandomStream, ramp: Ramp): void {
  const material = builder.material('ramp', fixedMaterial(random));
  const { pos, quat } = onRamp(ramp, ramp.length / 2, -RAMP_HALF_THICKNESS, 0);
  builder.body({
    name: 'ramp',
    class: 'ramp',
    kind: 'static',
    pos,
    quat,
    parts: [part('box', [ramp.length / 2, RAMP_HALF_WIDTH, RAMP_HALF_THICKNESS], material)],
  });
}

/** The slabs of a trough about the y axis; its lowest inner line is at the height of the body's origin. */
export function troughParts(
  material: string,
  radius: number,
  opening: number,
  halfWidth: number,
): ReturnType<typeof part>[] {
  const SLABS = 28;
  const HALF_THICKNESS = 0.03;
  const arc = (2 * opening * radius) / SLABS;
  return Array.from({ length: SLABS }, (_, i) => {
    const angle = -opening + ((i + 0.5) * 2 * opening) / SLABS;
    const out = radius + HALF_THICKNESS;
    return part('box', [(1.02 * arc) / 2, halfWidth, HALF_THICKNESS], material, {
      pos: [out * Math.sin(angle), 0, radius - out * Math.cos(angle)],
      quat: axisAngle([0, 1, 0], -angle),
    });
  });
}

export function addTrough(builder: SceneBuilder, random: RandomStream, radius: number, opening: number): void {
  const material = builder.material('trough', fixedMaterial(random));
  builder.body({
    name: 'trough',
    class: 'ramp',
    kind: 'static',
    pos: [0, 0, 0.06],
    parts: troughParts(material, radius, opening, 0.36),
  });
}
