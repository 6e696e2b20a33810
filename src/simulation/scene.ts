// The scene format (`scene.json`): everything that physics and rendering need, and nothing that they compute.
// World: right-handed, z up, metres, kilograms, seconds, quaternions (w, x, y, z), colours linear RGB 0…1.

export type Vec3 = readonly [number, number, number];
/** Quaternion, scalar first. */
export type Quat = readonly [number, number, number, number];

/** Semantic class of a body. */
export type BodyClass =
  | 'floor'
  | 'ramp'
  | 'ball'
  | 'box'
  | 'cylinder'
  | 'domino'
  | 'plank'
  | 'top'
  | 'robot'
  | 'table'
  | 'car'
  | 'building'
  | 'tree'
  | 'pole'
  | 'road';

/**
 * A primitive in the frame of its body. `size`: box half extents; sphere [radius]; cylinder [radius, half height];
 * capsule [radius, half length without caps] (both along local z); plane [] (z = 0, normal +z).
 */
export type Part = {
  readonly shape: 'box' | 'sphere' | 'cylinder' | 'capsule' | 'plane';
  readonly size: readonly number[];
  readonly pos: Vec3;
  readonly quat: Quat;
  readonly material: string;
  /** False: drawn, but without collisions. */
  readonly collide: boolean;
};

export type Body = {
  /** 1-based and equal to the index in `bodies` plus one; it is the instance id in rendered maps. The floor is 1. */
  readonly id: number;
  readonly name: string;
  readonly class: BodyClass;
  readonly kind: 'dynamic' | 'static' | 'kinematic';
  readonly pos: Vec3;
  readonly quat: Quat;
  readonly linvel: Vec3;
  /** rad/s, world frame. */
  readonly angvel: Vec3;
  /** kg; 0 for static bodies. */
  readonly mass: number;
  /** Centre of mass in the body frame. Default: that of the colliding parts at equal density. */
  readonly com?: Vec3;
  /** Principal moments of inertia about the centre of mass, kg·m², along the body axes. Default: that of the parts. */
  readonly inertia?: Vec3;
  readonly parts: readonly Part[];
  /** Seconds during which the body is held still at its start pose (a lead-in before release). Default 0. */
  readonly holdSeconds?: number;
  /** The motion of a kinematic body that follows a path; it pushes what it meets and nothing pushes it. */
  readonly path?: Path;
};

/** Poses (position, then quaternion w, x, y, z) at times 0, `interval`, 2·`interval`, … s, straight in between; the last is kept. */
export type Path = { readonly interval: number; readonly poses: readonly (readonly number[])[] };

/** What a robot records of itself, per frame. */
export type RobotTrack = {
  /**
   * [frames, 7]: what leads from a frame to the next: Δx, Δy, Δz of the tip (m, base frame), Δroll, Δpitch, Δyaw (rad), gripper
   * (0 open … 1 closed). The last one is zero.
   */
  readonly actions: readonly (readonly number[])[];
  /** [frames, joints], rad. */
  readonly joints: readonly (readonly number[])[];
  /** [frames, 3]: place of the tip, m, base frame. */
  readonly tip: readonly (readonly number[])[];
};

export type Joint = {
  readonly type: 'revolute' | 'spherical' | 'prismatic' | 'fixed';
  /** Body ids; 0 = the world. */
  readonly a: number;
  readonly b: number;
  readonly anchorA: Vec3;
  readonly anchorB: Vec3;
  readonly axis: Vec3;
  /** rad or m. */
  readonly limits?: readonly [number, number];
};

export type Material = {
  readonly color: Vec3;
  readonly color2: Vec3;
  readonly texture: 'flat' | 'checker' | 'stripes' | 'fbm' | 'wood' | 'tiles' | 'road';
  /** Texture cells per metre. */
  readonly scale: number;
  readonly specular: number;
  readonly gloss: number;
};

/**
 * Friction and restitution that act between two bodies, whatever the engine's combine rule. `a` and `b` are body names;
 * `*` matches every name, and a final `*` every name that starts so (`domino_*`).
 */
export type PairRule = {
  readonly a: string;
  readonly b: string;
  readonly friction: number;
  readonly restitution: number;
};

export type Light = {
  /** Unit vector from the scene to the sun. */
  readonly sunDir: Vec3;
  readonly sunColor: Vec3;
  readonly ambient: Vec3;
  readonly groundBounce: Vec3;
  readonly horizon: Vec3;
  readonly zenith: Vec3;
  /** Angular radius of the sun, rad. */
  readonly softness: number;
  /** Metres at which fog starts and is full. */
  readonly fog: readonly [number, number];
};

/** Pinhole camera, OpenCV axes (x right, y down, z forward), pixel centres at +0.5. */
export type Camera = {
  readonly name: string;
  readonly fx: number;
  readonly fy: number;
  readonly cx: number;
  readonly cy: number;
  readonly width: number;
  readonly height: number;
  /** One row-major 4×4 matrix (static camera), or one per frame. */
  readonly worldToCamera: readonly (readonly number[])[];
};

export type Scene = {
  readonly version: 1;
  readonly scenario: string;
  readonly seed: number;
  /** How many draws of this seed were rejected before this one. Default 0. */
  readonly attempt?: number;
  /** Frames per second of rendering. */
  readonly fps: number;
  readonly frames: number;
  /** Physics step, seconds. */
  readonly dt: number;
  readonly gravity: Vec3;
  readonly bodies: readonly Body[];
  readonly joints: readonly Joint[];
  readonly materials: Readonly<Record<string, Material>>;
  /** Later rules win. */
  readonly pairs: readonly PairRule[];
  readonly light: Light;
  readonly cameras: readonly Camera[];
  /** Actions and measurements of the robot, where there is one. */
  readonly robot?: RobotTrack;
};

/** The start of a touch between two bodies. */
export type Contact = {
  /** Seconds from frame 0. */
  readonly time: number;
  /** Last frame at or before the touch. */
  readonly frame: number;
  /** Physics step within that frame. */
  readonly substep: number;
  readonly a: number;
  readonly b: number;
  readonly point: Vec3;
  /** Unit normal from a to b. */
  readonly normal: Vec3;
  /** N·s, of the hardest step within the first 5 ms of the touch. */
  readonly impulse: number;
};

/**
 * The poses of all bodies at every frame: the truth that renders and captions are made from.
 * `poses`: float64 [frames, bodies, 7], each x y z then w x y z.
 */
export type Trajectory = {
  readonly frames: number;
  readonly bodies: number;
  readonly poses: Float64Array;
  /** float64 [frames, bodies, 6]: linear velocity of the centre of mass, then angular velocity; world frame. */
  readonly velocities?: Float64Array;
  /** Touches in order of time. */
  readonly contacts?: readonly Contact[];
};
