// Physical sanity of a simulated clip: rotations stay rotations, nothing sinks into the floor, energy does not come from
// nowhere. Run on every clip of a data set; a clip with problems is not written.
import { boundingRadius, volumeOf } from './physics-shapes.ts';
import type { Body, Part, Quat, Scene, Trajectory, Vec3 } from './scene.ts';
import { orientationAt, positionAt } from './trajectory.ts';
import { add, conjugate, cross, dot, multiply, rotate, scale, subtract } from './vector.ts';

const QUATERNION_TOLERANCE = 1e-4;
const FLOOR_TOLERANCE = 0.005;
const ENERGY_TOLERANCE = 0.01;

/** What is wrong with a clip; empty when it is sound. */
export function clipProblems(scene: Scene, trajectory: Trajectory): readonly string[] {
  const problems: string[] = [];
  const moving = scene.bodies.filter((body) => body.kind === 'dynamic');
  const floor = floorHeight(scene);
  for (const body of moving) {
    let deepest = 0;
    for (let frame = 0; frame < trajectory.frames; frame++) {
      const pos = positionAt(trajectory, frame, body.id);
      const quat = orientationAt(trajectory, frame, body.id);
      const norm = Math.hypot(...quat);
      if (![...pos, ...quat].every(Number.isFinite) || Math.abs(norm - 1) > QUATERNION_TOLERANCE) {
        problems.push(`${body.name} has no valid pose at frame ${frame} (quaternion norm ${norm})`);
        break;
      }
      deepest = Math.max(deepest, floor - lowestPoint(body, pos, quat));
    }
    if (deepest > FLOOR_TOLERANCE) problems.push(`${body.name} sinks ${(1000 * deepest).toFixed(1)} mm into the floor`);
  }
  // A driven body does work on what it pushes: nothing can be said about the energy then.
  const isDriven = scene.bodies.some((body) => body.path !== undefined);
  if (trajectory.velocities !== undefined && problems.length === 0 && !isDriven) {
    const energy = Array.from({ length: trajectory.frames }, (_, frame) => energyAt(scene, trajectory, frame));
    let least = energy[0] ?? 0;
    let growth = 0;
    for (const value of energy) {
      growth = Math.max(growth, value - least);
      least = Math.min(least, value);
    }
    if (growth > ENERGY_TOLERANCE * Math.abs(energy[0] ?? 0) + 1e-6) {
      problems.push(`energy grows by ${growth.toFixed(3)} J of ${energy[0]!.toFixed(3)} J`);
    }
  }
  return problems;
}

/** Height of the floor plane; −∞ without one. */
function floorHeight(scene: Scene): number {
  const floor = scene.bodies.find((body) => body.parts[0]?.shape === 'plane');
  return floor === undefined ? Number.NEGATIVE_INFINITY : floor.pos[2];
}

/** Lowest z of a body's colliding parts, m. */
export function lowestPoint(body: Body, pos: Vec3, quat: Quat): number {
  let lowest = Number.POSITIVE_INFINITY;
  for (const part of body.parts) {
    if (!part.collide) continue;
    const centre = add(pos, rotate(quat, part.pos))[2];
    // Down in the axes of the part; the support function of each shape in that direction.
    const down = rotate(conjugate(multiply(quat, part.quat)), [0, 0, -1]);
    lowest = Math.min(lowest, centre - support(part, down));
  }
  return lowest;
}

/** How far a part reaches from its centre in a direction (unit, part axes). */
function support(part: Part, d: Vec3): number {
  const [a = 0, b = 0, c = 0] = part.size;
  switch (part.shape) {
    case 'box':
      return a * Math.abs(d[0]) + b * Math.abs(d[1]) + c * Math.abs(d[2]);
    case 'cylinder':
      return a * Math.hypot(d[0], d[1]) + b * Math.abs(d[2]);
    case 'capsule':
      return a + b * Math.abs(d[2]);
    default:
      return boundingRadius(part);
  }
}

