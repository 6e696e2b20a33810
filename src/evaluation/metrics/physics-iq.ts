// Physics-IQ (arXiv 2501.09038): agreement of a generated video with one real take, in units of how far a second real take
// agrees, with the roundings of the public benchmark. Masks are motion masks, see motion-mask.ts.
import { InputError } from '../../base/index.ts';
import { mean } from './psnr.ts';

/** Three videos of one view and their motion masks at the evaluation size. Videos: uint8 [T, H, W, 3]; masks: [T, H, W], non-zero = moving. */
export type PhysicsIqView = {
  readonly frames: number;
  readonly real1: Uint8Array;
  readonly real2: Uint8Array;
  readonly generated: Uint8Array;
  readonly mask1: Uint8Array;
  readonly mask2: Uint8Array;
  readonly maskGenerated: Uint8Array;
};

/** The four measures between two videos. */
export type PhysicsIqMeasures = {
  /** Per frame, values 0…1 squared. */
  readonly mse: readonly number[];
  /** IoU of the masks per frame; empty union 1. */
  readonly spatiotemporal: readonly number[];
  /** IoU of "moved at any time". */
  readonly spatial: number;
  /** Σ min / Σ max of the masks averaged over time; 1 when both are empty. */
  readonly weightedSpatial: number;
};

export type PhysicsIqScore = { readonly measures: PhysicsIqMeasures; readonly variance: PhysicsIqMeasures };

/** Compares two videos by pixels and masks. */
export function physicsIqMeasures(
  frames: number,
  a: Uint8Array,
  b: Uint8Array,
  maskA: Uint8Array,
  maskB: Uint8Array,
): PhysicsIqMeasures {
  if (a.length !== b.length || maskA.length !== maskB.length || a.length !== maskA.length * 3) {
    throw new InputError('views', {
      got: `${a.length} and ${b.length} bytes, masks of ${maskA.length} and ${maskB.length}`,
      need: 'videos of one size with a mask value per pixel',
    });
  }
  const pixels = maskA.length / frames;
  const mse: number[] = [];
  const spatiotemporal: number[] = [];
  const countA = new Float64Array(pixels);
  const countB = new Float64Array(pixels);
  for (let f = 0; f < frames; f++) {
    let squared = 0;
    let both = 0;
    let any = 0;
    for (let i = f * pixels * 3; i < (f + 1) * pixels * 3; i++) squared += ((a[i]! - b[i]!) / 255) ** 2;
    for (let i = 0; i < pixels; i++) {
      const p = maskA[f * pixels + i]! !== 0;
      const q = maskB[f * pixels + i]! !== 0;
      if (p) countA[i] = countA[i]! + 1;
      if (q) countB[i] = countB[i]! + 1;
      if (p && q) both++;
      if (p || q) any++;
    }
    mse.push(squared / (pixels * 3));
    spatiotemporal.push(any === 0 ? 1 : both / any);
  }
  let both = 0;
  let any = 0;
  let low = 0;
  let high = 0;
  for (let i = 0; i < pixels; i++) {
    const p = countA[i]!;
    const q = countB[i]!;
    if (p > 0 && q > 0) both++;
    if (p > 0 || q > 0) any++;
    low += Math.min(p, q);
    high += Math.max(p, q);
  }
  return {
    mse,
    spatiotemporal,
    spatial: any === 0 ? 1 : both / any,
    weightedSpatial: high === 0 ? 1 : low / high,
  };
}

/** Generated against take 1, and take 1 against take 2 (the physical variance). */
export function physicsIqView(view: PhysicsIqView): PhysicsIqScore {
  const { frames, real1, real2, generated, mask1, mask2, maskGenerated } = view;
  return {
    measures: physicsIqMeasures(frames, real1, generated, mask1, maskGenerated),
    variance: physicsIqMeasures(frames, real1, real2, mask1, mask2),
  };
}

/** As Python rounds: half to even on the decimal value that the double stands for. */
export function roundTo(x: number, digits: number): number {
  const scaled = x * 10 ** digits;
  const low = Math.floor(scaled);
  if (scaled - low === 0.5) return (low % 2 === 0 ? low : low + 1) / 10 ** digits;
  return Number(x.toFixed(digits));
}

/** Means over scenarios as the benchmark takes them, and the score 0…100. */
export type PhysicsIqTotal = {
  readonly score: number;
  readonly measures: Readonly<Record<'mse' | 'spatiotemporal' | 'spatial' | 'weightedSpatial', number>>;
  readonly variance: Readonly<Record<'mse' | 'spatiotemporal' | 'spatial' | 'weightedSpatial', number>>;
};

/**
 * The benchmark's score: 100·((st/V_st + sp/V_sp + wsp/V_wsp)/3 − (mse − V_mse)), clipped to 0…100, two digits.
 * @param scenarios [scenario][view]; all with the same number of views
 */
export function physicsIqScore(scenarios: readonly (readonly PhysicsIqScore[])[]): PhysicsIqTotal {
  const views = scenarios[0]?.length ?? 0;
  if (views === 0 || scenarios.some((s) => s.length !== views)) {
    throw new InputError('scenarios', {
      got: scenarios.map((s) => s.length),
      need: 'the same number of views, at least one, in each',
    });
  }
  const joined = (value: (s: PhysicsIqMeasures) => readonly number[]): number =>
    mean(scenarios.map((s) => mean(s.flatMap((v) => value(v.measures).map((x) => roundTo(x, 4))))));
  const perView = (value: (s: PhysicsIqScore) => number): number[] =>
    Array.from({ length: views }, (_, v) => mean(scenarios.map((s) => value(s[v]!))));
  const measures = {
    mse: joined((m) => m.mse),
    spatiotemporal: joined((m) => m.spatiotemporal),
    spatial: mean(perView((s) => s.measures.spatial)),
    weightedSpatial: mean(perView((s) => s.measures.weightedSpatial)),
  };
  const variance = {
    mse: roundTo(mean(perView((s) => mean(s.variance.mse))), 4),
    spatiotemporal: roundTo(mean(perView((s) => mean(s.variance.spatiotemporal))), 4),
    spatial: roundTo(mean(perView((s) => s.variance.spatial)), 5),
    weightedSpatial: roundTo(mean(perView((s) => s.variance.weightedSpatial)), 4),
  };
  // A variance of 0 would need two real takes without any common motion.
  const share = (x: number, v: number): number => (v === 0 ? 0 : x / v);
  const overlap =
    (share(measures.spatiotemporal, variance.spatiotemporal) +
      share(measures.spatial, variance.spatial) +
      share(measures.weightedSpatial, variance.weightedSpatial)) /
    3;
  const score = 100 * (overlap - (measures.mse - variance.mse));
  return { score: roundTo(Math.min(100, Math.max(0, score)), 2), measures, variance };
}
