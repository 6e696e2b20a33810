// The table world: narrow scenes for training small world models. One to three large objects drop, collide, roll down
// a ramp or swing in a trough. Most of the motion comes after the given frames, and its cause can be seen in them.
import type { RandomStream } from '../../base/index.ts';
import type { Scene, Vec3 } from '../scene.ts';
import { add, axisAngle, multiply, rotate } from '../vector.ts';
import { type Draw, type SceneBuilder, sceneBuilder } from './builder.ts';
import {
  addTable,
  rolling,
  standing,
  type TableKind,
  type TableThing,
  tableCameras,
  tableColors,
  tableLight,
  tableThing,
} from './table-looks.ts';
import { addRamp, addTrough, onRamp } from './table-parts.ts';

/** Frames that a world model is given; motion should lie after them. */
export const LEAD_FRAMES = 9;

/** Seconds of the given part and of the whole clip. */
function timesOf(draw: Draw): { readonly lead: number; readonly end: number } {
  return { lead: LEAD_FRAMES / draw.options.fps, end: draw.options.frames / draw.options.fps };
}

function finish(builder: SceneBuilder, draw: Draw, height?: number): Scene {
  return builder.finish({ light: tableLight(draw), cameras: tableCameras(draw, height) });
}

function kindOf(random: RandomStream): TableKind {
  const u = random.uniform();
  return u < 0.7 ? 'ball' : u < 0.85 ? 'box' : 'cylinder';
}

function things(
  builder: SceneBuilder,
  random: RandomStream,
  kinds: readonly TableKind[],
  sizes?: readonly [number, number],
): readonly TableThing[] {
  const colors = tableColors(random, kinds.length);
  return kinds.map((kind, i) => tableThing(builder, random, i, kind, colors[i]!, sizes));
}

/** Objects held in the air, released shortly before the end of the given frames; some stand on the floor. */
export function tableFreefall(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('table_freefall', draw);
  addTable(builder, draw);
  const { lead } = timesOf(draw);
  const count = random.pick([1, 1, 2, 2, 3]);
  const list = things(
    builder,
    random,
    Array.from({ length: count }, () => kindOf(random)),
  );
  const spread = [[0], [-0.45, 0.45], [-0.76, 0, 0.76]][count - 1]!;
  const jitter = [0.35, 0.14, 0.05][count - 1]!;
  const slots = random.shuffle([...spread]);
  // What is seen of the fall before the given frames end; the drop is always longer than that.
  const evidence = random.uniform(0.14, 0.25);
  list.forEach((thing, i) => {
    const x = slots[i]! + random.uniform(-jitter, jitter);
    const y = random.uniform(-0.25, 0.25);
    const yaw = random.uniform(-0.5, 0.5);
    const ground = standing(thing, x, y, yaw);
    if (i > 0 && random.uniform() < 0.3) {
      builder.body(ground);
      return;
    }
    const drop = random.uniform(0.35, 0.75);
    const tilt = thing.kind === 'ball' || random.uniform() < 0.5 ? 0 : random.uniform(-0.3, 0.3);
    const side = count < 3 && random.uniform() < 0.25 ? -Math.sign(x) * random.uniform(0.25, 0.5) : 0;
    builder.body({
      ...ground,
      pos: [x, y, thing.rest + drop],
      quat: multiply(axisAngle([0, 1, 0], tilt), ground.quat!),
      linvel: [side, 0, 0],
      holdSeconds: Math.max(0.02, lead - evidence + (i === 0 ? 0 : random.uniform(0, 0.15))),
    });
  });
  return finish(builder, draw, 0.5);
}

/** A ball rolls into another ball, two balls meet, a ball hits a row or a box. */
export function tableCollision(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('table_collision', draw);
  addTable(builder, draw);
  const { lead, end } = timesOf(draw);
  const variant = random.uniform();
  const kinds: readonly TableKind[] =
    variant < 0.6
      ? ['ball', 'ball']
      : variant < 0.75
        ? ['ball', 'ball', 'ball']
        : ['ball', random.pick(['box', 'cylinder'] as const)];
  const isHeadOn = variant < 0.2;
  const [first, second, third] = things(builder, random, kinds) as [TableThing, TableThing, TableThing?];

  const side = random.pick([-1, 1]);
  const heading = random.uniform(-0.3, 0.3) + (side > 0 ? 0 : Math.PI);
  const along: readonly [number, number] = [Math.cos(heading), Math.sin(heading)];
  const across: readonly [number, number] = [-along[1], along[0]];
  const at = (s: number, t: number): readonly [number, number] => [
    s * along[0] + t * across[0],
    s * along[1] + t * across[1],
  ];

  // The second body stands at distance `centre` along the path; the first touches it at `time`.
  const time = random.uniform(lead + 0.05, lead + 0.42 * (end - lead));
  const reach = first.radius + second.radius;
  const miss = random.uniform(-0.45, 0.45) * reach * (second.kind === 'ball' ? 1 : 0.2);
  const gap = Math.sqrt(reach * reach - miss * miss);
  if (isHeadOn) {
    const meet = random.uniform(-0.15, 0.15);
    const speed = Math.min(random.uniform(0.45, 0.8), (0.92 - gap / 2 + meet) / time);
    const speed2 = Math.min(random.uniform(0.45, 0.8), (0.92 - gap / 2 - meet) / time);
    const [x1, y1] = at(meet - gap / 2 - speed * time, -miss / 2);
    const [x2, y2] = at(meet + gap / 2 + speed2 * time, miss / 2);
    builder.body(rolling(first, x1, y1, [speed * along[0], speed * along[1]]));
    builder.body(rolling(second, x2, y2, [-speed2 * along[0], -speed2 * along[1]]));
    return finish(builder, draw);
  }
  const centre = random.uniform(-0.1, 0.25);
  const speed = Math.min(random.uniform(0.6, 1.5), (1.02 + centre - gap) / time);
  const [x1, y1] = at(centre - gap - speed * time, 0);
  const [x2, y2] = at(centre, miss);
  builder.body(rolling(first, x1, y1, [speed * along[0], speed * along[1]]));
  builder.body(standing(second, x2, y2, heading + random.uniform(-0.3, 0.3)));
  if (third !== undefined) {
    const [x3, y3] = at(
      centre + second.radius + third.radius + random.uniform(0.05, 0.2),
      miss + random.uniform(-0.1, 0.1),
    );
    builder.body(standing(third, x3, y3));
  }
  return finish(builder, draw);
}

