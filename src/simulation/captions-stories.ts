// What happens in a clip, per scenario: a summary, how it starts, how it ends and the touches in between, all read off
// the trajectory. Outcomes are stated only when the frames show them.
import type { RandomStream } from '../base/index.ts';
import { capital, groupOf, list, nameOf, numberWord, rightOf, type Thing, thingsOf } from './captions-words.ts';
import type { Scene, Trajectory, Vec3 } from './scene.ts';
import { contactsBetween, orientationAt, positionAt, velocityAt } from './trajectory.ts';
import { dot, length, rotate, subtract } from './vector.ts';

export type Story = {
  /** A sentence without its full stop; `{floor}` stands for the floor's name. */
  readonly summary: string;
  readonly start?: string;
  readonly outcome?: string;
  readonly moments: readonly { readonly time: number; readonly text: string }[];
};

/** What a story is told from. */
type Clip = {
  readonly scene: Scene;
  readonly trajectory: Trajectory;
  readonly things: readonly Thing[];
  readonly random: RandomStream;
  readonly last: number;
};

type Teller = (clip: Clip) => Omit<Story, 'moments'>;

export function storyOf(scene: Scene, trajectory: Trajectory, random: RandomStream): Story {
  const clip = { scene, trajectory, things: thingsOf(scene), random, last: trajectory.frames - 1 };
  const tell = TELLERS[scene.scenario] ?? tellAny;
  return { ...tell(clip), moments: momentsOf(clip) };
}

const MAX_MOMENTS = 4;
/** Touches in the first moments after the release are objects that stand where they were put. */
const SETTLING_SECONDS = 0.06;

function momentsOf({ scene, trajectory, things }: Clip): Story['moments'] {
  const moments: { time: number; text: string }[] = [];
  const end = (trajectory.frames - 1) / scene.fps;
  const seen = new Set<string>();
  for (const { a, b, time } of trajectory.contacts ?? []) {
    const pair = `${Math.min(a, b)}-${Math.max(a, b)}`;
    const [first, second] = [a, b].map((id) => things.find((thing) => thing.body.id === id));
    const released = Math.max(first?.body.holdSeconds ?? 0, second?.body.holdSeconds ?? 0);
    if (time < released + SETTLING_SECONDS || time > end || seen.has(pair)) continue;
    seen.add(pair);
    const mover = first ?? second;
    if (mover === undefined) continue;
    const other = mover === first ? second : undefined;
    const fixed = scene.bodies[(mover.body.id === a ? b : a) - 1]!.class;
    const what = other === undefined ? `the ${fixed}` : nameOf(other, things);
    moments.push({ time, text: `${nameOf(mover, things)} ${other === undefined ? 'touches' : 'hits'} ${what}` });
    if (moments.length === MAX_MOMENTS) break;
  }
  return moments;
}

const MOVING_SPEED = 0.08;

function moved({ trajectory, last }: Clip, thing: Thing, from = 0): Vec3 {
  const id = thing.body.id;
  return subtract(positionAt(trajectory, last, id), positionAt(trajectory, from, id));
}

function isMovingAtEnd({ trajectory, last }: Clip, thing: Thing): boolean {
  return length(velocityAt(trajectory, last, thing.body.id)) > MOVING_SPEED;
}

/** "left" or "right" as the first camera sees it. */
function sideWord(scene: Scene, direction: Vec3): string {
  return dot(direction, rightOf(scene)) > 0 ? 'right' : 'left';
}

function speedOf({ trajectory }: Clip, thing: Thing, frame: number): number {
  return length(velocityAt(trajectory, frame, thing.body.id));
}

function isHeldOrHigh(clip: Clip, thing: Thing): boolean {
  return clip.trajectory.poses.length > 0 && moved(clip, thing)[2] < -0.05;
}

/** What one object did in the end: "the red ball rolls off to the left", "the blue box comes to rest". */
function fateOf(clip: Clip, thing: Thing): string {
  const name = nameOf(thing, clip.things);
  if (!isMovingAtEnd(clip, thing)) {
    return length(moved(clip, thing)) < 0.03 ? `${name} stays where it is` : `${name} comes to rest`;
  }
  const velocity = velocityAt(clip.trajectory, clip.last, thing.body.id);
  if (Math.hypot(velocity[0], velocity[1]) < MOVING_SPEED) return `${name} is still bouncing`;
  const verb = thing.shape === 'ball' ? 'rolls off' : 'moves off';
  return `${name} ${verb} to the ${sideWord(clip.scene, velocity)}`;
}

function many(things: readonly Thing[], one: string, more: string): string {
  return things.length === 1 ? one : more;
}

