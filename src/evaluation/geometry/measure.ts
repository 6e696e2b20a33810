// Everything that is measured about the geometry of one clip: Sampson error, recovered cameras, views made again.
import type { Frames } from '../../media/index.ts';
import { type SampsonResult, temporalSampson } from './consistency.ts';
import { absoluteError, cameraControlError, relativeError } from './poses.ts';
import { structureFromMotion } from './sfm/structure.ts';
import { type SynthesisResult, viewSynthesis } from './sfm/synthesis.ts';

export type GeometryJob = {
  readonly frames: Frames;
  /** Pixels; unknown for videos of others. */
  readonly focal?: number;
  /** True camera-to-world poses, 4×4 row-major, one per frame. */
  readonly truth?: readonly (readonly number[])[];
};

/** Errors of recovered cameras against the truth. */
export type PoseErrors = {
  /** Mean angle between tracks seen from their first camera, degrees. */
  readonly rotationDegrees: number;
  /** Mean distance after division by the largest distance from the first camera. */
  readonly translation: number;
  /** Root mean square distance after alignment with scale, metres. */
  readonly ate: number;
  /** Mean angle between neighbouring frames, degrees. */
  readonly rpeDegrees: number;
};

export type GeometryResult = {
  readonly sampson: SampsonResult;
  readonly isSuccess: boolean;
  readonly registered: number;
  readonly reprojection: number;
  readonly why?: string;
  /** Absent without success or truth. */
  readonly errors?: PoseErrors;
  readonly synthesis?: SynthesisResult;
};

export async function measureGeometry({ frames, focal, truth }: GeometryJob): Promise<GeometryResult> {
  const sampson = await temporalSampson(frames);
  const structure = await structureFromMotion(frames, focal === undefined ? {} : { focal });
  const { isSuccess, registered, reprojection, why, poses } = structure;
  const synthesis = isSuccess ? viewSynthesis(frames, structure) : undefined;
  return {
    sampson,
    isSuccess,
    registered,
    reprojection,
    ...(why === undefined ? {} : { why }),
    ...(isSuccess && truth !== undefined ? { errors: poseErrors(truth, poses) } : {}),
    ...(synthesis === undefined ? {} : { synthesis }),
  };
}

/** Errors over the frames that have a pose. */
export function poseErrors(truth: readonly (readonly number[])[], poses: readonly (Float64Array | null)[]): PoseErrors {
  const placed = poses.flatMap((p, i) => (p === null ? [] : [{ got: p, true: truth[i]! }]));
  const [g, p] = [placed.map((v) => v.true), placed.map((v) => v.got)];
  const control = cameraControlError(g, p);
  const { rotationDegrees } = relativeError(g, p);
  return {
    rotationDegrees: control.rotationDegrees,
    translation: control.translation,
    ate: absoluteError(g, p).rmse,
    rpeDegrees: rotationDegrees.reduce((s, v) => s + v, 0) / rotationDegrees.length,
  };
}
