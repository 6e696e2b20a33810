// View synthesis consistency: held-out frames are made again from their neighbours and the recovered cameras by a plane sweep,
// and compared with what the video shows there. Published figures fit 3D gaussians instead: not comparable with these.
import { throwIfAborted } from '../../../base/index.ts';
import type { Frames } from '../../../media/index.ts';
import { mean, meanSquaredError, psnrPicture } from '../../metrics/psnr.ts';
import { ssimGaussian } from '../../metrics/ssim.ts';
import { invertRigid, mul4 } from '../small.ts';
import type { Structure } from './structure.ts';

/** Name of the method in tables. */
export const SYNTHESIS = 'plane sweep over neighbouring frames';

/** Every how many frames one is held out. */
const HELD_EVERY = 8;
const PLANES = 48;
/** Side of the square over which agreement is averaged, pixels. */
const PATCH = 5;

export type SynthesisResult = {
  /** dB, mean over held-out frames. */
  readonly psnr: number;
  /** SSIM, gaussian 11×11, RGB. */
  readonly ssim: number;
  /** PSNR of the mean of the two neighbours, which knows no geometry, dB. */
  readonly blendPsnr: number;
  readonly frames: number;
};

/** Makes every 8th frame again from its neighbours; undefined when no held-out frame has a pose and two posed neighbours. */
export function viewSynthesis(
  frames: Frames,
  structure: Structure,
  options: { readonly signal?: AbortSignal } = {},
): SynthesisResult | undefined {
  const [count, height, width] = frames.shape;
  const each = height * width * 3;
  const frame = (t: number): Uint8Array => frames.data.subarray(t * each, (t + 1) * each);
  const rows: { psnr: number; ssim: number; blend: number }[] = [];
  for (let t = HELD_EVERY / 2; t < count; t += HELD_EVERY) {
    throwIfAborted(options.signal);
    const pose = structure.poses[t];
    const beside = [t - 1, t + 1, t - 2, t + 2].filter(
      (s) => structure.poses[s] !== undefined && structure.poses[s] !== null && s % HELD_EVERY !== HELD_EVERY / 2,
    );
    if (pose === undefined || pose === null || !beside.includes(t - 1) || !beside.includes(t + 1)) continue;
    const made = sweep(frames, structure, t, beside);
    const size = { height, width, channels: 3 };
    const [a, b] = [frame(t - 1), frame(t + 1)];
    const blend = Uint8Array.from(a, (v, i) => (v + b[i]! + 1) >> 1);
    rows.push({
      psnr: psnrPicture(meanSquaredError(frame(t), made)),
      ssim: Math.min(height, width) < 11 ? Number.NaN : ssimGaussian(frame(t), made, size),
      blend: psnrPicture(meanSquaredError(frame(t), blend)),
    });
  }
  if (rows.length === 0) return undefined;
  return {
    psnr: mean(rows.map((r) => r.psnr)),
    ssim: mean(rows.map((r) => r.ssim)),
    blendPsnr: mean(rows.map((r) => r.blend)),
    frames: rows.length,
  };
}

/** The picture that a pose should show, from other frames: per pixel the depth at which they agree best. */
function sweep(frames: Frames, structure: Structure, target: number, sources: readonly number[]): Uint8Array {
  const [, height, width] = frames.shape;
  const pixels = height * width;
  const each = pixels * 3;
  const pose = structure.poses[target]!;
  const [near, far] = depthRange(structure, pose);
  const maps = sources.map((s) => mul4(invertRigid(structure.poses[s]!), pose));
  const colours = sources.map(() => new Float32Array(each));
  const isSeen = sources.map(() => new Uint8Array(pixels));
  const cost = new Float32Array(pixels);
  const best = new Float32Array(pixels).fill(Number.POSITIVE_INFINITY);
  const out = new Uint8Array(each);
  for (let plane = 0; plane < PLANES; plane++) {
    const depth = 1 / (1 / far + (plane / (PLANES - 1)) * (1 / near - 1 / far));
    for (const [k, s] of sources.entries()) {
      const picture = frames.data.subarray(s * each, (s + 1) * each);
      lookUp(picture, maps[k]!, depth, structure, { height, width }, colours[k]!, isSeen[k]!);
    }
    for (let p = 0; p < pixels; p++) cost[p] = disagreement(colours, isSeen, p);
    const smooth = boxMean(cost, height, width, (PATCH - 1) / 2);
    for (let p = 0; p < pixels; p++) {
      if (!(smooth[p]! < best[p]!)) continue;
      best[p] = smooth[p]!;
      // The two nearest frames, or the one of them that sees the place.
      const [a, b] = [isSeen[0]![p]!, isSeen[1]![p]!];
      for (let c = 0; c < 3; c++) {
        const [x, y] = [colours[0]![3 * p + c]!, colours[1]![3 * p + c]!];
        out[3 * p + c] = Math.round(a === b ? (x + y) / 2 : a === 1 ? x : y);
      }
    }
  }
  return out;
}

