// Steadiness over time, without any learned weights. A frozen clip is perfectly steady: always print the motion beside these.

import type { Frames } from '../../media/index.ts';
import { denseFlow, lumaOf, meanLength, warpBack } from '../../motion/index.ts';

export type TemporalMeasures = {
  /** (255 − mean |fₜ − fₜ₋₁|)/255 over all pixels and pairs: "temporal flickering" of the VBench suite. 1 = nothing changes. */
  readonly steadiness: number;
  /** Root mean square of the second difference in time of the mean luma, of 255: brightness that goes up and down. */
  readonly flicker: number;
  /** Mean |fₜ − fₜ₊₁ moved back along Farneback flow|, of 255: change that motion does not explain. */
  readonly warpError: number;
  /** Mean length of the flow, pixels per frame. */
  readonly motion: number;
};

/** Measures of one clip with at least two frames; undefined with fewer. */
export async function temporalMeasures(frames: Frames): Promise<TemporalMeasures | undefined> {
  const [count, height, width] = frames.shape;
  if (count < 2) return undefined;
  const each = height * width * 3;
  const frame = (t: number): Uint8Array => frames.data.subarray(t * each, (t + 1) * each);
  const luma = Array.from({ length: count }, (_, t) => {
    const y = lumaOf(frame(t));
    return y.reduce((s, v) => s + v, 0) / y.length;
  });
  let change = 0;
  let warp = 0;
  let motion = 0;
  for (let t = 0; t + 1 < count; t++) {
    const a = frame(t);
    const b = frame(t + 1);
    for (let i = 0; i < each; i++) change += Math.abs(a[i]! - b[i]!);
    const flow = await denseFlow(a, b, { height, width });
    motion += meanLength(flow);
    const back = warpBack(b, flow, { height, width });
    for (let i = 0; i < each; i++) warp += Math.abs(a[i]! - back[i]!);
  }
  let bend = 0;
  for (let t = 1; t + 1 < count; t++) bend += (luma[t - 1]! - 2 * luma[t]! + luma[t + 1]!) ** 2;
  const pairs = count - 1;
  return {
    steadiness: (255 - change / (pairs * each)) / 255,
    flicker: count < 3 ? 0 : Math.sqrt(bend / (count - 2)),
    warpError: warp / (pairs * each),
    motion: motion / pairs,
  };
}
