// Benchmark scenes with joints and spin: seesaw, gyroscope.
import type { Scene, Vec3 } from '../scene.ts';
import { add, axisAngle, multiply, rotate, scale } from '../vector.ts';
import {
  ALONG_Y,
  addFloor,
  degrees,
  finishScene,
  fixtureMaterial,
  leadIn,
  massOf,
  objectMaterials,
} from './benchmark-looks.ts';
import { type Draw, part, sceneBuilder } from './builder.ts';

const PLANK: Vec3 = [1, 0.18, 0.03];
const SUPPORT_RADIUS = 0.28;

/** A heavy body drops on one end of a seesaw and throws up the light one on the other. */
export function seesaw(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('seesaw', draw);
  addFloor(builder, draw);
  const material = objectMaterials(builder, draw);
  builder.pair('*', '*', 0.5, 0.1);
  const support = fixtureMaterial(builder, draw, 'support');
  const height = SUPPORT_RADIUS + PLANK[2];
  const supportId = builder.body({
    name: 'support',
    class: 'ramp',
    kind: 'static',
    pos: [0, 0, 0],
    parts: [part('cylinder', [SUPPORT_RADIUS, PLANK[1]], support, { quat: ALONG_Y })],
  });
  // The light end rests on the floor: height = half length · sin a + half thickness · cos a.
  const angle = restAngle(height);
  const turn = axisAngle([0, 1, 0], -angle);
  const hub: Vec3 = [0, 0, height + 0.001];
  const plankParts = [part('box', PLANK, material('plank'))];
  const plankId = builder.body({
    name: 'plank',
    class: 'plank',
    pos: hub,
    quat: turn,
    mass: massOf(plankParts, 600),
    parts: plankParts,
  });
  builder.joint({
    type: 'revolute',
    a: supportId,
    b: plankId,
    anchorA: hub,
    anchorB: [0, 0, 0],
    axis: [0, 1, 0],
    limits: [-0.5, 0.5],
  });

  const lightParts = [part('box', [0.12, 0.12, 0.12], material('box_0'))];
  builder.body({
    name: 'box_0',
    class: 'box',
    pos: add(hub, rotate(turn, [-0.8, 0, PLANK[2] + 0.12 + 0.0005])),
    quat: turn,
    mass: massOf(lightParts, random.uniform(200, 500)),
    parts: lightParts,
  });
  const shape = random.pick(['ball', 'box', 'cylinder'] as const);
  const name = `${shape}_1`;
  const heavy =
    shape === 'ball'
      ? part('sphere', [0.14], material(name))
      : shape === 'box'
        ? part('box', [0.14, 0.14, 0.14], material(name))
        : part('cylinder', [0.14, 0.14], material(name));
  builder.body({
    name,
    class: shape,
    pos: [0.75, 0, random.uniform(1.3, 1.7)],
    mass: massOf([heavy], random.uniform(800, 1500)),
    parts: [heavy],
    holdSeconds: leadIn(draw, random),
  });
  return finishScene(builder, draw);
}

/** Angle at which the plank's end touches the floor, rad: Newton's method on half·sin a + thick·cos a = height. */
function restAngle(height: number): number {
  let a = Math.asin((height - PLANK[2]) / PLANK[0]);
  for (let i = 0; i < 5; i++) {
    const value = PLANK[0] * Math.sin(a) + PLANK[2] * Math.cos(a) - height;
    a -= value / (PLANK[0] * Math.cos(a) - PLANK[2] * Math.sin(a));
  }
  return a;
}

const AXLE_RADIUS = 0.02;
const AXLE_HALF = 0.28;
const DISC_RADIUS = 0.22;
/** Steps per second. The engine's single precision adds energy to a fast spin at every step, so fewer are better. */
const SPIN_STEP_RATE = 720;
/** Low, so that the top stays in the picture for four seconds. */
const TIP_FRICTION = 0.02;

/** A fast disc on an axle whose tip stands on the floor. */
export function gyroscope(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('gyroscope', draw);
  addFloor(builder, draw);
  const tilt = random.uniform(8, 22) * degrees;
  const lean = random.uniform(0, 2 * Math.PI);
  const spin = random.uniform(90, 140) * random.pick([-1, 1]);
  const color = objectMaterials(builder, draw)('top_0');
  const disc = builder.material(color, { ...builder.materialOf(color), texture: 'checker' });
  const axle = fixtureMaterial(builder, draw, 'axle');
  const parts = [part('cylinder', [DISC_RADIUS, 0.03], disc), part('capsule', [AXLE_RADIUS, AXLE_HALF], axle)];
  const quat = multiply(axisAngle([0, 0, 1], lean), axisAngle([0, 1, 0], tilt));
  const axis = rotate(quat, [0, 0, 1]);
  builder.pair('*', '*', TIP_FRICTION, 0);
  const mass = massOf(parts, 2000);
  // Friction µg at the tip turns with the lean at W ≈ mgl/(I₃ω), so it drives the top round a circle of radius µg/W²;
  // started from rest the circle would drift off, started at this velocity it closes.
  const rate = (mass * 9.81 * AXLE_HALF) / (0.5 * mass * DISC_RADIUS ** 2 * Math.abs(spin));
  const start = (-TIP_FRICTION * 9.81) / rate;
  builder.body({
    name: 'top_0',
    class: 'top',
    // The tip's ball touches the floor at the origin.
    pos: add([0, 0, AXLE_RADIUS], scale(axis, AXLE_HALF)),
    quat,
    linvel: [start * Math.cos(lean), start * Math.sin(lean), 0],
    angvel: scale(axis, spin),
    mass,
    parts,
  });
  return finishScene(builder, draw, { target: [0, 0, 0.25], distance: 1.5 }, SPIN_STEP_RATE);
}
