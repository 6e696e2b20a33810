// The set of known English words as a Bloom filter (Bloom 1970): answers "certainly not" or "very likely a word", in a file of
// a few hundred kilobytes. Known words are never "corrected".
import { assert, hash32, OrreryError } from '../../base/index.ts';

/** Header: magic "OBF1", then hash count and bit count as uint32, little endian. */
const MAGIC = 0x3146424f;
const HEADER = 12;

export type WordFilter = { has(word: string): boolean };

/** Second hash, independent of the first: Murmur's finaliser. */
function mix(h: number): number {
  let z = h ^ (h >>> 16);
  z = Math.imul(z, 0x85ebca6b);
  z ^= z >>> 13;
  z = Math.imul(z, 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}

/** Kirsch & Mitzenmacher 2006: k places from two hashes. */
function* places(word: string, bits: number, count: number): Generator<number> {
  const a = hash32(word);
  const b = mix(a) | 1;
  for (let i = 0; i < count; i++) yield (((a + Math.imul(i, b)) >>> 0) + i * i) % bits;
}

/** Builds a filter file. */
export function buildWordFilter(words: Iterable<string>, bits: number, count: number): Uint8Array {
  assert(bits % 8 === 0, 'bits of a word filter come in bytes');
  const bytes = new Uint8Array(HEADER + bits / 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, count, true);
  view.setUint32(8, bits, true);
  for (const word of words) for (const p of places(word, bits, count)) bytes[HEADER + (p >> 3)]! |= 1 << (p & 7);
  return bytes;
}

/** Reads a filter file. */
export function readWordFilter(bytes: Uint8Array, source: string): WordFilter {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isWhole = bytes.length > HEADER && view.getUint32(0, true) === MAGIC;
  const [count, bits] = isWhole ? [view.getUint32(4, true), view.getUint32(8, true)] : [0, 0];
  if (!isWhole || bytes.length !== HEADER + bits / 8 || count < 1 || count > 32) {
    throw new OrreryError('model', `${source}: no word filter or cut off; restore the model folder from the package`);
  }
  return {
    // The places of `places`, without its generator: this runs for every piece of every unknown word.
    has(word) {
      const a = hash32(word);
      const b = mix(a) | 1;
      for (let i = 0; i < count; i++) {
        const p = (((a + Math.imul(i, b)) >>> 0) + i * i) % bits;
        if ((bytes[HEADER + (p >> 3)]! & (1 << (p & 7))) === 0) return false;
      }
      return true;
    },
  };
}
