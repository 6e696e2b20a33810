// Sanity of clips: sound ones pass, and each kind of damage is named.
import { describe, expect, it } from 'vitest';
import { clipProblems, energyAt, lowestPoint } from './sanity.ts';
import { SCENARIOS, simulateClip } from './scenarios/index.ts';

describe('clipProblems', () => {
  it.each(SCENARIOS)('finds none in %s', async (name) => {
    const { scene, trajectory } = await simulateClip(name, 8, { frames: 36 });
    expect(clipProblems(scene, trajectory)).toEqual([]);
  });

  it('names a body that sinks, a broken rotation and energy from nowhere', async () => {
    const { scene, trajectory } = await simulateClip('table_collision', 8);
    const damaged = (index: number, value: number) => {
      const poses = trajectory.poses.slice();
      poses[(3 * trajectory.bodies + 1) * 7 + index] = value;
      return { ...trajectory, poses };
    };
    expect(clipProblems(scene, damaged(2, 0))[0]).toMatch(/ball_0 sinks \d+\.\d mm into the floor/);
    expect(clipProblems(scene, damaged(3, 2))[0]).toMatch(/ball_0 has no valid pose at frame 3/);
    const velocities = trajectory.velocities!.slice();
    velocities[(20 * trajectory.bodies + 1) * 6] = 9;
    expect(clipProblems(scene, { ...trajectory, velocities })[0]).toMatch(/energy grows by/);
  });

  it('measures energy and extent by hand-derivable numbers', async () => {
    const { scene, trajectory } = await simulateClip('table_freefall', 8);
    const first = scene.bodies.filter((body) => body.kind === 'dynamic');
    // Before release nothing spins: m·g·h, plus ½mv² of a side throw.
    const expected = first.reduce((sum, b) => sum + b.mass * (9.81 * b.pos[2] + 0.5 * b.linvel[0] ** 2), 0);
    expect(energyAt(scene, trajectory, 0)).toBeCloseTo(expected, 3);
    const box = { ...first[0]!, parts: [{ ...first[0]!.parts[0]!, shape: 'box' as const, size: [1, 2, 3] }] };
    // Turned by 45° about y: (1 + 3)/√2 below the centre.
    expect(lowestPoint(box, [0, 0, 5], [Math.cos(Math.PI / 8), 0, Math.sin(Math.PI / 8), 0])).toBeCloseTo(
      5 - 4 * Math.SQRT1_2,
      9,
    );
  });
});
