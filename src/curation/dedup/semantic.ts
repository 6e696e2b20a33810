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
  /** Lowest cosine of pairs that `confirm` decides; without it the cosine alone decides. Default 1 − eps. */
  readonly near?: number;
  readonly confirm?: (row: number, kept: number, cosine: number) => boolean;
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
      const near = options.confirm === undefined ? 1 - eps : Math.min(options.near ?? 1 - eps, 1 - eps);
      await pruneCluster({ rows, list, products, near, confirm: options.confirm ?? (() => true), repeats, score });
      onProgress?.(c + 1, members.length);
    }
    return { clusters, repeats, score };
  } finally {
    await products.dispose();
  }
}

/** Kept rows that may be asked about one row. */
const MOST_ASKED = 8;

async function pruneCluster({
  rows,
  list,
  products,
  near,
  confirm,
  repeats,
  score,
}: {
  readonly rows: Rows;
  readonly list: readonly number[];
  readonly products: Products;
  readonly near: number;
  readonly confirm: NonNullable<PruneOptions['confirm']>;
  readonly repeats: Int32Array;
  readonly score: Float32Array;
}): Promise<void> {
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
    const proposed: { readonly other: number; readonly v: number }[][] = Array.from({ length: n }, () => []);
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
          }
          if (v > near && repeats[other] === -1) keepBest(proposed[i]!, { other, v });
        }
        // The last tile is the row's own: all rows before it are decided.
        if (to === from) repeats[r] = proposed[i]!.find(({ other, v }) => confirm(r, other, v))?.other ?? -1;
      }
    }
  }
}

/** Keeps the few closest, the closest first. */
function keepBest<T extends { readonly v: number }>(list: T[], one: T): void {
  const at = list.findIndex((other) => one.v > other.v);
  if (at < 0 && list.length >= MOST_ASKED) return;
  list.splice(at < 0 ? list.length : at, 0, one);
  if (list.length > MOST_ASKED) list.pop();
}
