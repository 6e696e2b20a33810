// Bicubic resizing of uint8 pictures with antialiasing, in the fixed-point arithmetic of the Pillow library, so that the
// inputs of public vision towers agree to the last bit. Keys a = −0.5 (Catmull–Rom), 22 fractional bits, columns first.

const PRECISION = 2 ** 22;

/** Keys 1981, the cubic convolution kernel with a = −0.5; zero outside (−2, 2). */
function cubic(x: number): number {
  const a = -0.5;
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
}

type Taps = { readonly first: number; readonly weights: Float64Array };

/** Source range and fixed-point weights of every output position. */
function tapsOf(from: number, to: number): Taps[] {
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const support = 2 * stretch;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(from, Math.trunc(center + support + 0.5));
    const raw = Float64Array.from({ length: end - first }, (_v, k) => cubic((k + first - center + 0.5) / stretch));
    const total = raw.reduce((s, v) => s + v, 0);
    return { first, weights: raw.map((v) => Math.trunc((v / total) * PRECISION + (v < 0 ? -0.5 : 0.5))) };
  });
}

const clip8 = (sum: number): number => Math.min(255, Math.max(0, Math.floor((sum + PRECISION / 2) / PRECISION)));

/**
 * Resizes one picture. The aspect ratio is not kept.
 * @param data uint8 [H, W, 3]
 * @returns uint8 [height, width, 3]
 */
export function resizeBicubic(
  data: Uint8Array,
  from: { readonly width: number; readonly height: number },
  to: { readonly width: number; readonly height: number },
): Uint8Array {
  const narrow = new Uint8Array(from.height * to.width * 3);
  const across = tapsOf(from.width, to.width);
  for (let y = 0; y < from.height; y++) {
    for (const [x, { first, weights }] of across.entries()) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k]! * data[(y * from.width + first + k) * 3 + c]!;
        narrow[(y * to.width + x) * 3 + c] = clip8(sum);
      }
    }
  }
  const out = new Uint8Array(to.height * to.width * 3);
  const row = to.width * 3;
  for (const [y, { first, weights }] of tapsOf(from.height, to.height).entries()) {
    for (let i = 0; i < row; i++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k]! * narrow[(first + k) * row + i]!;
      out[y * row + i] = clip8(sum);
    }
  }
  return out;
}