/** A ball rolls down a ramp (towards a box or away), or up it and back; or a box slides down. */
export function tableRamp(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('table_ramp', draw);
  addTable(builder, draw);
  const { lead, end } = timesOf(draw);
  const variant = random.uniform();
  const isSlide = variant < 0.2;
  const isClimb = variant >= 0.2 && variant < 0.45;
  const hasBlock = variant >= 0.45 && variant < 0.75;
  const side = random.pick([-1, 1]);
  const ramp = {
    side,
    angle: isSlide ? random.uniform(0.27, 0.38) : random.uniform(0.12, 0.22),
    length: random.uniform(0.95, 1.1),
    foot: side * random.uniform(-0.2, 0),
  };
  addRamp(builder, draw.stream('fixture'), ramp);
  builder.pair('box_*', 'ramp', 0.15, 0);
  builder.pair('cylinder_*', 'ramp', 0.15, 0);
  const kinds: readonly TableKind[] = isSlide
    ? [random.pick(['box', 'box', 'cylinder'] as const)]
    : hasBlock
      ? ['ball', random.pick(['box', 'cylinder', 'ball'] as const)]
      : ['ball'];
  const [first, second] = things(builder, random, kinds, [0.23, 0.28]) as [TableThing, TableThing?];
  const y = random.uniform(-0.08, 0.08);
  if (isClimb) {
    const time = random.uniform(0.75 * lead, lead + 0.2 * (end - lead));
    const speed = Math.min(random.uniform(0.8, 1.3), 0.95 / time);
    builder.body(rolling(first, ramp.foot + side * speed * time, y, [-side * speed, 0]));
    return finish(builder, draw);
  }
  const hold = Math.max(0, lead - random.uniform(0.2, 0.5));
  const start = onRamp(ramp, ramp.length - first.radius * random.uniform(0.6, 1.4), first.rest, y);
  builder.body({ ...standing(first, 0, 0), ...start, ...(hold > 0 ? { holdSeconds: hold } : {}) });
  if (second !== undefined) {
    const x = ramp.foot + side * random.uniform(0.45, 0.75);
    builder.body(standing(second, x, y + random.uniform(-0.08, 0.08), random.uniform(-0.3, 0.3)));
  }
  return finish(builder, draw);
}

/** One or two balls swing in a round trough seen along its axis. */
export function tableTrough(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('table_trough', draw);
  addTable(builder, draw);
  const { lead } = timesOf(draw);
  const radius = random.uniform(1.0, 1.12);
  addTrough(builder, draw.stream('fixture'), radius, 1.05);
  builder.pair('ball_*', 'trough', 0.6, 0.2);
  const isPair = random.uniform() < 0.4;
  const list = things(builder, random, isPair ? ['ball', 'ball'] : ['ball'], [0.23, 0.28]);
  const side = random.pick([-1, 1]);
  const isResting = isPair && random.uniform() < 0.3;
  const hold = Math.max(0, lead - random.uniform(0.15, 0.7));
  // In one plane: a hit off the plane would throw the balls out over the side.
  const y = random.uniform(-0.06, 0.06);
  list.forEach((thing, i) => {
    const angle = i === 1 && isResting ? 0 : (i === 0 ? side : -side) * random.uniform(0.42, 0.8);
    const path = radius - thing.radius - 0.002;
    const pos: Vec3 = [path * Math.sin(angle), y, 0.06 + radius - path * Math.cos(angle)];
    builder.body({ ...standing(thing, 0, 0), pos, ...(hold > 0 ? { holdSeconds: hold } : {}) });
  });
  return finish(builder, draw);
}

/** Objects at rest: nothing moves. */
export function tableStill(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('table_still', draw);
  addTable(builder, draw);
  const count = random.integer(1, 3);
  const slots = random.shuffle([-0.72, 0, 0.72]);
  const list = things(
    builder,
    random,
    Array.from({ length: count }, () => kindOf(random)),
  );
  list.forEach((thing, i) => {
    const at = add([slots[i]!, 0, 0], rotate(axisAngle([0, 0, 1], random.uniform(0, 2 * Math.PI)), [0.1, 0, 0]));
    builder.body(standing(thing, at[0], at[1], random.uniform(-0.5, 0.5)));
  });
  return finish(builder, draw);
}

/** The mixture that training sets are drawn from: name and share. */
export const TABLE_MIXTURE = [
  [tableCollision, 0.33],
  [tableFreefall, 0.27],
  [tableRamp, 0.2],
  [tableTrough, 0.17],
  [tableStill, 0.03],
] as const;

/** One scene of the mixture. The choice depends on the seed only, so that a rejection does not change the mixture. */
export function tableMixture(draw: Draw, choice: number): Scene {
  let left = choice;
  for (const [build, share] of TABLE_MIXTURE) {
    if (left < share) return build(draw);
    left -= share;
  }
  return tableStill(draw);
}
