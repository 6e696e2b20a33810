// Clips of still scenes under a moving camera, with exact poses: the ground truth of 3D consistency.
import { OrreryError, randomStream, throwIfAborted } from '../../base/index.ts';
import type { Frames } from '../../media/index.ts';
import {
  captionOf,
  matrixAt,
  type Orbit,
  orbitCamera,
  type RenderPool,
  type Scene,
  type SimulatedClip,
  simulateClip,
} from '../../simulation/index.ts';
import { invertRigid } from '../geometry/small.ts';

/** How cameras move: round the scene, towards it, or round and up. */
const CAMERA_MOVES = ['orbit', 'approach', 'rise'] as const;
type CameraMove = (typeof CAMERA_MOVES)[number];

export type StillClip = {
  readonly move: CameraMove;
  readonly frames: Frames;
  readonly caption: string;
  /** Pixels. */
  readonly focal: number;
  /** Camera-to-world, 4×4 row-major, per frame. */
  readonly poses: readonly (readonly number[])[];
};

export type StillClipOptions = {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly frames: number;
  readonly signal?: AbortSignal;
};

const degrees = Math.PI / 180;

/** Rendered this many times larger and averaged: textures do not shimmer, and the noise of soft shadows, which sticks to the screen, fades. */
const OVERSAMPLING = 2;
const SHADOW_SAMPLES = 64;

/** The camera's way through a clip of a seed. */
function pathOf(seed: number, frames: number): { readonly move: CameraMove; readonly orbits: readonly Orbit[] } {
  const random = randomStream(seed, 'still scene camera');
  const move = CAMERA_MOVES[seed % CAMERA_MOVES.length]!;
  const start = {
    target: [random.uniform(-0.1, 0.1), random.uniform(-0.1, 0.1), random.uniform(0.25, 0.4)] as const,
    distance: random.uniform(2.6, 3.1),
    azimuth: random.uniform(0, 2 * Math.PI),
    elevation: random.uniform(18, 34) * degrees,
  };
  const side = random.pick([-1, 1]);
  const turn = side * (move === 'approach' ? random.uniform(3, 6) : random.uniform(12, 22)) * degrees;
  const nearer = move === 'approach' ? random.uniform(0.5, 0.9) : random.uniform(-0.15, 0.15);
  const up = move === 'rise' ? random.uniform(6, 12) * degrees : 0;
  const orbits = Array.from({ length: frames }, (_, f): Orbit => {
    const t = frames === 1 ? 0 : f / (frames - 1);
    return {
      target: start.target,
      distance: start.distance - nearer * t,
      azimuth: start.azimuth + turn * t,
      elevation: start.elevation + up * t,
    };
  });
  return { move, orbits };
}

/** Renders the clip of a seed: stacks of the benchmark and objects on a table in turn. */
export async function stillClip(seed: number, pool: RenderPool, options: StillClipOptions): Promise<StillClip> {
  const { width, height, fps, frames, signal } = options;
  throwIfAborted(signal);
  const scenario = seed % 2 === 0 ? 'stable_stack' : 'table_still';
  const clip = await texturedClip(scenario, seed, { width, height, fps, frames, ...(signal && { signal }) });
  const { move, orbits } = pathOf(seed, frames);
  const lens = { width: width * OVERSAMPLING, height: height * OVERSAMPLING, verticalFov: 46 * degrees };
  const camera = orbitCamera('view0', lens, orbits);
  const scene: Scene = { ...clip.scene, cameras: [camera] };
  const { rgb } = await pool.render(scene, clip.trajectory, {
    shadowSamples: SHADOW_SAMPLES,
    ...(signal === undefined ? {} : { signal }),
  });
  return {
    move,
    frames: shrunk(rgb, frames, height, width),
    caption: captionOf(scene, clip.trajectory, { style: 'long', outcome: false }),
    focal: camera.fx / OVERSAMPLING,
    poses: orbits.map((_, f) => Array.from(invertRigid(matrixAt(camera, f)))),
  };
}

const MOST_TRIES = 40;

/** The first clip of a seed and its successors far away whose floor has a pattern: on a plain one nothing tells where the camera is. */
async function texturedClip(
  scenario: 'stable_stack' | 'table_still',
  seed: number,
  options: StillClipOptions,
): Promise<SimulatedClip> {
  for (let i = 0; i < MOST_TRIES; i++) {
    const clip = await simulateClip(scenario, seed + i * 1_000_000, options);
    const floor = Object.entries(clip.scene.materials).find(([name]) => name.startsWith('floor'))?.[1];
    if (floor?.texture !== 'flat') return clip;
  }
  throw new OrreryError('internal', `seed ${seed}: ${MOST_TRIES} scenes in a row have a plain floor`);
}

/** Means of squares of pixels. */
function shrunk(rgb: Uint8Array, frames: number, height: number, width: number): Frames {
  const n = OVERSAMPLING;
  const data = new Uint8Array(frames * height * width * 3);
  const row = width * n * 3;
  for (let i = 0; i < data.length; i++) {
    const c = i % 3;
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / (3 * width)) % height;
    const t = Math.floor(i / (3 * width * height));
    let sum = 0;
    for (let v = 0; v < n; v++) {
      for (let u = 0; u < n; u++) sum += rgb[(t * height * n + y * n + v) * row + (x * n + u) * 3 + c]!;
    }
    data[i] = Math.round(sum / (n * n));
  }
  return { dtype: 'u8', shape: [frames, height, width, 3], data };
}
