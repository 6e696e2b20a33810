// A four-joint arm on a table: base yaw, then shoulder, elbow and wrist pitch. The last link always points down, so that
// the place of its tip gives all joint angles in closed form.
import { InputError } from '../../base/index.ts';
import type { Quat, Vec3 } from '../scene.ts';
import { add, axisAngle, multiply, scale } from '../vector.ts';

/** Lengths in metres: height of the shoulder above the base, upper arm, forearm, and from the wrist down to the tip. */
export const ARM = { shoulder: 0.16, upper: 0.34, fore: 0.32, tool: 0.2, tip: 0.04 } as const;

/** Joint angles, rad: yaw of the base; pitch of the upper arm above the horizon; elbow and wrist relative to the link before. */
export type Joints = readonly [yaw: number, shoulder: number, elbow: number, wrist: number];

/** Pose of a link: its middle, with local z along the link. */
export type LinkPose = { readonly pos: Vec3; readonly quat: Quat };

export type ArmPose = {
  readonly joints: Joints;
  readonly upper: LinkPose;
  readonly fore: LinkPose;
  /** Middle between wrist and tip. */
  readonly tool: LinkPose;
};

/** Farthest and nearest distance of the tip from the base axis that the arm reaches at table height. */
export const REACH = { near: 0.2, far: 0.6 } as const;

/**
 * The arm whose tip is at `tip`, elbow up.
 * @param tip centre of the tip's ball in the base frame (x forward, y left, z up; the base stands at z = 0), metres
 */
export function armAt(tip: Vec3): ArmPose {
  const yaw = Math.atan2(tip[1], tip[0]);
  const out = Math.hypot(tip[0], tip[1]);
  const up = tip[2] + ARM.tool - ARM.shoulder;
  const far = Math.hypot(out, up);
  if (far > ARM.upper + ARM.fore - 1e-6 || far < Math.abs(ARM.upper - ARM.fore) + 1e-6) {
    throw new InputError('tip', {
      got: tip.map((v) => v.toFixed(3)).join(', '),
      need: `a place within ${(ARM.upper + ARM.fore).toFixed(2)} m of the shoulder`,
      why: 'the arm does not reach it',
    });
  }
  // Law of cosines in the plane of the arm.
  const rise = Math.atan2(up, out);
  const bend = Math.acos((ARM.upper ** 2 + far ** 2 - ARM.fore ** 2) / (2 * ARM.upper * far));
  const shoulder = rise + bend;
  const elbowOut = ARM.upper * Math.cos(shoulder);
  const elbowUp = ARM.upper * Math.sin(shoulder);
  const pitch = Math.atan2(up - elbowUp, out - elbowOut);
  const along = (distance: number, height: number): Vec3 => [
    distance * Math.cos(yaw),
    distance * Math.sin(yaw),
    height,
  ];
  const base = along(0, ARM.shoulder);
  const elbow = along(elbowOut, ARM.shoulder + elbowUp);
  const wrist = along(out, ARM.shoulder + up);
  return {
    joints: [yaw, shoulder, pitch - shoulder, -Math.PI / 2 - pitch],
    upper: link(base, elbow, yaw, shoulder),
    fore: link(elbow, wrist, yaw, pitch),
    tool: link(wrist, tip, yaw, -Math.PI / 2),
  };
}

/** A link between two points; local z runs from the first to the second. */
function link(from: Vec3, to: Vec3, yaw: number, pitch: number): LinkPose {
  const quat = multiply(axisAngle([0, 0, 1], yaw), axisAngle([0, 1, 0], Math.PI / 2 - pitch));
  return { pos: scale(add(from, to), 0.5), quat };
}
