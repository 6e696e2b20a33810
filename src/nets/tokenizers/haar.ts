// Patching without learned weights: space-to-depth ("rearrange") and the Haar wavelet packet transform, for videos and images.
// Haar = rearrange, then one fixed sign matrix over the channels: both axes of the packet transform are recursed in every band.
import { InputError } from '../../base/index.ts';
import { concat, constantF32, conv, repeat, reshape, slice, type Tensor, transpose } from '../../graph/index.ts';

/** How pixels become channels. */
export type PatchMethod = 'haar' | 'rearrange';

/** Patch edge p (a power of two) and method. */
export type PatchOptions = { readonly patch: number; readonly method?: PatchMethod };

/**
 * Video → patches. The first frame is repeated p times in total, so that t = 1 + (T − 1)/p.
 * @param x [B, C, T, H, W]
 * @returns [B, C·p³, t, H/p, W/p]
 */
export function patch3d(x: Tensor, { patch: p, method = 'haar' }: PatchOptions): Tensor {
  const [b, c, frames, h, w] = x.shape as [number, number, number, number, number];
  checkPatch(p, h, w);
  const first = slice(x, 2, 0, 1);
  // Frames that do not fill a patch are lost, as in the reference: valid T are 1 + k·p.
  const t = Math.floor((p + frames - 1) / p);
  const long = slice(p === 1 ? x : concat([...new Array<Tensor>(p - 1).fill(first), x], 2), 2, 0, t * p);
  const cut = reshape(long, [b, c, t, p, h / p, p, w / p, p]);
  const deep = reshape(transpose(cut, [0, 1, 3, 5, 7, 2, 4, 6]), [b, c * p ** 3, t, h / p, w / p]); // ((c·p + pt)·p + ph)·p + pw
  return method === 'haar' && p > 1 ? mix(deep, haarMatrix(c, p, ORDER_3D, 'forward')) : deep;
}

/** The inverse of `patch3d`: [B, C·p³, t, h, w] → [B, C, (t − 1)·p + 1, h·p, w·p]. */
export function unpatch3d(x: Tensor, { patch: p, method = 'haar' }: PatchOptions): Tensor {
  const [b, channels, t, h, w] = x.shape as [number, number, number, number, number];
  const c = channels / p ** 3;
  const deep = method === 'haar' && p > 1 ? mix(x, haarMatrix(c, p, ORDER_3D, 'inverse')) : x;
  const cut = transpose(reshape(deep, [b, c, p, p, p, t, h, w]), [0, 1, 5, 2, 6, 3, 7, 4]);
  const long = reshape(cut, [b, c, t * p, h * p, w * p]);
  return slice(long, 2, p - 1, t * p - p + 1);
}

/** Image → patches: [B, C, H, W] → [B, C·p², H/p, W/p]. */
export function patch2d(x: Tensor, { patch: p, method = 'haar' }: PatchOptions): Tensor {
  const [b, c, h, w] = x.shape as [number, number, number, number];
  checkPatch(p, h, w);
  const cut = reshape(x, [b, c, h / p, p, w / p, p]);
  const deep = reshape(transpose(cut, [0, 1, 3, 5, 2, 4]), [b, c * p * p, h / p, w / p]); // (c·p + ph)·p + pw
  return method === 'haar' && p > 1 ? mix(deep, haarMatrix(c, p, ORDER_2D, 'forward')) : deep;
}

/** The inverse of `patch2d`: [B, C·p², h, w] → [B, C, h·p, w·p]. */
export function unpatch2d(x: Tensor, { patch: p, method = 'haar' }: PatchOptions): Tensor {
  const [b, channels, h, w] = x.shape as [number, number, number, number];
  const c = channels / (p * p);
  const deep = method === 'haar' && p > 1 ? mix(x, haarMatrix(c, p, ORDER_2D, 'inverse')) : x;
  return reshape(transpose(reshape(deep, [b, c, p, p, h, w]), [0, 1, 4, 2, 5, 3]), [b, c, h * p, w * p]);
}

/** Repeats every pixel twice in height and width: frames [N, C, H, W]. */
export const nearest2 = (x: Tensor): Tensor => repeat(repeat(x, 2, 2), 3, 2);

/** Bit of the band number that stands for each axis of (time,) height, width. The two transforms differ: 3D counts t, h, w; 2D w, h. */
const ORDER_3D = [4, 2, 1] as const;
const ORDER_2D = [1, 2] as const;

/**
 * The packet transform of one patch as a matrix. A level maps samples 2i, 2i+1 of an axis to low (sum) and high (difference), and the
 * next level does the same to every band: the sign of sample i in level l depends on bit l of i alone. Forward levels are divided by the
 * number of samples, so that the lowest band is the block mean; the inverse then has coefficient 1.
 * @returns [coefficient, sample] forward or [sample, coefficient] inverse, over colours and patch places
 */
function haarMatrix(
  colours: number,
  p: number,
  order: readonly number[],
  direction: 'forward' | 'inverse',
): { size: number; data: Float32Array } {
  const levels = Math.log2(p);
  const axes = order.length;
  const bands = 2 ** axes;
  const places = p ** axes;
  const size = colours * places;
  const data = new Float32Array(size * size);
  for (let coefficient = 0; coefficient < places; coefficient++) {
    for (let place = 0; place < places; place++) {
      let sign = 1;
      for (let level = 0; level < levels; level++) {
        // The band of the last level is the slowest index.
        const band = Math.floor(coefficient / bands ** level) % bands;
        for (let axis = 0; axis < axes; axis++) {
          const sample = Math.floor(place / p ** (axes - 1 - axis)) % p;
          if (band & order[axis]! && (sample >> level) & 1) sign = -sign;
        }
      }
      for (let c = 0; c < colours; c++) {
        const out = coefficient * colours + c;
        const from = c * places + place;
        if (direction === 'forward') data[out * size + from] = sign / places;
        else data[from * size + out] = sign;
      }
    }
  }
  return { size, data };
}

/** A fixed matrix over the channels, as a 1×1 convolution. */
function mix(x: Tensor, { size, data }: { size: number; data: Float32Array }): Tensor {
  const [b, , ...space] = x.shape as [number, number, ...number[]];
  const rows = space[0]!;
  const flat = reshape(x, [b, size, rows, space.slice(1).reduce((n, d) => n * d, 1)]);
  return reshape(conv(flat, constantF32([size, size, 1, 1], data)), x.shape);
}

function checkPatch(p: number, h: number, w: number): void {
  if (!(Number.isInteger(Math.log2(p)) && p >= 1)) throw new InputError('patch size', { got: p, need: '1, 2 or 4' });
  if (h % p !== 0 || w % p !== 0) {
    throw new InputError('height and width', { got: [h, w], need: `multiples of the patch size ${p}` });
  }
}
