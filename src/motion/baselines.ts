// What a model must beat: the last given frame held, and every moving thing going on with the velocity it had.
import { InputError } from '../base/index.ts';
import type { Frames } from '../media/index.ts';
import { denseFlow, type PlaneSize, sampleAt } from './flow.ts';
import { lowerMedian } from './median.ts';
import { movingThings } from './moving-things.ts';

/** A predictor without learning: the given frames in, `total` frames out, the given ones first and unchanged. */
export type Baseline = (frames: Frames, given: number, total: number) => Promise<Frames>;

/** Holds the last given frame. */
export const repeatLastFrame: Baseline = async (frames, given, total) => {
  const { out, each } = begin(frames, given, total);
  const last = out.data.slice((given - 1) * each, given * each);
  for (let f = given; f < total; f++) out.data.set(last, f * each);
  return out;
};

/** Motion below this many pixels per frame is noise of the flow. */
const STILL = 0.3;

/**
 * Constant velocity: dense flow between the last two given frames; the background goes on with one affine motion (none for a
 * static camera), every region that moves against it with its own median velocity. What a thing uncovers is shown as earlier
 * given frames had it, and where none had it, filled in from around. With one given frame velocities are unknown: it is held.
 */
export const constantVelocity: Baseline = async (frames, given, total) => {
  if (given < 2) return repeatLastFrame(frames, given, total);
  const { out, each, size } = begin(frames, given, total);
  const frame = (f: number): Uint8Array => out.data.subarray(f * each, (f + 1) * each);
  const last = frame(given - 1);
  // From the last frame back, so that motion is known at the pixels that will move.
  const back = await denseFlow(last, frame(given - 2), size);
  const flow = back.map((v) => -v);
  const camera = backgroundMotion(flow, size);
  const isStatic = camera.every((v, i) => Math.abs(v * (i % 3 === 2 ? 1 : size.width)) < STILL);
  const still = isStatic ? new Float64Array(6) : camera;
  const residual = flow.map((v, i) => {
    const p = i >> 1;
    return (
      v -
      motionAt(still, (p % size.width) - size.width / 2, Math.floor(p / size.width) - size.height / 2, (i & 1) as 0 | 1)
    );
  });
  // A moving camera shows other places at a pixel: earlier frames tell nothing there.
  const earlier = isStatic ? Array.from({ length: given - 1 }, (_, f) => frame(f)) : [];
  const { things, plate } = movingThings({ last, previous: frame(given - 2), earlier, flow, residual, size });
  for (let f = given; f < total; f++) {
    const steps = f - given + 1;
    const target = frame(f);
    target.set(isStatic ? plate : moveBackground(plate, camera, steps, size));
    for (const { mask, velocity } of things)
      paint(target, last, mask, [velocity[0] * steps, velocity[1] * steps], size);
  }
  return out;
};

function begin(frames: Frames, given: number, total: number): { out: Frames; each: number; size: PlaneSize } {
  const [count, height, width] = frames.shape;
  if (!Number.isInteger(given) || given < 1 || given > count) {
    throw new InputError('given', { got: given, need: `a whole number from 1 to the ${count} frames there are` });
  }
  if (!Number.isInteger(total) || total < given) {
    throw new InputError('total', { got: total, need: `a whole number, at least the ${given} given frames` });
  }
  const each = height * width * 3;
  const data = new Uint8Array(total * each);
  data.set(frames.data.subarray(0, given * each));
  return { out: { dtype: 'u8', shape: [total, height, width, 3], data }, each, size: { height, width } };
}

