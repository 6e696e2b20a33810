// Parity of geometry: Sampson errors, eight-point, robust F, aggregation over pairs, fisheye keypoints, camera tracks.

import { lowerMedian } from '../../../motion/index.ts';
import { fthetaPixels, fthetaRays, raysToPinhole, TARGET_PINHOLE } from '../../geometry/ftheta.ts';
import { eightPoint, ransacFundamental, unit } from '../../geometry/fundamental.ts';
import { absoluteError, cameraControlError, relativeError } from '../../geometry/poses.ts';
import { aggregatePairs, type Matches, pairError, sampsonPixels, sampsonSquared } from '../../geometry/sampson.ts';
import { det3, median, mul3, transpose3 } from '../../geometry/small.ts';
import { mean } from '../../metrics/psnr.ts';
import { doublesOf, type ParityCase } from '../case.ts';
import { type Computed, wide } from '../compare.ts';
import type { Judgement, PlainKind } from './kind.ts';
import { differing, doubles, scalar, within } from './metric-values.ts';

function matchesOf(c: ParityCase): Matches {
  const { shape, data } = doublesOf(c, 'kp0');
  return { count: shape[0]!, a: data, b: doublesOf(c, 'kp1').data };
}

const max = (values: Float64Array): number => values.reduce((m, v) => Math.max(m, v), 0);

export const sampsonGivenF: PlainKind = {
  name: 'Sampson error',
  matches: (c) => c.outputs.has('sampson_px') && c.inputs.has('F'),
  async compute(c) {
    const squared = sampsonSquared(doublesOf(c, 'F').data, matchesOf(c));
    const pixels = squared.map(Math.sqrt);
    return {
      sampson_sq_px: doubles(squared),
      sampson_px: doubles(pixels),
      mean_px: scalar(mean(pixels)),
      median_px: scalar(lowerMedian(pixels)),
      mean_sq_px: scalar(mean(squared)),
    };
  },
  judge: (_, __, got, want) => within(got, want, 1e-12, 1e-9),
};

/** The sign that agrees with `want` better. */
const signed = (got: Computed, want: Computed): Computed => {
  const a = wide(got);
  const b = wide(want);
  let dot = 0;
  for (let i = 0; i < a.length; i++) dot += a[i]! * b[i]!;
  return doubles(
    Array.from(a, (v) => (dot < 0 ? -v : v)),
    got.shape,
  );
};

export const eightPointKind: PlainKind = {
  name: 'eight-point',
  matches: (c) => c.outputs.has('F_unit') && c.inputs.has('kp0'),
  async compute(c) {
    const matches = matchesOf(c);
    const f = eightPoint(matches);
    const pixels = sampsonPixels(f, matches);
    return {
      F_unit: doubles(f, [3, 3]),
      mean_px: scalar(mean(pixels)),
      median_px: scalar(lowerMedian(pixels)),
      max_px: scalar(max(pixels)),
    };
  },
  judge(c, output, got, want): Judgement {
    if (output === 'F_unit') return within(signed(got, want), want, 1e-6);
    // Eight matches are fitted exactly: what is left is rounding of the inputs.
    if (c.inputs.get('kp0')!.shape[0]! < 9) return within(got, want, 1e-4);
    return within(got, want, 0, 1e-6);
  },
};

const SEEDS = 20;

