// Products of row blocks by the engine: the one heavy operation of clustering and pairwise comparison.
import { compile, gemm, input } from '../../graph/index.ts';
import { openRuntime } from '../../runtime/index.ts';

/** Rows of unit vectors, packed: float32 [n, d]. */
export type Rows = { readonly count: number; readonly size: number; readonly data: Float32Array };

/** Computes a·bᵀ of blocks of up to `tile` rows. */
export type Products = {
  readonly tile: number;
  /** Rows `[from, from + tile)` of `rows`, zero rows after the end. */
  block(rows: Rows, from: number): Float32Array;
  /** [tile, tile] products of two blocks; rows of `a`, columns of `b`. */
  multiply(a: Float32Array, b: Float32Array): Promise<Float32Array>;
  dispose(): Promise<void>;
};

/** Opens the product of one size. */
export async function openProducts(
  size: number,
  options: { readonly tile?: number; readonly threads?: number } = {},
): Promise<Products> {
  const { tile = 1024, threads } = options;
  const runtime = openRuntime(threads === undefined ? {} : { threads });
  const a = input('a', [tile, size]);
  const b = input('b', [tile, size]);
  const session = await runtime.load(compile({ y: gemm(a, b, { transB: true }) }, { name: 'products' }));
  return {
    tile,
    block(rows, from) {
      const out = new Float32Array(tile * size);
      out.set(rows.data.subarray(from * size, Math.min(rows.count, from + tile) * size));
      return out;
    },
    async multiply(x, y) {
      const shape = [tile, size];
      const { y: z } = await session.run({ a: { dtype: 'f32', shape, data: x }, b: { dtype: 'f32', shape, data: y } });
      return z!.data as Float32Array;
    },
    dispose: async () => {
      await runtime[Symbol.asyncDispose]();
    },
  };
}

/** Scales every row to unit length, in place; rows without length stay zero. */
export function normaliseRows({ count, size, data }: Rows): void {
  for (let r = 0; r < count; r++) {
    let sum = 0;
    for (let i = r * size; i < (r + 1) * size; i++) sum += data[i]! ** 2;
    const scale = sum > 0 ? 1 / Math.sqrt(sum) : 0;
    for (let i = r * size; i < (r + 1) * size; i++) data[i]! *= scale;
  }
}
