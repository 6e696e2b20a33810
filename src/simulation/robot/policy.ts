// Where the tip of the arm goes: waypoints with minimum-jerk motion between them. Pushes, passes that miss, and random
// reaching, so that the actions of a clip cannot be told from its picture.
import type { RandomStream } from '../../base/index.ts';
import type { Vec3 } from '../scene.ts';
import { ARM, REACH } from './arm.ts';

/** An object that can be pushed: where it stands on the table and the radius that holds it, base frame. */
export type Target = { readonly x: number; readonly y: number; readonly radius: number };

/** A place of the tip at a time (s). */
type Waypoint = { readonly time: number; readonly tip: Vec3 };

/** What the arm sets out to do. */
export type Intent = 'push' | 'reach' | 'miss';

/** Part of the table that the camera sees and the arm reaches, base frame, metres. */
export const WORKSPACE = { x: [0.26, 0.54], y: [-0.24, 0.24] } as const;

/** Height of the tip's centre when it pushes. */
export const PUSH_HEIGHT = ARM.tip + 0.012;

const LIMIT = { x: [0.22, 0.575], y: [-0.3, 0.3], z: [PUSH_HEIGHT, 0.2] } as const;

/** s in 0…1 → 0…1 with speed and acceleration 0 at both ends (Flash & Hogan 1985, equation for straight reaching). */
export const minimumJerk = (s: number): number => s ** 3 * (10 - 15 * s + 6 * s * s);

/** Keeps a place within what is seen and reached. */
function within(tip: Vec3): Vec3 {
  const clamp = (v: number, [low, high]: readonly [number, number]): number => Math.min(high, Math.max(low, v));
  let [x, y] = [clamp(tip[0], LIMIT.x), clamp(tip[1], LIMIT.y)];
  const far = Math.hypot(x, y);
  const factor = far > REACH.far ? REACH.far / far : far < REACH.near ? REACH.near / far : 1;
  [x, y] = [x * factor, y * factor];
  return [x, y, clamp(tip[2], LIMIT.z)];
}

/**
 * Places of the tip at times 0, 1/fps, … of a clip.
 * @returns the intent and `frames` places, base frame
 */
export function tipPath(
  random: RandomStream,
  targets: readonly Target[],
  clip: { readonly frames: number; readonly fps: number },
): { intent: Intent; tips: readonly Vec3[] } {
  const u = random.uniform();
  const intent: Intent = u < 0.6 ? 'push' : u < 0.82 ? 'reach' : 'miss';
  const end = clip.frames / clip.fps;
  const waypoints = intent === 'reach' ? reaching(random, targets, end) : passing(random, targets, end, intent);
  const tips = Array.from({ length: clip.frames }, (_, f) => placeAt(waypoints, f / clip.fps));
  return { intent, tips };
}

function placeAt(waypoints: readonly Waypoint[], time: number): Vec3 {
  let k = 0;
  while (k + 1 < waypoints.length && waypoints[k + 1]!.time <= time) k++;
  const a = waypoints[k]!;
  const b = waypoints[k + 1];
  if (b === undefined) return a.tip;
  const s = minimumJerk((time - a.time) / (b.time - a.time));
  return [0, 1, 2].map((i) => a.tip[i]! + s * (b.tip[i]! - a.tip[i]!)) as unknown as Vec3;
}

/** Whether the tip at this place is clear of every object by `gap`. */
const isClear = (tip: Vec3, targets: readonly Target[], gap: number): boolean =>
  targets.every((t) => Math.hypot(tip[0] - t.x, tip[1] - t.y) > t.radius + ARM.tip + gap);

function anywhere(random: RandomStream, height: readonly [number, number]): Vec3 {
  return within([random.uniform(...WORKSPACE.x), random.uniform(...WORKSPACE.y), random.uniform(...height)]);
}

function clearStart(random: RandomStream, targets: readonly Target[], draw: () => Vec3): Vec3 {
  let tip = draw();
  for (let i = 0; i < 40 && !isClear(tip, targets, 0.005); i++) tip = draw();
  // Nowhere clear: begin above everything.
  return isClear(tip, targets, 0.005) ? tip : [tip[0], tip[1], random.uniform(0.17, 0.2)];
}

/** From place to place, every 0.25 to 0.5 s, half of the time at the height of the objects. */
function reaching(random: RandomStream, targets: readonly Target[], end: number): Waypoint[] {
  const isLow = random.uniform() < 0.5;
  const height: readonly [number, number] = isLow ? [PUSH_HEIGHT, PUSH_HEIGHT + 0.01] : [0.08, 0.19];
  const waypoints: Waypoint[] = [{ time: 0, tip: clearStart(random, targets, () => anywhere(random, height)) }];
  for (let time = 0; time < end; ) {
    time += random.uniform(0.25, 0.5);
    const { tip } = waypoints.at(-1)!;
    const angle = random.uniform(0, 2 * Math.PI);
    const far = random.uniform(0.05, 0.18);
    const next = within([tip[0] + far * Math.cos(angle), tip[1] + far * Math.sin(angle), random.uniform(...height)]);
    waypoints.push({ time, tip: next });
  }
  return waypoints;
}

/** Approach, push (or pass beside), often with a bend on the way, then retreat or stay. */
function passing(random: RandomStream, targets: readonly Target[], end: number, intent: 'push' | 'miss'): Waypoint[] {
  const target = random.pick([...targets]);
  const angle = random.uniform(0, 2 * Math.PI);
  const [dx, dy] = [Math.cos(angle), Math.sin(angle)];
  // Off-centre pushes turn the object; a miss passes clear of it.
  const aside =
    intent === 'push'
      ? random.uniform(-0.4, 0.4) * target.radius
      : random.pick([-1, 1]) * (target.radius + ARM.tip + random.uniform(0.01, 0.04));
  const [ox, oy] = [target.x - dy * aside, target.y + dx * aside];
  const before = target.radius + ARM.tip + random.uniform(0.02, 0.07);
  const approach = within([ox - before * dx, oy - before * dy, PUSH_HEIGHT]);
  const start = clearStart(random, targets, () => {
    const from = random.uniform(0, 2 * Math.PI);
    const far = random.uniform(0.02, 0.12);
    return within([
      approach[0] + far * Math.cos(from),
      approach[1] + far * Math.sin(from),
      random.pick([PUSH_HEIGHT, PUSH_HEIGHT, 0.12]),
    ]);
  });
  const waypoints: Waypoint[] = [{ time: 0, tip: start }];
  let time = random.uniform(0.15, 0.4);
  waypoints.push({ time, tip: approach });
  const stroke = before + random.uniform(0.08, 0.2);
  const bend = random.uniform() < 0.5 ? random.uniform(-0.9, 0.9) : 0;
  let tip = approach;
  for (const [part, turn] of [
    [0.55, 0],
    [0.45, bend],
  ] as const) {
    const direction = angle + turn;
    tip = within([
      tip[0] + part * stroke * Math.cos(direction),
      tip[1] + part * stroke * Math.sin(direction),
      PUSH_HEIGHT,
    ]);
    // A straight push is one motion, a bent one stops at the bend.
    if (part === 0.45 && bend === 0) {
      waypoints.pop();
    }
    time += random.uniform(0.22, 0.42);
    waypoints.push({ time, tip });
  }
  if (random.uniform() < 0.6 && time < end) {
    const back = within([tip[0] - 0.1 * dx, tip[1] - 0.1 * dy, random.pick([PUSH_HEIGHT, 0.15])]);
    waypoints.push({ time: time + random.uniform(0.3, 0.5), tip: back });
  }
  return waypoints;
}
