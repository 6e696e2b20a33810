// Parity of object and motion metrics: mask overlap, Physics-IQ with its score, motion masks.

import { motionMasks } from '../../../motion/index.ts';
import { maskOverlap, summariseIou } from '../../metrics/masks.ts';
import { type PhysicsIqScore, physicsIqScore, physicsIqView } from '../../metrics/physics-iq.ts';
import { bytesOf, type ParityCase } from '../case.ts';
import type { Computed } from '../compare.ts';
import type { PlainKind } from './kind.ts';
import { differing, doubles, scalar, within } from './metric-values.ts';

export const maskIou: PlainKind = {
  name: 'mask IoU',
  matches: (c) => c.outputs.has('iou') && c.outputs.has('mean_iou_defined'),
  async compute(c) {
    const a = bytesOf(c, 'gt');
    const b = bytesOf(c, 'pred').data;
    const [objects, frames, height, width] = a.shape as [number, number, number, number];
    const pixels = height * width;
    const rows = Array.from({ length: objects }, (_, o) =>
      Array.from({ length: frames }, (_, f) => {
        const at = (o * frames + f) * pixels;
        return maskOverlap(a.data.subarray(at, at + pixels), b.subarray(at, at + pixels));
      }),
    );
    const { meanDefined, meanEmptyIsOne, perObject } = summariseIou(rows);
    const all = rows.flat();
    const whole = (values: readonly number[]): Computed => ({
      dtype: 'i64',
      shape: [objects, frames],
      data: BigInt64Array.from(values, BigInt),
    });
    return {
      intersection: whole(all.map((o) => o.intersection)),
      union: whole(all.map((o) => o.union)),
      iou: doubles(
        all.map((o) => (o.union === 0 ? -1 : o.intersection / o.union)),
        [objects, frames],
      ),
      mean_iou_defined: scalar(meanDefined),
      mean_iou_empty_is_one: scalar(meanEmptyIsOne),
      mean_iou_per_object: doubles(perObject),
    };
  },
  judge: (_, __, got, want) => within(got, want, 1e-12),
};

const VIEW = /^(\d+)\.(\d+)\.maskg$/;

export const physicsIq: PlainKind = {
  name: 'Physics-IQ',
  matches: (c) => [...c.inputs.keys()].some((name) => VIEW.test(name)),
  async compute(c) {
    const scenarios: PhysicsIqScore[][] = [];
    const out: Record<string, Computed> = {};
    for (const name of c.inputs.keys()) {
      const match = VIEW.exec(name);
      if (match === null) continue;
      const [scenario, view] = [Number(match[1]), Number(match[2])];
      const key = `${scenario}.${view}`;
      const scored = viewOf(c, key);
      scenarios[scenario] ??= [];
      scenarios[scenario]![view] = scored;
      for (const [suffix, m] of [
        ['', scored.measures],
        ['_variance', scored.variance],
      ] as const) {
        out[`${key}.mse${suffix}`] = doubles(m.mse);
        out[`${key}.st${suffix}`] = doubles(m.spatiotemporal);
        out[`${key}.spatial${suffix}`] = scalar(m.spatial);
        out[`${key}.wspatial${suffix}`] = scalar(m.weightedSpatial);
      }
    }
    const { score, variance } = physicsIqScore(scenarios);
    out.score = scalar(score);
    out.physical_variance_sum = scalar(
      variance.spatiotemporal + variance.spatial + variance.weightedSpatial - variance.mse,
    );
    return out;
  },
  judge: (_, output, got, want) =>
    within(got, want, output === 'score' ? 0.0101 : output === 'physical_variance_sum' ? 1e-4 : 1e-6),
};

function viewOf(c: ParityCase, key: string): PhysicsIqScore {
  const bytes = (name: string): Uint8Array => bytesOf(c, `${key}.${name}`).data;
  return physicsIqView({
    frames: bytesOf(c, `${key}.maskg`).shape[0]!,
    real1: bytes('real1'),
    real2: bytes('real2'),
    generated: bytes('gen'),
    mask1: bytes('mask1'),
    mask2: bytes('mask2'),
    maskGenerated: bytes('maskg'),
  });
}

export const motionMask: PlainKind = {
  name: 'motion masks',
  matches: (c) => c.inputs.has('frames_bgr') && c.outputs.has('mask'),
  async compute(c) {
    const { shape, data } = bytesOf(c, 'frames_bgr');
    const [frames, height, width] = shape as [number, number, number];
    const { blurred, average, difference, mask } = motionMasks(data, { frames, height, width, order: 'bgr' });
    const plane = [frames, height, width];
    return {
      blurred_gray: { dtype: 'u8', shape: plane, data: blurred },
      running_average: doubles(average, plane),
      difference: { dtype: 'u8', shape: plane, data: difference },
      mask: { dtype: 'u8', shape: plane, data: mask },
    };
  },
  judge(_, output, got, want) {
    if (output === 'running_average') return within(got, want, 1e-9);
    return differing(got, want, output === 'blurred_gray' ? 0 : 5e-4);
  },
};
