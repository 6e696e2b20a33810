// A robot arm pushes blocks on a table. The arm follows its commanded path exactly (kinematic links); what it touches moves
// by physics. The actions of a clip lie in the scene: what a world model is conditioned on.
import { orbitCamera } from '../cameras.ts';
import { ARM, armAt, type LinkPose } from '../robot/arm.ts';
import { type Target, tipPath, WORKSPACE } from '../robot/policy.ts';
import type { Camera, Part, RobotTrack, Scene, Vec3 } from '../scene.ts';
import { add, axisAngle, subtract } from '../vector.ts';
import { type Draw, part, type SceneBuilder, sceneBuilder } from './builder.ts';
import { PALETTE } from './palette.ts';
import { addTable, tableColors, tableLight } from './table-looks.ts';

const degrees = Math.PI / 180;

/** Height of the table top, m. The base frame of the arm stands on it at x = y = 0. */
export const TABLE_TOP = 0.4;

/** Body ids of the arm's links, in the order upper arm, forearm, tool. */
export const ROBOT_LINKS = ['upper_arm', 'forearm', 'tool'] as const;

/** The arm and one to three boxes or cylinders. */
export function robotPush(draw: Draw): Scene {
  const random = draw.stream('objects');
  const builder = sceneBuilder('robot_push', draw);
  addTable(builder, draw);
  addFurniture(builder, draw);

  const targets: Target[] = [];
  const count = random.pick([1, 1, 2, 2, 3]);
  const colors = tableColors(random, count);
  const objects = colors.map((color, i) => {
    const kind = random.uniform() < 0.6 ? ('box' as const) : ('cylinder' as const);
    const half = random.uniform(0.055, 0.07);
    const tall = half * random.uniform(0.8, 1.05);
    const mass = random.uniform(0.1, 0.4);
    const name = `${kind}_${i}`;
    const base = PALETTE[color];
    const material = builder.material(`${name}_${color}`, {
      color: base,
      color2: base,
      texture: 'flat',
      scale: 4,
      specular: 0.3,
      gloss: 60,
    });
    const spot = freeSpot(() => [random.uniform(...WORKSPACE.x), random.uniform(...WORKSPACE.y)], targets, half);
    targets.push({ x: spot[0], y: spot[1], radius: half });
    const parts: Part[] = [
      kind === 'box' ? part('box', [half, half, tall], material) : part('cylinder', [half, tall], material),
    ];
    return { name, kind, parts, mass, x: spot[0], y: spot[1], tall, yaw: random.uniform(0, Math.PI / 2) };
  });

  const { frames, fps } = draw.options;
  const { tips } = tipPath(draw.stream('actions'), targets, { frames, fps });
  const track = addArm(builder, tips, fps);
  for (const { name, kind, parts, mass, x, y, tall, yaw } of objects) {
    builder.body({
      name,
      class: kind,
      pos: [x, y, TABLE_TOP + tall + 0.0005],
      quat: axisAngle([0, 0, 1], yaw),
      mass,
      parts,
    });
  }
  for (const pattern of ['box_*', 'cylinder_*']) {
    builder.pair(pattern, '*', 0.4, 0.05);
    builder.pair(pattern, 'tool', 0.25, 0);
  }
  return { ...builder.finish({ light: tableLight(draw), cameras: robotCameras(draw) }), robot: track };
}

/** A place at least a finger's width from all others; the last draw when the table is full (the scene is then drawn again). */
function freeSpot(draw: () => [number, number], others: readonly Target[], radius: number): [number, number] {
  let spot = draw();
  for (let i = 0; i < 60; i++) {
    if (others.every((o) => Math.hypot(o.x - spot[0], o.y - spot[1]) > 1.45 * (o.radius + radius))) return spot;
    spot = draw();
  }
  return spot;
}

