// Renderer speed: frames per second of table scenes at 128×128 with soft shadows and anti-aliasing, RGB only.

import { availableParallelism } from 'node:os';
import { openRenderPool, type SimulatedClip, simulateClip } from '../src/simulation/index.ts';

/** One figure with its bound. */
export type BenchResult = {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the figure is compared with. */
  readonly of: string;
  /** Smallest value that passes. */
  readonly floor: number;
  readonly ok: boolean;
};

const SCENARIOS = ['table_freefall', 'table_collision', 'table_ramp'] as const;

/** Measures one and two workers; the second figure's bound is the requirement of 100 frames/s. */
export async function benchRender(): Promise<BenchResult[]> {
  const clips: SimulatedClip[] = [];
  for (const [i, scenario] of SCENARIOS.entries()) {
    clips.push(await simulateClip(scenario, 1000 + i, { frames: 96, fps: 24, width: 128, height: 128 }));
  }
  const one = await framesPerSecond(clips, 1);
  const two = await framesPerSecond(clips, 2);
  const of = 'table scenes of 1–3 objects, 128×128, 96 frames, static camera';
  const scaling = two / one;
  // Two threads cannot be faster than one on a single core.
  const cores = availableParallelism();
  return [
    { name: 'render, one worker', value: one, unit: 'frames/s', of, floor: 50, ok: one >= 50 },
    { name: 'render, two workers', value: two, unit: 'frames/s', of, floor: 100, ok: two >= 100 || cores < 2 },
    {
      name: 'render, two workers against one',
      value: scaling,
      unit: '×',
      of: 'one worker in the same run',
      floor: 1.6,
      ok: scaling >= 1.6 || cores < 2,
    },
  ];
}

/** Best of three rounds over all clips, after one round to warm up. */
async function framesPerSecond(clips: readonly SimulatedClip[], workers: number): Promise<number> {
  await using pool = openRenderPool({ workers });
  let best = 0;
  for (let round = 0; round < 4; round++) {
    const from = performance.now();
    let frames = 0;
    for (const { scene, trajectory } of clips) frames += (await pool.render(scene, trajectory)).frames;
    if (round > 0) best = Math.max(best, (frames * 1000) / (performance.now() - from));
  }
  return best;
}
