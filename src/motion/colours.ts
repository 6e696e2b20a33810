// Small colour models of a set of pixels: a few cluster centres in axes in which shading counts half.

/** Cluster centres, flat [k, 3]. */
export type Palette = { readonly centres: Float64Array };

/** Colour axes: luma/2, blue difference, red difference. Shading moves the first most. */
export function colourAxes(r: number, g: number, b: number): [number, number, number] {
  const y = 0.299 * r + 0.587 * g + 0.114 * b;
  return [y / 2, 0.9 * (b - y), 1.1 * (r - y)];
}

/** Colour axes of pixel `p` of a picture. */
export function axesOf(picture: ArrayLike<number>, p: number): [number, number, number] {
  return colourAxes(picture[3 * p]!, picture[3 * p + 1]!, picture[3 * p + 2]!);
}

/** k-means of chosen pixels of a picture (uint8 [H, W, 3]), started at evenly spread lumas; deterministic. */
export function paletteOf(picture: ArrayLike<number>, pixels: ArrayLike<number>, k: number): Palette {
  const step = Math.max(1, Math.floor(pixels.length / 600));
  const points: [number, number, number][] = [];
  for (let i = 0; i < pixels.length; i += step) points.push(axesOf(picture, pixels[i]!));
  return { centres: Float64Array.from(clustersOf(points, k).flat()) };
}

/** k-means of points in colour axes, started at evenly spread lumas; deterministic. At most as many centres as points. */
export function clustersOf(points: readonly (readonly number[])[], k: number, rounds = 6): number[][] {
  if (points.length === 0) return [];
  const sorted = [...points].sort((a, b) => a[0]! - b[0]!);
  const n = Math.min(k, points.length);
  let centres = Array.from({ length: n }, (_, i) => [...sorted[Math.floor(((i + 0.5) * sorted.length) / n)]!]);
  for (let round = 0; round < rounds; round++) {
    const sums = centres.map(() => [0, 0, 0, 0]);
    for (const point of points) {
      let best = 0;
      let least = Number.POSITIVE_INFINITY;
      for (const [c, centre] of centres.entries()) {
        const d = (point[0]! - centre[0]!) ** 2 + (point[1]! - centre[1]!) ** 2 + (point[2]! - centre[2]!) ** 2;
        if (d < least) [least, best] = [d, c];
      }
      const s = sums[best]!;
      for (let a = 0; a < 3; a++) s[a]! += point[a]!;
      s[3]! += 1;
    }
    centres = sums.map((s, c) => (s[3]! > 0 ? [s[0]! / s[3]!, s[1]! / s[3]!, s[2]! / s[3]!] : centres[c]!));
  }
  return centres;
}

/** Squared distance of a pixel's colour to the nearest centre; Infinity for an empty palette. */
export function nearestColour({ centres }: Palette, picture: ArrayLike<number>, p: number): number {
  const [l, u, v] = axesOf(picture, p);
  let least = Number.POSITIVE_INFINITY;
  for (let c = 0; c < centres.length; c += 3) {
    const d = (l - centres[c]!) ** 2 + (u - centres[c + 1]!) ** 2 + (v - centres[c + 2]!) ** 2;
    if (d < least) least = d;
  }
  return least;
}
