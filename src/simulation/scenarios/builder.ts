// Puts a scene together: bodies in order (the floor first), materials, pair rules. One builder per scene, used once.
import { type RandomStream, randomStream } from '../../base/index.ts';
import { stepFor } from '../physics.ts';
import type {
  Body,
  BodyClass,
  Camera,
  Joint,
  Light,
  Material,
  PairRule,
  Part,
  Path,
  Quat,
  Scene,
  Vec3,
} from '../scene.ts';
import { IDENTITY, ZERO } from '../vector.ts';

/** What the caller of a scenario chooses; everything else is drawn from the seed. */
export type SceneOptions = {
  readonly frames?: number;
  readonly fps?: number;
  readonly width?: number;
  readonly height?: number;
  /** Cameras of the benchmark scenes: all four static views, or one view (static or moving), for training. */
  readonly cameras?: 'benchmark' | 'static' | 'moving';
  /** Allow unusual gravity in 10 % of the seeds (training sets). */
  readonly varyGravity?: boolean;
  /** First draw of the seed to try; larger after a rejection. Default 0. */
  readonly attempt?: number;
};

export type ResolvedOptions = Required<SceneOptions>;

/** The streams of one draw of one seed. */
export type Draw = {
  readonly seed: number;
  readonly options: ResolvedOptions;
  /** Opens a stream at its beginning: ask for each label once per scene. */
  stream(
    label: 'objects' | 'materials' | 'floor' | 'fixture' | 'light' | 'camera' | 'gravity' | 'actions',
  ): RandomStream;
};

export function drawOf(seed: number, options: ResolvedOptions): Draw {
  const suffix = options.attempt === 0 ? '' : `/${options.attempt}`;
  return { seed, options, stream: (label) => randomStream(seed, label + suffix) };
}

/** A body in the words of a scenario; what is left out is at rest, dynamic and made of one part. */
export type BodyPlan = {
  readonly name: string;
  readonly class: BodyClass;
  readonly kind?: Body['kind'];
  readonly pos: Vec3;
  readonly quat?: Quat;
  readonly linvel?: Vec3;
  readonly angvel?: Vec3;
  readonly mass?: number;
  readonly inertia?: Vec3;
  readonly com?: Vec3;
  readonly holdSeconds?: number;
  readonly path?: Path;
  readonly parts: readonly Part[];
};

export type SceneBuilder = {
  /** Adds a material under a name and returns the name. */
  material(name: string, material: Material): string;
  /** The material of a name given before. */
  materialOf(name: string): Material;
  /** Adds a body and returns its id. */
  body(plan: BodyPlan): number;
  joint(joint: Joint): void;
  pair(a: string, b: string, friction: number, restitution: number): void;
  finish(rest: {
    readonly light: Light;
    readonly cameras: readonly Camera[];
    readonly gravity?: number;
    readonly stepRate?: number;
  }): Scene;
};

/** A part at the origin of its body. */
export function part(shape: Part['shape'], size: readonly number[], material: string, at: Partial<Part> = {}): Part {
  return { shape, size, material, pos: ZERO, quat: IDENTITY, collide: true, ...at };
}

/** The body that a plan stands for. */
export function bodyOf(plan: BodyPlan, id: number): Body {
  const { holdSeconds = 0 } = plan;
  return {
    id,
    name: plan.name,
    class: plan.class,
    kind: plan.kind ?? 'dynamic',
    pos: plan.pos,
    quat: plan.quat ?? IDENTITY,
    linvel: plan.linvel ?? ZERO,
    angvel: plan.angvel ?? ZERO,
    mass: plan.mass ?? 0,
    ...(plan.com === undefined ? {} : { com: plan.com }),
    ...(plan.inertia === undefined ? {} : { inertia: plan.inertia }),
    parts: plan.parts,
    ...(holdSeconds > 0 ? { holdSeconds } : {}),
    ...(plan.path === undefined ? {} : { path: plan.path }),
  };
}

export function sceneBuilder(scenario: string, draw: Draw): SceneBuilder {
  const bodies: Body[] = [];
  const joints: Joint[] = [];
  const materials: Record<string, Material> = {};
  const pairs: PairRule[] = [];
  return {
    material(name, material) {
      materials[name] = material;
      return name;
    },
    materialOf: (name) => materials[name]!,
    body(plan) {
      const id = bodies.length + 1;
      bodies.push(bodyOf(plan, id));
      return id;
    },
    joint: (joint) => void joints.push(joint),
    pair: (a, b, friction, restitution) => void pairs.push({ a, b, friction, restitution }),
    finish({ light, cameras, gravity = 9.81, stepRate = 960 }) {
      const { fps, frames, attempt } = draw.options;
      return {
        version: 1,
        scenario,
        seed: draw.seed,
        ...(attempt > 0 ? { attempt } : {}),
        fps,
        frames,
        dt: stepFor(fps, stepRate),
        gravity: [0, 0, -gravity],
        bodies,
        joints,
        materials,
        pairs,
        light,
        cameras,
      };
    },
  };
}
