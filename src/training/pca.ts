// Principal components of many short rows, by subspace iteration on their covariance.
import { assert, f32, randomStream } from '../base/index.ts';
import { compile, gemm, input, sub } from '../graph/index.ts';
import type { Runtime } from '../runtime/index.ts';

export type PrincipalComponents = {
  /** [width] */
  readonly mean: Float32Array;
  /** [count, width], orthonormal rows, by falling variance. */
  readonly components: Float32Array;
  /** Variance along each component, [count]. */
  readonly variances: Float32Array;
};

/**
 * The first `count` principal components of `rows` [n, width].
 * @param rows flat float32, n·width numbers
 */
export async function principalComponents(
  runtime: Runtime,
  rows: Float32Array,
  width: number,
  count: number,
): Promise<PrincipalComponents> {
  const n = rows.length / width;
  assert(Number.isInteger(n) && n > count, `${rows.length} numbers are no rows of ${width}`);
  const mean = new Float32Array(width);
  for (let i = 0; i < rows.length; i++) mean[i % width] += rows[i]! / n;

  const x = input('x', [n, width]);
  const centred = sub(x, input('mean', [width]));
  await using session = await runtime.load(compile({ covariance: gemm(centred, centred, { transA: true }) }));
  const out = await session.run({ x: f32([n, width], rows), mean: f32([width], mean) });
  const c = (out.covariance!.data as Float32Array).map((v) => v / n);

  // Some extra directions make the wanted ones converge fast.
  const k = Math.min(width, count + 16);
  const random = randomStream(1, 'pca');
  let q: Float64Array = new Float64Array(k * width).map(() => random.normal());
  orthonormalise(q, k, width);
  for (let round = 0; round < 40; round++) {
    q = multiplySymmetric(c, q, k, width);
    orthonormalise(q, k, width);
  }
  // Rayleigh quotients give the variances; the rows are then sorted by them.
  const cq = multiplySymmetric(c, q, k, width);
  const variance = Array.from({ length: k }, (_, i) => {
    let v = 0;
    for (let j = 0; j < width; j++) v += q[i * width + j]! * cq[i * width + j]!;
    return v;
  });
  const order = variance
    .map((_, i) => i)
    .sort((a, b) => variance[b]! - variance[a]!)
    .slice(0, count);
  const components = new Float32Array(count * width);
  for (const [to, from] of order.entries())
    for (let j = 0; j < width; j++) components[to * width + j] = q[from * width + j]!;
  return { mean, components, variances: Float32Array.from(order, (i) => Math.max(variance[i]!, 1e-9)) };
}

function multiplySymmetric(c: Float32Array, q: Float64Array, k: number, width: number): Float64Array {
  const out = new Float64Array(k * width);
  for (let i = 0; i < k; i++) {
    const row = out.subarray(i * width, (i + 1) * width);
    for (let j = 0; j < width; j++) {
      const s = q[i * width + j]!;
      if (s === 0) continue;
      const from = j * width;
      for (let l = 0; l < width; l++) row[l]! += s * c[from + l]!;
    }
  }
  return out;
}

/** Modified Gram–Schmidt on the rows. */
function orthonormalise(q: Float64Array, k: number, width: number): void {
  for (let i = 0; i < k; i++) {
    const a = q.subarray(i * width, (i + 1) * width);
    for (let j = 0; j < i; j++) {
      const b = q.subarray(j * width, (j + 1) * width);
      let dot = 0;
      for (let l = 0; l < width; l++) dot += a[l]! * b[l]!;
      for (let l = 0; l < width; l++) a[l]! -= dot * b[l]!;
    }
    let norm = 0;
    for (let l = 0; l < width; l++) norm += a[l]! ** 2;
    norm = Math.sqrt(norm) || 1;
    for (let l = 0; l < width; l++) a[l]! /= norm;
  }
}
