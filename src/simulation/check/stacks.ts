// Closed forms of standing and toppling: stack_and_domino.
import type { BodyPlan } from '../scenarios/builder.ts';
import type { Vec3 } from '../scene.ts';
import { axisAngle, distance, rotate, scale } from '../vector.ts';
import { type CaseRunner, FLOOR, numberIn, rowsOf, solid, tolerance, WORLD_Y, watch } from './setting.ts';

const DENSITY = 700;
/** A domino past this tilt lies, rad. */
const LYING = 1.2;

/** Shifted boxes stand iff the shift is below length/n; a tilted domino falls iff its centre is past its edge. */
export const stackAndDomino: CaseRunner = async (one, dt) =>
  one.input.boxes === undefined ? domino(one, dt) : stack(one, dt);

const stack: CaseRunner = async (one, dt) => {
  const { rows, compare, compareWith } = rowsOf(one);
  const count = numberIn(one, 'boxes');
  const length = numberIn(one, 'box_length');
  const height = numberIn(one, 'box_height');
  const shift = numberIn(one, 'offset_each');
  const boxes: readonly BodyPlan[] = Array.from({ length: count }, (_, i) => ({
    name: `box_${i}`,
    class: 'box',
    pos: [i * shift, 0, (i + 0.5) * height],
    mass: DENSITY * length * length * height,
    parts: [solid('box', [length / 2, length / 2, height / 2])],
  }));
  const setting = { dt, gravity: one.g, friction: numberIn(one, 'friction'), bodies: [FLOOR, ...boxes] };
  let moved = 0;
  await watch(setting, numberIn(one, 'run_s', 3), (physics) => {
    moved = Math.max(...boxes.map((box, i) => distance(physics.state(i + 2).pos, box.pos)));
  });
  const limit = tolerance(one, 'move_if_stands_m', 0.02);
  compare('stands', moved <= limit, () => 0);
  if (one.expected.stands === true) compareWith('move', moved, 0, limit);
  compare('critical_offset', length / count, () => 1e-6);
  return rows;
};

const domino: CaseRunner = async (one, dt) => {
  const { rows, compare } = rowsOf(one);
  const thickness = numberIn(one, 'thickness');
  const height = numberIn(one, 'height');
  const width = numberIn(one, 'width', height / 2);
  const tilt = numberIn(one, 'release_tilt_rad');
  const turn = axisAngle(WORLD_Y, tilt);
  // Turned about its lower edge on the +x side, which lies on the y axis.
  const pos: Vec3 = rotate(turn, scale([thickness, 0, -height], -0.5));
  const slab: BodyPlan = {
    name: 'domino',
    class: 'domino',
    pos,
    quat: turn,
    mass: numberIn(one, 'mass', DENSITY * thickness * width * height),
    parts: [solid('box', [thickness / 2, width / 2, height / 2])],
  };
  const setting = {
    dt,
    gravity: one.g,
    friction: numberIn(one, 'friction', 1),
    restitution: numberIn(one, 'restitution', 0),
    bodies: [FLOOR, slab],
  };
  let lean = 0;
  await watch(setting, numberIn(one, 'run_s', 3), (physics) => {
    const up = rotate(physics.state(2).quat, [0, 0, 1]);
    lean = Math.acos(Math.min(1, Math.max(-1, up[2])));
  });
  compare('topples', lean > LYING, () => 0);
  compare('critical_tilt_rad', Math.atan(thickness / height), () => 1e-6);
  return rows;
};
