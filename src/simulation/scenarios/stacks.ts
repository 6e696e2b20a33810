// Benchmark scenes of things that stand or fall: stable_stack, unstable_stack, domino.
import type { RandomStream } from '../../base/index.ts';
import type { Quat, Scene, Vec3 } from '../scene.ts';
import { axisAngle, conjugate, rotate, subtract } from '../vector.ts';
import { addFloor, density, finishScene, fixtureMaterial, leadIn, massOf, objectMaterials } from './benchmark-looks.ts';
import { type Draw, part, sceneBuilder } from './builder.ts';

const UP: Vec3 = [0, 0, 1];

/** Three to six layers, each a little smaller than the one below: nothing may move. */
export function stableStack(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('stable_stack', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  builder.pair('*', '*', 0.7, 0);
  const count = random.integer(3, 6);
  let width = random.uniform(0.2, 0.28);
  let top = 0;
  for (let i = 0; i < count; i++) {
    const shape = random.pick(['box', 'cylinder'] as const);
    const name = `${shape}_${i}`;
    const half = random.uniform(0.07, 0.13);
    const one =
      shape === 'box'
        ? part('box', [width, width, half], material(name))
        : part('cylinder', [width, half], material(name));
    builder.body({
      name,
      class: shape,
      pos: [random.uniform(-0.014, 0.014), random.uniform(-0.014, 0.014), top + half],
      quat: axisAngle(UP, random.uniform(-0.3, 0.3)),
      mass: massOf([one], density(random)),
      parts: [one],
    });
    top += 2 * half;
    width *= random.uniform(0.85, 1);
  }
  return finishScene(builder, draw, { target: [0, 0, Math.max(0.4, top / 2)], distance: 3.2 });
}

type Layer = { readonly pos: Vec3; readonly quat: Quat; readonly half: Vec3; readonly mass: number };

/** Four to seven boxes, each shifted, so that some part of the stack must fall. */
export function unstableStack(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('unstable_stack', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  builder.pair('*', '*', 0.6, 0);
  let layers = leaningLayers(random);
  while (!mustFall(layers)) layers = leaningLayers(random);
  layers.forEach(({ pos, quat, half, mass }, i) => {
    const name = `box_${i}`;
    builder.body({ name, class: 'box', pos, quat, mass, parts: [part('box', half, material(name))] });
  });
  return finishScene(builder, draw);
}

function leaningLayers(random: RandomStream): readonly Layer[] {
  const count = random.integer(4, 7);
  const perCubicMetre = density(random);
  let [x, top] = [random.uniform(-0.25, -0.15), 0];
  return Array.from({ length: count }, () => {
    const half: Vec3 = [0.18, 0.18, random.uniform(0.07, 0.12)];
    const pos: Vec3 = [x, 0, top + half[2]];
    x += random.uniform(0.05, 0.12);
    top += 2 * half[2];
    const mass = 8 * half[0] * half[1] * half[2] * perCubicMetre;
    return { pos, quat: axisAngle(UP, random.uniform(-0.3, 0.3)), half, mass };
  });
}

const MARGIN = 0.005;

/** True when, at some level, the centre of mass of all boxes above lies at least 5 mm outside the box below. */
export function mustFall(layers: readonly Layer[]): boolean {
  return layers.slice(0, -1).some((below, i) => {
    const above = layers.slice(i + 1);
    const mass = above.reduce((sum, layer) => sum + layer.mass, 0);
    const mean = (axis: 0 | 1): number => above.reduce((sum, layer) => sum + layer.mass * layer.pos[axis], 0) / mass;
    const local = rotate(conjugate(below.quat), subtract([mean(0), mean(1), 0], [below.pos[0], below.pos[1], 0]));
    return Math.abs(local[0]) > below.half[0] + MARGIN || Math.abs(local[1]) > below.half[1] + MARGIN;
  });
}

const SLAB: Vec3 = [0.025, 0.1, 0.22];
const STRIKER = 0.1;
const LEDGE_HALF_HEIGHT = 0.09;

/** Seven to twelve slabs in a curved row, struck by a ball. */
export function domino(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('domino', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  builder.pair('*', '*', 0.4, 0.05);
  const count = random.integer(7, 12);
  const gap = random.uniform(0.16, 0.26);
  const bend = random.uniform(-0.12, 0.12);
  const speed = random.uniform(2, 3);
  const row: { x: number; y: number; heading: number }[] = [];
  let [x, y, heading] = [0, 0, (-bend * (count - 1)) / 2];
  for (let i = 0; i < count; i++) {
    row.push({ x, y, heading });
    heading += bend;
    x += gap * Math.cos(heading);
    y += gap * Math.sin(heading);
  }
  // The ball comes along the row's first direction and hits within a fifth of a second.
  const first = row[0]!;
  const lead = STRIKER + SLAB[0] + speed * (0.12 + leadIn(draw, random) / 4);
  const back = (by: number, z: number): Vec3 => [
    first.x - by * Math.cos(first.heading),
    first.y - by * Math.sin(first.heading),
    z,
  ];
  // It rolls on a ledge: a hit below the slab's centre of mass would kick the foot away and drop the slab on the ball.
  const ball = back(lead, 2 * LEDGE_HALF_HEIGHT + STRIKER);
  const ledge = { near: SLAB[0] + 0.04, far: lead + STRIKER };
  const middle: Vec3 = [(ball[0] + x) / 2, (Math.min(ball[1], 0) + Math.max(y, 0)) / 2, 0];
  row.forEach((slab, i) => {
    const name = `domino_${i}`;
    const parts = [part('box', SLAB, material(name))];
    builder.body({
      name,
      class: 'domino',
      pos: subtract([slab.x, slab.y, SLAB[2]], middle),
      quat: axisAngle(UP, slab.heading),
      mass: massOf(parts, 600),
      parts,
    });
  });
  builder.body({
    name: 'ledge',
    class: 'ramp',
    kind: 'static',
    pos: subtract(back((ledge.near + ledge.far) / 2, LEDGE_HALF_HEIGHT), middle),
    quat: axisAngle(UP, first.heading),
    parts: [
      part('box', [(ledge.far - ledge.near) / 2, 0.13, LEDGE_HALF_HEIGHT], fixtureMaterial(builder, draw, 'ledge')),
    ],
  });
  const velocity: Vec3 = [speed * Math.cos(first.heading), speed * Math.sin(first.heading), 0];
  const parts = [part('sphere', [STRIKER], material('ball_0'))];
  builder.body({
    name: 'ball_0',
    class: 'ball',
    pos: subtract(ball, middle),
    linvel: velocity,
    angvel: [-velocity[1] / STRIKER, velocity[0] / STRIKER, 0],
    mass: massOf(parts, 2500),
    parts,
  });
  return finishScene(builder, draw);
}
