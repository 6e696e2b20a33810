// Bodies that touch nothing: free flight, or one ball joint or hinge to the world. Their motion is an ordinary
// differential equation, integrated in double precision (Runge–Kutta 4); the engine's single precision drifts here.
import { InputError } from '../base/index.ts';
import type { BodyState } from './physics.ts';
import type { Body, Joint, Quat, Scene, Vec3 } from './scene.ts';
import { add, conjugate, cross, dot, length, multiply, rotate, scale, subtract } from './vector.ts';

/** A body that is integrated alone. */
export type Isolated = {
  step(dt: number): void;
  state(): BodyState;
};

/** rad per inner step: keeps the error of a fast spin below 1e-9 per turn. */
const MAX_TURN = 0.02;

/** The bodies of a scene that touch nothing and are joined to the world alone, by index. */
export function isolatedBodies(scene: Scene): ReadonlyMap<number, Isolated> {
  const found = new Map<number, Isolated>();
  scene.bodies.forEach((body, i) => {
    const joints = scene.joints.filter((joint) => joint.a === body.id || joint.b === body.id);
    if (body.kind !== 'dynamic' || body.parts.some((part) => part.collide)) return;
    if (joints.length > 1 || !joints.every(isPivot)) return;
    found.set(i, isolated(body, joints[0], scene.gravity));
  });
  return found;
}

function isPivot(joint: Joint): boolean {
  const isToWorld = joint.a === 0 || joint.b === 0;
  return isToWorld && joint.limits === undefined && (joint.type === 'spherical' || joint.type === 'revolute');
}

/** Symmetric 3×3 matrix by rows. */
type Matrix = readonly [Vec3, Vec3, Vec3];
const apply = (m: Matrix, v: Vec3): Vec3 => [dot(m[0], v), dot(m[1], v), dot(m[2], v)];

function inverse([a, b, c]: Matrix): Matrix {
  const det = dot(a, cross(b, c));
  // The inverse of a symmetric matrix is symmetric, so columns and rows are the same.
  return [scale(cross(b, c), 1 / det), scale(cross(c, a), 1 / det), scale(cross(a, b), 1 / det)];
}

/** Steiner: inertia about a point at −r from the centre of mass, I + m(|r|²·1 − r·rᵀ). */
function inertiaAbout(principal: Vec3, mass: number, r: Vec3): Matrix {
  const square = dot(r, r);
  const row = (i: number): Vec3 => {
    const values = [0, 1, 2].map((j) => (i === j ? principal[i]! + mass * square : 0) - mass * r[i]! * r[j]!);
    return values as unknown as Vec3;
  };
  return [row(0), row(1), row(2)];
}

function isolated(body: Body, joint: Joint | undefined, gravity: Vec3): Isolated {
  if (body.inertia === undefined || !(body.mass > 0) || body.inertia.some((moment) => !(moment > 0))) {
    throw new InputError(`body ${body.name}`, {
      got: `mass ${body.mass} kg, inertia ${body.inertia}`,
      need: 'a mass and three moments of inertia above 0',
      why: 'it has no colliding parts to derive them from',
    });
  }
  const isA = joint?.a === body.id;
  const com = body.com ?? [0, 0, 0];
  const anchor = joint === undefined ? com : isA ? joint.anchorA : joint.anchorB;
  const pivot = joint === undefined ? undefined : isA ? joint.anchorB : joint.anchorA;
  // Arm from the pivot to the centre of mass, body frame; zero for a free body.
  const arm = subtract(com, anchor);
  const inertia = inertiaAbout(body.inertia, body.mass, arm);
  const inverted = inverse(inertia);
  const hinge = joint?.type === 'revolute' ? scale(joint.axis, 1 / length(joint.axis)) : undefined;
  const alongHinge = hinge === undefined ? 0 : dot(hinge, apply(inertia, hinge));

  let quat = body.quat;
  let spin = rotate(conjugate(quat), body.angvel);
  if (hinge !== undefined) spin = scale(hinge, dot(spin, hinge));
  let centre = add(body.pos, rotate(quat, com));
  let velocity = body.linvel;
  let time = 0;

  /** Angular acceleration in the body frame: Euler's equations with the weight's torque about the pivot. */
  const acceleration = (q: Quat, w: Vec3): Vec3 => {
    const torque = cross(arm, scale(rotate(conjugate(q), gravity), body.mass));
    if (hinge !== undefined) return scale(hinge, dot(hinge, torque) / alongHinge);
    return apply(inverted, add(torque, cross(apply(inertia, w), w)));
  };
  const turning = (q: Quat, w: Vec3): Quat => multiply(q, [0, w[0] / 2, w[1] / 2, w[2] / 2]);
  const rungeKutta = (h: number): void => {
    const at = (dq: Quat, dw: Vec3, f: number): [Quat, Vec3] => [
      [quat[0] + f * dq[0], quat[1] + f * dq[1], quat[2] + f * dq[2], quat[3] + f * dq[3]],
      add(spin, scale(dw, f)),
    ];
    const slopeAt = (q: Quat, w: Vec3): [Quat, Vec3] => [turning(q, w), acceleration(q, w)];
    const k1 = slopeAt(quat, spin);
    const k2 = slopeAt(...at(...k1, h / 2));
    const k3 = slopeAt(...at(...k2, h / 2));
    const k4 = slopeAt(...at(...k3, h));
    const mix = (i: number, part: 0 | 1): number =>
      (h / 6) * (k1[part][i]! + 2 * k2[part][i]! + 2 * k3[part][i]! + k4[part][i]!);
    const q = [0, 1, 2, 3].map((i) => quat[i]! + mix(i, 0));
    const norm = Math.hypot(...q);
    quat = q.map((x) => x / norm) as unknown as Quat;
    spin = [spin[0] + mix(0, 1), spin[1] + mix(1, 1), spin[2] + mix(2, 1)];
  };

  const hold = body.holdSeconds ?? 0;
  return {
    step(dt) {
      time += dt;
      if (time < hold + dt / 2) return;
      const inner = Math.max(1, Math.ceil((length(spin) * dt) / MAX_TURN));
      for (let i = 0; i < inner; i++) rungeKutta(dt / inner);
      if (pivot === undefined) {
        centre = add(centre, add(scale(velocity, dt), scale(gravity, (dt * dt) / 2)));
        velocity = add(velocity, scale(gravity, dt));
      }
    },
    state() {
      const angvel = rotate(quat, spin);
      if (pivot === undefined) {
        return { pos: subtract(centre, rotate(quat, com)), quat, linvel: velocity, angvel };
      }
      const pos = subtract(pivot, rotate(quat, anchor));
      return { pos, quat, linvel: cross(angvel, rotate(quat, arm)), angvel };
    },
  };
}
