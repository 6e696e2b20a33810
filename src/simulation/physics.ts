// Rigid-body physics of a scene with the Rapier engine: one world per clip, fixed step, freed afterwards.
// The settings are those that meet the closed forms (see check/); nothing here is tuned per scenario except the step.
import type { Collider, EventQueue, RigidBody, World } from '@dimforge/rapier3d-simd-compat';
import { assert, InputError, throwIfAborted } from '../base/index.ts';
import { isolatedBodies } from './physics-isolated.ts';
import { type PairTable, pairTable } from './physics-pairs.ts';
import { pathDrives } from './physics-paths.ts';
import { bodyRadius, collidersOf, densityOf, type Rapier } from './physics-shapes.ts';
import type { Body, Contact, Joint, Quat, Scene, Trajectory, Vec3 } from './scene.ts';

/** Name and settings of the engine, for the header of `state.bin`. */
export const ENGINE = {
  name: 'rapier3d-simd',
  version: '0.20.0',
  solverIterations: 4,
  contactNaturalFrequency: 120,
  allowedLinearError: 1e-4,
  predictionDistance: 0.002,
} as const;

/** Seconds of a touch in which its hardest step is looked for. */
const IMPULSE_WINDOW = 0.005;
const FILTER_BITS = 16;

/** Where a body is and how it moves. Velocities are of the centre of mass and in the world frame, m/s and rad/s. */
export type BodyState = { readonly pos: Vec3; readonly quat: Quat; readonly linvel: Vec3; readonly angvel: Vec3 };

/** A running world. Dispose it: the engine's memory is not garbage-collected. */
export type Physics = Disposable & {
  readonly steps: number;
  /** Seconds simulated. */
  readonly time: number;
  step(): void;
  state(id: number): BodyState;
  /** Puts a static or kinematic body elsewhere, as it were by hand: it does not push what it passes. */
  place(id: number, pos: Vec3, quat: Quat): void;
  /** Writes position and quaternion (7 numbers) and velocities (6) of every body. */
  read(poses: Float64Array, poseOffset: number, velocities: Float64Array, velocityOffset: number): void;
  /** Touches that began so far. */
  readonly contacts: readonly Contact[];
  dispose(): void;
};

let loading: Promise<Rapier> | undefined;

/** Loads the engine's WebAssembly once. */
function loadRapier(): Promise<Rapier> {
  loading ??= import('@dimforge/rapier3d-simd-compat').then(async (module) => {
    await module.default.init();
    return module.default;
  });
  return loading;
}

/** Builds the engine's world of a scene. */
export async function openPhysics(scene: Scene): Promise<Physics> {
  const rapier = await loadRapier();
  const world = new rapier.World(point(scene.gravity));
  const queue = new rapier.EventQueue(true);
  try {
    return runningWorld(rapier, world, queue, scene);
  } catch (error) {
    queue.free();
    world.free();
    throw error;
  }
}

/**
 * Simulates a clip: poses at t = 0, 1/fps, 2/fps, … for `scene.frames` frames.
 * The step must divide the frame interval; scenes made by `buildScene` see to that.
 */
export async function simulate(scene: Scene, options: { readonly signal?: AbortSignal } = {}): Promise<Trajectory> {
  const substeps = Math.round(1 / (scene.fps * scene.dt));
  if (Math.abs(substeps * scene.fps * scene.dt - 1) > 1e-6) {
    throw new InputError('scene.dt', {
      got: scene.dt,
      need: `1 / (${scene.fps} · n) for a whole n`,
      why: 'a frame must fall on a physics step; see stepFor(fps)',
    });
  }
  const bodies = scene.bodies.length;
  const poses = new Float64Array(scene.frames * bodies * 7);
  const velocities = new Float64Array(scene.frames * bodies * 6);
  const physics = await openPhysics(scene);
  try {
    for (let frame = 0; frame < scene.frames; frame++) {
      throwIfAborted(options.signal);
      if (frame > 0) for (let i = 0; i < substeps; i++) physics.step();
      physics.read(poses, frame * bodies * 7, velocities, frame * bodies * 6);
    }
    return { frames: scene.frames, bodies, poses, velocities, contacts: physics.contacts.slice() };
  } finally {
    physics.dispose();
  }
}

