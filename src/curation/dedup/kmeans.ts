// K-means on unit rows. Centroids are found on a sample, then every row is assigned once: near-duplicates only need to meet
// in one cluster, and a million rows then cost one pass.
import { randomStream, throwIfAborted } from '../../base/index.ts';
import type { Products, Rows } from './products.ts';

/** Clusters of rows. */
export type Clusters = {
  /** Unit centroids [k, d]. */
  readonly centroids: Rows;
  /** Cluster of each row. */
  readonly of: Int32Array;
  /** 1 − cosine to the own centroid. */
  readonly distance: Float32Array;
};

/** Options of `kmeans`. */
export type KmeansOptions = {
  readonly clusters: number;
  /** Default 42. */
  readonly seed?: number;
  /** Default 12; stops earlier when less than 0.2 % of the sample moves. */
  readonly iterations?: number;
  /** Rows that centroids are found on. Default 64 per cluster, at least 20,000. */
  readonly sample?: number;
  readonly signal?: AbortSignal;
};

/** Clusters unit rows by Lloyd's algorithm (Euclid on the unit sphere). */
export async function kmeans(rows: Rows, products: Products, options: KmeansOptions): Promise<Clusters> {
  const { seed = 42, iterations = 12, signal } = options;
  const k = Math.max(1, Math.min(options.clusters, rows.count));
  const { size } = rows;
  const random = randomStream(seed, 'kmeans');
  const sample = pick(rows, Math.min(rows.count, options.sample ?? Math.max(20_000, 64 * k)), random.uint32());
  let centroids: Rows = pick(sample, k, random.uint32());
  let before: Int32Array | undefined;
  for (let step = 0; step < iterations && rows.count > k; step++) {
    throwIfAborted(signal);
    const { of } = await assign(sample, centroids, products, signal);
    const sums = new Float32Array(k * size);
    const counts = new Int32Array(k);
    for (let r = 0; r < sample.count; r++) {
      const c = of[r]!;
      counts[c]!++;
      for (let i = 0; i < size; i++) sums[c * size + i]! += sample.data[r * size + i]!;
    }
    // An empty cluster starts again at a random row.
    for (let c = 0; c < k; c++)
      if (counts[c] === 0) {
        const r = random.integer(0, sample.count - 1);
        sums.set(sample.data.subarray(r * size, (r + 1) * size), c * size);
      }
    for (let c = 0; c < k; c++) {
      let norm = 0;
      for (let i = 0; i < size; i++) norm += sums[c * size + i]! ** 2;
      const scale = norm > 0 ? 1 / Math.sqrt(norm) : 0;
      for (let i = 0; i < size; i++) sums[c * size + i]! *= scale;
    }
    centroids = { count: k, size, data: sums };
    const last = before;
    const moved = last === undefined ? of.length : of.reduce((n, c, r) => n + (c === last[r] ? 0 : 1), 0);
    before = of;
    if (moved < of.length * 0.002) break;
  }
  return { centroids, ...(await assign(rows, centroids, products, signal)) };
}

function pick(rows: Rows, count: number, seed: number): Rows {
  if (count >= rows.count) return rows;
  const random = randomStream(seed, 'rows');
  const { size } = rows;
  const data = new Float32Array(count * size);
  // One row out of each of `count` equal stretches.
  for (let i = 0; i < count; i++) {
    const low = Math.floor((i * rows.count) / count);
    const high = Math.floor(((i + 1) * rows.count) / count) - 1;
    const r = random.integer(low, Math.max(low, high));
    data.set(rows.data.subarray(r * size, (r + 1) * size), i * size);
  }
  return { count, size, data };
}

async function assign(
  rows: Rows,
  centroids: Rows,
  products: Products,
  signal: AbortSignal | undefined,
): Promise<{ of: Int32Array; distance: Float32Array }> {
  const { tile } = products;
  const of = new Int32Array(rows.count);
  const best = new Float32Array(rows.count).fill(-2);
  const blocks: Float32Array[] = [];
  for (let c = 0; c < centroids.count; c += tile) blocks.push(products.block(centroids, c));
  for (let from = 0; from < rows.count; from += tile) {
    throwIfAborted(signal);
    const a = products.block(rows, from);
    const n = Math.min(tile, rows.count - from);
    for (const [b, block] of blocks.entries()) {
      const y = await products.multiply(a, block);
      const width = Math.min(tile, centroids.count - b * tile);
      for (let r = 0; r < n; r++) {
        let [at, value] = [of[from + r]!, best[from + r]!];
        for (let c = 0; c < width; c++) {
          const v = y[r * tile + c]!;
          if (v > value) {
            value = v;
            at = b * tile + c;
          }
        }
        of[from + r] = at;
        best[from + r] = value;
      }
    }
  }
  return { of, distance: best.map((v) => 1 - v) };
}
