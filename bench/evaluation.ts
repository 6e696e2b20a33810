// Evaluation figures: speed of the picture metrics, and how good the measuring instruments themselves are on true video.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomStream } from '../src/base/index.ts';
import { stillClip } from '../src/evaluation/benchmarks/still-scenes.ts';
import { poseErrors } from '../src/evaluation/geometry/measure.ts';
import {
  meanSquaredError,
  physicsBenchmark,
  ssimUniform,
  structureFromMotion,
  temporalSampson,
} from '../src/evaluation/index.ts';
import { openRenderPool, type RenderPool } from '../src/simulation/index.ts';
import { type Figure, figure } from './measure.ts';

const TRACKER_ROW = 'tracker IoU on ground-truth video';

/** @param only text that the name of a figure must hold */
export async function benchEvaluation(only = ''): Promise<Figure[]> {
  const out: Figure[] = [];
  const wants = (name: string): boolean => name.includes(only);
  if (wants('PSNR and SSIM, 256×256')) out.push(pictureMetrics());
  await using pool = openRenderPool();
  if (wants(TRACKER_ROW)) out.push(await trackerQuality());
  if (wants('Sampson error of ground-truth clips')) out.push(await sampsonFloor(pool));
  if (wants('cameras recovered within 1° of the truth')) out.push(...(await poseRecovery(pool)));
  return out;
}

/** Frames per second of processor time of this thread, so that other work on the machine does not count. */
function pictureMetrics(): Figure {
  const random = randomStream(1, 'bench evaluation');
  const picture = (): Uint8Array => Uint8Array.from({ length: 256 * 256 * 3 }, () => random.integer(0, 255));
  const [a, b] = [picture(), picture()];
  const once = (): number => meanSquaredError(a, b) + ssimUniform(a, b, { height: 256, width: 256, channels: 3 });
  for (let i = 0; i < 20; i++) once();
  const rounds = 100;
  const from = process.cpuUsage();
  for (let i = 0; i < rounds; i++) once();
  const { user, system } = process.cpuUsage(from);
  return figure({
    name: 'PSNR and SSIM, 256×256',
    value: rounds / ((user + system) / 1e6),
    unit: 'frames/s',
    of: 'one core, processor time; PSNR and the uniform 7×7 colour SSIM of each frame',
    floor: 200,
  });
}

/** The clips of `orrery evaluate physics --model none --quick`, and its own figure. */
async function trackerQuality(): Promise<Figure> {
  const out = mkdtempSync(join(tmpdir(), 'orrery-bench-'));
  try {
    for await (const event of physicsBenchmark({ model: 'none', out, quick: true })) {
      if (event.type !== 'completed') continue;
      const fact = event.results.facts?.find((f) => f.name === TRACKER_ROW);
      const clips = event.results.rows.filter((r) => r.system === 'truth' && typeof r.values.iou === 'number').length;
      return figure({
        name: TRACKER_ROW,
        value: Number(fact?.value ?? 0),
        unit: '',
        of: `mean over the ${clips} quick clips of the physics benchmark with objects, 24 frames after 9 given, 128×128`,
        floor: 0.9,
      });
    }
    throw new Error('the benchmark ended without results');
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** Clips of still scenes for the two rows of geometry: half as many frames as the benchmark over the same way. */
const STILL = { width: 256, height: 256, fps: 12, frames: 13 } as const;

/** Twenty scenes that were looked at while the cameras were worked on, twenty that were not. */
const POSE_SEEDS = [61, 201].flatMap((first) => Array.from({ length: 20 }, (_, i) => first + i));

async function sampsonFloor(pool: RenderPool): Promise<Figure> {
  const errors: number[] = [];
  for (const seed of [51, 52, 53, 54]) {
    const { frames } = await stillClip(seed, pool, STILL);
    const { mean, pairs } = await temporalSampson(frames);
    if (pairs > 0) errors.push(mean);
  }
  return figure({
    name: 'Sampson error of ground-truth clips',
    value: errors.length === 0 ? Number.POSITIVE_INFINITY : errors.reduce((s, v) => s + v, 0) / errors.length,
    unit: 'px at 960×540',
    of: `${errors.length} still scenes, moving camera, 256×256; all matches counted`,
    floor: 0.5,
    isCeiling: true,
  });
}

async function poseRecovery(pool: RenderPool): Promise<Figure[]> {
  const rotations: number[] = [];
  for (const seed of POSE_SEEDS) {
    const clip = await stillClip(seed, pool, STILL);
    const { isSuccess, poses } = await structureFromMotion(clip.frames, { focal: clip.focal });
    if (isSuccess) rotations.push(poseErrors(clip.poses, poses).rotationDegrees);
  }
  const good = rotations.filter((r) => r <= 1);
  return [
    figure({
      name: 'cameras recovered within 1° of the truth',
      value: good.length / POSE_SEEDS.length,
      unit: 'share',
      of: `${POSE_SEEDS.length} still scenes, moving camera, 256×256, 13 frames, known focal length`,
      floor: 0.95,
    }),
    figure({
      name: 'rotation error of recovered cameras',
      value: rotations.length === 0 ? 180 : rotations.reduce((s, v) => s + v, 0) / rotations.length,
      unit: '°',
      of: `mean over the ${rotations.length} clips with cameras; angle between tracks seen from their first camera`,
      floor: 1,
      isCeiling: true,
    }),
  ];
}
