// Scenes for training only: cradle, pendulum, box_slide, ball_rolls_off_table, ball_into_stack.
import type { Scene, Vec3 } from '../scene.ts';
import { axisAngle, rotate } from '../vector.ts';
import {
  addFloor,
  degrees,
  density,
  finishScene,
  fixtureMaterial,
  leadIn,
  massOf,
  objectMaterials,
} from './benchmark-looks.ts';
import { type Draw, part, sceneBuilder } from './builder.ts';

const HINGE: Vec3 = [0, 1, 0];

/** A ball at the end of a drawn rod that hangs from (x, y, top), `angle` rad from the vertical towards −x. */
function hanging(
  name: string,
  at: Vec3,
  rod: number,
  radius: number,
  angle: number,
  materials: { readonly ball: string; readonly rod: string },
): { pos: Vec3; quat: ReturnType<typeof axisAngle>; parts: ReturnType<typeof part>[]; name: string; class: 'ball' } {
  const quat = axisAngle(HINGE, angle);
  const arm = rotate(quat, [0, 0, -rod]);
  return {
    name,
    class: 'ball',
    pos: [at[0] + arm[0], at[1] + arm[1], at[2] + arm[2]],
    quat,
    parts: [
      part('sphere', [radius], materials.ball),
      part('capsule', [0.012, rod / 2 - 0.012], materials.rod, { pos: [0, 0, rod / 2], collide: false }),
    ],
  };
}