/** The physics step for a frame rate: the largest that divides a frame and is at most 1/`rate` s. */
export function stepFor(fps: number, rate = 960): number {
  return 1 / (fps * Math.ceil(rate / fps - 1e-9));
}

function runningWorld(rapier: Rapier, world: World, queue: EventQueue, scene: Scene): Physics {
  world.timestep = scene.dt;
  world.numSolverIterations = ENGINE.solverIterations;
  const parameters = world.integrationParameters;
  parameters.contact_natural_frequency = ENGINE.contactNaturalFrequency;
  parameters.normalizedAllowedLinearError = ENGINE.allowedLinearError;
  parameters.normalizedPredictionDistance = ENGINE.predictionDistance;

  const table = pairTable(scene);
  const owner = new Map<number, { body: number; surface: number }>();
  const isolated = isolatedBodies(scene);
  const handles = scene.bodies.map((body, i) => (isolated.has(i) ? undefined : addBody(rapier, world, body)));
  scene.bodies.forEach((body, i) => {
    const handle = handles[i];
    if (handle !== undefined) addColliders(rapier, world, body, handle, table, i, owner);
  });
  for (const joint of scene.joints) {
    if (!isolated.has(joint.a - 1) && !isolated.has(joint.b - 1)) addJoint(rapier, world, joint, handles);
  }

  // Two copies may share a surface although their own pair has another one; that needs a veto per pair.
  const hooks = needsVeto(table, scene.bodies.length)
    ? {
        filterContactPair: (c1: number, c2: number) => {
          const a = owner.get(c1)!;
          const b = owner.get(c2)!;
          const acts = table.surfaceBetween(a.body, b.body) === a.surface && a.surface === b.surface;
          return acts ? rapier.SolverFlags.COMPUTE_IMPULSE : null;
        },
        filterIntersectionPair: () => false,
      }
    : undefined;
  if (hooks !== undefined) {
    for (const handle of owner.keys()) {
      world.getCollider(handle).setActiveHooks(rapier.ActiveHooks.FILTER_CONTACT_PAIRS);
    }
  }

  const held = scene.bodies.flatMap((body, i) =>
    body.kind === 'dynamic' && (body.holdSeconds ?? 0) > 0 && !isolated.has(i)
      ? [{ body, handle: handles[i]!, step: Math.round(body.holdSeconds! / scene.dt) }]
      : [],
  );
  const drives = pathDrives(scene.bodies, handles);
  const log = contactLog(world, queue, scene, owner);
  let steps = 0;
  let open = true;
  return {
    get steps() {
      return steps;
    },
    get time() {
      return steps * scene.dt;
    },
    contacts: log.contacts,
    step() {
      for (const { body, handle, step } of held) {
        if (step !== steps) continue;
        handle.setBodyType(rapier.RigidBodyType.Dynamic, true);
        handle.setLinvel(point(body.linvel), true);
        handle.setAngvel(point(body.angvel), true);
      }
      for (const drive of drives) drive((steps + 1) * scene.dt);
      world.step(queue, hooks);
      for (const body of isolated.values()) body.step(scene.dt);
      steps++;
      log.collect(steps);
    },
    state(id) {
      const handle = handles[id - 1];
      if (handle === undefined) return isolated.get(id - 1)!.state();
      const p = handle.translation();
      const q = handle.rotation();
      const v = handle.linvel();
      const w = handle.angvel();
      return { pos: [p.x, p.y, p.z], quat: [q.w, q.x, q.y, q.z], linvel: [v.x, v.y, v.z], angvel: [w.x, w.y, w.z] };
    },
    read(poses, poseOffset, velocities, velocityOffset) {
      for (let i = 0; i < handles.length; i++) {
        const { pos, quat, linvel, angvel } = this.state(i + 1);
        poses.set(pos, poseOffset + i * 7);
        poses.set(quat, poseOffset + i * 7 + 3);
        velocities.set(linvel, velocityOffset + i * 6);
        velocities.set(angvel, velocityOffset + i * 6 + 3);
      }
    },
    place(id, pos, quat) {
      assert(scene.bodies[id - 1]?.kind !== 'dynamic', `body ${id} is dynamic: only fixed bodies can be placed`);
      const [w, x, y, z] = quat;
      handles[id - 1]!.setTranslation(point(pos), true);
      handles[id - 1]!.setRotation({ w, x, y, z }, true);
    },
    dispose() {
      if (!open) return;
      open = false;
      queue.free();
      world.free();
    },
    [Symbol.dispose]() {
      this.dispose();
    },
  };
}

