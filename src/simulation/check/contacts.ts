// Closed forms of bodies on planes: friction_flat, incline_slide, incline_roll.
import { InputError } from '../../base/index.ts';
import type { BodyPlan } from '../scenarios/builder.ts';
import type { Quat, Vec3 } from '../scene.ts';
import { axisAngle, dot, rotate, scale, subtract } from '../vector.ts';
import {
  absolute,
  type CaseRunner,
  FLOOR,
  numberIn,
  numbersIn,
  type PhysicsCase,
  radians,
  relative,
  rowsOf,
  solid,
  tolerance,
  WORLD_Y,
  watch,
} from './setting.ts';

/** Lays the z axis of a part along y. */
const ALONG_Y: Quat = axisAngle([1, 0, 0], Math.PI / 2);

/** Moment of inertia about the rolling axis over m·r². */
const INERTIA_FACTOR: Readonly<Record<string, number>> = {
  solid_sphere: 2 / 5,
  solid_cylinder: 1 / 2,
  hollow_sphere: 2 / 3,
  thin_hoop: 1,
};

/** A round body that rolls about its y axis, with inertia k·m·r². */
export function roundBody(one: PhysicsCase, radius: number, mass: number, rest: Partial<BodyPlan>): BodyPlan {
  const shape = String(one.input.shape ?? 'solid_sphere');
  const known = INERTIA_FACTOR[shape];
  if (known === undefined && one.input.inertia_factor_k === undefined) {
    throw new InputError(`${one.id}.input.shape`, { got: shape, need: Object.keys(INERTIA_FACTOR).join(', ') });
  }
  const k = numberIn(one, 'inertia_factor_k', known);
  const isBall = /sphere|ball|shell/.test(shape);
  const spin = k * mass * radius * radius;
  // Across its axis a cylinder as long as it is wide has half the spin's inertia plus that of its length.
  const transverse = isBall ? spin : spin / 2 + (mass * radius * radius) / 3;
  return {
    name: 'body',
    class: isBall ? 'ball' : 'cylinder',
    pos: [0, 0, radius],
    mass,
    inertia: [transverse, spin, transverse],
    parts: [isBall ? solid('sphere', [radius]) : solid('cylinder', [radius, radius], { quat: ALONG_Y })],
    ...rest,
  };
}

function box(one: PhysicsCase, rest: Partial<BodyPlan>): BodyPlan {
  const half = numbersIn(one, 'box_half', 3);
  return {
    name: 'box',
    class: 'box',
    pos: [0, 0, half[2]!],
    mass: numberIn(one, 'mass', 1),
    parts: [solid('box', half)],
    ...rest,
  };
}

/** A sliding box stops after v²/(2µg); a sliding ball ends up rolling at (v + k·ω·r)/(1 + k). */
export const frictionFlat: CaseRunner = async (one, dt) => {
  const { rows, compare } = rowsOf(one);
  const speed = numberIn(one, 'v0');
  const friction = numberIn(one, 'pair_friction');
  const setting = { dt, gravity: one.g, friction };
  if (one.input.box_half !== undefined) {
    const seconds = (2 * Math.abs(speed)) / (friction * one.g) + 0.5;
    let stopTime = Number.NaN;
    let distance = 0;
    await watch({ ...setting, bodies: [FLOOR, box(one, { linvel: [speed, 0, 0] })] }, seconds, (physics) => {
      const { pos, linvel } = physics.state(2);
      distance = pos[0];
      if (Number.isNaN(stopTime) && Math.abs(linvel[0]) < 1e-3 * Math.abs(speed)) stopTime = physics.time;
    });
    compare('stop_distance', distance, relative(one, 'distance_rel', 0.02));
    compare('stop_time', stopTime, relative(one, 'time_rel', 0.02));
    return rows;
  }

  const radius = numberIn(one, 'solid_sphere_radius');
  const spin = numberIn(one, 'spin0_forward_positive', 0);
  const slip = speed - spin * radius;
  const body = roundBody(one, radius, numberIn(one, 'mass', 1), { linvel: [speed, 0, 0], angvel: [0, spin, 0] });
  const seconds = (2 * Math.abs(slip)) / (3.5 * friction * one.g) + 0.5;
  let rollTime = Number.NaN;
  let final = 0;
  await watch({ ...setting, bodies: [FLOOR, body] }, seconds, (physics) => {
    const { linvel, angvel } = physics.state(2);
    final = linvel[0];
    if (Number.isNaN(rollTime) && Math.abs(linvel[0] - angvel[1] * radius) < 1e-3 * Math.abs(slip)) {
      rollTime = physics.time;
    }
  });
  // A ball with the right backspin ends at rest: then the scale is its first speed.
  const scaleOf = (expected: number): number => Math.max(Math.abs(expected), 0.1 * Math.abs(speed));
  compare('rolling_speed', final, (expected) => tolerance(one, 'v_rel', 0.02) * scaleOf(expected));
  compare('time_to_roll', rollTime, relative(one, 'time_rel', 0.05));
  return rows;
};

