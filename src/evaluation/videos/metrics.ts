// The metrics of `orrery evaluate videos`: what each compares, its named form, and when it has no value.

import { InputError } from '../../base/index.ts';
import type { Frames } from '../../media/index.ts';
import { denseFlow, endpointError } from '../../motion/index.ts';
import { temporalSampson } from '../geometry/consistency.ts';
import { mean, meanSquaredError, meanSquaredErrors, psnrPicture, psnrTokenBench } from '../metrics/psnr.ts';
import { msSsim, ssimGaussian, ssimUniform } from '../metrics/ssim.ts';
import { temporalMeasures } from '../metrics/temporal.ts';
import type { MetricInfo } from '../report/table.ts';

/** Values of one clip; absent names have no value, `notes` say why. */
export type Measured = {
  readonly values: Readonly<Record<string, number | undefined>>;
  readonly series?: Readonly<Record<string, readonly (number | null)[]>>;
  readonly notes?: readonly string[];
};

/** Clips of one size and length. */
export type Pair = { readonly generated: Frames; readonly reference: Frames };

export type VideoMetric = {
  readonly columns: readonly MetricInfo[];
  measure(pair: Pair, signal?: AbortSignal): Promise<Measured>;
};

const column = (
  name: string,
  label: string,
  unit: string,
  better: MetricInfo['better'],
  digits: number,
): MetricInfo => ({
  name,
  label,
  unit,
  better,
  digits,
});

function perFrame(pair: Pair, score: (a: Uint8Array, b: Uint8Array) => number): number[] {
  const [count, height, width] = pair.generated.shape;
  const each = height * width * 3;
  return Array.from({ length: count }, (_, t) =>
    score(
      pair.reference.data.subarray(t * each, (t + 1) * each),
      pair.generated.data.subarray(t * each, (t + 1) * each),
    ),
  );
}

const sizeOf = ({ generated }: Pair): { height: number; width: number; channels: number } => ({
  height: generated.shape[1],
  width: generated.shape[2],
  channels: 3,
});

function windowed(
  name: string,
  label: string,
  side: number,
  score: (a: Uint8Array, b: Uint8Array, size: ReturnType<typeof sizeOf>) => number,
): VideoMetric {
  return {
    columns: [column(name, label, '', 'higher', 4)],
    async measure(pair) {
      const size = sizeOf(pair);
      if (Math.min(size.height, size.width) < side) {
        return { values: {}, notes: [`${name} needs sides of ${side} pixels, got ${size.width}x${size.height}`] };
      }
      const series = perFrame(pair, (a, b) => score(a, b, size));
      return { values: { [name]: mean(series) }, series: { [name]: series } };
    },
  };
}

/** All metrics by the name of `--metrics`. */
export const VIDEO_METRICS: Readonly<Record<string, VideoMetric>> = {
  psnr: {
    columns: [column('psnr', 'PSNR per frame', 'dB', 'higher', 2)],
    async measure(pair) {
      const series = Array.from(
        meanSquaredErrors(pair.reference.data, pair.generated.data, pair.generated.shape[0]),
        psnrPicture,
      );
      return { values: { psnr: mean(series) }, series: { psnr: series } };
    },
  },
  'psnr-video': {
    columns: [column('psnr-video', 'PSNR of the whole video (TokenBench)', 'dB', 'higher', 2)],
    measure: async (pair) => ({
      values: { 'psnr-video': psnrTokenBench(meanSquaredError(pair.reference.data, pair.generated.data)) },
    }),
  },
  ssim: windowed('ssim', 'SSIM, uniform 7×7', 7, ssimUniform),
  'ssim-gaussian': windowed('ssim-gaussian', 'SSIM, gaussian 11×11', 11, ssimGaussian),
  'ms-ssim': windowed('ms-ssim', 'MS-SSIM', 161, (a, b, size) => msSsim(a, b, size).value),
  temporal: {
    columns: [
      column('steadiness', 'Temporal flickering (VBench form)', '', 'higher', 4),
      column('flicker', 'Brightness flicker', 'of 255', 'lower', 3),
      column('warp-error', 'Warp error, Farneback', 'of 255', 'lower', 2),
      column('motion', 'Motion, Farneback', 'px/frame', 'none', 2),
      column('reference-motion', 'Motion of the reference', 'px/frame', 'none', 2),
    ],
    async measure({ generated, reference }) {
      const m = await temporalMeasures(generated);
      if (m === undefined) return { values: {}, notes: ['temporal needs two frames'] };
      const r = await temporalMeasures(reference);
      return {
        values: {
          steadiness: m.steadiness,
          flicker: m.flicker,
          'warp-error': m.warpError,
          motion: m.motion,
          'reference-motion': r!.motion,
        },
      };
    },
  },
  flow: {
    columns: [column('flow-error', 'Flow endpoint error, Farneback', 'px', 'lower', 3)],
    async measure({ generated, reference }) {
      const [count, height, width] = generated.shape;
      if (count < 2) return { values: {}, notes: ['flow needs two frames'] };
      const each = height * width * 3;
      const series: number[] = [];
      for (let t = 0; t + 1 < count; t++) {
        const of = (clip: Frames): Promise<Float32Array> =>
          denseFlow(clip.data.subarray(t * each, (t + 1) * each), clip.data.subarray((t + 1) * each, (t + 2) * each), {
            height,
            width,
          });
        series.push(endpointError(await of(generated), await of(reference)));
      }
      return { values: { 'flow-error': mean(series) }, series: { 'flow-error': series } };
    },
  },
  sampson: {
    columns: [
      column('sampson', 'Sampson error, AKAZE refined', 'px at 960×540', 'lower', 3),
      column('reference-sampson', 'Sampson error of the reference', 'px at 960×540', 'none', 3),
    ],
    async measure({ generated, reference }, signal) {
      const options = signal === undefined ? {} : { signal };
      const g = await temporalSampson(generated, options);
      const r = await temporalSampson(reference, options);
      const notes = g.pairs === 0 ? ['sampson: no pair of frames has 8 matches'] : [];
      return {
        values: {
          ...(g.pairs === 0 ? {} : { sampson: g.mean }),
          ...(r.pairs === 0 ? {} : { 'reference-sampson': r.mean }),
        },
        notes,
      };
    },
  },
};

/** Metrics that are measured when none are named. */
export const DEFAULT_METRICS = ['psnr', 'ssim', 'temporal'] as const;

/** Checks a list of names. */
export function metricsOf(names: readonly string[], extra: readonly string[] = []): string[] {
  const known = [...Object.keys(VIDEO_METRICS), ...extra];
  for (const name of names) {
    if (!known.includes(name)) throw new InputError('--metrics', { got: name, need: known.join(', ') }, 'usage');
  }
  return [...new Set(names)];
}
