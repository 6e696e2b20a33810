// Closed forms of bodies that swing: pendulum, u_slope (a round trough), seesaw.
import type { BodyPlan } from '../scenarios/builder.ts';
import type { Joint, Quat, Vec3 } from '../scene.ts';
import { axisAngle, rotate } from '../vector.ts';
import { roundBody } from './contacts.ts';
import {
  absolute,
  type CaseRunner,
  crossings,
  FLOOR,
  numberIn,
  type PhysicsCase,
  radians,
  relative,
  rowsOf,
  type Setting,
  tolerance,
  WORLD_Y,
  watch,
} from './setting.ts';

const PERIODS = 10;

function hinge(anchor: Vec3): Joint {
  return { type: 'revolute', a: 0, b: 1, anchorA: [0, 0, 0], anchorB: anchor, axis: WORLD_Y };
}

/** T = 2π√(L/g)/agm(1, cos(a/2)) for a point mass; a thin rod swings like a point at 2/3 of its length. */
export const pendulum: CaseRunner = async (one, dt) => {
  const { rows, compare, compareWith } = rowsOf(one);
  const isRod = one.input.uniform_thin_rod_length !== undefined;
  const rod = numberIn(one, isRod ? 'uniform_thin_rod_length' : 'length');
  const arm = isRod ? rod / 2 : rod;
  const mass = numberIn(one, 'mass', 1);
  const amplitude = radians(numberIn(one, 'amplitude_deg'));
  const moment = isRod ? (mass * rod * rod) / 12 : POINT_INERTIA;
  const turn = axisAngle(WORLD_Y, amplitude);
  // The body frame lies at the pivot with the arm along −z: its only freedom is the angle.
  const body: BodyPlan = {
    name: 'bob',
    class: 'ball',
    pos: [0, 0, 0],
    quat: turn,
    mass,
    com: [0, 0, -arm],
    inertia: [moment, moment, isRod ? moment / 100 : moment],
    parts: [],
  };
  const estimate = 2 * Math.PI * Math.sqrt((isRod ? (2 / 3) * rod : rod) / one.g) * (1 + amplitude ** 2 / 12);
  const [times, angles]: [number[], number[]] = [[], []];
  let fastest = 0;
  const setting: Setting = { dt, gravity: one.g, bodies: [body], joints: [hinge([0, 0, 0])] };
  await watch(setting, (PERIODS + 0.6) * estimate, (physics) => {
    const { quat, linvel } = physics.state(1);
    const down = rotate(quat, [0, 0, -1]);
    times.push(physics.time);
    angles.push(Math.atan2(-down[0], -down[2]));
    fastest = Math.max(fastest, Math.hypot(...linvel));
  });
  const through = crossings(times, angles, 1);
  const last = Math.min(through.length - 1, PERIODS - 1);
  const period = (through[last]! - through[0]!) / last;
  compare('period', period, relative(one, 'period_rel', 0.002));
  compare('bottom_speed', fastest, relative(one, 'speed_rel', 0.005));
  if (one.tol.amplitude_loss_10_periods_rel !== undefined) {
    const from = times.findIndex((t) => t > (PERIODS - 0.5) * period);
    const peak = Math.max(...angles.slice(from).map(Math.abs));
    const loss = 1 - peak / amplitude;
    compareWith('amplitude_loss_10_periods', loss, 0, tolerance(one, 'amplitude_loss_10_periods_rel', 0.02));
  }
  return rows;
};

/** kg·m²; small against m·L² of any pendulum that people build, as the cases ask. */
const POINT_INERTIA = 1e-5;

/**
 * The tangent plane of a round trough (lowest line at z = 0) at an angle from the bottom. A round body inside a trough
 * touches it along one line, where the trough and its tangent plane are the same; flat slabs would brake it at every
 * corner and wherever it touches two of them.
 */
function tangent(radius: number, angle: number): { pos: Vec3; quat: Quat } {
  return {
    pos: [radius * Math.sin(angle), 0, radius - radius * Math.cos(angle)],
    quat: axisAngle(WORLD_Y, -angle),
  };
}

