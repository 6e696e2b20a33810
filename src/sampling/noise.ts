// Orrery's own sampling noise: counter-based, so any part can be made alone, and equal bit for bit on every machine and engine.
// Philox-4x32-10 (Salmon et al. 2011) gives the bits; Box–Muller in float64 gives the normals. Logarithm, sine and cosine are our own
// polynomials from + − × ÷ √ only: the language leaves the last bit of Math.log, Math.sin and Math.cos to the engine.

import { hash32, InputError } from '../base/index.ts';

/** Which numbers of which stream. */
export type NoiseKey = {
  /** Whole number from 0 to 4294967295. */
  readonly seed: number;
  /** Purpose, such as "start" or "condition": each has a stream of its own. Default "start". */
  readonly stream?: string;
  /** Sub-stream, such as a sampler step. Default 0. */
  readonly step?: number;
  /** Index of the first number wanted, a multiple of 4. Default 0. */
  readonly offset?: number;
};

/**
 * Unit normal numbers, float32.
 * Numbers 4k … 4k+3 come from the Philox block with counter [k mod 2³², k div 2³², step, 0] and key [seed, FNV-1a hash of the stream name]:
 * u = (word + ½)·2⁻³²; √(−2·ln u₀)·(cos, sin)(2π·u₁), then the same with u₂, u₃. The largest value possible is 6.8.
 */
export function noise(count: number, { seed, stream = 'start', step = 0, offset = 0 }: NoiseKey): Float32Array {
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
    throw new InputError('seed', { got: seed, need: 'a whole number from 0 to 4294967295' });
  }
  if (!(Number.isSafeInteger(offset) && offset >= 0 && offset % 4 === 0)) {
    throw new InputError('offset', { got: offset, need: 'a multiple of 4 from 0' });
  }
  const out = new Float32Array(count);
  const words = new Uint32Array(4);
  const key1 = hash32(stream);
  for (let i = 0; i < count; i += 4) {
    const block = (offset + i) / 4;
    philox(words, block >>> 0, Math.floor(block / 4294967296), step >>> 0, 0, seed, key1);
    for (let pair = 0; pair < 4 && i + pair < count; pair += 2) {
      const radius = Math.sqrt(-2 * logUnit((words[pair]! + 0.5) * 2 ** -32));
      const [cos, sin] = cosSinTurn((words[pair + 1]! + 0.5) * 2 ** -32);
      out[i + pair] = radius * cos;
      if (i + pair + 1 < count) out[i + pair + 1] = radius * sin;
    }
  }
  return out;
}

/** One Philox-4x32-10 block: four words from a 128-bit counter and a 64-bit key, into `out`. */
export function philox(out: Uint32Array, c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): void {
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = mulHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** Upper 32 bits of the product of two unsigned 32-bit numbers, by 16-bit halves. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0;
}

const LN2_HIGH = 0.6931471803691238; // upper bits of ln 2, so that k·LN2_HIGH is exact for small k
const LN2_LOW = 1.9082149292705877e-10;

/** ln u for 0 < u ≤ 1: u = m·2⁻ᵏ with m in [√½, √2), ln m = 2·artanh((m−1)/(m+1)) by its series. */
export function logUnit(u: number): number {
  let m = u;
  let k = 0;
  while (m < Math.SQRT1_2) {
    m *= 2;
    k++;
  }
  const s = (m - 1) / (m + 1);
  const z = s * s; // at most 0.0295: eleven terms reach 2⁻⁵³
  let sum = 0;
  for (let n = 21; n >= 3; n -= 2) sum = (sum + 1 / n) * z;
  return 2 * s * (1 + sum) - k * LN2_HIGH - k * LN2_LOW;
}

/** [cos, sin] of u turns (2π·u), 0 ≤ u < 1: nearest quarter turn, then Taylor series on ±π/4. */
export function cosSinTurn(u: number): [number, number] {
  const quarter = Math.floor(4 * u + 0.5);
  const a = (u - quarter / 4) * 2 * Math.PI; // the difference is exact
  const z = a * a; // at most 0.617
  let cos = 1;
  for (let n = 18; n >= 2; n -= 2) cos = 1 - (z / (n * (n - 1))) * cos;
  let sin = 1;
  for (let n = 19; n >= 3; n -= 2) sin = 1 - (z / (n * (n - 1))) * sin;
  sin *= a;
  switch (quarter & 3) {
    case 0:
      return [cos, sin];
    case 1:
      return [-sin, cos];
    case 2:
      return [-cos, -sin];
    default:
      return [sin, -cos];
  }
}
