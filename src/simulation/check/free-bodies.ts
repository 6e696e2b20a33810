// Closed forms of bodies that fly, bounce and hit each other: free_fall, bounce, collision.
import type { BodyPlan } from '../scenarios/builder.ts';
import type { Vec3 } from '../scene.ts';
import {
  absolute,
  type CaseRunner,
  FLOOR,
  numberIn,
  numbersIn,
  relative,
  rowsOf,
  solid,
  tolerance,
  watch,
} from './setting.ts';

function ball(name: string, radius: number, mass: number, pos: Vec3, linvel: Vec3 = [0, 0, 0]): BodyPlan {
  return { name, class: 'ball', pos, linvel, mass, parts: [solid('sphere', [radius])] };
}

/** z = z0 + v·t − g·t²/2, sampled at the listed times. */
export const freeFall: CaseRunner = async (one, dt) => {
  const { rows, compare } = rowsOf(one);
  const start: Vec3 = [0, 0, numberIn(one, 'z0')];
  const velocity: Vec3 = [numberIn(one, 'vx0', 0), 0, numberIn(one, 'vz0', 0)];
  const body = ball('ball', numberIn(one, 'radius', 0.05), numberIn(one, 'mass', 1), start, velocity);
  const times = one.times ?? [];
  const [x, z, vz]: [number[], number[], number[]] = [[], [], []];
  let before = { time: 0, x: start[0], z: start[2], vz: velocity[2] };
  let next = 0;
  await watch({ dt, gravity: one.g, bodies: [body] }, Math.max(0, ...times) + 2 * dt, (physics) => {
    const { pos, linvel } = physics.state(1);
    const now = { time: physics.time, x: pos[0], z: pos[2], vz: linvel[2] };
    for (; next < times.length && times[next]! <= now.time + 1e-9; next++) {
      const span = now.time - before.time;
      const part = span > 0 ? Math.min(1, (times[next]! - before.time) / span) : 1;
      const mix = (key: 'x' | 'z' | 'vz'): number => before[key] + part * (now[key] - before[key]);
      x.push(mix('x'));
      z.push(mix('z'));
      vz.push(mix('vz'));
    }
    before = now;
  });
  compare('z', z, absolute(one, 'z_abs', 0.005));
  compare('x', x, absolute(one, 'x_abs', 0.001));
  compare('vz', vz, absolute(one, 'vz_abs', 0.01));
  return rows;
};

/** Impacts at √(2h/g)·(1 + 2e + 2e² + …); apexes h·e^(2n). */
export const bounce: CaseRunner = async (one, dt) => {
  const { rows, compare } = rowsOf(one);
  const height = numberIn(one, 'drop_height_of_lowest_point');
  const radius = numberIn(one, 'radius', 0.1);
  const expected = (one.expected.impact_times as readonly number[] | undefined) ?? [];
  const apexCount = ((one.expected.apex_heights_of_lowest_point as readonly number[] | undefined) ?? []).length;
  const impacts: number[] = [];
  const apexes: number[] = [];
  let highest = 0;
  let falling = false;
  const restitution = numberIn(one, 'pair_restitution');
  const seconds = (expected.at(-1) ?? 1) + Math.sqrt((2 * height) / one.g) + 0.5;
  const body = ball('ball', radius, numberIn(one, 'mass', 1), [0, 0, radius + height]);
  await watch({ dt, gravity: one.g, restitution, bodies: [FLOOR, body] }, seconds, (physics) => {
    const { pos, linvel } = physics.state(2);
    const low = pos[2] - radius;
    if (falling && linvel[2] >= 0) {
      if (impacts.length > 0) apexes.push(highest);
      impacts.push(physics.time - dt / 2);
      highest = 0;
    }
    falling = linvel[2] < 0;
    if (impacts.length > 0) highest = Math.max(highest, low);
    return impacts.length >= expected.length && apexes.length >= apexCount;
  });
  compare('impact_times', impacts, absolute(one, 'time_abs', 0.012));
  compare('apex_heights_of_lowest_point', apexes, relative(one, 'apex_rel', 0.03));
  return rows;
};

