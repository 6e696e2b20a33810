// Heads of learned perceptual distances, on features of their networks: LPIPS (Zhang et al. 2018) and DreamSim (Fu et al. 2023).
// The networks are in nets/vision; without public weights these numbers do not exist, and nothing else may take their name.
import { InputError } from '../../base/index.ts';

/** Features of one layer: float32 [B, C, H, W]. */
export type LayerFeatures = { readonly shape: readonly number[]; readonly data: ArrayLike<number> };

/** The 1×1 weights of a layer; absent: the variant of tokenizer training (channel mean), a loss and not the metric. */
export type LayerWeights = ArrayLike<number> | undefined;

/**
 * LPIPS per sample and layer: channels to unit norm (1e-10 beside the norm), squared difference, weighted over channels, mean over space.
 * @returns [B][layers]; the distance of a sample is the sum of its row
 */
export function lpipsLayers(
  a: readonly LayerFeatures[],
  b: readonly LayerFeatures[],
  weights: readonly LayerWeights[],
): number[][] {
  const batch = a[0]?.shape[0] ?? 0;
  return Array.from({ length: batch }, (_, n) => a.map((layer, l) => lpipsLayer(layer, b[l]!, weights[l], n)));
}

function lpipsLayer(a: LayerFeatures, b: LayerFeatures, weights: LayerWeights, sample: number): number {
  const [, channels, height, width] = a.shape as [number, number, number, number];
  if (a.shape.join() !== b.shape.join()) {
    throw new InputError('features', { got: `[${a.shape}] and [${b.shape}]`, need: 'layers of one shape' });
  }
  if (weights !== undefined && weights.length !== channels) {
    throw new InputError('weights', { got: `${weights.length} numbers`, need: `one per channel, ${channels}` });
  }
  const pixels = height * width;
  const at = sample * channels * pixels;
  let total = 0;
  for (let p = 0; p < pixels; p++) {
    let na = 0;
    let nb = 0;
    for (let c = 0; c < channels; c++) {
      na += a.data[at + c * pixels + p]! ** 2;
      nb += b.data[at + c * pixels + p]! ** 2;
    }
    const sa = 1 / (Math.sqrt(na) + 1e-10);
    const sb = 1 / (Math.sqrt(nb) + 1e-10);
    for (let c = 0; c < channels; c++) {
      const i = at + c * pixels + p;
      total += (weights?.[c] ?? 1 / channels) * (a.data[i]! * sa - b.data[i]! * sb) ** 2;
    }
  }
  return total / pixels;
}

/** DreamSim embedding: the parts joined, minus the mean over all features, unit norm. */
export function dreamSimEmbedding(parts: readonly ArrayLike<number>[]): Float64Array {
  const joined = Float64Array.from(parts.flatMap((part) => Array.from(part)));
  const centre = joined.reduce((s, v) => s + v, 0) / joined.length;
  const moved = joined.map((v) => v - centre);
  const norm = Math.sqrt(moved.reduce((s, v) => s + v * v, 0));
  return norm === 0 ? moved : moved.map((v) => v / norm);
}

/** 1 − cosine of two vectors; 1 when one of them is zero. */
export function cosineDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let dot = 0;
  let na = 0;
  let nb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    na += a[i]! ** 2;
    nb += b[i]! ** 2;
  }
  return na === 0 || nb === 0 ? 1 : 1 - dot / Math.sqrt(na * nb);
}
