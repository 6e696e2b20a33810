// How much of each body is seen: its pixels in the picture against the pixels it would have alone. Boxes come along.

import type { Scene, Trajectory } from '../scene.ts';
import { PLANE } from './parts.ts';
import { newState, placeFrame } from './renderer.ts';
import { type State, TILE } from './state.ts';
import { aim, trace } from './trace.ts';

/** One body in one frame. */
export type BodyView = {
  /** Body id. */
  readonly id: number;
  /** Tight box of its visible pixels: left, top, right, bottom; right and bottom not included. Absent when hidden. */
  readonly box?: readonly [number, number, number, number];
  /** Visible pixels (by pixel centre). */
  readonly pixels: number;
  /** Visible pixels over the pixels inside the picture that the body alone would cover, 0…1; absent outside the picture. */
  readonly visible?: number;
};

/** Measures frames of one camera. It owns scratch buffers: one frame at a time. */
export type VisibilityMeter = {
  /** @param instance the frame's instance map, [H, W] */
  measure(frame: number, instance: Uint16Array | Uint8Array): BodyView[];
};

/** Opens a meter for one camera of a clip. Planes are not measured. */
export function visibilityMeter(scene: Scene, trajectory: Trajectory, camera: number): VisibilityMeter {
  const state = newState(scene, trajectory, scene.cameras[camera]!, 6, false);
  const bodies = scene.bodies.filter((b) => b.parts.length > 0 && b.parts.every((p) => p.shape !== 'plane'));
  return {
    measure: (frame, instance) => {
      placeFrame(state, trajectory, frame);
      return bodies.map((b) => viewOf(state, b.id, instance));
    },
  };
}

function viewOf(s: State, id: number, instance: Uint16Array | Uint8Array): BodyView {
  let [left, top, right, bottom, pixels] = [s.width, s.height, 0, 0, 0];
  for (let i = 0; i < instance.length; i++) {
    if (instance[i] !== id) continue;
    const x = i % s.width;
    const y = (i - x) / s.width;
    if (x < left) left = x;
    if (x >= right) right = x + 1;
    if (y < top) top = y;
    if (y >= bottom) bottom = y + 1;
    pixels++;
  }
  const alone = soloPixels(s, id - 1);
  return {
    id,
    ...(pixels > 0 ? { box: [left, top, right, bottom] as const } : {}),
    pixels,
    ...(alone > 0 ? { visible: pixels / alone } : {}),
  };
}

/** Pixels whose centre ray meets the body when nothing else is there. */
function soloPixels(s: State, body: number): number {
  const { camera, parts, tileRange, primary, found } = s;
  let count = 0;
  for (let ty = 0; ty < s.tilesY; ty++) {
    for (let tx = 0; tx < s.tilesX; tx++) {
      let listed = 0;
      for (let p = 0; p < parts.count; p++) {
        const k = p * 4;
        if (parts.body[p] !== body || parts.shape[p] === PLANE) continue;
        if (tx < tileRange[k]! || tx > tileRange[k + 1]! || ty < tileRange[k + 2]! || ty > tileRange[k + 3]!) continue;
        primary[listed++] = p;
      }
      if (listed === 0) continue;
      for (let y = ty * TILE; y < Math.min(s.height, ty * TILE + TILE); y++) {
        for (let x = tx * TILE; x < Math.min(s.width, tx * TILE + TILE); x++) {
          aim(s, (x + 0.5 - camera.cx) / camera.fx, (y + 0.5 - camera.cy) / camera.fy);
          found[0] = Number.POSITIVE_INFINITY;
          if (trace(s, listed, -1) >= 0) count++;
        }
      }
    }
  }
  return count;
}
