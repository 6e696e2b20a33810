// Closed forms of spinning bodies: gyroscope (heavy top, torque-free top, tumbling about the middle axis).
import type { BodyPlan } from '../scenarios/builder.ts';
import type { Vec3 } from '../scene.ts';
import { add, axisAngle, conjugate, cross, dot, length, normalize, rotate, scale, subtract } from '../vector.ts';
import {
  type CaseRunner,
  crossings,
  numberIn,
  numbersIn,
  radians,
  relative,
  rowsOf,
  slope,
  tolerance,
  unwrap,
  WORLD_Y,
  watch,
} from './setting.ts';

const WATCH_SECONDS = 4;

export const gyroscope: CaseRunner = async (one, dt) =>
  one.input.omega_body === undefined ? heavyTop(one, dt) : freeTop(one, dt);

/** Steady precession at the slow root of I₁ cos θ·W² − I₃ω₃·W + m·g·l = 0, on a frictionless ball joint. */
const heavyTop: CaseRunner = async (one, dt) => {
  const { rows, compare, compareWith } = rowsOf(one);
  const mass = numberIn(one, 'mass');
  const arm = numberIn(one, 'pivot_to_com');
  const i3 = numberIn(one, 'I3');
  const i1 = numberIn(one, 'I1_about_pivot');
  const spin = numberIn(one, 'spin_component_along_axis');
  const tilt = radians(numberIn(one, 'tilt_from_vertical_deg'));
  const turn = axisAngle(WORLD_Y, tilt);
  const axis = rotate(turn, [0, 0, 1]);
  const rate = slowRoot(i1 * Math.cos(tilt), -i3 * spin, mass * one.g * arm);
  const omega = add([0, 0, rate], scale(axis, spin - rate * Math.cos(tilt)));
  const across = i1 - mass * arm * arm;
  const body: BodyPlan = {
    name: 'top',
    class: 'top',
    pos: [0, 0, 0],
    quat: turn,
    linvel: cross(omega, scale(axis, arm)),
    angvel: omega,
    mass,
    com: [0, 0, arm],
    inertia: [across, across, i3],
    parts: [],
  };
  const joint = {
    type: 'spherical',
    a: 0,
    b: 1,
    anchorA: [0, 0, 0] as Vec3,
    anchorB: [0, 0, 0] as Vec3,
    axis: WORLD_Y,
  } as const;
  const [times, azimuths]: [number[], number[]] = [[], []];
  let drift = 0;
  await watch({ dt, gravity: one.g, bodies: [body], joints: [joint] }, WATCH_SECONDS, (physics) => {
    const now = rotate(physics.state(1).quat, [0, 0, 1]);
    times.push(physics.time);
    azimuths.push(Math.atan2(now[1], now[0]));
    drift = Math.max(drift, Math.abs(Math.acos(Math.min(1, now[2])) - tilt));
  });
  compare('precession_rate', slope(times, unwrap(azimuths)), relative(one, 'rate_rel', 0.03));
  compare('fast_top_estimate', (mass * one.g * arm) / (i3 * spin), (expected) => 1e-6 * Math.abs(expected));
  compareWith('tilt_change_deg_after_4s', (drift * 180) / Math.PI, 0, tolerance(one, 'tilt_abs_deg', 3));
  return rows;
};

/** The smaller root of a·x² + b·x + c, in the form that also holds for a = 0. */
function slowRoot(a: number, b: number, c: number): number {
  const root = Math.sqrt(Math.max(0, b * b - 4 * a * c));
  return (2 * c) / (-b + Math.sign(-b || 1) * root);
}

/** No torque: energy and angular momentum are kept; a symmetric body precesses, a middle axis turns over. */
const freeTop: CaseRunner = async (one, dt) => {
  const { rows, compare, compareWith } = rowsOf(one);
  const inertia = ['I1', 'I2', 'I3'].map((key) => numberIn(one, key)) as unknown as Vec3;
  const start = numbersIn(one, 'omega_body', 3) as unknown as Vec3;
  const body: BodyPlan = {
    name: 'top',
    class: 'top',
    pos: [0, 0, 0],
    angvel: start,
    mass: numberIn(one, 'mass', 1),
    inertia,
    parts: [],
  };
  const momentumOf = (w: Vec3): Vec3 => [inertia[0] * w[0], inertia[1] * w[1], inertia[2] * w[2]];
  const energyOf = (w: Vec3): number => 0.5 * dot(w, momentumOf(w));
  const first = { energy: energyOf(start), momentum: momentumOf(start) };
  // Directions across the angular momentum, to measure the axis going round it.
  const pole = normalize(first.momentum);
  const side = normalize(cross(pole, Math.abs(pole[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0]));
  const other = cross(pole, side);

  const seconds = numberIn(one, 'run_s', 5);
  const [times, inBody, inSpace]: [number[], number[], number[]] = [[], [], []];
  const omegas: Vec3[] = [];
  let last = first;
  await watch({ dt, gravity: one.g, bodies: [body] }, seconds, (physics) => {
    const { quat, angvel } = physics.state(1);
    const w = rotate(conjugate(quat), angvel);
    const axis = rotate(quat, [0, 0, 1]);
    times.push(physics.time);
    omegas.push(w);
    inBody.push(Math.atan2(w[1], w[0]));
    inSpace.push(Math.atan2(dot(axis, other), dot(axis, side)));
    last = { energy: energyOf(w), momentum: rotate(quat, momentumOf(w)) };
  });
  const rate = relative(one, 'rate_rel', 0.02);
  compare('body_precession_rate', slope(times, unwrap(inBody)), rate);
  compare('space_precession_rate', slope(times, unwrap(inSpace)), rate);
  compare('energy', last.energy, relative(one, 'energy_rel_after_5s', 0.01));
  compare('angular_momentum', length(last.momentum), relative(one, 'angular_momentum_rel_after_5s', 0.005));
  if (one.tol.angular_momentum_direction_rel !== undefined) {
    const turn = length(subtract(last.momentum, first.momentum)) / length(first.momentum);
    compareWith('angular_momentum_direction', turn, 0, one.tol.angular_momentum_direction_rel);
  }

  // Middle axis: the largest component of the spin changes sign again and again.
  const main = start.reduce((best, w, i) => (Math.abs(w) > Math.abs(start[best]!) ? i : best), 0);
  const turns = crossings(
    times,
    omegas.map((w) => w[main]!),
  );
  const half = turns.length > 1 ? (turns.at(-1)! - turns[0]!) / (turns.length - 1) : Number.NaN;
  for (const [key, value] of Object.entries(one.expected)) {
    if (!/flip|tumbl|unstable|half_period|reversal/.test(key) && key !== 'period') continue;
    const got =
      typeof value === 'boolean'
        ? turns.length > 0
        : /half|between|interval/.test(key)
          ? half
          : /period/.test(key)
            ? 2 * half
            : /first|time/.test(key)
              ? (turns[0] ?? Number.NaN)
              : turns.length;
    compare(
      key,
      got,
      (expected) => Math.abs(expected) * tolerance(one, 'period_rel', tolerance(one, 'rate_rel', 0.05)),
    );
  }
  return rows;
};
