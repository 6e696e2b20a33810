// The CPU ray renderer: colour and ground truth of one camera in one pass over 8×8 pixel tiles. Analytic primitives,
// soft sun shadows, occluded sky light, 4× anti-aliasing where geometry or shadow borders run. No Node built-ins here.
//
// What stands still is rendered once per clip. In later frames only tiles that a moving part covers, shadows or dims
// are traced again, with tests that never miss one: the result equals a full render bit for bit (renderer.test.ts).

import { assert } from '../../base/index.ts';
import type { Camera, Scene, Trajectory } from '../scene.ts';
import { type FrameChannels, writeChannels } from './channels.ts';
import { RAY_SIZE } from './intersect.ts';
import { type PartTable, partTable, placeEye, placeParts } from './parts.ts';
import { drawAll, drawMoving } from './passes.ts';
import { HIT_SIZE, placeSun, shading } from './shade.ts';
import { copyLayer, newLayer, type State, TILE } from './state.ts';
import { materialTable } from './textures.ts';
import { coverTiles } from './tiles.ts';
import { ditherPattern } from './tone.ts';

/** How to render. */
export type RenderOptions = {
  /** Sun directions tried in penumbrae, 6–64. Default 16. */
  readonly shadowSamples?: number;
  /** Four samples in pixels on borders of bodies, edges and shadows. Default true. */
  readonly antialias?: boolean;
  /** Reuse what does not move from frame to frame: same pictures, less time. Default true. */
  readonly cache?: boolean;
};

/** Renders the frames of one camera of one clip. It owns scratch buffers: one frame at a time. */
export type Renderer = {
  readonly width: number;
  readonly height: number;
  /** Renders a frame into `target`; channels that `target` lacks are not written. */
  render(frame: number, target: FrameChannels): void;
};

/**
 * Opens a renderer for one camera of a clip.
 * @param camera index into `scene.cameras`
 */
export function createRenderer(
  scene: Scene,
  trajectory: Trajectory,
  camera = 0,
  { shadowSamples = 16, antialias = true, cache = true }: RenderOptions = {},
): Renderer {
  const view = scene.cameras[camera];
  assert(view !== undefined, `camera ${camera} of ${scene.cameras.length}`);
  assert(
    trajectory.bodies === scene.bodies.length && trajectory.poses.length === trajectory.frames * trajectory.bodies * 7,
    'the trajectory does not fit the scene',
  );
  const state = newState(scene, trajectory, view, shadowSamples, antialias);
  const still =
    cache && view.worldToCamera.length === 1 ? newLayer(view.width * view.height, state.dirty.length) : null;
  let hasStill = false;

  const render = (frame: number, target: FrameChannels): void => {
    assert(frame >= 0 && frame < trajectory.frames, `frame ${frame} of ${trajectory.frames}`);
    placeFrame(state, trajectory, frame);
    if (still === null) drawAll(state, 'all');
    else {
      if (hasStill) copyLayer(still, state.layer);
      else {
        drawAll(state, 'still');
        copyLayer(state.layer, still);
        hasStill = true;
      }
      drawMoving(state, still);
    }
    writeChannels(state, trajectory, frame, target);
  };
  return { width: view.width, height: view.height, render };
}

/** Allocates what one camera of a clip needs. */
export function newState(
  scene: Scene,
  trajectory: Trajectory,
  camera: Camera,
  shadowSamples: number,
  antialias: boolean,
): State {
  const materials = materialTable(scene);
  const parts = partTable(scene, materials.index);
  const { width, height } = camera;
  const tilesX = Math.ceil(width / TILE);
  const tilesY = Math.ceil(height / TILE);
  const hit = new Float64Array(HIT_SIZE);
  return {
    shading: shading(parts, materials, scene.light, shadowSamples, floorHeight(scene), hit),
    parts,
    camera,
    width,
    height,
    tilesX,
    tilesY,
    antialias,
    eye: new Float64Array(12),
    tileRange: new Int32Array(parts.count * 4),
    layer: newLayer(width * height, tilesX * tilesY),
    dither: ditherPattern(width, height),
    moving: movingParts(parts, trajectory),
    primary: new Int32Array(parts.count),
    shadowers: new Int32Array(parts.count),
    occluders: new Int32Array(parts.count),
    counts: new Int32Array(4),
    movers: new Int32Array(parts.count * 2),
    everyPart: new Int32Array(parts.count),
    dirty: new Uint8Array(tilesX * tilesY),
    ball: new Float64Array(4),
    direction: new Float64Array(3),
    ray: new Float64Array(RAY_SIZE),
    points: new Float64Array(TILE * TILE * 3),
    found: new Float64Array(1),
    hit,
    box: new Float64Array(6),
  };
}

/** Height of the first plane of the scene, −Infinity without one. */
function floorHeight(scene: Scene): number {
  for (const body of scene.bodies) {
    for (const part of body.parts) if (part.shape === 'plane') return body.pos[2] + part.pos[2];
  }
  return Number.NEGATIVE_INFINITY;
}

/** A part moves when the pose of its body differs in any frame from the first. */
function movingParts(parts: PartTable, { poses, frames, bodies }: Trajectory): Uint8Array {
  const moves = new Uint8Array(bodies);
  for (let b = 0; b < bodies; b++) {
    for (let f = 1; f < frames && moves[b] === 0; f++) {
      for (let k = 0; k < 7; k++) if (poses[(f * bodies + b) * 7 + k] !== poses[b * 7 + k]) moves[b] = 1;
    }
  }
  return Uint8Array.from(parts.body, (b) => moves[b]!);
}

/** Puts the camera and all parts where they are in a frame. */
export function placeFrame(s: State, trajectory: Trajectory, frame: number): void {
  placeCamera(s, frame);
  placeParts(s.parts, trajectory.poses, frame * trajectory.bodies * 7);
  placeEye(s.parts, s.eye[9]!, s.eye[10]!, s.eye[11]!);
  placeSun(s.shading);
  coverTiles(s);
}

function placeCamera(s: State, frame: number): void {
  const list = s.camera.worldToCamera;
  const m = list[Math.min(frame, list.length - 1)]!;
  const e = s.eye;
  for (let r = 0; r < 3; r++) for (let c = 0; c < 3; c++) e[r * 3 + c] = m[r * 4 + c]!;
  // Position = −Rᵀt.
  for (let c = 0; c < 3; c++) e[9 + c] = -(m[c]! * m[3]! + m[4 + c]! * m[7]! + m[8 + c]! * m[11]!);
}
