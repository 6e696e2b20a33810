// Benchmark scenes that gravity drives: freefall, tilted, u_slope.
import type { RandomStream } from '../../base/index.ts';
import type { BodyClass, Part, Scene, Vec3 } from '../scene.ts';
import { add, axisAngle, distance, IDENTITY, rotate } from '../vector.ts';
import {
  ALONG_Y,
  addFloor,
  degrees,
  density,
  finishScene,
  fixtureMaterial,
  leadIn,
  massOf,
  objectMaterials,
  randomAxis,
} from './benchmark-looks.ts';
import { type Draw, part, sceneBuilder } from './builder.ts';
import { troughParts } from './table-parts.ts';

type Shape = 'ball' | 'box' | 'cylinder';

function fallingPart(random: RandomStream, shape: Shape, material: string): Part {
  switch (shape) {
    case 'ball':
      return part('sphere', [random.uniform(0.1, 0.2)], material);
    case 'box': {
      const half = (): number => random.uniform(0.08, 0.18);
      return part('box', [half(), half(), half()], material);
    }
    case 'cylinder':
      return part('cylinder', [random.uniform(0.08, 0.14), random.uniform(0.08, 0.16)], material);
  }
}

const classOf = (shape: Shape): BodyClass => shape;

/** Two to five objects at rest in the air on a ring; gravity and bounce. */
export function freefall(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('freefall', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  const count = random.integer(2, 5);
  const first = random.uniform(0, 2 * Math.PI);
  const hold = leadIn(draw, random);
  builder.pair('*', '*', 0.5, 0.3);
  for (let i = 0; i < count; i++) {
    const shape = random.pick(['ball', 'box', 'cylinder'] as const);
    const name = `${shape}_${i}`;
    const parts = [fallingPart(random, shape, material(name))];
    const angle = first + (2 * Math.PI * i) / count;
    const ring = random.uniform(0.4, 0.5);
    builder.body({
      name,
      class: classOf(shape),
      pos: [ring * Math.cos(angle), ring * Math.sin(angle), random.uniform(0.7, 1.5)],
      quat: axisAngle(randomAxis(random), random.uniform(0, 1.5)),
      mass: massOf(parts, density(random, shape === 'ball')),
      parts,
      holdSeconds: hold,
    });
    builder.pair(name, 'floor', random.uniform(0.2, 0.8), random.uniform(0.1, 0.8));
  }
  return finishScene(builder, draw);
}

const PLANK: Vec3 = [1.2, 0.6, 0.04];

/** One to three bodies at the upper end of a plank: who rolls, who slides, who stays. */
export function tilted(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('tilted', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  const angle = random.uniform(12, 30) * degrees;
  // Down towards +x; the lower end's underside rests on the floor.
  const turn = axisAngle([0, 1, 0], angle);
  const centre: Vec3 = [0, 0, PLANK[0] * Math.sin(angle) + PLANK[2] * Math.cos(angle)];
  builder.body({
    name: 'plank',
    class: 'ramp',
    kind: 'static',
    pos: centre,
    quat: turn,
    parts: [part('box', PLANK, fixtureMaterial(builder, draw, 'plank'))],
  });
  builder.pair('*', '*', 0.5, 0.2);
  const count = random.integer(1, 3);
  const hold = leadIn(draw, random);
  for (let i = 0; i < count; i++) {
    const shape = random.pick(['ball', 'box', 'cylinder'] as const);
    const name = `${shape}_${i}`;
    const r = random.uniform(0.09, 0.14);
    const one =
      shape === 'ball'
        ? part('sphere', [r], material(name))
        : shape === 'box'
          ? part('box', [r, r, random.uniform(0.6, 1) * r], material(name))
          : part('cylinder', [r, random.uniform(0.8, 1.2) * r], material(name), { quat: ALONG_Y });
    const height = shape === 'box' ? one.size[2]! : r;
    const y = (i - (count - 1) / 2) * 0.36;
    builder.body({
      name,
      class: classOf(shape),
      pos: add(centre, rotate(turn, [-PLANK[0] + 0.2, y, PLANK[2] + height + 0.0005])),
      quat: turn,
      mass: massOf([one], density(random)),
      parts: [one],
      holdSeconds: hold,
    });
    builder.pair(name, 'plank', random.uniform(0.05, 0.7), 0.1);
  }
  return finishScene(builder, draw);
}

/** One to three balls released in a round trough. */
export function uSlope(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('u_slope', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  const radius = random.uniform(0.9, 1.2);
  const lift = 0.06;
  builder.body({
    name: 'trough',
    class: 'ramp',
    kind: 'static',
    pos: [0, 0, lift],
    parts: troughParts(fixtureMaterial(builder, draw, 'trough'), radius, 1.25, 0.5),
  });
  builder.pair('*', '*', random.uniform(0.5, 0.6), random.uniform(0.1, 0.3));
  const count = random.integer(1, 3);
  const hold = leadIn(draw, random);
  for (let i = 0; i < count; i++) {
    const name = `ball_${i}`;
    const r = random.uniform(0.09, 0.15);
    const parts = [part('sphere', [r], material(name))];
    const angle = random.pick([-1, 1]) * random.uniform(0.75, 1.1);
    const path = radius - r - 0.002;
    builder.body({
      name,
      class: 'ball',
      pos: [path * Math.sin(angle), (i - (count - 1) / 2) * 0.3, lift + radius - path * Math.cos(angle)],
      quat: IDENTITY,
      mass: massOf(parts, density(random)),
      parts,
      holdSeconds: hold,
    });
  }
  return finishScene(builder, draw);
}

/** Two balls on a slippery floor, one rolling into the other. */
export function collision(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('collision', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  builder.pair('*', '*', 0.05, 0.3);
  builder.pair('ball_*', 'ball_*', 0.05, random.uniform(0.6, 0.95));
  const [r1, r2] = [random.uniform(0.12, 0.18), random.uniform(0.12, 0.18)];
  const speed = random.uniform(1.5, 2.5);
  const start: Vec3 = [-random.uniform(0.85, 1.1), 0, r1];
  const rest: Vec3 = [random.uniform(-0.1, 0.15), random.uniform(-0.06, 0.06), r2];
  [start, rest].forEach((pos, i) => {
    const r = i === 0 ? r1 : r2;
    const parts = [part('sphere', [r], material(`ball_${i}`))];
    builder.body({
      name: `ball_${i}`,
      class: 'ball',
      pos,
      ...(i === 0 ? { linvel: [speed, 0, 0] as Vec3, angvel: [0, speed / r1, 0] as Vec3 } : {}),
      mass: massOf(parts, random.uniform(500, 2000)),
      parts,
    });
  });
  return finishScene(builder, draw);
}

/** Whether balls that hold the given bodies keep apart. */
export function areApart(bodies: readonly { readonly pos: Vec3; readonly radius: number }[]): boolean {
  return bodies.every((a, i) => bodies.slice(i + 1).every((b) => distance(a.pos, b.pos) > a.radius + b.radius));
}