/** The centre swings on radius R − r like a pendulum of length (1 + k)(R − r). */
export const uSlope: CaseRunner = async (one, dt) => {
  const { rows, compare } = rowsOf(one);
  const radius = numberIn(one, 'trough_radius');
  const small = numberIn(one, 'body_radius');
  const start = radians(numberIn(one, 'start_angle_deg'));
  const path = radius - small;
  const pos: Vec3 = [path * Math.sin(start), 0, radius - path * Math.cos(start)];
  const body = roundBody(one, small, numberIn(one, 'mass', 1), { pos, quat: [1, 0, 0, 0] });
  const plane: BodyPlan = { ...FLOOR, name: 'trough', class: 'ramp', ...tangent(radius, start) };
  const bodies = [plane, body];
  const [times, angles, speeds, heights]: [number[], number[], number[], number[]] = [[], [], [], []];
  const setting: Setting = { dt, gravity: one.g, friction: numberIn(one, 'friction', 1), bodies };
  const seconds = 3 * Math.PI * Math.sqrt((2 * path) / one.g) * (1 + start ** 2 / 8);
  await watch(setting, seconds, (physics) => {
    const { pos: at, linvel } = physics.state(2);
    times.push(physics.time);
    angles.push(Math.atan2(at[0], radius - at[2]));
    speeds.push(Math.hypot(...linvel));
    heights.push(at[2] - small);
    // The angle in the middle of the coming step makes the turn of the plane second order in the step.
    const rate = (linvel[0] * Math.cos(angles.at(-1)!) + linvel[2] * Math.sin(angles.at(-1)!)) / path;
    const ahead = tangent(radius, angles.at(-1)! + (rate * dt) / 2);
    physics.place(1, ahead.pos, ahead.quat);
  });
  const through = crossings(times, angles);
  const bottom = times.findIndex((t) => t >= through[0]!);
  const back = times.findIndex((t) => t >= through[1]!);
  compare('speed_at_bottom', speeds[bottom]!, relative(one, 'speed_rel', 0.03));
  // Half a swing takes from one crossing to the next; the first quarter starts from rest.
  compare('period', through.length > 2 ? through[2]! - through[0]! : Number.NaN, relative(one, 'period_rel', 0.03));
  const regained = Math.max(...heights.slice(bottom, back)) / heights[0]!;
  compare('height_regained_fraction', regained, relative(one, 'height_rel', 0.1));
  return rows;
};

/** Torque over inertia of plank and glued point masses about the pivot, at release. */
export const seesaw: CaseRunner = async (one, dt) => {
  const { rows, compare } = rowsOf(one);
  const { mass, com, moment } = loadedPlank(one);
  const angle = radians(numberIn(one, 'angle_deg_left_down_positive', 0));
  const body: BodyPlan = {
    name: 'plank',
    class: 'plank',
    pos: [0, 0, 0],
    // Left is −x; turning it down is a turn about −y.
    quat: axisAngle([0, -1, 0], angle),
    mass,
    com: [com, 0, 0],
    inertia: [moment / 50, moment, moment],
    parts: [],
  };
  const window = 0.01;
  let rate = 0;
  let time = 0;
  const setting: Setting = { dt, gravity: one.g, bodies: [body], joints: [hinge([0, 0, 0])] };
  await watch(setting, window, (physics) => {
    rate = -physics.state(1).angvel[1];
    time = physics.time;
  });
  const alpha = rate / time;
  const limit = tolerance(one, 'alpha_abs', 0.01);
  compare('angular_acceleration_left_down_positive', alpha, (expected) =>
    Math.max(limit, Math.abs(expected) * tolerance(one, 'alpha_rel', 0.02)),
  );
  compare('balanced', Math.abs(alpha) <= limit, absolute(one, 'alpha_abs', 0.01));
  return rows;
};

/** Mass, place of the centre of mass (m right of the pivot) and moment about it. */
function loadedPlank(one: PhysicsCase): { mass: number; com: number; moment: number } {
  const plank = numberIn(one, 'plank_mass');
  const points = [
    { mass: numberIn(one, 'point_mass_left', 0), x: -numberIn(one, 'arm_left', 0) },
    { mass: numberIn(one, 'point_mass_right', 0), x: numberIn(one, 'arm_right', 0) },
  ];
  const mass = plank + points.reduce((sum, p) => sum + p.mass, 0);
  const com = points.reduce((sum, p) => sum + p.mass * p.x, 0) / mass;
  const aboutPivot =
    (plank * numberIn(one, 'plank_length') ** 2) / 12 + points.reduce((sum, p) => sum + p.mass * p.x * p.x, 0);
  return { mass, com, moment: aboutPivot - mass * com * com };
}
