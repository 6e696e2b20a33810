// Which draws of a seed are kept: objects in view at the start, and for the table world also until the end, with motion
// after the given frames. Bodies are judged by the ball that holds them.
import { matrixAt, project } from '../cameras.ts';
import { bodyRadius } from '../physics-shapes.ts';
import type { Body, Camera, Scene, Trajectory, Vec3 } from '../scene.ts';
import { positionAt } from '../trajectory.ts';
import { distance } from '../vector.ts';
import { LEAD_FRAMES } from './table.ts';

/** A disc in the image: centre and radius in pixels, depth in metres. */
export type Disc = { readonly u: number; readonly v: number; readonly radius: number; readonly depth: number };

/** Projection of a ball, as the disc through its silhouette's mean radius; depth ≤ 0 means behind the camera. */
export function projectBall(camera: Camera, frame: number, centre: Vec3, radius: number): Disc {
  const { u, v, depth } = project(camera, frame, centre);
  const far = Math.max(depth * depth - radius * radius, 1e-9);
  return { u, v, depth, radius: (camera.fx * radius) / Math.sqrt(far) };
}

const RINGS = 4;
const SPOKES = 12;

/** Share of a disc's area inside the image, 0…1. */
export function insideShare(disc: Disc, camera: Camera): number {
  if (disc.depth <= 0) return 0;
  let inside = 0;
  for (let ring = 0; ring < RINGS; ring++) {
    const r = disc.radius * Math.sqrt((ring + 0.5) / RINGS);
    for (let spoke = 0; spoke < SPOKES; spoke++) {
      const angle = (2 * Math.PI * (spoke + (ring % 2) / 2)) / SPOKES;
      const u = disc.u + r * Math.cos(angle);
      const v = disc.v + r * Math.sin(angle);
      if (u >= 0 && v >= 0 && u < camera.width && v < camera.height) inside++;
    }
  }
  return inside / (RINGS * SPOKES);
}

/** Share of a disc covered by nearer discs, 0…1. */
function hiddenShare(disc: Disc, others: readonly Disc[]): number {
  let hidden = 0;
  for (let ring = 0; ring < RINGS; ring++) {
    const r = disc.radius * Math.sqrt((ring + 0.5) / RINGS);
    for (let spoke = 0; spoke < SPOKES; spoke++) {
      const angle = (2 * Math.PI * spoke) / SPOKES;
      const u = disc.u + r * Math.cos(angle);
      const v = disc.v + r * Math.sin(angle);
      if (others.some((o) => o.depth > 0 && o.depth < disc.depth && Math.hypot(u - o.u, v - o.v) < o.radius)) hidden++;
    }
  }
  return hidden / (RINGS * SPOKES);
}

const dynamicOf = (scene: Scene): readonly Body[] => scene.bodies.filter((body) => body.kind === 'dynamic');

/** Why a scene must be drawn again, judged at frame 0; undefined when it is fine. */
export function startProblem(scene: Scene): string | undefined {
  const bodies = dynamicOf(scene);
  const overlap = overlapOf(bodies);
  if (overlap !== undefined) return overlap;
  // Table objects start wholly in view; elsewhere (long rows of dominoes) half of each is enough.
  const needed = scene.scenario.startsWith('table_') ? 1 : 0.5;
  for (const camera of scene.cameras) {
    const discs = bodies.map((body) => projectBall(camera, 0, body.pos, inscribed(body)));
    const covers = bodies.map((body) => projectBall(camera, 0, body.pos, innerRadius(body)));
    for (const [i, disc] of discs.entries()) {
      if (insideShare(disc, camera) < needed) return `${bodies[i]!.name} is not in view of ${camera.name}`;
      if (hiddenShare(disc, covers) > 0.9) return `${bodies[i]!.name} is hidden from ${camera.name}`;
    }
  }
  return undefined;
}

/** Two bodies whose inner balls overlap at the start: exact for balls, a necessary sign for the rest. */
function overlapOf(bodies: readonly Body[]): string | undefined {
  for (const [i, a] of bodies.entries()) {
    for (const b of bodies.slice(i + 1)) {
      const apart = distance(a.pos, b.pos);
      const needed = innerRadius(a) + innerRadius(b);
      if (apart < needed - 1e-6) return `${a.name} and ${b.name} overlap`;
    }
  }
  return undefined;
}

/** Radius of the largest ball about a body's centre that its first part holds. */
function innerRadius(body: Body): number {
  return Math.min(...body.parts[0]!.size);
}

/** Radius that stands for a body's extent: exact for balls, between inner and outer for the rest. */
function inscribed(body: Body): number {
  const isBall = body.parts.length === 1 && body.parts[0]!.shape === 'sphere';
  return bodyRadius(body) * (isBall ? 1 : 0.8);
}

/** Which object is more than half out of view at some frame. */
export function leavesView(scene: Scene, trajectory: Trajectory): string | undefined {
  const camera = scene.cameras[0]!;
  const bodies = dynamicOf(scene);
  for (let frame = 0; frame < trajectory.frames; frame++) {
    for (const body of bodies) {
      const disc = projectBall(camera, frame, positionAt(trajectory, frame, body.id), inscribed(body));
      if (insideShare(disc, camera) < 0.5) return `${body.name} leaves the view at frame ${frame}`;
    }
  }
  return undefined;
}

/** Why a table clip must be drawn again, judged by its motion; undefined when it is fine. */
export function motionProblem(scene: Scene, trajectory: Trajectory): string | undefined {
  const gone = leavesView(scene, trajectory);
  if (gone !== undefined) return gone;
  const moving = movingShare(scene, trajectory, LEAD_FRAMES - 1);
  return moving < 0.01 ? `only ${(100 * moving).toFixed(2)} % of the pixels move after the given frames` : undefined;
}

const GRID = 48;

/** Share of the image (0…1) that differs from frame `from` in at least one later frame, each body drawn as a disc. */
export function movingShare(scene: Scene, trajectory: Trajectory, from: number): number {
  const camera = scene.cameras[0]!;
  const bodies = dynamicOf(scene);
  const draw = (frame: number): Int16Array => {
    const labels = new Int16Array(GRID * GRID);
    const discs = bodies.map((body) => ({
      id: body.id,
      ...projectBall(camera, frame, positionAt(trajectory, frame, body.id), inscribed(body)),
    }));
    discs.sort((a, b) => b.depth - a.depth);
    for (const disc of discs) {
      const [u, v] = [(disc.u * GRID) / camera.width, (disc.v * GRID) / camera.height];
      const [ru, rv] = [(disc.radius * GRID) / camera.width, (disc.radius * GRID) / camera.height];
      for (let y = Math.max(0, Math.floor(v - rv)); y < Math.min(GRID, v + rv + 1); y++) {
        for (let x = Math.max(0, Math.floor(u - ru)); x < Math.min(GRID, u + ru + 1); x++) {
          if (((x + 0.5 - u) / ru) ** 2 + ((y + 0.5 - v) / rv) ** 2 < 1) labels[y * GRID + x] = disc.id;
        }
      }
    }
    return labels;
  };
  const first = draw(from);
  const moved = new Uint8Array(GRID * GRID);
  for (let frame = from + 1; frame < trajectory.frames; frame++) {
    const now = draw(frame);
    for (let i = 0; i < moved.length; i++) if (now[i] !== first[i]) moved[i] = 1;
  }
  return moved.reduce((sum, bit) => sum + bit, 0) / moved.length;
}

/** Whether a camera stands still. */
export function isStatic(camera: Camera): boolean {
  return matrixAt(camera, 0) === matrixAt(camera, Number.MAX_SAFE_INTEGER);
}
