// Ground truth beside colour: depth, instance, normal, flow and occlusion, all from pixel centres.

import type { Trajectory } from '../scene.ts';
import type { State } from './state.ts';

/** Channels of one frame. Rows top to bottom; every channel but rgb belongs to the pixel's centre and is never averaged. */
export type FrameChannels = {
  /** [H, W, 3], 8-bit sRGB. */
  readonly rgb: Uint8Array;
  /** [H, W], z-depth along the optical axis, metres; Infinity = sky. */
  readonly depth?: Float32Array;
  /** [H, W], body id; 0 = sky. */
  readonly instance?: Uint16Array | Uint8Array;
  /** [H, W, 3], world-space unit normal towards the camera; zeros = sky. */
  readonly normal?: Float32Array;
  /** [H, W, 2], motion to the next frame in pixels (right, down); zeros in the last frame. */
  readonly flow?: Float32Array;
  /** [H, W], z-depth of the same surface point in the next frame, metres; Infinity = sky. Only together with flow. */
  readonly nextDepth?: Float32Array;
};

/** Names of the channels. */
export type ChannelName = keyof FrameChannels;

/** Copies the finished frame out of the renderer. */
export function writeChannels(s: State, trajectory: Trajectory, frame: number, target: FrameChannels): void {
  const { layer } = s;
  target.rgb.set(layer.rgb);
  const pixels = s.width * s.height;
  if (target.depth !== undefined) for (let i = 0; i < pixels; i++) target.depth[i] = layer.depth[i]!;
  if (target.normal !== undefined) target.normal.set(layer.normal);
  if (target.instance !== undefined) {
    const { body } = s.parts;
    for (let i = 0; i < pixels; i++) {
      const part = layer.part[i]!;
      target.instance[i] = part < 0 ? 0 : body[part]! + 1;
    }
  }
  if (target.flow !== undefined) writeFlow(s, trajectory, frame, target.flow, target.nextDepth);
}

/**
 * Forward flow: the surface point under each pixel's centre moves with its body to the next frame and is projected by
 * the next camera. Sky moves with the camera's rotation only.
 */
function writeFlow(
  s: State,
  { poses, bodies, frames }: Trajectory,
  frame: number,
  flow: Float32Array,
  nextDepth: Float32Array | undefined,
): void {
  flow.fill(0);
  // What stands still keeps its depth.
  if (nextDepth !== undefined) for (let i = 0; i < nextDepth.length; i++) nextDepth[i] = s.layer.depth[i]!;
  if (frame + 1 >= frames) return;
  const { camera, eye, layer, parts, width, height } = s;
  const list = camera.worldToCamera;
  const next = list[Math.min(frame + 1, list.length - 1)]!;
  const stillCamera = list.length === 1;
  // Per body: rows of the matrix that takes its world points of this frame to the next camera.
  const move = new Float64Array(bodies * 12);
  const moves = new Uint8Array(bodies);
  for (let b = 0; b < bodies; b++) {
    const from = (frame * bodies + b) * 7;
    const to = from + bodies * 7;
    for (let k = 0; k < 7; k++) if (poses[from + k] !== poses[to + k]) moves[b] = 1;
    bodyToCamera(poses, from, to, next, move, b * 12);
  }
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const part = layer.part[i]!;
      if (stillCamera && (part < 0 || moves[parts.body[part]!] === 0)) continue;
      const u = (x + 0.5 - camera.cx) / camera.fx;
      const v = (y + 0.5 - camera.cy) / camera.fy;
      const dx = u * eye[0]! + v * eye[3]! + eye[6]!;
      const dy = u * eye[1]! + v * eye[4]! + eye[7]!;
      const dz = u * eye[2]! + v * eye[5]! + eye[8]!;
      let cx: number;
      let cy: number;
      let cz: number;
      if (part < 0) {
        cx = next[0]! * dx + next[1]! * dy + next[2]! * dz;
        cy = next[4]! * dx + next[5]! * dy + next[6]! * dz;
        cz = next[8]! * dx + next[9]! * dy + next[10]! * dz;
      } else {
        const t = layer.depth[i]!;
        const px = eye[9]! + t * dx;
        const py = eye[10]! + t * dy;
        const pz = eye[11]! + t * dz;
        const m = parts.body[part]! * 12;
        cx = move[m]! * px + move[m + 1]! * py + move[m + 2]! * pz + move[m + 3]!;
        cy = move[m + 4]! * px + move[m + 5]! * py + move[m + 6]! * pz + move[m + 7]!;
        cz = move[m + 8]! * px + move[m + 9]! * py + move[m + 10]! * pz + move[m + 11]!;
      }
      if (nextDepth !== undefined && part >= 0) nextDepth[i] = cz;
      // A point that ends behind the camera has no place in the next picture: it keeps flow zero.
      if (cz <= 1e-6) continue;
      flow[i * 2] = (cx / cz) * camera.fx + camera.cx - (x + 0.5);
      flow[i * 2 + 1] = (cy / cz) * camera.fy + camera.cy - (y + 0.5);
    }
  }
}

