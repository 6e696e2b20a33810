// Dense motion between pictures: Farneback flow through OpenCV, its error against true flow, and pictures moved along it.
import { InputError } from '../base/index.ts';
import { lumaOf } from './motion-mask.ts';
import { openCv, withMats } from './opencv.ts';

/** Height and width in pixels. */
export type PlaneSize = { readonly height: number; readonly width: number };

export type FlowOptions = {
  /** Averaging window, pixels. Default 11: small objects keep their own motion. */
  readonly window?: number;
  /** Pyramid levels. Default 4. */
  readonly levels?: number;
};

/**
 * Motion from picture `a` to picture `b` by Farneback's method: float32 [H, W, 2], pixels right and down; what stands at x in `a` is at
 * x + flow(x) in `b`.
 * @param a uint8 RGB [H, W, 3]
 */
export async function denseFlow(
  a: Uint8Array,
  b: Uint8Array,
  { height, width }: PlaneSize,
  options: FlowOptions = {},
): Promise<Float32Array> {
  const { window = 11, levels = 4 } = options;
  if (a.length !== height * width * 3 || b.length !== a.length) {
    throw new InputError('pictures', { got: `${a.length} and ${b.length} bytes`, need: `${height}×${width}×3 each` });
  }
  const cv = await openCv();
  return withMats((keep) => {
    const [from, to] = [a, b].map((p) =>
      keep(cv.matFromArray(height, width, cv.CV_8UC1, lumaOf(p) as unknown as number[])),
    );
    const flow = keep(new cv.Mat());
    cv.calcOpticalFlowFarneback(from!, to!, flow, 0.5, levels, window, 3, 5, 1.1, 0);
    return Float32Array.from(flow.data32F);
  });
}

/**
 * Mean endpoint error, pixels: |flow − truth| averaged over the pixels that count; NaN when none does.
 * @param flow and truth float [H, W, 2] @param mask non-zero where a pixel counts, [H, W]; default all
 */
export function endpointError(flow: ArrayLike<number>, truth: ArrayLike<number>, mask?: ArrayLike<number>): number {
  if (flow.length !== truth.length) {
    throw new InputError('flow', { got: `${flow.length} and ${truth.length} numbers`, need: 'two fields of one size' });
  }
  let sum = 0;
  let count = 0;
  for (let i = 0; i < flow.length / 2; i++) {
    if (mask !== undefined && mask[i]! === 0) continue;
    sum += Math.hypot(flow[2 * i]! - truth[2 * i]!, flow[2 * i + 1]! - truth[2 * i + 1]!);
    count++;
  }
  return count === 0 ? Number.NaN : sum / count;
}

/** Mean length of a flow field, pixels. */
export function meanLength(flow: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < flow.length; i += 2) sum += Math.hypot(flow[i]!, flow[i + 1]!);
  return flow.length === 0 ? 0 : sum / (flow.length / 2);
}

/** One bilinear sample of channel c, borders repeated. */
export function sampleAt(
  data: ArrayLike<number>,
  { height, width }: PlaneSize,
  channels: number,
  x: number,
  y: number,
  c: number,
): number {
  const cx = Math.min(width - 1, Math.max(0, x));
  const cy = Math.min(height - 1, Math.max(0, y));
  const x0 = Math.floor(cx);
  const y0 = Math.floor(cy);
  const x1 = Math.min(width - 1, x0 + 1);
  const y1 = Math.min(height - 1, y0 + 1);
  const fx = cx - x0;
  const fy = cy - y0;
  const at = (v: number, u: number): number => data[(v * width + u) * channels + c]!;
  return (at(y0, x0) * (1 - fx) + at(y0, x1) * fx) * (1 - fy) + (at(y1, x0) * (1 - fx) + at(y1, x1) * fx) * fy;
}

/** Picture `b` seen from `a`: out(x) = b(x + flow(x)), bilinear. uint8 [H, W, 3] → float64 [H, W, 3]. */
export function warpBack(b: Uint8Array, flow: ArrayLike<number>, size: PlaneSize): Float64Array {
  const out = new Float64Array(b.length);
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const i = y * size.width + x;
      for (let c = 0; c < 3; c++) out[3 * i + c] = sampleAt(b, size, 3, x + flow[2 * i]!, y + flow[2 * i + 1]!, c);
    }
  }
  return out;
}
