// Perceptual dedup: clips whose difference hashes agree. Survives re-encoding, scaling and small logos; cheap, exact in what
// it compares.

/** Five 64-bit hashes of a clip, hexadecimal. */
export type Hashed = { readonly id: string; readonly hashes: readonly string[] };

const BITS = 64;

/** Mean distance in bits between the hashes of two clips, each hash of `a` with its best of `b`. */
export function hashDistance(a: Hashed, b: Hashed): number {
  if (a.hashes.length === 0 || b.hashes.length === 0) return BITS;
  let sum = 0;
  for (const x of a.hashes) {
    let best = BITS;
    for (const y of b.hashes) best = Math.min(best, bitsBetween(x, y));
    sum += best;
  }
  return sum / a.hashes.length;
}

function bitsBetween(x: string, y: string): number {
  let bits = 0;
  for (let i = 0; i < 16; i += 8) {
    let v = Number.parseInt(x.slice(i, i + 8), 16) ^ Number.parseInt(y.slice(i, i + 8), 16);
    v = v - ((v >>> 1) & 0x55555555);
    v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
    bits += (((v + (v >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
  }
  return bits;
}

/** Whether a hash says anything: a flat picture gives nearly empty ones. */
const isTelling = (hash: string): boolean => {
  const ones = bitsBetween(hash, '0000000000000000');
  return ones >= 6 && ones <= 58;
};

/**
 * For each clip in order the earlier kept clip that it repeats. Two clips are compared when a quarter of some hash is equal.
 * @param limit most bits of mean distance. Default 6
 * @param confirm has the last word about a pair that the hashes propose
 */
export function perceptualRepeats(
  clips: readonly Hashed[],
  limit = 6,
  confirm: (i: number, kept: number) => boolean = () => true,
): Map<string, { keptId: string; distance: number }> {
  const buckets = new Map<string, number[]>();
  const repeats = new Map<string, { keptId: string; distance: number }>();
  clips.forEach((clip, i) => {
    const telling = clip.hashes.filter(isTelling);
    if (telling.length < Math.ceil(clip.hashes.length / 2)) return;
    const keys = new Set(telling.flatMap((hash) => [0, 4, 8, 12].map((k) => `${k}${hash.slice(k, k + 4)}`)));
    const seen = new Set<number>();
    let best: { keptId: string; distance: number } | undefined;
    for (const key of keys)
      for (const j of buckets.get(key) ?? []) {
        if (seen.has(j)) continue;
        seen.add(j);
        const distance = hashDistance(clip, clips[j]!);
        if (distance <= limit && (best === undefined || distance < best.distance) && confirm(i, j))
          best = { keptId: clips[j]!.id, distance };
      }
    if (best !== undefined) {
      repeats.set(clip.id, best);
      return;
    }
    for (const key of keys) {
      const list = buckets.get(key);
      if (list === undefined) buckets.set(key, [i]);
      else if (list.length < 4000) list.push(i);
    }
  });
  return repeats;
}
