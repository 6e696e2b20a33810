// Matrices in blocks of 8-bit or 4-bit numbers with one scale per block, in the layout of ONNX Runtime's MatMulNBits: unsigned numbers whose
// middle stands for zero, the lower half of a byte first.
import { assert } from '../base/index.ts';

/** Bits of a weight. */
export type BlockBits = 4 | 8;

/** How a matrix is cut. */
export type BlockForm = {
  readonly bits: BlockBits;
  /** Weights of one row that share a scale. */
  readonly blockSize: number;
};

/** A matrix [rows, columns] in blocks along its rows. */
export type BlockMatrix = BlockForm & {
  /** [rows, columns/blockSize, blockSize·bits/8] */
  readonly packed: Uint8Array;
  /** [rows, columns/blockSize] */
  readonly scales: Float32Array;
};

/** Weights of a block; the scale of a block costs as much as 32/BLOCK bits per weight. */
export const BLOCK = 32;

/** Bytes of `count` weights in blocks, scales included. */
export const blockBytes = (count: number, { bits, blockSize }: BlockForm): number =>
  (count * bits) / 8 + (count * 4) / blockSize;

/**
 * Rounds a matrix to blocks: w ≈ scale·(q − 2^(bits−1)). The weight of largest size is met exactly (q = 0), so that the side that has it
 * gets the one step more. With 4 bits a few smaller scales are tried too and the one with the least squared error is taken.
 * @param values row by row, `columns` a multiple of `blockSize`
 */
export function packBlocks(values: Float32Array, columns: number, { bits, blockSize }: BlockForm): BlockMatrix {
  assert(columns % blockSize === 0 && values.length % columns === 0, `${values.length} numbers in rows of ${columns}`);
  const blocks = values.length / blockSize;
  const packed = new Uint8Array((values.length * bits) / 8);
  const scales = new Float32Array(blocks);
  const half = 2 ** (bits - 1);
  const top = 2 * half - 1;
  for (let b = 0; b < blocks; b++) {
    const from = b * blockSize;
    let extreme = 0;
    for (let i = from; i < from + blockSize; i++) if (Math.abs(values[i]!) > Math.abs(extreme)) extreme = values[i]!;
    const scale = Math.fround(bits === 8 ? extreme / -half : bestScale(values, from, blockSize, extreme / -half));
    scales[b] = scale;
    const inverse = scale === 0 ? 0 : 1 / scale;
    if (bits === 8) {
      for (let i = from; i < from + blockSize; i++) {
        // Never below zero, so cutting off rounds down.
        const q = (values[i]! * inverse + half + 0.5) | 0;
        packed[i] = Math.min(q, top);
      }
    } else {
      for (let i = from; i < from + blockSize; i += 2) {
        packed[i >> 1] = nibble(values[i]! * inverse) | (nibble(values[i + 1]! * inverse) << 4);
      }
    }
  }
  return { bits, blockSize, packed, scales };
}

/** The 4-bit number nearest to x, for x from −8 to 8 and what lies beyond. */
function nibble(x: number): number {
  const q = (x + 8.5) | 0;
  return q > 15 ? 15 : Math.max(q, 0);
}

/** Scales tried with 4 bits, as parts of the largest that is needed. */
const SHARES = [1, 0.93, 0.86];

/** The 4-bit scale of least squared error. */
function bestScale(values: Float32Array, from: number, blockSize: number, largest: number): number {
  if (largest === 0) return 0;
  let best = largest;
  let least = Number.POSITIVE_INFINITY;
  for (const share of SHARES) {
    const scale = largest * share;
    const inverse = 1 / scale;
    let error = 0;
    for (let i = from; i < from + blockSize; i++) {
      const x = values[i]! * inverse;
      const d = x + 8 - nibble(x);
      error += d * d;
    }
    error *= scale * scale;
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

/** The numbers that a matrix in blocks stands for, row by row. */
export function unpackBlocks({ bits, blockSize, packed, scales }: BlockMatrix): Float32Array {
  const out = new Float32Array((packed.length * 8) / bits);
  const half = 2 ** (bits - 1);
  for (let i = 0; i < out.length; i++) {
    const q = bits === 8 ? packed[i]! : (packed[i >> 1]! >> (4 * (i & 1))) & 15;
    out[i] = scales[Math.floor(i / blockSize)]! * (q - half);
  }
  return out;
}
