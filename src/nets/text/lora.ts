// Low-rank adapters (Hu et al. 2021) in the PEFT layout: W' = W + (α/r)·B·A.
import { f32, type NdArray, OrreryError, toF32 } from '../../base/index.ts';

/** A low-rank adapter. */
export type LoraConfig = {
  readonly rank: number;
  readonly alpha: number;
  /** Text before the module path in the adapter's keys, `base_model.model.` in PEFT files. */
  readonly prefix: string;
  /** Whether a module, such as `model.layers.0.self_attn.q_proj`, has an adapter. */
  targets(module: string): boolean;
};

const PREFIX = 'base_model.model.';
const KEY = /^base_model\.model\.(.+)\.lora_[AB]\.weight$/;

/** Reads an adapter's modules off its keys. */
export function loraConfig(keys: Iterable<string>, { rank, alpha }: { rank: number; alpha: number }): LoraConfig {
  const modules = new Set<string>();
  for (const key of keys) {
    const module = KEY.exec(key)?.[1];
    if (module === undefined) {
      throw new OrreryError('model', `adapter key ${key}: need ${PREFIX}MODULE.lora_A.weight or lora_B.weight`);
    }
    modules.add(module);
  }
  return { rank, alpha, prefix: PREFIX, targets: (module) => modules.has(module) };
}

/**
 * One merged weight. @param w [out, in] @param a [r, in] @param b [out, r]
 * @returns W + (α/r)·B·A as float32 [out, in]
 */
export function mergeLora(w: NdArray, a: NdArray, b: NdArray, scale: number): NdArray {
  const [out, width] = w.shape as [number, number];
  const rank = a.shape[0]!;
  if (a.shape[1] !== width || b.shape[0] !== out || b.shape[1] !== rank) {
    throw new OrreryError('model', `adapter of [${b.shape}] and [${a.shape}] does not fit a weight of [${w.shape}]`);
  }
  const merged = toF32(w).slice();
  addProduct(merged, toF32(b), toF32(a), rank, [out, width], scale);
  return f32(w.shape, merged);
}

/** W += factor·B·A for W [rows, columns], B [rows, rank], A [rank, columns]; W may be shaped otherwise, row-major. */
export function addProduct(
  w: Float32Array,
  b: Float32Array,
  a: Float32Array,
  rank: number,
  [rows, columns]: readonly [number, number],
  factor: number,
): void {
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < rank; k++) {
      const f = factor * b[i * rank + k]!;
      if (f === 0) continue;
      const row = i * columns;
      const from = k * columns;
      for (let j = 0; j < columns; j++) w[row + j]! += f * a[from + j]!;
    }
  }
}
