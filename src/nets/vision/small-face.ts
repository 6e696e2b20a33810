// The small face detector of the face-api family: a separable Tiny YOLO v2 (Redmon & Farhadi 2016) with one class. Weights come
// from that package; here is the network for any size of frame, and the decoding of its grid.
import { conv, depthwiseConv, maximum, padEdge, slice, type Tensor } from '../../graph/index.ts';
import { scoped, type Weights } from '../orrery/weights.ts';
import { leakyRelu } from './batch-norm.ts';
import type { FaceBox } from './face-boxes.ts';

/** Box shapes in cells (width, height), five per cell. */
export const SMALL_FACE_ANCHORS: readonly (readonly [number, number])[] = [
  [1.603231, 2.094468],
  [6.041143, 7.080126],
  [2.882459, 3.518061],
  [4.266906, 5.178857],
  [9.041765, 10.66308],
];

/** Mean of red, green and blue; pixels enter as (value − mean)/255. */
export const SMALL_FACE_MEAN = [117.001, 114.697, 97.404] as const;

const CHANNELS = [16, 32, 64, 128, 256, 512] as const;
const ANCHOR_NUMBERS = 5;

/** Raw grid [B, 25, h, w] of frames x [B, 3, H, W]; h ≈ H/32, w ≈ W/32. Kernels in channels-first order. */
export function smallFaceNet(x: Tensor, weights: Weights): Tensor {
  const first = conv(x, weights('conv0.filters', [CHANNELS[0], 3, 3, 3]), weights('conv0.bias', [CHANNELS[0]]));
  let y = pool(leakyRelu(first, 0.1), 2);
  for (let i = 1; i < CHANNELS.length; i++) {
    y = pool(separable(y, CHANNELS[i]!, scoped(weights, `conv${i}`)), i === CHANNELS.length - 1 ? 1 : 2);
  }
  const out = ANCHOR_NUMBERS * SMALL_FACE_ANCHORS.length;
  return conv(y, weights('conv8.filters', [out, CHANNELS[5], 1, 1]), weights('conv8.bias', [out]));
}

function separable(x: Tensor, out: number, w: Weights): Tensor {
  const c = x.shape[1]!;
  const deep = depthwiseConv(x, w('depthwise_filter', [c, 1, 3, 3]), { padding: 1 });
  return leakyRelu(conv(deep, w('pointwise_filter', [out, c, 1, 1]), w('bias', [out])), 0.1);
}

/** Largest of 2×2; odd sizes repeat their border. */
function pool(x: Tensor, stride: 1 | 2): Tensor {
  const along = (y: Tensor, axis: number): Tensor => {
    const size = Math.ceil(y.shape[axis]! / stride);
    const padded = padEdge(y, axis, 0, 1);
    return maximum(slice(padded, axis, 0, size, stride), slice(padded, axis, 1, size, stride));
  };
  return along(along(x, 2), 3);
}

/**
 * Boxes of one grid in parts of the network's input, best first, overlaps removed.
 * @param grid [25, h, w] @param options least score, largest IoU of two boxes
 */
export function decodeSmallFaces(
  grid: Float32Array,
  h: number,
  w: number,
  { minScore, maxOverlap }: { readonly minScore: number; readonly maxOverlap: number },
): FaceBox[] {
  const cells = h * w;
  const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
  const found: FaceBox[] = [];
  for (const [a, [aw, ah]] of SMALL_FACE_ANCHORS.entries()) {
    for (let cell = 0; cell < cells; cell++) {
      const at = (k: number): number => grid[(a * ANCHOR_NUMBERS + k) * cells + cell]!;
      const score = sigmoid(at(4));
      if (!(score > minScore)) continue;
      const cx = ((cell % w) + sigmoid(at(0))) / w;
      const cy = (Math.floor(cell / w) + sigmoid(at(1))) / h;
      const bw = (Math.exp(at(2)) * aw) / w;
      const bh = (Math.exp(at(3)) * ah) / h;
      found.push({ x1: cx - bw / 2, y1: cy - bh / 2, x2: cx + bw / 2, y2: cy + bh / 2, score });
    }
  }
  found.sort((p, q) => q.score - p.score);
  const kept: FaceBox[] = [];
  for (const box of found) if (kept.every((other) => overlap(box, other) <= maxOverlap)) kept.push(box);
  return kept;
}

/** Intersection over union. */
export function overlap(a: FaceBox, b: FaceBox): number {
  const width = Math.max(0, Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1));
  const height = Math.max(0, Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1));
  const shared = width * height;
  const area = (c: FaceBox): number => (c.x2 - c.x1) * (c.y2 - c.y1);
  const all = area(a) + area(b) - shared;
  return all > 0 ? shared / all : 0;
}
