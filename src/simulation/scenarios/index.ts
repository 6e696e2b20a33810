// Scenarios: named families of scenes, each scene drawn from one seed.
import { InputError, randomStream, throwIfAborted } from '../../base/index.ts';
import { simulate } from '../physics.ts';
import type { Scene, Trajectory } from '../scene.ts';
import { leavesView, motionProblem, startProblem } from './accept.ts';
import { type Draw, drawOf, type ResolvedOptions, type SceneOptions } from './builder.ts';
import { collision, freefall, tilted, uSlope } from './drops.ts';
import { ballIntoStack, ballRollsOffTable, boxSlide, cradle, pendulum } from './extras.ts';
import { gyroscope, seesaw } from './machines.ts';
import { robotPush } from './robot.ts';
import { domino, stableStack, unstableStack } from './stacks.ts';
import { tableCollision, tableFreefall, tableMixture, tableRamp, tableStill, tableTrough } from './table.ts';

export type { SceneOptions } from './builder.ts';

type Scenario = { readonly build: (draw: Draw) => Scene; readonly defaults: Partial<ResolvedOptions> };

const TABLE = { frames: 33, fps: 12, width: 128, height: 128 } as const;
const BENCHMARK = { frames: 100, fps: 24, width: 256, height: 256 } as const;

const BUILDERS = {
  table: { build: (draw) => tableMixture(draw, randomStream(draw.seed, 'mixture').uniform()), defaults: TABLE },
  table_freefall: { build: tableFreefall, defaults: TABLE },
  table_collision: { build: tableCollision, defaults: TABLE },
  table_ramp: { build: tableRamp, defaults: TABLE },
  table_trough: { build: tableTrough, defaults: TABLE },
  table_still: { build: tableStill, defaults: TABLE },
  robot_push: { build: robotPush, defaults: { ...TABLE, fps: 24 } },
  freefall: { build: freefall, defaults: BENCHMARK },
  tilted: { build: tilted, defaults: BENCHMARK },
  u_slope: { build: uSlope, defaults: BENCHMARK },
  stable_stack: { build: stableStack, defaults: BENCHMARK },
  unstable_stack: { build: unstableStack, defaults: BENCHMARK },
  domino: { build: domino, defaults: BENCHMARK },
  seesaw: { build: seesaw, defaults: BENCHMARK },
  gyroscope: { build: gyroscope, defaults: BENCHMARK },
  collision: { build: collision, defaults: BENCHMARK },
  cradle: { build: cradle, defaults: BENCHMARK },
  pendulum: { build: pendulum, defaults: BENCHMARK },
  box_slide: { build: boxSlide, defaults: BENCHMARK },
  ball_rolls_off_table: { build: ballRollsOffTable, defaults: BENCHMARK },
  ball_into_stack: { build: ballIntoStack, defaults: BENCHMARK },
} as const satisfies Readonly<Record<string, Scenario>>;

export type ScenarioName = keyof typeof BUILDERS;

/** Names of all scenarios. `table` draws from a fixed mixture of the table scenarios. */
export const SCENARIOS = Object.keys(BUILDERS) as readonly ScenarioName[];

/** The eight scenarios of the physics benchmark. */
export const BENCHMARK_SCENARIOS = [
  'freefall',
  'tilted',
  'u_slope',
  'stable_stack',
  'unstable_stack',
  'domino',
  'seesaw',
  'gyroscope',
] as const satisfies readonly ScenarioName[];

const MAX_ATTEMPTS = 200;

function resolve(name: ScenarioName, options: SceneOptions): { scenario: Scenario; options: ResolvedOptions } {
  const scenario: Scenario | undefined = BUILDERS[name];
  if (scenario === undefined) throw new InputError('scenario', { got: name, need: SCENARIOS.join(', ') });
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved: ResolvedOptions = {
    frames: 100,
    fps: 24,
    width: 256,
    height: 256,
    cameras: 'benchmark',
    varyGravity: false,
    attempt: 0,
    ...scenario.defaults,
    ...given,
  };
  for (const key of ['frames', 'fps', 'width', 'height'] as const) {
    const value = resolved[key];
    if (!Number.isInteger(value) || value < 1) {
      throw new InputError(key, { got: value, need: 'a whole number of at least 1' });
    }
  }
  return { scenario, options: resolved };
}

/**
 * Builds the scene of a seed. Draws with an object out of view or hidden at frame 0 are skipped, so the scene's `attempt`
 * may be larger than the one asked for.
 * @param seed integer in [0, 2³²)
 */
export function buildScene(scenario: ScenarioName, seed: number, options: SceneOptions = {}): Scene {
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new InputError('seed', { got: seed, need: 'a whole number from 0 to 4294967295' });
  }
  const { scenario: chosen, options: resolved } = resolve(scenario, options);
  let problem: string | undefined;
  for (let attempt = resolved.attempt; attempt < resolved.attempt + MAX_ATTEMPTS; attempt++) {
    const scene = chosen.build(drawOf(seed, { ...resolved, attempt }));
    problem = startProblem(scene);
    if (problem === undefined) return scene;
  }
  throw new InputError('options', {
    got: `${scenario}, ${resolved.width}×${resolved.height}`,
    need: 'a picture that shows the scene',
    why: `${MAX_ATTEMPTS} draws failed, the last because ${problem}`,
  });
}

/** Why a simulated clip must be drawn again; undefined when it is fine. */
function clipProblem(scene: Scene, trajectory: Trajectory): string | undefined {
  if (scene.robot !== undefined) return leavesView(scene, trajectory);
  const isTable = scene.scenario.startsWith('table_') && scene.scenario !== 'table_still';
  return isTable ? motionProblem(scene, trajectory) : undefined;
}

/** A scene with its motion. */
export type SimulatedClip = { readonly scene: Scene; readonly trajectory: Trajectory };

/**
 * Builds and simulates the clip of a seed. For the table and robot worlds draws are repeated until every object stays in view and
 * something moves after the given frames; the scene records the draw in `attempt`.
 */
export async function simulateClip(
  scenario: ScenarioName,
  seed: number,
  options: SceneOptions & { readonly signal?: AbortSignal } = {},
): Promise<SimulatedClip> {
  const { signal, ...rest } = options;
  let attempt = rest.attempt ?? 0;
  let problem: string | undefined;
  for (let i = 0; i < MAX_ATTEMPTS; i++) {
    throwIfAborted(signal);
    const scene = buildScene(scenario, seed, { ...rest, attempt });
    const trajectory = await simulate(scene, signal === undefined ? {} : { signal });
    problem = clipProblem(scene, trajectory);
    if (problem === undefined) return { scene, trajectory };
    attempt = (scene.attempt ?? 0) + 1;
  }
  throw new InputError('seed', {
    got: seed,
    need: 'a seed whose clip stays in view',
    why: `${MAX_ATTEMPTS} draws failed, the last because ${problem}`,
  });
}