/** Kinetic and potential energy of all moving bodies, J; a body that is still held has the speed of its release. */
export function energyAt(scene: Scene, trajectory: Trajectory, frame: number): number {
  let energy = 0;
  for (const body of scene.bodies) {
    if (body.kind !== 'dynamic') continue;
    const isHeld = frame / scene.fps < (body.holdSeconds ?? 0) + 1e-9;
    const at = (frame * trajectory.bodies + body.id - 1) * 6;
    const v = trajectory.velocities!;
    const linvel: Vec3 = isHeld ? body.linvel : [v[at]!, v[at + 1]!, v[at + 2]!];
    const angvel: Vec3 = isHeld ? body.angvel : [v[at + 3]!, v[at + 4]!, v[at + 5]!];
    const pos = positionAt(trajectory, frame, body.id);
    const quat = orientationAt(trajectory, frame, body.id);
    const com = centreOfMass(body);
    energy += 0.5 * body.mass * dot(linvel, linvel);
    energy -= body.mass * dot(scene.gravity, add(pos, rotate(quat, com)));
    energy += spinEnergy(body, com, rotate(conjugate(quat), angvel));
  }
  return energy;
}

const massive = (body: Body): readonly Part[] => body.parts.filter((part) => part.collide);

function centreOfMass(body: Body): Vec3 {
  if (body.com !== undefined) return body.com;
  const parts = massive(body);
  const volume = parts.reduce((sum, part) => sum + volumeOf(part), 0);
  if (volume === 0) return [0, 0, 0];
  return parts.reduce<Vec3>((sum, part) => add(sum, scale(part.pos, volumeOf(part) / volume)), [0, 0, 0]);
}

/** ½ωᵀIω with ω in the body frame. */
function spinEnergy(body: Body, com: Vec3, w: Vec3): number {
  if (body.inertia !== undefined) {
    return 0.5 * (body.inertia[0] * w[0] ** 2 + body.inertia[1] * w[1] ** 2 + body.inertia[2] * w[2] ** 2);
  }
  const parts = massive(body);
  const volume = parts.reduce((sum, part) => sum + volumeOf(part), 0);
  let energy = 0;
  for (const part of parts) {
    const mass = (body.mass * volumeOf(part)) / volume;
    const [x, y, z] = rotate(conjugate(part.quat), w);
    const moments = momentsOf(part, mass);
    const swing = cross(w, subtract(part.pos, com));
    energy += 0.5 * (moments[0] * x * x + moments[1] * y * y + moments[2] * z * z + mass * dot(swing, swing));
  }
  return energy;
}

/** Principal moments of a solid part about its centre, kg·m². */
function momentsOf(part: Part, mass: number): Vec3 {
  const [a = 0, b = 0, c = 0] = part.size;
  switch (part.shape) {
    case 'box':
      return [(mass * (b * b + c * c)) / 3, (mass * (a * a + c * c)) / 3, (mass * (a * a + b * b)) / 3];
    case 'sphere':
      return [0.4 * mass * a * a, 0.4 * mass * a * a, 0.4 * mass * a * a];
    case 'cylinder': {
      const across = mass * ((a * a) / 4 + (b * b) / 3);
      return [across, across, 0.5 * mass * a * a];
    }
    case 'capsule': {
      // Cylinder and two half balls, each half ball with its centre of mass 3/8 of the radius beyond the cylinder.
      const share = volumeOf({ ...part, shape: 'cylinder' }) / volumeOf(part);
      const [tube, balls] = [mass * share, mass * (1 - share)];
      const across = tube * ((a * a) / 4 + (b * b) / 3) + balls * (0.4 * a * a + b * b + 0.75 * a * b);
      return [across, across, 0.5 * tube * a * a + 0.4 * balls * a * a];
    }
    case 'plane':
      return [0, 0, 0];
  }
}
