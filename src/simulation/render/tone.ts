// From linear light to 8-bit sRGB: exposure, a filmic curve and gamma by one lookup table, then a fixed dither.

const SIZE = 8192;
/** Linear value at which the table ends; brighter light is white. */
const TOP = 12;
const EXPOSURE = 0.62;

const TABLE = Float32Array.from({ length: SIZE }, (_, i) => 255 * display(TOP * (i / (SIZE - 1)) ** 2));

/** Narkowicz 2015, a rational fit of the ACES filmic curve: y = x(2.51x + 0.03) / (x(2.43x + 0.59) + 0.14); then gamma 1/2.2. */
function display(linear: number): number {
  const x = EXPOSURE * linear;
  const y = (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14);
  return Math.min(1, Math.max(0, y)) ** (1 / 2.2);
}

/** Display value 0…255 (not rounded) of linear light; the table is indexed by the square root, which spends its entries on the darks. */
export function toneMap(linear: number): number {
  if (linear <= 0) return 0;
  const i = (Math.sqrt(linear * (1 / TOP)) * (SIZE - 1) + 0.5) | 0;
  return TABLE[i < SIZE ? i : SIZE - 1]!;
}

/** A well mixed 32-bit hash of an integer (Murmur3's finaliser). */
export function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Dither of each pixel and colour in (−0.5, 0.5): hides the 8-bit steps of smooth skies; equal in every frame, so nothing flickers. */
export function ditherPattern(width: number, height: number): Float32Array {
  return Float32Array.from({ length: width * height * 3 }, (_, i) => (mix32(i + 1) / 2 ** 32 - 0.5) * 0.98);
}
