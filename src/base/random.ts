// Random streams: one 32-bit seed, one independent stream per purpose, equal on every machine.
// Generator sfc32 (Chris Doty-Humphrey's "small fast counting"), its state filled by splitmix32 of the hashed seed.

/** A deterministic random stream. Two streams with the same seed and label give the same numbers everywhere. */
export type RandomStream = {
  /** Next 32 random bits, an integer in [0, 2³²). */
  uint32(): number;
  /** Uniform number in [low, high), defaults [0, 1), 53-bit resolution. */
  uniform(low?: number, high?: number): number;
  /** Uniform integer in [low, high], both ends included. */
  integer(low: number, high: number): number;
  /** One element of a non-empty list. */
  pick<T>(items: readonly T[]): T;
  /** Standard normal number (Box–Muller; the second value is kept for the next call). */
  normal(): number;
  /** Fisher–Yates shuffle, in place; returns the same array. */
  shuffle<T>(items: T[]): T[];
};

/** FNV-1a hash of a label, 32 bits. */
export function hash32(label: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < label.length; i++) h = Math.imul(h ^ label.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/**
 * Opens the stream of one purpose.
 * @param seed integer in [0, 2³²)
 * @param label the purpose, such as "camera": a draw added to one purpose never shifts another
 */
export function randomStream(seed: number, label = ''): RandomStream {
  // splitmix32: neighbouring seeds get unrelated states.
  let s = (seed ^ hash32(label)) >>> 0;
  const split = (): number => {
    s = (s + 0x9e3779b9) >>> 0;
    let z = s ^ (s >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  let a = split();
  let b = split();
  let c = split();
  let counter = 1;
  const uint32 = (): number => {
    const t = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    return t >>> 0;
  };
  for (let i = 0; i < 12; i++) uint32();

  let spare: number | undefined;
  const uniform = (low = 0, high = 1): number => {
    const unit = ((uint32() >>> 5) * 67108864 + (uint32() >>> 6)) / 9007199254740992;
    return low + (high - low) * unit;
  };
  const integer = (low: number, high: number): number => low + Math.floor(uniform() * (high - low + 1));
  return {
    uint32,
    uniform,
    integer,
    pick: (items) => items[integer(0, items.length - 1)]!,
    normal: () => {
      if (spare !== undefined) {
        const kept = spare;
        spare = undefined;
        return kept;
      }
      const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
      const angle = 2 * Math.PI * uniform();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    },
    shuffle: (items) => {
      for (let i = items.length - 1; i > 0; i--) {
        const j = integer(0, i);
        [items[i], items[j]] = [items[j]!, items[i]!];
      }
      return items;
    },
  };
}