/** Newton's restitution along the line of centres; momentum is kept. Also a row of balls hit by the first. */
export const collision: CaseRunner = async (one, dt) => {
  const { rows, compare } = rowsOf(one);
  const radius = numberIn(one, 'radius', 0.1);
  const setting = {
    dt,
    gravity: one.g,
    friction: numberIn(one, 'friction', 0),
    restitution: numberIn(one, 'pair_restitution', 1),
  };
  const seconds = numberIn(one, 'run_s', 1.2);
  const velocityTolerance = absolute(one, 'v_abs', 0.02);
  if (one.input.balls !== undefined) {
    const count = numberIn(one, 'balls');
    const mass = numberIn(one, 'mass', 1);
    const pitch = 2 * radius + numberIn(one, 'gap', 0.002);
    const bodies = Array.from({ length: count }, (_, i) => ball(`ball_${i}`, radius, mass, [i * pitch, 0, 0]));
    const lead = 2 * radius + numberIn(one, 'first_ball_start_gap', 0.3);
    bodies[0] = ball('ball_0', radius, mass, [pitch - lead, 0, 0], [numberIn(one, 'first_speed'), 0, 0]);
    let speeds: readonly number[] = [];
    await watch({ ...setting, bodies }, seconds, (physics) => {
      speeds = bodies.map((_, i) => physics.state(i + 1).linvel[0]);
    });
    compare('v', speeds, velocityTolerance);
    return rows;
  }

  const isPlanar = Array.isArray(one.input.v1);
  const vector = (key: string): Vec3 => {
    const [x, y] = isPlanar ? (numbersIn(one, key, 2) as [number, number]) : [numberIn(one, key), 0];
    return [x, y, 0];
  };
  const [m1, m2] = [numberIn(one, 'm1'), numberIn(one, 'm2')];
  const [p1, p2] = isPlanar ? [vector('p1'), vector('p2')] : [vector('x1'), vector('x2')];
  const [r1, r2] = [numberIn(one, 'radius1', radius), numberIn(one, 'radius2', radius)];
  const bodies = [ball('ball_1', r1, m1, p1, vector('v1')), ball('ball_2', r2, m2, p2, vector('v2'))];
  let [v1, v2]: [Vec3, Vec3] = [vector('v1'), vector('v2')];
  await watch({ ...setting, bodies }, seconds, (physics) => {
    v1 = physics.state(1).linvel;
    v2 = physics.state(2).linvel;
  });
  compare('v1', isPlanar ? [v1[0], v1[1]] : v1[0], velocityTolerance);
  compare('v2', isPlanar ? [v2[0], v2[1]] : v2[0], velocityTolerance);
  // A sum that cancels has no relative error of its own: the scale is the momentum that flows.
  const flow = m1 * Math.hypot(...vector('v1')) + m2 * Math.hypot(...vector('v2'));
  const momentumTolerance = (): number => tolerance(one, 'momentum_rel', 1e-4) * flow;
  const momentum = isPlanar ? [m1 * v1[0] + m2 * v2[0], m1 * v1[1] + m2 * v2[1]] : m1 * v1[0] + m2 * v2[0];
  compare('momentum', momentum, momentumTolerance);
  const energy = (m: number, v: Vec3): number => 0.5 * m * (v[0] ** 2 + v[1] ** 2 + v[2] ** 2);
  // What the tolerated velocity errors amount to.
  const dv = tolerance(one, 'v_abs', 0.02);
  const energyTolerance = (): number =>
    dv * (m1 * Math.hypot(...v1) + m2 * Math.hypot(...v2)) + 0.5 * (m1 + m2) * dv * dv;
  compare('kinetic_energy_after', energy(m1, v1) + energy(m2, v2), energyTolerance);
  return rows;
};