const point = (v: Vec3): { x: number; y: number; z: number } => ({ x: v[0], y: v[1], z: v[2] });

function addBody(rapier: Rapier, world: World, body: Body): RigidBody {
  const isHeld = body.kind === 'dynamic' && (body.holdSeconds ?? 0) > 0;
  const description =
    body.kind === 'kinematic'
      ? body.path === undefined
        ? rapier.RigidBodyDesc.kinematicVelocityBased()
        : rapier.RigidBodyDesc.kinematicPositionBased()
      : body.kind === 'static' || isHeld
        ? rapier.RigidBodyDesc.fixed()
        : rapier.RigidBodyDesc.dynamic();
  const [w, x, y, z] = body.quat;
  description
    .setTranslation(...(body.pos as [number, number, number]))
    .setRotation({ w, x, y, z })
    .setLinearDamping(0)
    .setAngularDamping(0)
    .setCanSleep(false);
  if (body.kind !== 'static' && !isHeld && body.path === undefined) {
    description.setLinvel(...(body.linvel as [number, number, number])).setAngvel(point(body.angvel));
  }
  if (body.kind === 'dynamic') {
    const speed = Math.hypot(...body.linvel);
    // Only small or fast bodies can pass through something within one step of a millisecond.
    description.setCcdEnabled(bodyRadius(body) < 0.05 || speed > 5);
    if (body.inertia !== undefined) {
      const identity = { w: 1, x: 0, y: 0, z: 0 };
      description.setAdditionalMassProperties(body.mass, point(body.com ?? [0, 0, 0]), point(body.inertia), identity);
    }
  }
  return world.createRigidBody(description);
}

function addColliders(
  rapier: Rapier,
  world: World,
  body: Body,
  handle: RigidBody,
  table: PairTable,
  index: number,
  owner: Map<number, { body: number; surface: number }>,
): void {
  const density = densityOf(body);
  table.surfacesOf[index]!.forEach((surface, copy) => {
    const { friction, restitution } = table.surfaces[surface]!;
    const bit = surface < FILTER_BITS ? 1 << surface : 0xffff;
    for (const part of body.parts) {
      if (!part.collide) continue;
      for (const description of collidersOf(rapier, part, copy === 0 ? density : 0)) {
        description
          .setFriction(friction)
          .setRestitution(restitution)
          // Both sides carry the pair's value, so the average is that value.
          .setFrictionCombineRule(rapier.CoefficientCombineRule.Average)
          .setRestitutionCombineRule(rapier.CoefficientCombineRule.Average)
          .setCollisionGroups(((bit << 16) | bit) >>> 0)
          .setActiveEvents(body.kind === 'dynamic' ? rapier.ActiveEvents.COLLISION_EVENTS : rapier.ActiveEvents.NONE);
        const collider: Collider = world.createCollider(description, handle);
        owner.set(collider.handle, { body: index, surface });
      }
    }
  });
}

