// Connected regions of a mask.
import type { PlaneSize } from './flow.ts';

/** Pixels that hang together (4 neighbours), as indices in row order of discovery. */
export type Region = { readonly pixels: Int32Array };

/** Regions of the non-zero pixels with at least `least` pixels, largest first. */
export function regionsOf(mask: ArrayLike<number>, { height, width }: PlaneSize, least = 1): Region[] {
  const seen = new Uint8Array(mask.length);
  const stack = new Int32Array(mask.length);
  const found: Region[] = [];
  for (let start = 0; start < mask.length; start++) {
    if (mask[start]! === 0 || seen[start] === 1) continue;
    let top = 0;
    let count = 0;
    const members: number[] = [];
    stack[top++] = start;
    seen[start] = 1;
    while (top > 0) {
      const p = stack[--top]!;
      members.push(p);
      count++;
      const x = p % width;
      const visit = (q: number): void => {
        if (mask[q]! === 0 || seen[q] === 1) return;
        seen[q] = 1;
        stack[top++] = q;
      };
      if (x > 0) visit(p - 1);
      if (x < width - 1) visit(p + 1);
      if (p >= width) visit(p - width);
      if (p < width * (height - 1)) visit(p + width);
    }
    if (count >= least) found.push({ pixels: Int32Array.from(members) });
  }
  return found.sort((a, b) => b.pixels.length - a.pixels.length);
}

/** The mask with everything that it encloses: zeros that do not reach the border become ones. */
export function fillHoles(mask: ArrayLike<number>, size: PlaneSize): Uint8Array {
  const { height, width } = size;
  const open = Uint8Array.from(mask, (v) => (v === 0 ? 1 : 0));
  const out = new Uint8Array(mask.length).fill(1);
  for (const { pixels } of regionsOf(open, size)) {
    const reaches = pixels.some((p) => {
      const x = p % width;
      const y = Math.floor(p / width);
      return x === 0 || y === 0 || x === width - 1 || y === height - 1;
    });
    if (reaches) for (const p of pixels) out[p] = 0;
  }
  return out;
}
