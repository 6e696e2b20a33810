// The input pictures of learned metrics: DreamSim's 224×224 and the I3D clips of FVD, each with the resampling its code uses.
import { resizePillow } from './pillow.ts';
import { resizeTorch } from './torch.ts';

export const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;
export const CLIP = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
} as const;

/** Straight to 224×224 by Pillow's bicubic; the aspect ratio is not kept. uint8 [H, W, 3] → uint8 [224, 224, 3]. */
export function dreamSimPicture(picture: Uint8Array, height: number, width: number): Uint8Array {
  return resizePillow(picture, { height, width, channels: 3 }, { height: 224, width: 224 }, 'bicubic');
}

/** Bytes [H, W, 3] → float32 [3, H, W]: (x/255 − mean)/std per channel. */
export function normalisedChw(
  picture: Uint8Array,
  pixels: number,
  { mean, std }: { readonly mean: readonly number[]; readonly std: readonly number[] },
): Float32Array {
  const out = new Float32Array(pixels * 3);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < pixels; i++) out[c * pixels + i] = (picture[3 * i + c]! / 255 - mean[c]!) / std[c]!;
  }
  return out;
}

/**
 * FVD input as TokenBench makes it: shorter side to `side` (other side rounded up), bilinear without antialias, centre crop
 * with floored offsets, x·2−1. uint8 [T, H, W, 3] → float32 [3, T, side, side].
 */
export function fvdClip(
  video: Uint8Array,
  { frames, height, width }: { readonly frames: number; readonly height: number; readonly width: number },
  side = 224,
): Float32Array {
  const short = Math.min(height, width);
  const h = height === short ? side : Math.ceil((height * side) / short);
  const w = width === short ? side : Math.ceil((width * side) / short);
  const top = Math.floor((h - side) / 2);
  const left = Math.floor((w - side) / 2);
  const out = new Float32Array(3 * frames * side * side);
  for (let f = 0; f < frames; f++) {
    const picture = video.subarray(f * height * width * 3, (f + 1) * height * width * 3);
    const big = resizeTorch(picture, { height, width, channels: 3 }, { height: h, width: w }, 'bilinear');
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        for (let c = 0; c < 3; c++) {
          out[((c * frames + f) * side + y) * side + x] = (big[((y + top) * w + x + left) * 3 + c]! / 255) * 2 - 1;
        }
      }
    }
  }
  return out;
}