function needsVeto(table: PairTable, bodies: number): boolean {
  if (table.surfaces.length > FILTER_BITS) return true;
  for (let a = 0; a < bodies; a++) {
    for (let b = a + 1; b < bodies; b++) {
      const own = table.surfaceBetween(a, b);
      if (own >= 0 && table.surfacesOf[a]!.some((s) => s !== own && table.surfacesOf[b]!.includes(s))) return true;
    }
  }
  return false;
}

function addJoint(rapier: Rapier, world: World, joint: Joint, handles: readonly (RigidBody | undefined)[]): void {
  // The world is a fixed body at the origin, so that anchors of body 0 are world coordinates.
  const ground = (): RigidBody => world.createRigidBody(rapier.RigidBodyDesc.fixed());
  const a = joint.a === 0 ? ground() : handles[joint.a - 1]!;
  const b = joint.b === 0 ? ground() : handles[joint.b - 1]!;
  const [p, q, axis] = [point(joint.anchorA), point(joint.anchorB), point(joint.axis)];
  const identity = { w: 1, x: 0, y: 0, z: 0 };
  const data =
    joint.type === 'revolute'
      ? rapier.JointData.revolute(p, q, axis)
      : joint.type === 'spherical'
        ? rapier.JointData.spherical(p, q)
        : joint.type === 'prismatic'
          ? rapier.JointData.prismatic(p, q, axis)
          : rapier.JointData.fixed(p, identity, q, identity);
  if (joint.limits !== undefined) {
    data.limitsEnabled = true;
    data.limits = [...joint.limits];
  }
  const made = world.createImpulseJoint(data, a, b, true);
  made.setContactsEnabled(false);
}

/** Collects touches between bodies: first touch after at least 50 ms apart, with the impulse of its first moments. */
function contactLog(
  world: World,
  queue: EventQueue,
  scene: Scene,
  owner: ReadonlyMap<number, { body: number }>,
): { readonly contacts: Contact[]; collect(steps: number): void } {
  type Open = { contact: { -readonly [K in keyof Contact]: Contact[K] }; c1: number; c2: number; until: number };
  const contacts: Contact[] = [];
  const open: Open[] = [];
  const last = new Map<number, number>();
  const perFrame = Math.round(1 / (scene.fps * scene.dt));
  const window = Math.max(1, Math.round(IMPULSE_WINDOW / scene.dt));
  const quiet = 0.05 / scene.dt;
  let step = 0;

  const begin = (c1: number, c2: number, started: boolean): void => {
    const [a, b] = [owner.get(c1)?.body, owner.get(c2)?.body];
    if (a === undefined || b === undefined) return;
    const key = Math.min(a, b) * scene.bodies.length + Math.max(a, b);
    const before = last.get(key);
    last.set(key, step);
    if (!started || (before !== undefined && step - before < quiet)) return;
    const contact = {
      time: step * scene.dt,
      frame: Math.floor(step / perFrame),
      substep: step % perFrame,
      a: a + 1,
      b: b + 1,
      point: [0, 0, 0] as Vec3,
      normal: [0, 0, 1] as Vec3,
      impulse: 0,
    };
    contacts.push(contact);
    open.push({ contact, c1, c2, until: step + window });
  };
  return {
    contacts,
    collect(steps) {
      step = steps;
      queue.drainCollisionEvents(begin);
      for (let i = open.length - 1; i >= 0; i--) {
        const { contact, c1, c2, until } = open[i]!;
        let impulse = 0;
        world.contactPair(world.getCollider(c1), world.getCollider(c2), (manifold, flipped) => {
          for (let k = 0; k < manifold.numContacts(); k++) impulse += manifold.contactImpulse(k);
          const n = manifold.normal();
          const sign = flipped ? -1 : 1;
          contact.normal = [sign * n.x, sign * n.y, sign * n.z];
          const at = manifold.numSolverContacts() > 0 ? manifold.solverContactPoint(0) : null;
          if (at !== null) contact.point = [at.x, at.y, at.z];
        });
        contact.impulse = Math.max(contact.impulse, impulse);
        if (step >= until) open.splice(i, 1);
      }
    },
  };
}
