// What physics computes: poses, velocities and contacts per clip, their bytes (`state.bin`) and their fingerprint.
import type { Contact, Quat, Trajectory, Vec3 } from './scene.ts';

/** Numbers per body and frame in `state.bin`: position 3, quaternion wxyz 4, linear velocity 3, angular velocity 3. */
export const STATE_FIELDS = 13;

/** Position of a body's frame. `id` is 1-based. */
export function positionAt(trajectory: Trajectory, frame: number, id: number): Vec3 {
  const at = (frame * trajectory.bodies + id - 1) * 7;
  const p = trajectory.poses;
  return [p[at]!, p[at + 1]!, p[at + 2]!];
}

/** Orientation of a body's frame. `id` is 1-based. */
export function orientationAt(trajectory: Trajectory, frame: number, id: number): Quat {
  const at = (frame * trajectory.bodies + id - 1) * 7 + 3;
  const p = trajectory.poses;
  return [p[at]!, p[at + 1]!, p[at + 2]!, p[at + 3]!];
}

/** Linear velocity of the centre of mass, world frame, m/s. `id` is 1-based. */
export function velocityAt(trajectory: Trajectory, frame: number, id: number): Vec3 {
  const at = (frame * trajectory.bodies + id - 1) * 6;
  const v = trajectory.velocities;
  return v === undefined ? [0, 0, 0] : [v[at]!, v[at + 1]!, v[at + 2]!];
}

/** The contacts of a trajectory between two given bodies, in order of time. */
export function contactsBetween(trajectory: Trajectory, a: number, b: number): readonly Contact[] {
  return (trajectory.contacts ?? []).filter((c) => (c.a === a && c.b === b) || (c.a === b && c.b === a));
}

/** `state.bin`: float32 little endian, [frames, bodies, 13]. */
export function stateBytes(trajectory: Trajectory): Uint8Array {
  const rows = trajectory.frames * trajectory.bodies;
  const bytes = new Uint8Array(rows * STATE_FIELDS * 4);
  const view = new DataView(bytes.buffer);
  for (let row = 0; row < rows; row++) {
    const at = row * STATE_FIELDS * 4;
    for (let i = 0; i < 7; i++) view.setFloat32(at + i * 4, trajectory.poses[row * 7 + i]!, true);
    for (let i = 0; i < 6; i++) view.setFloat32(at + (7 + i) * 4, trajectory.velocities?.[row * 6 + i] ?? 0, true);
  }
  return bytes;
}

/** SHA-256 of `stateBytes`, as 64 hex digits. The same scene on the same engine version gives the same value. */
export async function trajectoryHash(trajectory: Trajectory): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', stateBytes(trajectory) as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