/** Three to five equal balls hang in a row; the first is let go. */
export function cradle(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('cradle', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  const fixture = fixtureMaterial(builder, draw, 'frame');
  const count = random.integer(3, 5);
  const radius = random.uniform(0.1, 0.13);
  const rod = random.uniform(0.6, 0.8);
  const top = rod + radius + random.uniform(0.1, 0.25);
  const pitch = 2 * radius + 0.002;
  const lift = random.uniform(30, 50) * degrees;
  const hold = leadIn(draw, random);
  builder.pair('*', '*', 0, random.uniform(0.9, 0.98));
  builder.body({
    name: 'beam',
    class: 'pole',
    kind: 'static',
    pos: [0, 0, top],
    parts: [part('box', [(count * pitch) / 2, 0.03, 0.02], fixture, { collide: false })],
  });
  const color = random.uniform() < 0.5 ? material('ball') : undefined;
  for (let i = 0; i < count; i++) {
    const at: Vec3 = [(i - (count - 1) / 2) * pitch, 0, top];
    const ball = hanging(`ball_${i}`, at, rod, radius, i === 0 ? lift : 0, {
      ball: color ?? material(`ball_${i}`),
      rod: fixture,
    });
    const mass = massOf([ball.parts[0]!], 1500);
    const id = builder.body({ ...ball, mass, holdSeconds: i === 0 ? hold : 0 });
    builder.joint({ type: 'revolute', a: 0, b: id, anchorA: at, anchorB: [0, 0, rod], axis: HINGE });
  }
  return finishScene(builder, draw);
}

/** One or two pendulums of different length. */
export function pendulum(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('pendulum', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  const fixture = fixtureMaterial(builder, draw, 'frame');
  const count = random.integer(1, 2);
  const hold = leadIn(draw, random);
  const top = 1.15;
  builder.body({
    name: 'beam',
    class: 'pole',
    kind: 'static',
    pos: [0, 0, top],
    parts: [part('box', [0.03, 0.5, 0.03], fixture, { collide: false })],
  });
  for (let i = 0; i < count; i++) {
    const name = `ball_${i}`;
    const radius = random.uniform(0.1, 0.16);
    const rod = random.uniform(0.5, 0.9);
    const angle = random.pick([-1, 1]) * random.uniform(20, 65) * degrees;
    const at: Vec3 = [0, count === 1 ? 0 : (i - 0.5) * 0.6, top];
    const ball = hanging(name, at, rod, radius, angle, { ball: material(name), rod: fixture });
    // Nothing is in its way: without colliders it is integrated alone, in double precision.
    const parts = ball.parts.map((one) => ({ ...one, collide: false }));
    const mass = massOf([ball.parts[0]!], density(random));
    const moment = 0.4 * mass * radius * radius;
    const id = builder.body({ ...ball, parts, mass, inertia: [moment, moment, moment], holdSeconds: hold });
    builder.joint({ type: 'revolute', a: 0, b: id, anchorA: at, anchorB: [0, 0, rod], axis: HINGE });
  }
  return finishScene(builder, draw);
}

/** One to three boxes slide over the floor until friction stops them. */
export function boxSlide(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('box_slide', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  builder.pair('*', '*', 0.4, 0.1);
  const count = random.integer(1, 3);
  const side = random.pick([-1, 1]);
  for (let i = 0; i < count; i++) {
    const name = `box_${i}`;
    const half: Vec3 = [random.uniform(0.12, 0.18), random.uniform(0.12, 0.18), random.uniform(0.08, 0.13)];
    const parts = [part('box', half, material(name))];
    const speed = random.uniform(1.4, 2.6);
    builder.body({
      name,
      class: 'box',
      pos: [-side * random.uniform(0.75, 1), (i - (count - 1) / 2) * 0.42, half[2]],
      linvel: [side * speed, 0, 0],
      mass: massOf(parts, density(random)),
      parts,
    });
    builder.pair(name, 'floor', random.uniform(0.15, 0.45), 0);
  }
  return finishScene(builder, draw);
}

/** One or two balls roll along a table and over its edge. */
export function ballRollsOffTable(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('ball_rolls_off_table', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  const wood = fixtureMaterial(builder, draw, 'table');
  const height = random.uniform(0.45, 0.7);
  const half: Vec3 = [0.55, 0.4, 0.025];
  const leg = (height - 2 * half[2]) / 2;
  const side = random.pick([-1, 1]);
  const x = -side * 0.4;
  builder.body({
    name: 'table',
    class: 'table',
    kind: 'static',
    pos: [x, 0, 0],
    parts: [
      part('box', half, wood, { pos: [0, 0, height - half[2]] }),
      ...[-1, 1].flatMap((sx) =>
        [-1, 1].map((sy) => part('box', [0.03, 0.03, leg], wood, { pos: [sx * 0.48, sy * 0.33, leg] })),
      ),
    ],
  });
  builder.pair('*', '*', 0.5, 0.5);
  builder.pair('ball_*', 'table', 0.5, 0.2);
  const count = random.integer(1, 2);
  for (let i = 0; i < count; i++) {
    const name = `ball_${i}`;
    const radius = random.uniform(0.09, 0.13);
    const speed = random.uniform(0.6, 1.2);
    const parts = [part('sphere', [radius], material(name))];
    builder.body({
      name,
      class: 'ball',
      pos: [
        x - side * random.uniform(0.1, 0.4),
        count === 1 ? random.uniform(-0.15, 0.15) : (i - 0.5) * 0.36,
        height + radius,
      ],
      linvel: [side * speed, 0, 0],
      angvel: [0, (side * speed) / radius, 0],
      mass: massOf(parts, density(random)),
      parts,
    });
    builder.pair(name, 'floor', 0.5, random.uniform(0.4, 0.8));
  }
  return finishScene(builder, draw);
}

/** A ball rolls into a pyramid of boxes. */
export function ballIntoStack(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('ball_into_stack', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  builder.pair('*', '*', 0.5, 0.1);
  const rows = random.integer(2, 3);
  const half = random.uniform(0.09, 0.12);
  const x = random.uniform(0, 0.25);
  let index = 0;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < rows - row; i++) {
      const name = `box_${index++}`;
      const parts = [part('box', [half, half, half], material(name))];
      const y = (i - (rows - row - 1) / 2) * (2 * half + 0.02);
      const pos: Vec3 = [x + random.uniform(-0.01, 0.01), y, half * (2 * row + 1)];
      builder.body({ name, class: 'box', pos, mass: massOf(parts, random.uniform(200, 350)), parts });
    }
  }
  const radius = random.uniform(0.13, 0.17);
  const speed = random.uniform(2.2, 3.6);
  const parts = [part('sphere', [radius], material('ball_x'))];
  builder.body({
    name: `ball_${index}`,
    class: 'ball',
    pos: [-random.uniform(0.8, 1), random.uniform(-0.08, 0.08), radius],
    linvel: [speed, 0, 0],
    angvel: [0, speed / radius, 0],
    mass: massOf(parts, random.uniform(1200, 2400)),
    parts,
  });
  return finishScene(builder, draw);
}
