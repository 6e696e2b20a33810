// Physics against closed forms: builds each case with the simulator, runs it and compares.
import { InputError, OrreryError, throwIfAborted } from '../../base/index.ts';
import { frictionFlat, inclineRoll, inclineSlide } from './contacts.ts';
import { bounce, collision, freeFall } from './free-bodies.ts';
import type { CaseRunner, CheckRow, PhysicsCase, PhysicsFamily } from './setting.ts';
import { stackAndDomino } from './stacks.ts';
import { pendulum, seesaw, uSlope } from './swings.ts';
import { gyroscope } from './tops.ts';

export type { CheckRow, PhysicsCase, PhysicsFamily } from './setting.ts';

type Family = { readonly run: CaseRunner /** Steps per second. */; readonly rate: number };

const FAMILIES = {
  free_fall: { run: freeFall, rate: 960 },
  // Late bounces of a dull ball are fractions of a millimetre high.
  bounce: { run: bounce, rate: 7680 },
  collision: { run: collision, rate: 1920 },
  friction_flat: { run: frictionFlat, rate: 960 },
  incline_slide: { run: inclineSlide, rate: 960 },
  incline_roll: { run: inclineRoll, rate: 960 },
  pendulum: { run: pendulum, rate: 960 },
  u_slope: { run: uSlope, rate: 960 },
  seesaw: { run: seesaw, rate: 960 },
  stack_and_domino: { run: stackAndDomino, rate: 960 },
  gyroscope: { run: gyroscope, rate: 960 },
} as const satisfies Readonly<Record<string, Family>>;

/** Families of closed-form cases. */
export const PHYSICS_FAMILIES = Object.keys(FAMILIES) as readonly (keyof typeof FAMILIES)[];

export type CheckOptions = {
  /** Physics step, s. Default: the family's own, 1/960 or shorter. */
  readonly dt?: number;
  readonly signal?: AbortSignal;
};

/** Runs one case and compares every quantity that it expects. */
export async function runPhysicsCase(
  family: string,
  one: PhysicsCase,
  options: CheckOptions = {},
): Promise<readonly CheckRow[]> {
  throwIfAborted(options.signal);
  const chosen: Family | undefined = (FAMILIES as Readonly<Record<string, Family>>)[family];
  if (chosen === undefined) throw new InputError('family', { got: family, need: PHYSICS_FAMILIES.join(', ') });
  return chosen.run(one, options.dt ?? 1 / chosen.rate);
}

/** Runs all cases of a family, one after another. */
export async function* runPhysicsFamily(family: PhysicsFamily, options: CheckOptions = {}): AsyncGenerator<CheckRow> {
  for (const one of family.cases) yield* await runPhysicsCase(family.family, one, options);
}

/** Reads a family file. */
export function parsePhysicsFamily(json: string, where = 'physics file'): PhysicsFamily {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new OrreryError('data', `${where}: not JSON; give a file of closed-form cases`, { cause });
  }
  const { family, cases } = (value ?? {}) as { family?: unknown; cases?: unknown };
  if (typeof family !== 'string' || !PHYSICS_FAMILIES.includes(family as keyof typeof FAMILIES)) {
    throw new InputError(`${where}: family`, { got: family, need: PHYSICS_FAMILIES.join(', ') }, 'data');
  }
  if (!Array.isArray(cases)) throw new InputError(`${where}: cases`, { got: cases, need: 'a list' }, 'data');
  cases.forEach((one: Partial<PhysicsCase> | null, i) => {
    const isCase =
      typeof one?.id === 'string' &&
      typeof one.g === 'number' &&
      [one.input, one.expected].every((part) => typeof part === 'object' && part !== null);
    if (!isCase) {
      throw new InputError(`${where}: cases[${i}]`, { got: one?.id, need: 'id, g, input, expected and tol' }, 'data');
    }
  });
  return { family, cases: cases.map((one: PhysicsCase) => ({ ...one, tol: one.tol ?? {} })) };
}