/** A fixed plane through the origin that falls towards +x, and a body lying on it. */
function onIncline(one: PhysicsCase, lying: BodyPlan): { bodies: BodyPlan[]; downhill: Vec3; axis: Vec3 } {
  const turn = axisAngle(WORLD_Y, radians(numberIn(one, 'angle_deg')));
  const plane: BodyPlan = { ...FLOOR, name: 'plane', quat: turn };
  const body: BodyPlan = { ...lying, quat: turn, pos: rotate(turn, lying.pos) };
  return { bodies: [plane, body], downhill: rotate(turn, [1, 0, 0]), axis: WORLD_Y };
}

/** a = g(sin θ − µ cos θ), or rest when tan θ ≤ µ. */
export const inclineSlide: CaseRunner = async (one, dt) => {
  const { rows, compare, compareWith } = rowsOf(one);
  const { bodies, downhill } = onIncline(one, box(one, {}));
  const settle = Math.round(numberIn(one, 'settle_s', 0.25) / dt);
  const measure = Math.round(numberIn(one, 'measure_s', 0.5) / dt);
  const marks: { pos: Vec3; speed: number }[] = [];
  const setting = { dt, gravity: one.g, friction: numberIn(one, 'pair_friction'), bodies };
  await watch(setting, (settle + measure) * dt, (physics) => {
    if (physics.steps !== settle && physics.steps !== settle + measure) return;
    const { pos, linvel } = physics.state(2);
    marks.push({ pos, speed: dot(linvel, downhill) });
  });
  const [first, last] = marks as [(typeof marks)[0], (typeof marks)[0]];
  const travel = dot(subtract(last.pos, first.pos), downhill);
  const creep = tolerance(one, 'creep_m', 0.002);
  compare('acceleration', (last.speed - first.speed) / (measure * dt), absolute(one, 'acc_abs', 0.03));
  compare('slides', Math.abs(travel) > creep, () => 0);
  if (one.expected.slides === false) compareWith('creep', travel, 0, creep);
  return rows;
};

/** a = g sin θ/(1 + k) when it rolls, g(sin θ − µ cos θ) when it slips. */
export const inclineRoll: CaseRunner = async (one, dt) => {
  const { rows, compare } = rowsOf(one);
  const radius = numberIn(one, 'radius');
  const { bodies, downhill, axis } = onIncline(one, roundBody(one, radius, numberIn(one, 'mass', 1), {}));
  const seconds = numberIn(one, 'measure_s', 0.6);
  let [speed, spin, time] = [0, 0, 0];
  const setting = { dt, gravity: one.g, friction: numberIn(one, 'pair_friction'), bodies };
  await watch(setting, seconds, (physics) => {
    const { linvel, angvel } = physics.state(2);
    speed = dot(linvel, downhill);
    spin = dot(angvel, scale(axis, 1));
    time = physics.time;
  });
  const rollTolerance = 0.02 * Math.abs(speed);
  compare('rolls_without_slip', Math.abs(speed - spin * radius) <= rollTolerance, () => 0);
  compare('acceleration', speed / time, absolute(one, 'acc_abs', 0.05));
  // Without friction nothing turns it: then 1 rad/s² is the scale.
  const alphaTolerance = relative(one, 'alpha_rel', 0.04);
  compare('angular_acceleration', spin / time, (expected) => alphaTolerance(Math.max(Math.abs(expected), 1)));
  return rows;
};