export const robustF: PlainKind = {
  name: 'robust F',
  matches: (c) => c.inputs.has('true_inlier') && c.inputs.has('kp0'),
  async compute(c) {
    const matches = matchesOf(c);
    const truth = doublesOf(c, 'true_inlier').data;
    const inlierMean = (f: ArrayLike<number>): number =>
      mean(Array.from(sampsonPixels(f, matches)).filter((_, i) => truth[i]! > 0));
    const all = (f: ArrayLike<number>): number => lowerMedian(sampsonPixels(f, matches));
    const runs = Array.from({ length: SEEDS }, (_, seed) => {
      const run = ransacFundamental(matches, { seed: seed + 1, confidence: 0.99 });
      if (run === undefined) throw new Error('no model from these matches');
      return run;
    });
    const first = runs[0]!;
    const trueF = unit(doublesOf(c, 'F_true_unit').data);
    return {
      cv_ransac_20_shuffles_true_inlier_mean_px: doubles(runs.map((r) => inlierMean(r.f))),
      cv_ransac_inliers: { dtype: 'u8', shape: [matches.count], data: first.inliers },
      cv_ransac_median_px: scalar(all(first.f)),
      cv_ransac_true_inlier_mean_px: scalar(inlierMean(first.f)),
      magsac_median_px: scalar(all(first.f)),
      magsac_true_inlier_mean_px: scalar(inlierMean(first.f)),
      true_F_median_px: scalar(all(trueF)),
      true_F_true_inlier_mean_px: scalar(inlierMean(trueF)),
    };
  },
  judge(_, output, got, want): Judgement | undefined {
    const ours = wide(got);
    const theirs = wide(want);
    if (output.startsWith('true_F')) return within(got, want, 1e-9, 1e-7);
    if (output === 'cv_ransac_inliers') return differing(got, want, 0.15);
    if (output.startsWith('cv_ransac_20')) {
      // The rule of the case: median ≤ 1.1 × theirs, every seed ≤ 1.25 × their worst.
      const middle = median(ours) / (1.1 * median(theirs));
      const worst = Math.max(...Array.from(ours)) / (1.25 * Math.max(...Array.from(theirs)));
      return { error: Math.max(middle, worst), tolerance: 1, measure: 'share of the allowed error' };
    }
    // One random search against another: ours must not be worse by more than a tenth (against the refitting MAGSAC: a half).
    const factor = output.startsWith('magsac') ? 1.5 : 1.1;
    return { error: ours[0]! / (factor * theirs[0]!), tolerance: 1, measure: 'share of the allowed error' };
  },
};

export const pairAggregate: PlainKind = {
  name: 'Sampson error over frame pairs',
  matches: (c) => c.inputs.has('count') && c.outputs.has('pair_mean_px'),
  async compute(c) {
    const { a, b } = matchesOf(c);
    const f = doublesOf(c, 'F').data;
    let at = 0;
    const pairs = Array.from(doublesOf(c, 'count').data, (count, i) => {
      const part = { count, a: a.subarray(2 * at, 2 * (at + count)), b: b.subarray(2 * at, 2 * (at + count)) };
      at += count;
      return pairError(sampsonPixels(f.subarray(9 * i, 9 * (i + 1)), part));
    });
    const { mean: overall, median: middle } = aggregatePairs(pairs);
    return {
      pair_mean_px: doubles(pairs.map((p) => p.mean)),
      pair_median_px: doubles(pairs.map((p) => p.median)),
      keep80_pair_mean_px: doubles(pairs.map((p) => p.keep80)),
      mean: scalar(overall),
      median: scalar(middle),
    };
  },
  judge: (_, __, got, want) => within(got, want, 1e-9, 1e-9),
};

export const ftheta: PlainKind = {
  name: 'f-theta keypoints',
  matches: (c) => c.inputs.has('bw_poly') && c.inputs.has('kp'),
  async compute(c) {
    const [width, height, videoWidth, videoHeight] = doublesOf(c, 'size').data as unknown as [
      number,
      number,
      number,
      number,
    ];
    const [cx, cy] = doublesOf(c, 'center').data as unknown as [number, number];
    const camera = { width, height, centre: [cx, cy] as const, backward: Array.from(doublesOf(c, 'bw_poly').data) };
    const { shape, data } = doublesOf(c, 'kp');
    const rays = fthetaRays(camera, data, { width: videoWidth, height: videoHeight });
    return {
      rays: doubles(rays, [shape[0]!, 3]),
      rectified_kp: doubles(raysToPinhole(rays), shape),
      // Back in pixels of the video, not of the calibration image.
      reprojected_kp: doubles(
        fthetaPixels(camera, rays).map((v, i) => (i % 2 === 0 ? (v * videoWidth) / width : (v * videoHeight) / height)),
        shape,
      ),
      K_target: doubles(TARGET_PINHOLE, [3, 3]),
    };
  },
  judge(_, output, got, want) {
    if (output === 'rays') return within(got, want, 2e-6);
    if (output === 'rectified_kp') return within(got, want, 2e-3, 1e-4);
    return within(got, want, output === 'reprojected_kp' ? 0.05 : 1e-4);
  },
};

