// Synthetic video for the media tests: every frame carries its number as black and white blocks, over a smooth background.
import type { Frames } from '../../src/media/index.ts';

/** Bits of the number, left to right, low bit first. */
const BITS = 10;

/** Frames `[count, height, width, 3]` numbered `first`, `first + 1`, …; width at least 80. */
export function numberedFrames(count: number, width = 96, height = 64, first = 0): Frames {
  const data = new Uint8Array(count * height * width * 3);
  const block = Math.floor(width / BITS);
  for (let i = 0; i < count; i++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = ((i * height + y) * width + x) * 3;
        const bit = Math.floor(x / block);
        if (y < height / 2) data.fill(bit < BITS && ((first + i) >> bit) & 1 ? 255 : 0, at, at + 3);
        else {
          data[at] = (x * 255) / width;
          data[at + 1] = (y * 255) / height;
          data[at + 2] = 128;
        }
      }
    }
  }
  return { dtype: 'u8', shape: [count, height, width, 3], data };
}

/** Reads the numbers back from frames of any size that show the whole picture. */
export function numbersOf(frames: Frames): number[] {
  const [count, height, width] = frames.shape;
  return Array.from({ length: count }, (_, i) => {
    let number = 0;
    for (let bit = 0; bit < BITS; bit++) {
      const x = Math.floor(((bit + 0.5) * Math.floor(96 / BITS) * width) / 96);
      if (frames.data[((i * height + Math.floor(height / 4)) * width + x) * 3]! > 127) number |= 1 << bit;
    }
    return number;
  });
}

/** Mean absolute difference of two arrays of the same length, in levels of 255. */
export function meanDifference(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) throw new Error(`lengths differ: ${a.length} and ${b.length}`);
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i]! - b[i]!);
  return sum / a.length;
}