/** Depths of the cloud from a pose, with room on both sides. */
function depthRange({ cloud }: Structure, pose: Float64Array): readonly [number, number] {
  const m = invertRigid(pose);
  const depths: number[] = [];
  for (let i = 0; i < cloud.length; i += 3) {
    const z = m[8]! * cloud[i]! + m[9]! * cloud[i + 1]! + m[10]! * cloud[i + 2]! + m[11]!;
    if (z > 0) depths.push(z);
  }
  depths.sort((a, b) => a - b);
  if (depths.length === 0) return [0.5, 50];
  const at = (share: number): number => depths[Math.min(depths.length - 1, Math.floor(share * depths.length))]!;
  return [0.8 * at(0.02), 3 * at(0.98)];
}

/** Colours of a source picture at every target pixel for a plane parallel to the target. */
function lookUp(
  picture: Uint8Array,
  map: Float64Array,
  depth: number,
  { focal, centre }: Structure,
  { height, width }: { readonly height: number; readonly width: number },
  colours: Float32Array,
  isSeen: Uint8Array,
): void {
  for (let y = 0; y < height; y++) {
    const v = ((y - centre[1]) / focal) * depth;
    for (let x = 0; x < width; x++) {
      const u = ((x - centre[0]) / focal) * depth;
      const z = map[8]! * u + map[9]! * v + map[10]! * depth + map[11]!;
      const sx = (focal * (map[0]! * u + map[1]! * v + map[2]! * depth + map[3]!)) / z + centre[0];
      const sy = (focal * (map[4]! * u + map[5]! * v + map[6]! * depth + map[7]!)) / z + centre[1];
      const p = y * width + x;
      const cx = Math.min(width - 1.001, Math.max(0, sx));
      const cy = Math.min(height - 1.001, Math.max(0, sy));
      isSeen[p] = z > 0 && Math.abs(cx - sx) < 0.6 && Math.abs(cy - sy) < 0.6 ? 1 : 0;
      const [x0, y0] = [Math.floor(cx), Math.floor(cy)];
      const [fx, fy] = [cx - x0, cy - y0];
      const i = 3 * (y0 * width + x0);
      const j = i + 3 * width;
      for (let c = 0; c < 3; c++) {
        const top = picture[i + c]! * (1 - fx) + picture[i + 3 + c]! * fx;
        const bottom = picture[j + c]! * (1 - fx) + picture[j + 3 + c]! * fx;
        colours[3 * p + c] = top * (1 - fy) + bottom * fy;
      }
    }
  }
}

/** Mean absolute difference of what sees the pixel from its mean; large where fewer than two do. */
function disagreement(colours: readonly Float32Array[], isSeen: readonly Uint8Array[], p: number): number {
  let n = 0;
  for (const s of isSeen) n += s[p]!;
  if (n < 2) return 60;
  let sum = 0;
  for (let c = 0; c < 3; c++) {
    let m = 0;
    for (let k = 0; k < colours.length; k++) if (isSeen[k]![p] === 1) m += colours[k]![3 * p + c]! / n;
    for (let k = 0; k < colours.length; k++) if (isSeen[k]![p] === 1) sum += Math.abs(colours[k]![3 * p + c]! - m) / n;
  }
  return sum;
}

/** Mean over a square around every pixel, cut at the borders. */
function boxMean(values: Float32Array, height: number, width: number, radius: number): Float32Array {
  const across = new Float32Array(values.length);
  const pass = (
    from: Float32Array,
    to: Float32Array,
    lines: number,
    length: number,
    stepLine: number,
    step: number,
  ): void => {
    for (let l = 0; l < lines; l++) {
      let sum = 0;
      let n = 0;
      for (let i = 0; i < Math.min(radius, length); i++, n++) sum += from[l * stepLine + i * step]!;
      for (let i = 0; i < length; i++) {
        if (i + radius < length) {
          sum += from[l * stepLine + (i + radius) * step]!;
          n++;
        }
        if (i - radius - 1 >= 0) {
          sum -= from[l * stepLine + (i - radius - 1) * step]!;
          n--;
        }
        to[l * stepLine + i * step] = sum / n;
      }
    }
  };
  pass(values, across, height, width, width, 1);
  const out = new Float32Array(values.length);
  pass(across, out, width, height, 1, width);
  return out;
}