/** out = camera · T(to) · T(from)⁻¹, rows of a 3×4 matrix. */
function bodyToCamera(
  poses: Float64Array,
  from: number,
  to: number,
  camera: readonly number[],
  out: Float64Array,
  at: number,
): void {
  const a = rotation(poses, from + 3);
  const b = rotation(poses, to + 3);
  for (let r = 0; r < 3; r++) {
    // Row r of camera·B, then ·Aᵀ.
    const cb = [0, 1, 2].map(
      (k) => camera[r * 4]! * b[k]! + camera[r * 4 + 1]! * b[3 + k]! + camera[r * 4 + 2]! * b[6 + k]!,
    );
    let shift =
      camera[r * 4]! * poses[to]! +
      camera[r * 4 + 1]! * poses[to + 1]! +
      camera[r * 4 + 2]! * poses[to + 2]! +
      camera[r * 4 + 3]!;
    for (let c = 0; c < 3; c++) {
      const v = cb[0]! * a[c * 3]! + cb[1]! * a[c * 3 + 1]! + cb[2]! * a[c * 3 + 2]!;
      out[at + r * 4 + c] = v;
      shift -= v * poses[from + c]!;
    }
    out[at + r * 4 + 3] = shift;
  }
}

/** Row-major rotation matrix of the unit quaternion w x y z at an offset. */
function rotation(q: Float64Array, at: number): number[] {
  const n = 1 / Math.hypot(q[at]!, q[at + 1]!, q[at + 2]!, q[at + 3]!);
  const w = q[at]! * n;
  const x = q[at + 1]! * n;
  const y = q[at + 2]! * n;
  const z = q[at + 3]! * n;
  return [
    1 - 2 * (y * y + z * z),
    2 * (x * y - w * z),
    2 * (x * z + w * y),
    2 * (x * y + w * z),
    1 - 2 * (x * x + z * z),
    2 * (y * z - w * x),
    2 * (x * z - w * y),
    2 * (y * z + w * x),
    1 - 2 * (x * x + y * y),
  ];
}

/**
 * Occlusion of one frame: 1 where the flowed point is hidden or out of the picture in the next frame (another id there,
 * or a stored depth nearer than the point's by more than 1 % + 2 cm).
 */
export function occlusionOf(
  width: number,
  height: number,
  now: Required<Pick<FrameChannels, 'instance' | 'flow' | 'nextDepth'>>,
  next: Required<Pick<FrameChannels, 'instance' | 'depth'>>,
): Uint8Array {
  const out = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const u = Math.floor(x + 0.5 + now.flow[i * 2]!);
      const v = Math.floor(y + 0.5 + now.flow[i * 2 + 1]!);
      if (u < 0 || v < 0 || u >= width || v >= height) {
        out[i] = 1;
        continue;
      }
      const j = v * width + u;
      const z = now.nextDepth[i]!;
      const hidden = z - next.depth[j]! > 0.01 * z + 0.02;
      if (next.instance[j] !== now.instance[i] || hidden) out[i] = 1;
    }
  }
  return out;
}
