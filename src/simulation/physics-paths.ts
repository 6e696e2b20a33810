// Kinematic bodies that follow a path: where they are at a time, and the call that leads the engine's body there.
import type { RigidBody } from '@dimforge/rapier3d-simd-compat';
import type { Body, Path, Quat, Vec3 } from './scene.ts';

/** The pose of a path at a time (s): positions straight, rotations along the shorter arc between two poses. */
export function poseOnPath(path: Path, time: number): { readonly pos: Vec3; readonly quat: Quat } {
  const last = path.poses.length - 1;
  const at = Math.min(last, Math.max(0, time / path.interval));
  const k = Math.min(Math.max(0, last - 1), Math.floor(at));
  const a = path.poses[k]!;
  const b = path.poses[Math.min(last, k + 1)]!;
  const s = at - k;
  const mix = (i: number, sign = 1): number => a[i]! + s * (sign * b[i]! - a[i]!);
  const dot = a[3]! * b[3]! + a[4]! * b[4]! + a[5]! * b[5]! + a[6]! * b[6]!;
  const turn = [3, 4, 5, 6].map((i) => mix(i, dot < 0 ? -1 : 1));
  const norm = Math.hypot(...turn);
  return { pos: [mix(0), mix(1), mix(2)], quat: turn.map((v) => v / norm) as unknown as Quat };
}

/** For each body with a path a function that has it at the path's place after the next step. */
export function pathDrives(
  bodies: readonly Body[],
  handles: readonly (RigidBody | undefined)[],
): readonly ((time: number) => void)[] {
  return bodies.flatMap((body, i) => {
    const { path } = body;
    const handle = handles[i];
    if (path === undefined || handle === undefined) return [];
    return (time: number) => {
      const { pos, quat } = poseOnPath(path, time);
      handle.setNextKinematicTranslation({ x: pos[0], y: pos[1], z: pos[2] });
      handle.setNextKinematicRotation({ w: quat[0], x: quat[1], y: quat[2], z: quat[3] });
    };
  });
}
