// How tensors of one layout are made from those of another: each is a slice, several slices joined along an axis, or a mean.
// A plan names places only, so that large checkpoints can be converted tensor by tensor.
import { f32, type NdArray, OrreryError, sizeOf, toF32 } from '../../base/index.ts';

/** Part of a source tensor: places `from` … `to` − 1 along `axis`; without them the whole tensor. */
export type TensorPart = {
  readonly key: string;
  /** Which of several files; default 0. */
  readonly shard?: number;
  readonly axis?: number;
  readonly from?: number;
  readonly to?: number;
};

/** One tensor of the new layout. */
export type TensorPlan = {
  readonly key: string;
  readonly parts: readonly TensorPart[];
  /** "concat" (default): the parts one after the other along `axis`; "mean": their average. */
  readonly combine?: 'concat' | 'mean';
  /** Default 0. */
  readonly axis?: number;
};

/** Shapes of the tensors of each shard. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/**
 * Makes one tensor.
 * @param read gives a source tensor; called once per part
 */
export function assembleTensor(plan: TensorPlan, read: (key: string, shard: number) => NdArray): NdArray {
  const parts = plan.parts.map((part) => {
    const whole = read(part.key, part.shard ?? 0);
    if (part.axis === undefined) return whole;
    return sliceOf(whole, part.axis, part.from ?? 0, part.to ?? whole.shape[part.axis]!);
  });
  const first = parts[0];
  if (first === undefined) throw new OrreryError('internal', `${plan.key}: a plan without parts`);
  if (plan.combine === 'mean') return meanOf(plan.key, parts);
  return parts.length === 1 ? first : joined(plan.key, parts, plan.axis ?? 0);
}

function sliceOf({ dtype, shape, data }: NdArray, axis: number, from: number, to: number): NdArray {
  if (!(from >= 0 && from < to && to <= shape[axis]!)) {
    throw new OrreryError('model', `places ${from} to ${to} of axis ${axis} are outside a tensor of shape [${shape}]`);
  }
  const outer = sizeOf(shape.slice(0, axis));
  const inner = sizeOf(shape.slice(axis + 1));
  const rows = to - from;
  const out = data.slice(0, outer * rows * inner);
  for (let i = 0; i < outer; i++) {
    const start = (i * shape[axis]! + from) * inner;
    out.set(data.subarray(start, start + rows * inner) as never, i * rows * inner);
  }
  return { dtype, shape: shape.map((d, i) => (i === axis ? rows : d)), data: out };
}

function joined(key: string, parts: readonly NdArray[], axis: number): NdArray {
  const first = parts[0]!;
  const total = parts.reduce((n, p) => n + p.shape[axis]!, 0);
  for (const p of parts) {
    const fits = p.dtype === first.dtype && p.shape.every((d, i) => i === axis || d === first.shape[i]);
    if (!fits)
      throw new OrreryError(
        'model',
        `${key}: parts ${first.dtype} [${first.shape}] and ${p.dtype} [${p.shape}] do not join`,
      );
  }
  const shape = first.shape.map((d, i) => (i === axis ? total : d));
  const Data = first.data.constructor as new (n: number) => NdArray['data'];
  const data = new Data(sizeOf(shape));
  const outer = sizeOf(shape.slice(0, axis));
  const inner = sizeOf(shape.slice(axis + 1));
  let at = 0;
  for (const p of parts) {
    const size = p.shape[axis]! * inner;
    for (let i = 0; i < outer; i++) {
      data.set(p.data.subarray(i * size, (i + 1) * size) as never, i * total * inner + at * inner);
    }
    at += p.shape[axis]!;
  }
  return { dtype: first.dtype, shape, data };
}

/** The average in float32; equal parts, the usual case, keep their type and bits. */
function meanOf(key: string, parts: readonly NdArray[]): NdArray {
  const first = parts[0]!;
  if (parts.some((p) => p.shape.join() !== first.shape.join())) {
    throw new OrreryError(
      'model',
      `${key}: copies of different shapes: ${parts.map((p) => `[${p.shape}]`).join(', ')}`,
    );
  }
  const isEqual = parts.every((p) => p.dtype === first.dtype && p.data.every((v, i) => v === first.data[i]));
  if (isEqual) return first;
  const values = parts.map(toF32);
  return f32(
    first.shape,
    values[0]!.map((_, i) => values.reduce((n, v) => n + v[i]!, 0) / values.length),
  );
}
