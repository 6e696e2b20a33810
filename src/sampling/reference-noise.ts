// Random normal streams of NumPy and PyTorch, bit for bit up to the last float32 rounding: only for reproducing runs of
// the reference implementation. Orrery's own noise is in noise.ts.

import { InputError } from '../base/index.ts';

/** Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), seeded by one 32-bit number. */
export function mt19937(seed: number): () => number {
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
    throw new InputError('seed', { got: seed, need: 'a whole number from 0 to 4294967295' });
  }
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) {
    const previous = state[i - 1]! ^ (state[i - 1]! >>> 30);
    state[i] = Math.imul(1812433253, previous) + i;
  }
  let at = 624;
  return () => {
    if (at === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (state[i]! & 0x80000000) | (state[(i + 1) % 624]! & 0x7fffffff);
        state[i] = state[(i + 397) % 624]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      at = 0;
    }
    let y = state[at++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

/** `numpy.random.RandomState(seed).standard_normal(count)` in float64 (legacy polar method on 53-bit uniforms). */
export function numpyNormal(seed: number, count: number): Float64Array {
  const next = mt19937(seed);
  const uniform = (): number => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
  const out = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    let a: number;
    let b: number;
    let r: number;
    do {
      a = 2 * uniform() - 1;
      b = 2 * uniform() - 1;
      r = a * a + b * b;
    } while (r >= 1 || r === 0);
    const factor = Math.sqrt((-2 * Math.log(r)) / r);
    out[i] = factor * b;
    if (i + 1 < count) out[i + 1] = factor * a;
  }
  return out;
}

/** `torch.randn(count)` of a fresh CPU generator, float32. The length of the call matters: below 16 another method is used. */
export function torchNormal(seed: number, count: number): Float32Array {
  const next = mt19937(seed);
  return count < 16 ? torchShort(next, count) : torchBlocks(next, count);
}

/** Box–Muller on groups of 16: out[j], out[j+8] from u[j], u[j+8]. A ragged end is redrawn as one whole group. */
function torchBlocks(next: () => number, count: number): Float32Array {
  const out = new Float32Array(count);
  const draw = (from: number, to: number): void => {
    for (let i = from; i < to; i++) out[i] = (next() & 0xffffff) * 2 ** -24;
  };
  const transform = (from: number): void => {
    for (let j = from; j < from + 8; j++) {
      const radius = Math.sqrt(-2 * Math.log(1 - out[j]!));
      const angle = 2 * Math.PI * out[j + 8]!;
      out[j] = radius * Math.cos(angle);
      out[j + 8] = radius * Math.sin(angle);
    }
  };
  draw(0, count);
  for (let from = 0; from + 16 <= count; from += 16) transform(from);
  if (count % 16 !== 0) {
    draw(count - 16, count);
    transform(count - 16);
  }
  return out;
}

/** Box–Muller in float64 on 53-bit uniforms, the sine value kept for the next number. */
function torchShort(next: () => number, count: number): Float32Array {
  const uniform = (): number => {
    const high = next() & 0x1fffff;
    return (high * 4294967296 + next()) * 2 ** -53;
  };
  const out = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const angle = 2 * Math.PI * uniform();
    const radius = Math.sqrt(-2 * Math.log1p(-uniform()));
    out[i] = radius * Math.cos(angle);
    if (i + 1 < count) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}
