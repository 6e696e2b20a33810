// Pinhole cameras in the OpenCV convention (x right, y down, z forward): placing, moving and projecting.
import type { Camera, Vec3 } from './scene.ts';
import { add, cross, normalize, scale, subtract } from './vector.ts';

/** Where a camera on a ball about its target is. Angles in rad: azimuth from +x towards +y, elevation from the floor. */
export type Orbit = {
  readonly target: Vec3;
  readonly distance: number;
  readonly azimuth: number;
  readonly elevation: number;
};

/** Image size in pixels and vertical field of view in rad. */
export type Lens = { readonly width: number; readonly height: number; readonly verticalFov: number };

/** Row-major 4×4 world-to-camera matrix of an eye that looks at a target with z up. */
export function lookAt(eye: Vec3, target: Vec3): readonly number[] {
  const forward = normalize(subtract(target, eye));
  const side = cross(forward, [0, 0, 1]);
  // Straight down or up has no horizon; keep +x to the right then.
  const right: Vec3 = Math.hypot(...side) < 1e-9 ? [1, 0, 0] : normalize(side);
  const down = cross(forward, right);
  const row = (axis: Vec3): number[] => [...axis, -(axis[0] * eye[0] + axis[1] * eye[1] + axis[2] * eye[2])];
  return [...row(right), ...row(down), ...row(forward), 0, 0, 0, 1];
}

/** Position of a camera on its orbit. */
export function eyeOf(orbit: Orbit): Vec3 {
  const c = Math.cos(orbit.elevation);
  const direction: Vec3 = [c * Math.cos(orbit.azimuth), c * Math.sin(orbit.azimuth), Math.sin(orbit.elevation)];
  return add(orbit.target, scale(direction, orbit.distance));
}

/** A camera with one matrix per given orbit: one for a static camera, one per frame for a moving one. */
export function orbitCamera(name: string, lens: Lens, orbits: readonly Orbit[]): Camera {
  const focal = lens.height / (2 * Math.tan(lens.verticalFov / 2));
  return {
    name,
    fx: focal,
    fy: focal,
    cx: lens.width / 2,
    cy: lens.height / 2,
    width: lens.width,
    height: lens.height,
    worldToCamera: orbits.map((orbit) => lookAt(eyeOf(orbit), orbit.target)),
  };
}

/** The matrix of a frame; a static camera has one for all. */
export function matrixAt(camera: Camera, frame: number): readonly number[] {
  return camera.worldToCamera[Math.min(frame, camera.worldToCamera.length - 1)]!;
}

/** A world point in camera axes, metres. */
export function toCamera(camera: Camera, frame: number, p: Vec3): Vec3 {
  const m = matrixAt(camera, frame);
  const row = (i: number): number => m[i]! * p[0] + m[i + 1]! * p[1] + m[i + 2]! * p[2] + m[i + 3]!;
  return [row(0), row(4), row(8)];
}

/** Pixel (u right, v down; the centre of the first pixel is 0.5, 0.5) and z-depth of a world point. */
export function project(camera: Camera, frame: number, p: Vec3): { u: number; v: number; depth: number } {
  const [x, y, depth] = toCamera(camera, frame, p);
  return { u: camera.cx + (camera.fx * x) / depth, v: camera.cy + (camera.fy * y) / depth, depth };
}
