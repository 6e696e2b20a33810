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

/** Rounding of a cylinder's rim, m. The outer radius stays that of the part. */
const ROUNDING = 0.002;
/** How far a cylinder's own caps lie behind those of its inner boxes, m. */
const CAP_GAP = 0.0005;
/** Corners of the inner boxes, as a share of the radius: inside the side on which the cylinder rolls. */
const INSET = 0.985;

function shapeOf(rapier: Rapier, part: Part): ColliderDesc {
  const [a = 0, b = 0, c = 0] = part.size;
  switch (part.shape) {
    case 'box':
      return rapier.ColliderDesc.cuboid(a, b, c);
    case 'sphere':
      return rapier.ColliderDesc.ball(a);
    case 'cylinder': {
      const edge = Math.min(ROUNDING, 0.02 * Math.min(a, b));
      return rapier.ColliderDesc.roundCylinder(b - CAP_GAP - edge, a - edge, edge);
    }
    case 'capsule':
      return rapier.ColliderDesc.capsule(b, a);
    case 'plane':
      return new rapier.ColliderDesc(new rapier.HalfSpace({ x: 0, y: 0, z: 1 }));
  }
}

/**
 * The part as colliders at its place in the body, without friction or groups; the first one carries the mass.
 * A cylinder gets two square prisms inside it, turned by 45°, whose ends are its caps: the engine finds flat box on flat
 * box reliably, but now and then loses cap on cap.
 */
export function collidersOf(rapier: Rapier, part: Part, density: number): readonly ColliderDesc[] {
  const round = part.shape === 'cylinder' || part.shape === 'capsule';
  const place = (collider: ColliderDesc, turn: Quat, mass: number): ColliderDesc => {
    const [w, x, y, z] = turn;
    return collider
      .setTranslation(...(part.pos as [number, number, number]))
      .setRotation({ w, x, y, z })
      .setDensity(mass);
  };
  const main = place(shapeOf(rapier, part), round ? multiply(part.quat, Y_TO_Z) : part.quat, density);
  if (part.shape !== 'cylinder') return [main];
  const [r, h] = part.size as [number, number];
  if (density > 0) {
    // The engine would take the inertia of the shape inside the rounding.
    const mass = density * volumeOf(part);
    const across = mass * (r * r * 0.25 + (h * h) / 3);
    const inertia = { x: across, y: 0.5 * mass * r * r, z: across };
    main.setMassProperties(mass, { x: 0, y: 0, z: 0 }, inertia, { w: 1, x: 0, y: 0, z: 0 });
  }
  const side = r * INSET * Math.SQRT1_2;
  const caps = [0, Math.PI / 4].map((angle) =>
    place(rapier.ColliderDesc.cuboid(side, side, h), multiply(part.quat, axisAngle([0, 0, 1], angle)), 0),
  );
  return [main, ...caps];
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