const tellFall: Teller = (clip) => {
  const { things, random, trajectory } = clip;
  const falling = things.filter((thing) => isHeldOrHigh(clip, thing));
  const standing = things.filter((thing) => !falling.includes(thing));
  const near = standing.length === 0 ? '' : ` next to ${groupOf(standing)}`;
  const verb = random.pick([
    many(falling, 'falls', 'fall'),
    many(falling, 'drops', 'drop'),
    many(falling, 'is dropped', 'are dropped'),
  ]);
  const end = random.pick([' and bounces', ' from rest and bounces', '']);
  const tail = falling.length === 1 ? end : end.replace('bounces', 'bounce');
  const onto = `onto a {floor}${near}`;
  const told = falling.map((thing) => {
    const landings = contactsBetween(trajectory, 1, thing.body.id).length;
    const name = nameOf(thing, things);
    if (landings === 0) return `${name} is still falling`;
    if (thing.shape !== 'ball' || landings === 1) return fateOf(clip, thing);
    return `${name} bounces ${landings === 2 ? 'once' : landings === 3 ? 'twice' : 'several times'}`;
  });
  return {
    summary: tail.includes('from rest')
      ? `${groupOf(falling)} ${verb} from rest ${onto} and ${many(falling, 'bounces', 'bounce')}`
      : `${groupOf(falling)} ${verb} ${onto}${tail}`,
    start: `${list(falling.map((t) => nameOf(t, things)))} ${many(falling, 'starts', 'start')} in the air above the floor`,
    outcome: list(told),
  };
};

const tellCollision: Teller = (clip) => {
  const { things, random, scene } = clip;
  const movers = things.filter((thing) => speedOf(clip, thing, 0) > 0.1);
  const targets = things.filter((thing) => !movers.includes(thing));
  const outcome = list(things.map((thing) => fateOf(clip, thing)));
  if (targets.length === 0) {
    return {
      summary: `${groupOf(movers)} ${random.pick(['roll towards each other', 'meet head-on', 'roll into each other'])} on a {floor}`,
      start: `${list(movers.map((m) => `${nameOf(m, things)} comes from the ${sideWord(scene, subtract([0, 0, 0], m.body.linvel))}`))}`,
      outcome,
    };
  }
  const from = sideWord(scene, subtract([0, 0, 0], movers[0]?.body.linvel ?? [1, 0, 0]));
  const verb = random.pick(['rolls into', 'rolls towards', 'hits', 'bumps into']);
  const side = random.uniform() < 0.5 ? ` from the ${from}` : '';
  return {
    summary: `${groupOf(movers)} ${verb} ${groupOf(targets)}${side} on a {floor}`,
    start: `${nameOf(movers[0] ?? things[0]!, things)} comes from the ${from} while ${list(targets.map((t) => nameOf(t, things)))} ${many(targets, 'stands', 'stand')} still`,
    outcome,
  };
};

const tellRamp: Teller = (clip) => {
  const { things, random, scene, last, trajectory } = clip;
  const mover = things.find((thing) => length(thing.body.linvel) > 0.1) ?? things[0]!;
  const others = things.filter((thing) => thing !== mover);
  const isClimb = length(mover.body.linvel) > 0.1;
  const outcome = list(things.map((thing) => fateOf(clip, thing)));
  const side = sideWord(scene, isClimb ? mover.body.linvel : moved(clip, mover));
  const where = random.uniform() < 0.5 ? ` to the ${side}` : '';
  if (isClimb) {
    const verb = random.pick(['rolls up a ramp', 'rolls towards a ramp', `climbs a ramp on the ${side}`]);
    return {
      summary: `${groupOf([mover])} ${verb} on a {floor}`,
      start: `${nameOf(mover, things)} starts on the floor`,
      outcome,
    };
  }
  const travel = length(
    subtract(positionAt(trajectory, last, mover.body.id), positionAt(trajectory, 0, mover.body.id)),
  );
  const way = mover.shape === 'ball' ? 'rolls' : travel < 0.02 ? 'stays' : 'slides';
  const goal = others.length === 0 ? '' : ` towards ${groupOf(others)}`;
  const summary =
    way === 'stays' ? `stays on a ramp above a {floor}` : `${way} down a ramp${where}${goal} on a {floor}`;
  return {
    summary: `${groupOf([mover])} ${summary}`,
    start: `${nameOf(mover, things)} starts at the upper end of the ramp`,
    outcome,
  };
};

