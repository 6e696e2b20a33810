// Colliders and mass of one body for the Rapier engine. Scene parts have their axis along z, the engine's along y.
import type { ColliderDesc } from '@dimforge/rapier3d-simd-compat';
import { InputError } from '../base/index.ts';
import type { Body, Part, Quat } from './scene.ts';
import { axisAngle, multiply } from './vector.ts';

export type Rapier = typeof import('@dimforge/rapier3d-simd-compat').default;

/** +90° about x takes the engine's y axis to our z axis. */
const Y_TO_Z: Quat = axisAngle([1, 0, 0], Math.PI / 2);

/** Volume of a part, m³; 0 for planes. */
export function volumeOf(part: Part): number {
  const [a = 0, b = 0, c = 0] = part.size;
  switch (part.shape) {
    case 'box':
      return 8 * a * b * c;
    case 'sphere':
      return (4 / 3) * Math.PI * a ** 3;
    case 'cylinder':
      return 2 * Math.PI * a * a * b;
    case 'capsule':
      return 2 * Math.PI * a * a * b + (4 / 3) * Math.PI * a ** 3;
    case 'plane':
      return 0;
  }
}

/** Radius of a ball about the part's own centre that holds the part; infinite for planes. */
export function boundingRadius(part: Part): number {
  const [a = 0, b = 0, c = 0] = part.size;
  switch (part.shape) {
    case 'box':
      return Math.sqrt(a * a + b * b + c * c);
    case 'sphere':
      return a;
    case 'cylinder':
      return Math.sqrt(a * a + b * b);
    case 'capsule':
      return a + b;
    case 'plane':
      return Number.POSITIVE_INFINITY;
  }
}

/** Radius of a ball about the body's origin that holds all its parts. */
export function bodyRadius(body: Body): number {
  let radius = 0;
  for (const part of body.parts) {
    const [x, y, z] = part.pos;
    radius = Math.max(radius, Math.sqrt(x * x + y * y + z * z) + boundingRadius(part));
  }
  return radius;
}

function shapeOf(rapier: Rapier, part: Part): ColliderDesc {
  const [a = 0, b = 0, c = 0] = part.size;
  switch (part.shape) {
    case 'box':
      return rapier.ColliderDesc.cuboid(a, b, c);
    case 'sphere':
      return rapier.ColliderDesc.ball(a);
    case 'cylinder':
      return rapier.ColliderDesc.cylinder(b, a);
    case 'capsule':
      return rapier.ColliderDesc.capsule(b, a);
    case 'plane':
      return new rapier.ColliderDesc(new rapier.HalfSpace({ x: 0, y: 0, z: 1 }));
  }
}

/** The part as a collider at its place in the body, without mass, friction or groups. */
export function colliderOf(rapier: Rapier, part: Part): ColliderDesc {
  const round = part.shape === 'cylinder' || part.shape === 'capsule';
  const [w, x, y, z] = round ? multiply(part.quat, Y_TO_Z) : part.quat;
  return shapeOf(rapier, part)
    .setTranslation(...(part.pos as [number, number, number]))
    .setRotation({ w, x, y, z })
    .setDensity(0);
}

/** Density that gives the colliding parts the body's mass, kg/m³; 0 for bodies that physics does not move. */
export function densityOf(body: Body): number {
  if (body.kind !== 'dynamic' || body.inertia !== undefined) return 0;
  const volume = body.parts.reduce((sum, part) => sum + (part.collide ? volumeOf(part) : 0), 0);
  if (!(volume > 0) || !(body.mass > 0)) {
    throw new InputError(`body ${body.name}`, {
      got: `mass ${body.mass} kg, colliding volume ${volume} m³`,
      need: 'both above 0, or an explicit inertia',
      why: 'a dynamic body needs mass and inertia',
    });
  }
  return body.mass / volume;
}
