// Looks for weights that are not numbers: one NaN anywhere turns every output into NaN.

import { openSafetensors, type StoredDType, type TensorEntry } from '../formats/index.ts';

/** One tensor with values that are NaN or infinite. */
export type BadTensor = {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly nan: number;
  readonly infinite: number;
  /** Flat index of the first bad value. */
  readonly first: number;
};

/** What `checkWeights` finds. */
export type WeightsReport = {
  readonly tensors: number;
  readonly values: number;
  readonly bad: readonly BadTensor[];
};

/** Where the exponent and the fraction lie in a word of each float type; all exponent bits set means not finite. */
const LAYOUT = {
  f16: { exponent: 0x7c00, fraction: 0x03ff },
  bf16: { exponent: 0x7f80, fraction: 0x007f },
  f32: { exponent: 0x7f800000, fraction: 0x007fffff },
} as const;

/** Scans every float tensor of a safetensors file, one at a time in memory. f8 and integer tensors are counted, not scanned. */
export function checkWeights(path: string): WeightsReport {
  using file = openSafetensors(path);
  const bad: BadTensor[] = [];
  let values = 0;
  for (const [name, entry] of file.tensors) {
    values += entry.shape.reduce((a, b) => a * b, 1);
    const found = entry.dtype === 'f64' ? scanF64(file.readF64(name)) : scanWords(entry, () => file.readBytes(name));
    if (found) bad.push({ name, dtype: entry.dtype, ...found });
  }
  return { tensors: file.tensors.size, values, bad };
}

type Found = { nan: number; infinite: number; first: number };

function scanWords({ dtype }: TensorEntry, read: () => Uint8Array): Found | undefined {
  if (dtype !== 'f16' && dtype !== 'bf16' && dtype !== 'f32') return undefined;
  const { exponent, fraction } = LAYOUT[dtype];
  const { buffer } = read();
  const words = dtype === 'f32' ? new Uint32Array(buffer) : new Uint16Array(buffer);
  return count(words.length, (i) => {
    const word = words[i]!;
    return (word & exponent) !== exponent ? 'finite' : word & fraction ? 'nan' : 'infinite';
  });
}

function scanF64(data: Float64Array): Found | undefined {
  return count(data.length, (i) => (Number.isFinite(data[i]) ? 'finite' : Number.isNaN(data[i]) ? 'nan' : 'infinite'));
}

function count(length: number, kindOf: (index: number) => 'finite' | 'nan' | 'infinite'): Found | undefined {
  const found: Found = { nan: 0, infinite: 0, first: -1 };
  for (let i = 0; i < length; i++) {
    const kind = kindOf(i);
    if (kind === 'finite') continue;
    found[kind]++;
    if (found.first < 0) found.first = i;
  }
  return found.first < 0 ? undefined : found;
}