const tellTrough: Teller = (clip) => {
  const { things, random } = clip;
  const verb =
    things.length === 1
      ? random.pick(['swings back and forth', 'rolls back and forth', 'rolls'])
      : random.pick(['swing back and forth', 'roll', 'roll back and forth']);
  const trough = random.pick(['a curved trough', 'a round trough', 'a U-shaped trough']);
  const hits = (clip.trajectory.contacts ?? []).filter(
    (c) => things.some((t) => t.body.id === c.a) && things.some((t) => t.body.id === c.b),
  ).length;
  const end = things.filter((thing) => isMovingAtEnd(clip, thing));
  return {
    summary: `${groupOf(things)} ${verb} in ${trough} on a {floor}`,
    start: `${list(things.map((t) => nameOf(t, things)))} ${many(things, 'is', 'are')} let go inside the trough`,
    outcome:
      hits > 0
        ? `${things.length === 2 ? 'the two balls' : 'the balls'} hit each other ${hits === 1 ? 'once' : `${numberWord(hits)} times`}`
        : end.length === 0
          ? 'everything comes to rest'
          : `${list(end.map((t) => nameOf(t, things)))} ${many(end, 'keeps', 'keep')} swinging`,
  };
};

const tellStill: Teller = ({ things, random }) => ({
  summary: `${groupOf(things)} ${many(things, 'stands', 'stand')} ${random.pick(['still', 'motionless'])} on a {floor}`,
  outcome: 'nothing moves',
});

/** Objects whose upright direction turned by more than 45°. */
function fallen({ trajectory, last }: Clip, things: readonly Thing[]): readonly Thing[] {
  return things.filter(({ body }) => {
    const before = rotate(orientationAt(trajectory, 0, body.id), [0, 0, 1]);
    return dot(before, rotate(orientationAt(trajectory, last, body.id), [0, 0, 1])) < Math.SQRT1_2;
  });
}

const tellStack: Teller = (clip) => {
  const { things, random } = clip;
  const bottomUp = [...things].sort((a, b) => a.body.pos[2] - b.body.pos[2]);
  const fell = things.filter((thing) => length(moved(clip, thing)) > 0.1).length;
  const start = `from bottom to top: ${bottomUp.map((t) => `${t.color} ${t.shape}`).join(', ')}`;
  const outcome =
    fell === 0 ? 'the stack stays still' : `${numberWord(fell)} of the ${numberWord(things.length)} objects fall`;
  const isStable = clip.scene.scenario === 'stable_stack';
  const count = numberWord(things.length);
  const boxes = things.every((t) => t.shape === things[0]!.shape)
    ? `${things[0]!.shape}s`.replace('boxs', 'boxes')
    : 'objects';
  const verb = isStable
    ? random.pick(['stand still in a stack', 'are stacked'])
    : random.pick(['are stacked so far off centre that they topple', 'topple', 'stand in a leaning stack and topple']);
  return { summary: `${count} ${boxes} ${verb} on a {floor}`, start, outcome };
};

const tellDominoes: Teller = (clip) => {
  const { things, random } = clip;
  const dominoes = things.filter((thing) => thing.shape === 'domino');
  const ball = things.find((thing) => thing.shape === 'ball');
  const fell = fallen(clip, dominoes).length;
  const count = numberWord(dominoes.length);
  const striker = ball === undefined ? 'a ball' : groupOf([ball]);
  const verb = random.pick(['knocks over a row of', 'rolls into a row of', 'hits the first of']);
  return {
    summary: `${striker} ${verb} ${count} dominoes on a {floor}`,
    start: `${count} dominoes stand in a row and ${striker} rolls towards them`,
    outcome:
      fell === dominoes.length ? `all ${count} dominoes fall` : `${numberWord(fell)} of the ${count} dominoes fall`,
  };
};

const tellSeesaw: Teller = (clip) => {
  const { things, random, trajectory, last } = clip;
  const [lower, dropped] = [...things].sort((a, b) => a.body.pos[2] - b.body.pos[2]) as [Thing, Thing];
  const heights = Array.from({ length: last + 1 }, (_, f) => positionAt(trajectory, f, lower.body.id)[2]);
  const rise = Math.max(...heights) - heights[0]!;
  return {
    summary: `${groupOf([dropped])} ${random.pick(['lands', 'drops', 'falls'])} on a seesaw and lifts the other side`,
    start: `${nameOf(lower, things)} sits on one end of the seesaw and ${nameOf(dropped, things)} hangs above the other`,
    outcome: rise > 0.15 ? `${nameOf(lower, things)} is thrown into the air` : `${nameOf(lower, things)} hardly moves`,
  };
};

const tellTop: Teller = (clip) => {
  const { things, random, trajectory, last } = clip;
  const top = things[0]!;
  const axis = rotate(orientationAt(trajectory, last, top.body.id), [0, 0, 1]);
  const isUp = axis[2] > Math.cos(Math.PI / 3);
  return {
    summary: `${groupOf([top])} on an axle ${random.pick(['spins and precesses', 'spins like a top', 'spins on its tip'])} on a {floor}`,
    start: `${nameOf(top, things)} leans to one side while it spins fast`,
    outcome: isUp ? `${nameOf(top, things)} keeps spinning upright` : `${nameOf(top, things)} tips over`,
  };
};