/**
 * On a straight track every turn about the axis of travel aligns equally well. The reference's choice is taken over when it is
 * such a solution: a rotation that moves the true axis as ours does; R itself then cannot be tested, all that follows can.
 */
function equallyGood(
  c: ParityCase,
  truth: readonly Float64Array[],
  got: readonly Float64Array[],
): Float64Array | undefined {
  const stored = c.doubles.get('output.R');
  const own = absoluteError(truth, got, 'sim3').alignment;
  if (stored === undefined || own.isDetermined) return undefined;
  const turn = mul3(stored, transpose3(own.rotation));
  const ends = [truth[0]!, truth[truth.length - 1]!];
  const axis = [3, 7, 11].map((k) => ends[1]![k]! - ends[0]![k]!);
  const length = Math.hypot(...axis);
  const isFixed = axis.every((v, r) => {
    const moved = turn[r * 3]! * axis[0]! + turn[r * 3 + 1]! * axis[1]! + turn[r * 3 + 2]! * axis[2]!;
    return Math.abs(moved - v) < 1e-6 * length;
  });
  return isFixed && Math.abs(det3(stored) - 1) < 1e-9 ? stored : undefined;
}

export const tracks: PlainKind = {
  name: 'camera tracks',
  matches: (c) => c.inputs.has('gt_c2w') && c.inputs.has('est_c2w'),
  async compute(c) {
    const track = (name: string): Float64Array[] => {
      const { shape, data } = doublesOf(c, name);
      return Array.from({ length: shape[0]! }, (_, i) => data.slice(16 * i, 16 * (i + 1)));
    };
    const truth = track('gt_c2w');
    const got = track('est_c2w');
    const sim = absoluteError(truth, got, 'sim3', equallyGood(c, truth, got));
    const rigid = absoluteError(truth, got, 'se3');
    const none = absoluteError(truth, got, 'none');
    const relative = relativeError(truth, got);
    const control = cameraControlError(truth, got);
    const rms = (v: readonly number[]): number => Math.sqrt(mean(v.map((x) => x * x)));
    return {
      ate_rmse_sim3: scalar(sim.rmse),
      ate_mean_sim3: scalar(sim.mean),
      scale: scalar(sim.alignment.scale),
      R: doubles(sim.alignment.rotation, [3, 3]),
      t: doubles(sim.alignment.translation),
      rot_err_deg_after_align: doubles(sim.rotationDegrees),
      ate_rmse_se3: scalar(rigid.rmse),
      ate_mean_se3: scalar(rigid.mean),
      ate_rmse_none: scalar(none.rmse),
      ate_mean_none: scalar(none.mean),
      rpe_trans_per_pair: doubles(relative.translation),
      rpe_rot_deg_per_pair: doubles(relative.rotationDegrees),
      rpe_trans_rmse: scalar(rms(relative.translation)),
      rpe_rot_deg_rmse: scalar(rms(relative.rotationDegrees)),
      rpe_trans_mean: scalar(mean(relative.translation)),
      rpe_rot_deg_mean: scalar(mean(relative.rotationDegrees)),
      cc_rot_deg_mean: scalar(control.rotationDegrees),
      cc_trans_mean: scalar(control.translation),
    };
  },
  judge(_, output, got, want) {
    return within(got, want, /deg/.test(output) ? 1e-6 : 1e-8, 1e-9);
  },
};
