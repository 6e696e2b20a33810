// How the table world looks: few floors, soft steady light, close cameras, large objects in clear colours.
// Narrow on purpose: a small world model must be able to learn it.
import type { RandomStream } from '../../base/index.ts';
import { orbitCamera } from '../cameras.ts';
import type { Camera, Light, Material, Part, Vec3 } from '../scene.ts';
import { axisAngle } from '../vector.ts';
import { type BodyPlan, type Draw, part, type SceneBuilder } from './builder.ts';
import { type ColorName, PALETTE, sky } from './palette.ts';

const degrees = Math.PI / 180;

/** Colours of table objects: no black and no pink, which are hard to tell from shadows and from red. */
export const TABLE_COLORS = ['red', 'blue', 'green', 'yellow', 'purple', 'teal', 'orange', 'white'] as const;

/** kg/m³, the same for every object, so that size tells mass. */
export const TABLE_DENSITY = 700;

export type TableKind = 'ball' | 'box' | 'cylinder';

/** One object of a clip before it has a place. `radius` is that of a ball, or half the width of the others. */
export type TableThing = {
  readonly name: string;
  readonly kind: TableKind;
  readonly radius: number;
  /** Height of its centre when it stands on the floor. */
  readonly rest: number;
  readonly mass: number;
  readonly parts: readonly Part[];
};

const FLOORS: Readonly<Record<string, Material>> = {
  wood: floor('wood', [0.2, 0.125, 0.072], [0.165, 0.1, 0.056], 1.4),
  tiles: floor('tiles', [0.21, 0.2, 0.185], [0.16, 0.15, 0.14], 1.5),
  checker: floor('checker', [0.2, 0.205, 0.21], [0.155, 0.16, 0.165], 1.6),
  stone: floor('fbm', [0.18, 0.18, 0.19], [0.14, 0.14, 0.145], 1.6),
  grey: floor('flat', [0.18, 0.185, 0.19], [0.18, 0.185, 0.19], 1),
  beige: floor('flat', [0.24, 0.19, 0.135], [0.24, 0.19, 0.135], 1),
};

function floor(texture: Material['texture'], color: Vec3, color2: Vec3, scale: number): Material {
  return { texture, color, color2, scale, specular: 0.05, gloss: 30 };
}

/** Adds the floor and the pair rules that all table scenes share. The same pairs always bounce alike. */
export function addTable(builder: SceneBuilder, draw: Draw): void {
  const name = draw.stream('floor').pick(Object.keys(FLOORS));
  const material = builder.material(`floor_${name}`, FLOORS[name]!);
  builder.body({ name: 'floor', class: 'floor', kind: 'static', pos: [0, 0, 0], parts: [part('plane', [], material)] });
  builder.pair('*', '*', 0.5, 0.3);
  // Boxes glide a little when they are hit, so that a hit shows.
  builder.pair('box_*', 'floor', 0.25, 0.25);
  builder.pair('cylinder_*', 'floor', 0.25, 0.25);
  builder.pair('ball_*', '*', 0.5, 0.4);
  builder.pair('ball_*', 'floor', 0.5, 0.72);
  builder.pair('ball_*', 'ball_*', 0.15, 0.85);
}

/** Soft light from the camera's side, nearly the same in every clip. */
export function tableLight(draw: Draw): Light {
  const random = draw.stream('light');
  const azimuth = random.uniform(-130, -50) * degrees;
  const light = sky(azimuth, random.uniform(50, 60) * degrees);
  return {
    ...light,
    // Dimmer than the benchmark's sun: colours stay clear of white and easy to tell apart.
    sunColor: [1.35, 1.28, 1.18],
    ambient: [0.24, 0.27, 0.32],
    fog: [7, 18],
  };
}

/** One static front view (the eye on the −y side), close enough that objects are 24 pixels or more at 128×128. */
export function tableCameras(draw: Draw, height = 0.42): readonly Camera[] {
  const random = draw.stream('camera');
  const target: Vec3 = [random.uniform(-0.05, 0.05), random.uniform(-0.05, 0.05), height + random.uniform(-0.03, 0.03)];
  const orbit = {
    target,
    distance: random.uniform(2.7, 2.9),
    azimuth: (-90 + random.uniform(-6, 6)) * degrees,
    elevation: random.uniform(18, 30) * degrees,
  };
  const { width, height: rows } = draw.options;
  return [orbitCamera('view0', { width, height: rows, verticalFov: 46 * degrees }, [orbit])];
}

/** Colours of a clip: all different, except in a quarter of the clips, where all are equal. */
export function tableColors(random: RandomStream, count: number): readonly ColorName[] {
  const colors = random.shuffle([...TABLE_COLORS]).slice(0, count);
  return count > 1 && random.uniform() < 0.25 ? colors.map(() => colors[0]!) : colors;
}

/** Draws an object: its size, its material (flat, or faint two-tone so that rolling shows), its mass. */
export function tableThing(
  builder: SceneBuilder,
  random: RandomStream,
  index: number,
  kind: TableKind,
  color: ColorName,
  sizes: readonly [number, number] = [0.25, 0.32],
): TableThing {
  const base = PALETTE[color];
  const faint: Vec3 = [base[0] * 0.72 + 0.05, base[1] * 0.72 + 0.05, base[2] * 0.72 + 0.05];
  const isTwoTone = random.uniform() < 0.35;
  const name = `${kind}_${index}`;
  const material = builder.material(`${name}_${color}`, {
    color: base,
    color2: isTwoTone ? faint : base,
    texture: isTwoTone ? 'stripes' : 'flat',
    scale: random.uniform(4, 5.5),
    specular: 0.3,
    gloss: 60,
  });
  const ballRadius = random.uniform(...sizes);
  const radius = kind === 'ball' ? ballRadius : ballRadius * 0.88;
  const tall = kind === 'ball' ? radius : radius * random.uniform(0.85, 1.1);
  const [shape, size, volume]: [Part['shape'], readonly number[], number] =
    kind === 'ball'
      ? ['sphere', [radius], (4 / 3) * Math.PI * radius ** 3]
      : kind === 'box'
        ? ['box', [radius, radius, tall], 8 * radius * radius * tall]
        : ['cylinder', [radius, tall], 2 * Math.PI * radius * radius * tall];
  return { name, kind, radius, rest: tall, mass: TABLE_DENSITY * volume, parts: [part(shape, size, material)] };
}

/** The object as a body standing on the floor at (x, y), turned by `yaw`. */
export function standing(thing: TableThing, x: number, y: number, yaw = 0): BodyPlan {
  const { name, kind, mass, parts, rest } = thing;
  return { name, class: kind, pos: [x, y, rest], quat: axisAngle([0, 0, 1], yaw), mass, parts };
}

/** A ball on the floor that rolls without slipping: ω = z × v / r. */
export function rolling(thing: TableThing, x: number, y: number, velocity: readonly [number, number]): BodyPlan {
  const [vx, vy] = velocity;
  return {
    ...standing(thing, x, y),
    linvel: [vx, vy, 0],
    angvel: [-vy / thing.radius, vx / thing.radius, 0],
  };
}