/** The table with the floor's look on its top, and the fixed base of the arm. */
function addFurniture(builder: SceneBuilder, draw: Draw): void {
  const wood = draw.stream('fixture').pick([
    [0.3, 0.22, 0.14],
    [0.25, 0.25, 0.26],
    [0.2, 0.23, 0.28],
  ] as const);
  const top = builder.material('table_top', {
    color: wood,
    color2: wood,
    texture: 'flat',
    scale: 1,
    specular: 0.1,
    gloss: 30,
  });
  builder.body({
    name: 'table',
    class: 'table',
    kind: 'static',
    pos: [0.3, 0, TABLE_TOP - 0.02],
    parts: [part('box', [0.7, 0.9, 0.02], top)],
  });
  const dark = builder.material('base', metal([0.12, 0.12, 0.13]));
  builder.body({
    name: 'base',
    class: 'robot',
    kind: 'static',
    pos: [0, 0, TABLE_TOP],
    parts: [
      part('cylinder', [0.07, ARM.shoulder / 2], dark, { pos: [0, 0, ARM.shoulder / 2], collide: false }),
      part('sphere', [0.065], dark, { pos: [0, 0, ARM.shoulder], collide: false }),
    ],
  });
}

const metal = (color: Vec3): Parameters<SceneBuilder['material']>[1] => ({
  color,
  color2: color,
  texture: 'flat',
  scale: 1,
  specular: 0.4,
  gloss: 80,
});

/** Links that follow the path of the tip, and what the robot itself would record. */
function addArm(builder: SceneBuilder, tips: readonly Vec3[], fps: number): RobotTrack {
  const paint = builder.material('arm', metal([0.62, 0.63, 0.66]));
  const mark = builder.material('tip', metal([0.05, 0.05, 0.06]));
  const poses = tips.map((tip) => armAt(tip));
  const long = (half: number, radius: number): Part => part('capsule', [radius, half], paint, { collide: false });
  const half = ARM.tool / 2;
  const parts: Record<(typeof ROBOT_LINKS)[number], Part[]> = {
    upper_arm: [long(ARM.upper / 2, 0.04)],
    forearm: [long(ARM.fore / 2, 0.033)],
    // Local z runs down to the tip; only the tool touches things.
    tool: [
      part('cylinder', [0.018, half], paint, { pos: [0, 0, 0] }),
      part('sphere', [ARM.tip], mark, { pos: [0, 0, half] }),
    ],
  };
  const linkOf = (i: number, name: (typeof ROBOT_LINKS)[number]): LinkPose => {
    const { upper, fore, tool } = poses[i]!;
    const link = name === 'upper_arm' ? upper : name === 'forearm' ? fore : tool;
    return { pos: add(link.pos, [0, 0, TABLE_TOP]), quat: link.quat };
  };
  for (const name of ROBOT_LINKS) {
    const all = poses.map((_, i) => linkOf(i, name));
    builder.body({
      name,
      class: 'robot',
      kind: 'kinematic',
      pos: all[0]!.pos,
      quat: all[0]!.quat,
      parts: parts[name],
      path: { interval: 1 / fps, poses: all.map(({ pos, quat }) => [...pos, ...quat]) },
    });
  }
  return {
    // The arm cannot turn its tip, and has no fingers: the last four entries stay 0.
    actions: tips.map((tip, i) => [...subtract(tips[i + 1] ?? tip, tip), 0, 0, 0, 0]),
    joints: poses.map((p) => [...p.joints]),
    tip: tips.map((tip) => [...tip]),
  };
}

/** One front view that looks at the arm over the objects: its mirror image is again such a view. */
function robotCameras(draw: Draw): readonly Camera[] {
  const random = draw.stream('camera');
  const orbit = {
    target: [0.37 + random.uniform(-0.02, 0.02), random.uniform(-0.02, 0.02), TABLE_TOP + 0.06] as Vec3,
    distance: random.uniform(0.9, 0.98),
    azimuth: random.uniform(-5, 5) * degrees,
    elevation: random.uniform(36, 44) * degrees,
  };
  const { width, height } = draw.options;
  return [orbitCamera('view0', { width, height, verticalFov: 46 * degrees }, [orbit])];
}
