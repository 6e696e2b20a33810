// Parity of metrics on features and codes: Fréchet distance, MMD, heads of LPIPS and DreamSim, codebook usage.
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { f32 } from '../../../base/index.ts';
import { codebookUsage } from '../../metrics/codebook.ts';
import { type Features, frechetDistance, polynomialMmd } from '../../metrics/frechet.ts';
import { cosineDistance, dreamSimEmbedding, lpipsLayers } from '../../metrics/perceptual.ts';
import { doublesOf, inputOf, type ParityCase } from '../case.ts';
import type { Computed } from '../compare.ts';
import type { PlainKind } from './kind.ts';
import { doubles, scalar, within } from './metric-values.ts';

const featuresOf = (c: ParityCase, name: string): Features => {
  const { shape, data } = doublesOf(c, name);
  return { rows: shape[0]!, columns: shape[1]!, data };
};

export const frechet: PlainKind = {
  name: 'Fréchet distance',
  matches: (c) => c.outputs.has('frechet'),
  async compute(c) {
    const a = featuresOf(c, 'real');
    const b = featuresOf(c, 'fake');
    const { distance, meanTerm, traceA, traceB } = frechetDistance(a, b);
    return {
      frechet: scalar(distance),
      // The usual root with its 1e-6·I is inexact; ours is the value that it approximates.
      frechet_sqrtm: scalar(distance),
      frechet_eigvals: scalar(meanTerm + traceA + traceB - 2 * rootsOfProduct(a, b)),
      mean_term: scalar(meanTerm),
      trace_real: scalar(traceA),
      trace_fake: scalar(traceB),
    };
  },
  judge(c, output, got, want) {
    const [n1, d] = c.inputs.get('real')!.shape as [number, number];
    const isThin = n1 < d || c.inputs.get('fake')!.shape[0]! < d;
    // With deficient ranks the two inexact routes are for information.
    if (/_(sqrtm|eigvals)$/.test(output)) return within(got, want, isThin ? 1e-2 : 1e-4, isThin ? 1e-2 : 1e-5);
    return within(got, want, 1e-6, 1e-6);
  },
};

/** Σ Re √λ(S₁S₂), the route of some evaluation code. */
function rootsOfProduct(a: Features, b: Features): number {
  const covariance = (f: Features): Matrix => {
    const m = new Matrix(
      Array.from({ length: f.rows }, (_, i) => Array.from({ length: f.columns }, (_, k) => f.data[i * f.columns + k]!)),
    );
    const centred = m.subRowVector(m.mean('column'));
    return centred
      .transpose()
      .mmul(centred)
      .div(f.rows - 1);
  };
  const { realEigenvalues, imaginaryEigenvalues } = new EigenvalueDecomposition(covariance(a).mmul(covariance(b)));
  return realEigenvalues.reduce((s, re, i) => s + Math.sqrt((Math.hypot(re, imaginaryEigenvalues[i]!) + re) / 2), 0);
}

export const mmd: PlainKind = {
  name: 'polynomial MMD',
  matches: (c) => c.outputs.has('mmd2_unbiased'),
  compute: async (c) => ({ mmd2_unbiased: scalar(polynomialMmd(featuresOf(c, 'real'), featuresOf(c, 'fake'))) }),
  judge: (_, __, got, want) => within(got, want, 1e-9, 1e-9),
};

export const lpipsHead: PlainKind = {
  name: 'LPIPS head',
  matches: (c) => c.inputs.has('feat0.0') && c.inputs.has('lin0.model.1.weight'),
  async compute(c) {
    const count = [...c.inputs.keys()].filter((name) => name.startsWith('feat0.')).length;
    const layers = Array.from({ length: count }, (_, i) => i);
    const a = layers.map((i) => inputOf(c, `feat0.${i}`));
    const b = layers.map((i) => inputOf(c, `feat1.${i}`));
    const weights = layers.map((i) => inputOf(c, `lin${i}.model.1.weight`).data);
    const out: Record<string, Computed> = {};
    for (const [name, rows] of [
      ['lpips', lpipsLayers(a, b, weights)],
      [
        'unweighted_mean',
        lpipsLayers(
          a,
          b,
          layers.map(() => undefined),
        ),
      ],
    ] as const) {
      out[`${name}_per_layer`] = doubles(rows.flat(), [rows.length, count]);
      out[name] = doubles(rows.map((r) => r.reduce((s, v) => s + v, 0)));
    }
    return out;
  },
  judge: (_, __, got, want) => within(got, want, 1e-9, 1e-5),
};

export const dreamSimHead: PlainKind = {
  name: 'DreamSim head',
  matches: (c) => c.inputs.has('dino_a') && c.inputs.has('openclip_a'),
  async compute(c) {
    const parts = ['dino', 'clip', 'openclip'];
    const rowOf = (side: string, i: number): Float64Array[] =>
      parts.map((part) => {
        const { shape, data } = doublesOf(c, `${part}_${side}`);
        return data.slice(i * shape[1]!, (i + 1) * shape[1]!);
      });
    const rows = Array.from({ length: c.inputs.get('dino_a')!.shape[0]! }, (_, i) => i);
    const a = rows.map((i) => dreamSimEmbedding(rowOf('a', i)));
    const b = rows.map((i) => dreamSimEmbedding(rowOf('b', i)));
    const raw = (side: string, i: number): number[] => rowOf(side, i).flatMap((p) => Array.from(p));
    const distance = rows.map((i) => cosineDistance(a[i]!, b[i]!));
    return {
      embed_a: f32(
        [rows.length, a[0]!.length],
        a.flatMap((v) => Array.from(v)),
      ),
      distance: doubles(distance),
      similarity: doubles(distance.map((d) => 1 - d)),
      distance_without_normalisation: doubles(rows.map((i) => cosineDistance(raw('a', i), raw('b', i)))),
    };
  },
  judge: (_, __, got, want) => within(got, want, 1e-5),
};

export const codeUsage: PlainKind = {
  name: 'codebook usage',
  matches: (c) => c.inputs.has('indices') && c.outputs.has('perplexity'),
  async compute(c) {
    const { perplexity, usedCodes } = codebookUsage(c.inputs.get('indices')!.data);
    return { perplexity: scalar(perplexity), used_codes: scalar(usedCodes) };
  },
  judge: (_, output, got, want) => (output === 'used_codes' ? within(got, want, 1e-9) : within(got, want, 0, 1e-4)),
};
