// Pixelation of a rectangle: down to n×n by the bilinear filter of OpenCV (uint8, 11-bit fixed point), up by nearest neighbour.

/** A picture uint8 [H, W, 3]. */
export type Picture = { readonly data: Uint8Array; readonly width: number; readonly height: number };

/** Whole pixels, right and lower border excluded. */
export type Region = { readonly x: number; readonly y: number; readonly width: number; readonly height: number };

type Tap = { readonly a: number; readonly b: number; readonly wa: number; readonly wb: number };

/** Half-pixel centres; borders repeat. Weights have 11 fractional bits. */
function taps(from: number, to: number): Tap[] {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    const at = Math.fround((i + 0.5) * scale - 0.5);
    let low = Math.floor(at);
    let part = Math.fround(at - low);
    if (low < 0) [low, part] = [0, 0];
    if (low >= from - 1) [low, part] = [from - 1, 0];
    return {
      a: low,
      b: Math.min(low + 1, from - 1),
      wa: roundEven(Math.fround(1 - part) * 2048),
      wb: roundEven(part * 2048),
    };
  });
}

/** Round half to even, as the processor's float-to-int conversion does. */
function roundEven(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

/** The region shrunk to n×n cells: uint8 [n, n, 3]. */
export function shrinkRegion(picture: Picture, region: Region, n: number): Uint8Array {
  const out = new Uint8Array(n * n * 3);
  const columns = taps(region.width, n);
  const at = (y: number, x: number, c: number): number =>
    picture.data[((region.y + y) * picture.width + region.x + x) * 3 + c]!;
  for (const [i, row] of taps(region.height, n).entries()) {
    for (const [j, column] of columns.entries()) {
      for (let c = 0; c < 3; c++) {
        const line = (y: number): number => at(y, column.a, c) * column.wa + at(y, column.b, c) * column.wb;
        // Two stages with the truncations of the reference: 22 fractional bits, of which 4 and 16 are dropped.
        const sum = ((row.wa * (line(row.a) >> 4)) >> 16) + ((row.wb * (line(row.b) >> 4)) >> 16);
        out[(i * n + j) * 3 + c] = (sum + 2) >> 2;
      }
    }
  }
  return out;
}

/** Fills the region from n×n cells: source cell ⌊position·n/size⌋. Changes the picture in place. */
export function enlargeInto(picture: Picture, region: Region, cells: Uint8Array, n: number): void {
  for (let y = 0; y < region.height; y++) {
    const i = Math.floor((y * n) / region.height);
    for (let x = 0; x < region.width; x++) {
      const j = Math.floor((x * n) / region.width);
      const to = ((region.y + y) * picture.width + region.x + x) * 3;
      picture.data.set(cells.subarray((i * n + j) * 3, (i * n + j) * 3 + 3), to);
    }
  }
}

/** Pixelates a region in place to n×n cells. */
export function pixelate(picture: Picture, region: Region, n = 5): void {
  enlargeInto(picture, region, shrinkRegion(picture, region, n), n);
}
