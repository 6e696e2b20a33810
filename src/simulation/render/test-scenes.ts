// Small hand-made scenes with motion for the renderer's tests and benchmark. Not part of the public API.

import { lookAt } from '../cameras.ts';
import type { Body, Camera, Material, Part, Quat, Scene, Trajectory, Vec3 } from '../scene.ts';

const IDENTITY: Quat = [1, 0, 0, 0];

/** What `demoScene` can vary. */
export type DemoOptions = {
  readonly frames?: number;
  readonly size?: number;
  readonly texture?: Material['texture'];
  /** Radians that the camera travels around the scene over the clip. Default 0: one static matrix. */
  readonly orbit?: number;
  /** Number of moving bodies, 1–3. */
  readonly moving?: number;
};

/** A square picture's camera with a vertical field of view of 46°. */
export function demoCamera(size: number, matrices: readonly (readonly number[])[]): Camera {
  const focal = size / 2 / Math.tan((23 * Math.PI) / 180);
  return {
    name: 'view0',
    fx: focal,
    fy: focal,
    cx: size / 2,
    cy: size / 2,
    width: size,
    height: size,
    worldToCamera: matrices,
  };
}

/** A floor, a rolling ball, a tumbling box, a hopping cylinder, a still capsule and a still slab. */
export function demoScene({ frames = 8, size = 64, texture = 'tiles', orbit = 0, moving = 3 }: DemoOptions = {}): {
  scene: Scene;
  trajectory: Trajectory;
} {
  const c = Math.cos(0.5);
  const s = Math.sin(0.5);
  const bodies: Body[] = [
    body(1, 'floor', 'static', [0, 0, 0], part('plane', [], 'floor')),
    body(2, 'ball', 'dynamic', [-0.9, -0.1, 0.2], part('sphere', [0.2], 'red')),
    body(3, 'box', 'dynamic', [0.5, 0.2, 0.15], part('box', [0.15, 0.15, 0.15], 'blue'), [c, 0, 0, s]),
    body(4, 'cylinder', 'dynamic', [-0.5, 0.25, 0.2], part('cylinder', [0.12, 0.2], 'yellow')),
    body(5, 'capsule', 'static', [0.1, 0.7, 0.1], part('capsule', [0.1, 0.2], 'green'), [
      Math.SQRT1_2,
      0,
      Math.SQRT1_2,
      0,
    ]),
    body(6, 'slab', 'static', [-0.15, -0.45, 0.22], part('box', [0.025, 0.1, 0.22], 'white'), [c, 0, 0, s]),
  ];
  const matrices = Array.from({ length: orbit === 0 ? 1 : frames }, (_, t) => {
    const a = -1.2 + (orbit * t) / frames;
    return lookAt([2.7 * Math.cos(a), 2.7 * Math.sin(a), 1.5], [0, 0, 0.25]);
  });
  const scene = sceneOf(bodies, demoCamera(size, matrices), frames, {
    floor: material([0.6, 0.58, 0.55], [0.36, 0.35, 0.36], texture, 1.6),
    red: material([0.75, 0.12, 0.1], [0.5, 0.3, 0.3], 'flat', 6),
    blue: material([0.1, 0.32, 0.72], [0.3, 0.4, 0.6], 'checker', 6),
    yellow: material([0.85, 0.62, 0.08], [0.6, 0.5, 0.3], 'stripes', 6),
    green: material([0.12, 0.5, 0.18], [0.3, 0.5, 0.3], 'wood', 6),
    white: material([0.8, 0.78, 0.72], [0.6, 0.6, 0.6], 'fbm', 6),
  });
  const trajectory = stillTrajectory(scene);
  const { poses } = trajectory;
  for (let t = 0; t < frames; t++) {
    const at = (id: number): number => (t * bodies.length + id - 1) * 7;
    poses[at(2)] = -0.9 + (1.2 * t) / frames;
    if (moving > 1) {
      poses[at(3) + 2] = 0.4 + 0.2 * Math.cos(t * 0.5);
      poses.set([Math.cos(t * 0.1), 0.6 * Math.sin(t * 0.1), 0, 0.8 * Math.sin(t * 0.1)], at(3) + 3);
    }
    if (moving > 2) poses[at(4) + 2] = 0.2 + 0.4 * Math.abs(Math.sin(t * 0.4));
  }
  return { scene, trajectory };
}

/** A body made of one part. */
export function body(id: number, name: string, kind: Body['kind'], pos: Vec3, shape: Part, quat = IDENTITY): Body {
  return {
    id,
    name,
    class: shape.shape === 'plane' ? 'floor' : shape.shape === 'sphere' ? 'ball' : 'box',
    kind,
    pos,
    quat,
    linvel: [0, 0, 0],
    angvel: [0, 0, 0],
    mass: kind === 'static' ? 0 : 1,
    parts: [shape],
  };
}

/** A part at the origin of its body. */
export function part(shape: Part['shape'], size: readonly number[], name: string): Part {
  return { shape, size, pos: [0, 0, 0], quat: IDENTITY, material: name, collide: true };
}

/** A material with moderate gloss. */
export function material(color: Vec3, color2: Vec3, texture: Material['texture'], scale: number): Material {
  return { color, color2, texture, scale, specular: 0.3, gloss: 60 };
}

/** A scene with one camera and a bright sky. */
export function sceneOf(
  bodies: readonly Body[],
  camera: Camera,
  frames: number,
  materials: Readonly<Record<string, Material>>,
): Scene {
  return {
    version: 1,
    scenario: 'demo',
    seed: 1,
    fps: 24,
    frames,
    dt: 1 / 960,
    gravity: [0, 0, -9.81],
    bodies,
    joints: [],
    materials,
    pairs: [],
    light: {
      sunDir: [0.42, -0.55, 0.72],
      sunColor: [1.9, 1.8, 1.62],
      ambient: [0.32, 0.37, 0.45],
      groundBounce: [0.24, 0.21, 0.18],
      horizon: [0.62, 0.68, 0.74],
      zenith: [0.26, 0.42, 0.68],
      softness: 0.08,
      fog: [5, 14],
    },
    cameras: [camera],
  };
}

/** Every body at its start pose in every frame. */
export function stillTrajectory(scene: Scene): Trajectory {
  const { frames, bodies } = scene;
  const poses = new Float64Array(frames * bodies.length * 7);
  for (let t = 0; t < frames; t++) {
    bodies.forEach((b, i) => {
      poses.set([...b.pos, ...b.quat], (t * bodies.length + i) * 7);
    });
  }
  return { frames, bodies: bodies.length, poses };
}