/** Affine motion of most of the picture: u = a x + b y + c, v = d x + e y + f about the centre, by reweighted least squares. */
function backgroundMotion(flow: Float32Array, { height, width }: PlaneSize): Float64Array {
  const step = Math.max(1, Math.floor(Math.sqrt((height * width) / 4000)));
  const points: number[] = [];
  for (let y = 0; y < height; y += step) for (let x = 0; x < width; x += step) points.push(y * width + x);
  // Start from the medians: least squares alone would follow large objects.
  let model = Float64Array.of(
    0,
    0,
    lowerMedian(points.map((p) => flow[2 * p]!)),
    0,
    0,
    lowerMedian(points.map((p) => flow[2 * p + 1]!)),
  );
  for (let round = 0; round < 6; round++) {
    // Normal equations of [x y 1] with weights that fall with the residual.
    const m = new Float64Array(6);
    const rhs = new Float64Array(6);
    for (const p of points) {
      const x = (p % width) - width / 2;
      const y = Math.floor(p / width) - height / 2;
      const [u, v] = [flow[2 * p]!, flow[2 * p + 1]!];
      const r = Math.hypot(u - motionAt(model, x, y, 0), v - motionAt(model, x, y, 1));
      const w = 1 / (1 + (r / 0.25) ** 4);
      m[0]! += w * x * x;
      m[1]! += w * x * y;
      m[2]! += w * x;
      m[3]! += w * y * y;
      m[4]! += w * y;
      m[5]! += w;
      for (const [k, value] of [u, v].entries()) {
        rhs[3 * k]! += w * x * value;
        rhs[3 * k + 1]! += w * y * value;
        rhs[3 * k + 2]! += w * value;
      }
    }
    const solved = [0, 3].map((at) => solveSymmetric(m, rhs.subarray(at, at + 3)));
    model = Float64Array.from(solved.flat());
  }
  return model;
}

const motionAt = (model: Float64Array, x: number, y: number, axis: 0 | 1): number =>
  model[3 * axis]! * x + model[3 * axis + 1]! * y + model[3 * axis + 2]!;

/** Solves a symmetric 3×3 system given as xx xy x1 yy y1 11, with a little ridge for pictures without any texture. */
function solveSymmetric(m: Float64Array, b: Float64Array): number[] {
  const [a, h, g, c, f, d] = [m[0]! + 1e-6, m[1]!, m[2]!, m[3]! + 1e-6, m[4]!, m[5]! + 1e-6];
  const det = a * (c * d - f * f) - h * (h * d - f * g) + g * (h * f - c * g);
  if (Math.abs(det) < 1e-12) return [0, 0, 0];
  const [p, q, r] = [b[0]!, b[1]!, b[2]!];
  return [
    (p * (c * d - f * f) - h * (q * d - f * r) + g * (q * f - c * r)) / det,
    (a * (q * d - f * r) - p * (h * d - f * g) + g * (h * r - q * g)) / det,
    (a * (c * r - q * f) - h * (h * r - q * g) + p * (h * f - c * g)) / det,
  ];
}

/** The plate moved `steps` times by an affine motion: each pixel looks back along it. */
function moveBackground(plate: Uint8Array, camera: Float64Array, steps: number, size: PlaneSize): Uint8Array {
  const { height, width } = size;
  const out = new Uint8Array(plate.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let u = x - width / 2;
      let v = y - height / 2;
      for (let k = 0; k < steps; k++) [u, v] = [u - motionAt(camera, u, v, 0), v - motionAt(camera, u, v, 1)];
      const at = 3 * (y * width + x);
      for (let c = 0; c < 3; c++) out[at + c] = Math.round(sampleAt(plate, size, 3, u + width / 2, v + height / 2, c));
    }
  }
  return out;
}

/** Draws the masked pixels of `source` shifted by (dx, dy), mixed at the edge. */
function paint(
  target: Uint8Array,
  source: Uint8Array,
  mask: Uint8Array,
  [dx, dy]: readonly [number, number],
  size: PlaneSize,
): void {
  const { height, width } = size;
  for (let y = 0; y < height; y++) {
    const v = y - dy;
    if (v < -1 || v > height) continue;
    for (let x = 0; x < width; x++) {
      const u = x - dx;
      if (u < 0 || u > width - 1 || v < 0 || v > height - 1) continue;
      const alpha = sampleAt(mask, size, 1, u, v, 0);
      if (alpha <= 0) continue;
      const at = 3 * (y * width + x);
      for (let c = 0; c < 3; c++) {
        target[at + c] = Math.round(alpha * sampleAt(source, size, 3, u, v, c) + (1 - alpha) * target[at + c]!);
      }
    }
  }
}
