// The lower median: a value that occurs, also in lists of even length.

/** Lower median: element (n−1) div 2 of the sorted values; NaN of none. */
export function lowerMedian(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  return sorted.length === 0 ? Number.NaN : sorted[Math.floor((sorted.length - 1) / 2)]!;
}
