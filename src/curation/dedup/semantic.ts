// Semantic dedup: cluster, then compare within each cluster in order of quality, only with rows that are kept. The published
// method compares with all earlier rows, so that a row may go because of a row that itself goes; ours names for each removed
// row the kept one that it repeats.
import { throwIfAborted } from '../../base/index.ts';
import { type Clusters, type KmeansOptions, kmeans } from './kmeans.ts';
import { openProducts, type Products, type Rows } from './products.ts';

/** What was decided about a row. */
export type Pruned = {
  readonly clusters: Clusters;
  /** Kept row that each row repeats; −1: the row itself is kept. */
  readonly repeats: Int32Array;
  /** Largest cosine to a kept row of better rank in the cluster; 0 for the first. */
  readonly score: Float32Array;
};

/** Options of `pruneRows`. */
export type PruneOptions = Omit<KmeansOptions, 'clusters'> & {
  /** Default: about one per 1000 rows, at least 1. */
  readonly clusters?: number;
  /** A row goes when its cosine with a kept one is above 1 − eps. Default 0.01. */
  readonly eps?: number;
  /** Lower rank is kept first; ties by row number. Default: distance from the centroid, the farthest first. */
  readonly rank?: ArrayLike<number>;
  readonly threads?: number;
  readonly onProgress?: (clusters: number, total: number) => void;
};

/** Finds near-duplicates among unit rows. */
export async function pruneRows(rows: Rows, options: PruneOptions = {}): Promise<Pruned> {
  const { eps = 0.01, signal, onProgress } = options;
  const products = await openProducts(rows.size, options.threads === undefined ? {} : { threads: options.threads });
  try {
    const wanted = options.clusters ?? Math.max(1, Math.round(rows.count / 1000));
    const clusters = await kmeans(rows, products, { ...options, clusters: wanted });
    const members: number[][] = Array.from({ length: clusters.centroids.count }, () => []);
    for (let r = 0; r < rows.count; r++) members[clusters.of[r]!]!.push(r);
    const rank = options.rank ?? clusters.distance.map((d) => -d);
    const repeats = new Int32Array(rows.count).fill(-1);
    const score = new Float32Array(rows.count);
    for (const [c, list] of members.entries()) {
      throwIfAborted(signal);
      list.sort((a, b) => rank[a]! - rank[b]! || a - b);
      await pruneCluster(rows, list, products, 1 - eps, repeats, score);
      onProgress?.(c + 1, members.length);
    }
    return { clusters, repeats, score };
  } finally {
    await products.dispose();
  }
}

async function pruneCluster(
  rows: Rows,
  list: readonly number[],
  products: Products,
  limit: number,
  repeats: Int32Array,
  score: Float32Array,
): Promise<void> {
  const { tile } = products;
  const { size } = rows;
  const gathered = (from: number): Float32Array => {
    const out = new Float32Array(tile * size);
    for (let i = 0; i < tile && from + i < list.length; i++) {
      const r = list[from + i]!;
      out.set(rows.data.subarray(r * size, (r + 1) * size), i * size);
    }
    return out;
  };
  for (let from = 0; from < list.length; from += tile) {
    const a = gathered(from);
    const n = Math.min(tile, list.length - from);
    for (let to = 0; to <= from; to += tile) {
      const y = await products.multiply(a, to === from ? a : gathered(to));
      for (let i = 0; i < n; i++) {
        const r = list[from + i]!;
        const end = Math.min(tile, from + i - to);
        for (let j = 0; j < end; j++) {
          const v = y[i * tile + j]!;
          const other = list[to + j]!;
          if (v > score[r]! && repeats[other] === -1) {
            score[r] = v;
            if (v > limit) repeats[r] = other;
          }
        }
      }
    }
  }
}