const tellPendulum: Teller = ({ things, random }) => ({
  summary: `${groupOf(things)} ${many(things, 'swings', 'swing')} ${random.pick(['back and forth on a rod', 'like a pendulum'])} above a {floor}`,
  start: `${nameOf(things[0]!, things)} is let go from one side`,
});

const tellCradle: Teller = (clip) => ({
  summary: `${capital(numberWord(clip.things.length))} balls hang in a row as in a cradle and the first one swings into the others above a {floor}`,
  start: 'the first ball is lifted to one side',
  outcome: 'the ball at the far end swings out and back',
});

const tellSlide: Teller = (clip) => ({
  summary: `${groupOf(clip.things)} ${clip.random.pick(many(clip.things, 'slides across|glides over', 'slide across|glide over').split('|'))} a {floor}`,
  outcome: list(clip.things.map((thing) => fateOf(clip, thing))),
});

const tellTable: Teller = (clip) => ({
  summary: `${groupOf(clip.things)} ${many(clip.things, 'rolls', 'roll')} off a table onto a {floor}`,
  start: `${nameOf(clip.things[0]!, clip.things)} rolls along the top of the table`,
  outcome: list(clip.things.map((thing) => fateOf(clip, thing))),
});

const tellBallStack: Teller = (clip) => {
  const ball = clip.things.find((thing) => thing.shape === 'ball')!;
  const boxes = clip.things.filter((thing) => thing !== ball);
  const hit = boxes.filter((thing) => length(moved(clip, thing)) > 0.1).length;
  return {
    summary: `${groupOf([ball])} ${clip.random.pick(['rolls into', 'crashes into'])} a stack of ${numberWord(boxes.length)} boxes on a {floor}`,
    start: `${nameOf(ball, clip.things)} rolls towards the stack`,
    outcome:
      hit === 0
        ? 'the stack stays up'
        : `${hit === boxes.length ? 'all' : numberWord(hit)} of the boxes are pushed away`,
  };
};

const tellAny: Teller = (clip) => ({ summary: `${groupOf(clip.things)} on a {floor}` });

const TELLERS: Readonly<Record<string, Teller>> = {
  table_freefall: tellFall,
  table_collision: tellCollision,
  table_ramp: tellRamp,
  table_trough: tellTrough,
  table_still: tellStill,
  robot_push: tellRobot,
  freefall: tellFall,
  tilted: tellTiltedPlank,
  u_slope: tellTrough,
  stable_stack: tellStack,
  unstable_stack: tellStack,
  domino: tellDominoes,
  seesaw: tellSeesaw,
  gyroscope: tellTop,
  collision: tellCollision,
  cradle: tellCradle,
  pendulum: tellPendulum,
  box_slide: tellSlide,
  ball_rolls_off_table: tellTable,
  ball_into_stack: tellBallStack,
};

/** The arm is named, what it will do is not: that is what actions tell. The outcome says what was pushed, and where to. */
function tellRobot(clip: Clip): Omit<Story, 'moments'> {
  const { scene, things } = clip;
  const summary = `a robot arm stands at a table with ${groupOf(things)} on it, above a {floor}`;
  const far = (thing: Thing): number => length(moved(clip, thing));
  const pushed = things.filter((thing) => far(thing) > 0.02);
  if (pushed.length === 0) return { summary, outcome: 'the robot arm moves and touches nothing' };
  const told = pushed.map((thing) => {
    const word = far(thing) < 0.06 ? 'a little' : far(thing) < 0.12 ? 'some way' : 'far';
    return `${nameOf(thing, things)} ${word} to the ${sideWord(scene, moved(clip, thing))}`;
  });
  return { summary, outcome: `the robot arm pushes ${list(told)}` };
}

/** Several bodies side by side on a tilted plank: some roll, some slide, some stay. */
function tellTiltedPlank(clip: Clip): Omit<Story, 'moments'> {
  const { things } = clip;
  const verb = (thing: Thing): string =>
    length(moved(clip, thing)) < 0.03
      ? 'stays'
      : thing.shape === 'ball' || thing.shape === 'cylinder'
        ? 'rolls'
        : 'slides';
  const each = things.map((thing) => `${groupOf([thing])} ${verb(thing)}`);
  return {
    summary: `${list(each)} on a tilted plank`,
    start: `${list(things.map((t) => nameOf(t, things)))} ${many(things, 'starts', 'start')} at the upper end`,
    outcome: list(things.map((thing) => fateOf(clip, thing))),
  };
}
