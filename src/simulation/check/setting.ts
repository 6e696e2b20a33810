// What all closed-form cases share: their file format, a bare scene without looks, and rows of results.
import { InputError } from '../../base/index.ts';
import { openPhysics, type Physics } from '../physics.ts';
import { type BodyPlan, bodyOf } from '../scenarios/builder.ts';
import { sky } from '../scenarios/palette.ts';
import type { Joint, Part, Scene, Vec3 } from '../scene.ts';
import { IDENTITY, ZERO } from '../vector.ts';

/** One case: inputs in SI units, expected values from closed forms, tolerances (`*_abs` absolute, `*_rel` relative). */
export type PhysicsCase = {
  readonly id: string;
  /** Magnitude of gravity, m/s². */
  readonly g: number;
  readonly input: Readonly<Record<string, unknown>>;
  readonly times?: readonly number[];
  readonly expected: Readonly<Record<string, unknown>>;
  readonly tol: Readonly<Record<string, number>>;
};

/** A file of cases. */
export type PhysicsFamily = { readonly family: string; readonly cases: readonly PhysicsCase[] };

/** One compared quantity. Yes-or-no quantities are 1 or 0 with tolerance 0. */
export type CheckRow = {
  readonly id: string;
  readonly quantity: string;
  readonly got: number;
  readonly expected: number;
  /** Absolute, in the unit of the quantity. */
  readonly tolerance: number;
  readonly pass: boolean;
};

/** Runs one case with a physics step (s) and compares. */
export type CaseRunner = (one: PhysicsCase, dt: number) => Promise<readonly CheckRow[]>;

/** A number of the input; required unless a default is given. */
export function numberIn(one: PhysicsCase, key: string, fallback?: number): number {
  const value = one.input[key] ?? fallback;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new InputError(`${one.id}.input.${key}`, { got: value, need: 'a finite number' });
}

/** A list of numbers of the input. */
export function numbersIn(one: PhysicsCase, key: string, count: number): readonly number[] {
  const value = one.input[key];
  if (Array.isArray(value) && value.length === count && value.every((x) => typeof x === 'number')) return value;
  throw new InputError(`${one.id}.input.${key}`, { got: value, need: `${count} numbers` });
}

/** Collects rows for the quantities that a case expects; what it does not expect is not reported. */
export function rowsOf(one: PhysicsCase): {
  readonly rows: CheckRow[];
  /** Compares `got` with expected[quantity]: a number, a list of numbers, or yes/no. */
  compare(quantity: string, got: number | boolean | readonly number[], tolerance: (expected: number) => number): void;
  /** Compares with a value that the case implies but does not list. */
  compareWith(quantity: string, got: number, expected: number, tolerance: number): void;
} {
  const rows: CheckRow[] = [];
  const compareWith = (quantity: string, got: number, expected: number, tolerance: number): void => {
    const pass = Math.abs(got - expected) <= tolerance;
    rows.push({ id: one.id, quantity, got, expected, tolerance, pass });
  };
  return {
    rows,
    compareWith,
    compare(quantity, got, tolerance) {
      const expected = one.expected[quantity];
      if (expected === undefined) return;
      if (typeof expected === 'boolean') compareWith(quantity, Number(got), Number(expected), 0);
      else if (typeof expected === 'number') compareWith(quantity, Number(got), expected, tolerance(expected));
      else if (Array.isArray(expected)) {
        const list = typeof got === 'object' ? got : [Number(got)];
        expected.forEach((value: number, i) => {
          compareWith(`${quantity}[${i}]`, list[i] ?? Number.NaN, value, tolerance(value));
        });
      }
    },
  };
}

/** A tolerance of the case by name, or a default where the case has none. */
export function tolerance(one: PhysicsCase, key: string, fallback: number): number {
  return one.tol[key] ?? fallback;
}

/** Absolute tolerance from a relative one of the case. */
export function relative(one: PhysicsCase, key: string, fallback: number): (expected: number) => number {
  return (expected) => Math.abs(expected) * tolerance(one, key, fallback);
}

/** Absolute tolerance of the case, whatever the value. */
export function absolute(one: PhysicsCase, key: string, fallback: number): () => number {
  return () => tolerance(one, key, fallback);
}

export type Setting = {
  readonly dt: number;
  readonly gravity: number;
  readonly friction?: number;
  readonly restitution?: number;
  readonly bodies: readonly BodyPlan[];
  readonly joints?: readonly Joint[];
};

/** A scene of bare bodies. Ids count from 1 in the order given. */
export function bareScene({ dt, gravity, friction = 0, restitution = 0, bodies, joints = [] }: Setting): Scene {
  return {
    version: 1,
    scenario: 'check',
    seed: 0,
    fps: 1 / dt,
    frames: 1,
    dt,
    gravity: [0, 0, -gravity],
    bodies: bodies.map((plan, i) => bodyOf(plan, i + 1)),
    joints,
    materials: {},
    pairs: [{ a: '*', b: '*', friction, restitution }],
    light: sky(0, 1),
    cameras: [],
  };
}

/**
 * Runs a bare scene for a time and calls `look` at the start and after each step.
 * `look` may return true to stop early.
 */
export async function watch(setting: Setting, seconds: number, look: (physics: Physics) => unknown): Promise<void> {
  const physics = await openPhysics(bareScene(setting));
  try {
    const steps = Math.round(seconds / setting.dt);
    if (look(physics) === true) return;
    for (let i = 0; i < steps; i++) {
      physics.step();
      if (look(physics) === true) return;
    }
  } finally {
    physics.dispose();
  }
}

/** A colliding part at the origin of its body. */
export function solid(shape: Part['shape'], size: readonly number[], at: Partial<Part> = {}): Part {
  return { shape, size, material: 'none', pos: ZERO, quat: IDENTITY, collide: true, ...at };
}

/** The floor z = 0 as a static body. */
export const FLOOR: BodyPlan = {
  name: 'floor',
  class: 'floor',
  kind: 'static',
  pos: [0, 0, 0],
  parts: [solid('plane', [])],
};

/** Times at which a sampled signal crosses zero, by linear interpolation; `sign` +1: upwards only, −1: downwards, 0: both. */
export function crossings(times: readonly number[], values: readonly number[], sign = 0): readonly number[] {
  const found: number[] = [];
  for (let i = 1; i < values.length; i++) {
    const [a, b] = [values[i - 1]!, values[i]!];
    if ((a < 0 && b >= 0 && sign >= 0) || (a > 0 && b <= 0 && sign <= 0)) {
      found.push(times[i - 1]! + ((times[i]! - times[i - 1]!) * a) / (a - b));
    }
  }
  return found;
}

/** Adds whole turns so that neighbouring angles differ by less than half a turn. */
export function unwrap(angles: readonly number[]): readonly number[] {
  let turns = 0;
  return angles.map((angle, i) => {
    if (i > 0) {
      const step = angle - angles[i - 1]!;
      turns -= Math.round(step / (2 * Math.PI));
    }
    return angle + 2 * Math.PI * turns;
  });
}

/** Slope of the least-squares line through (x, y). */
export function slope(x: readonly number[], y: readonly number[]): number {
  const mean = (list: readonly number[]): number => list.reduce((sum, v) => sum + v, 0) / list.length;
  const [mx, my] = [mean(x), mean(y)];
  let [xy, xx] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    xy += (x[i]! - mx) * (y[i]! - my);
    xx += (x[i]! - mx) ** 2;
  }
  return xy / xx;
}

export const radians = (degrees: number): number => (degrees * Math.PI) / 180;
export const WORLD_Y: Vec3 = [0, 1, 0];
