// Scenarios: the same seed gives the same scene, other seeds others; what must stand stands, what must fall falls; table
// clips stay in view and move after the given frames.
import { describe, expect, it } from 'vitest';
import { simulate } from '../physics.ts';
import type { Scene, Trajectory } from '../scene.ts';
import { positionAt } from '../trajectory.ts';
import { distance } from '../vector.ts';
import { insideShare, motionProblem, movingShare, projectBall } from './accept.ts';
import { buildScene, SCENARIOS, type ScenarioName, simulateClip } from './index.ts';
import { mustFall } from './stacks.ts';

const moving = (scene: Scene): Scene['bodies'] => scene.bodies.filter((body) => body.kind === 'dynamic');

/** Largest distance of a body from its start over the clip, m. */
function largestMove(scene: Scene, trajectory: Trajectory): number {
  let largest = 0;
  for (const body of moving(scene)) {
    for (let frame = 0; frame < trajectory.frames; frame++) {
      largest = Math.max(largest, distance(positionAt(trajectory, frame, body.id), body.pos));
    }
  }
  return largest;
}

describe('buildScene', () => {
  it.each(SCENARIOS)('%s: ids in order, the floor first, the same seed gives the same scene', (name) => {
    const scene = buildScene(name, 11);
    expect(scene.bodies.map((body) => body.id)).toEqual(scene.bodies.map((_, i) => i + 1));
    expect(scene.bodies[0]!.class).toBe('floor');
    expect(new Set(scene.bodies.map((body) => body.name)).size).toBe(scene.bodies.length);
    for (const body of scene.bodies) {
      for (const part of body.parts) expect(scene.materials[part.material]).toBeDefined();
    }
    expect(buildScene(name, 11)).toEqual(scene);
    // A rejected draw is named by its attempt, so the scene can be built again directly.
    expect(buildScene(name, 11, { attempt: scene.attempt ?? 0 })).toEqual(scene);
  });

  it('draws different floors, lights and objects for different seeds', () => {
    for (const name of ['table', 'freefall', 'domino'] as const) {
      const looks = Array.from({ length: 50 }, (_, seed) => {
        const { bodies, materials, light } = buildScene(name, seed);
        return JSON.stringify([materials, light.sunDir, bodies.map((body) => body.pos)]);
      });
      expect(new Set(looks).size).toBe(50);
    }
  });

  it('draws floors and objects apart', () => {
    const pairs = Array.from({ length: 60 }, (_, seed) => {
      const scene = buildScene('collision', seed);
      return `${scene.bodies[0]!.parts[0]!.material} ${scene.bodies[1]!.parts[0]!.material}`;
    });
    expect(new Set(pairs).size).toBeGreaterThan(20);
  });

  it('has four static views in the benchmark, one moving view on request', () => {
    const cameras = buildScene('freefall', 3).cameras;
    expect(cameras.map((camera) => camera.worldToCamera.length)).toEqual([1, 1, 1, 1]);
    const [view] = buildScene('freefall', 3, { cameras: 'moving', frames: 20 }).cameras;
    expect(view!.worldToCamera.length).toBe(20);
    expect(view!.worldToCamera[0]).not.toEqual(view!.worldToCamera[19]);
  });

  it('names what is wrong with a request', () => {
    expect(() => buildScene('lava' as ScenarioName, 1)).toThrow('scenario: got "lava", need table');
    expect(() => buildScene('table', -1)).toThrow('seed: got -1');
    expect(() => buildScene('table', 1, { fps: 0 })).toThrow('fps: got 0');
  });
});

describe('simulated scenarios', () => {
  it.each(SCENARIOS.filter((name) => !name.startsWith('table')))('%s: nothing sinks or explodes', async (name) => {
    const scene = buildScene(name, 5, { frames: 48 });
    const trajectory = await simulate(scene);
    for (const body of moving(scene)) {
      for (let frame = 0; frame < trajectory.frames; frame++) {
        const pos = positionAt(trajectory, frame, body.id);
        expect(pos[2]).toBeGreaterThan(0);
        expect(Math.hypot(...pos)).toBeLessThan(20);
      }
    }
  });

  it('keeps stable stacks still: less than 5 mm in 4 s', async () => {
    for (let seed = 0; seed < 5; seed++) {
      const scene = buildScene('stable_stack', seed);
      expect(largestMove(scene, await simulate(scene))).toBeLessThan(0.005);
    }
  });

  it('lets unstable stacks fall: the top drops by more than half its height', async () => {
    for (let seed = 0; seed < 5; seed++) {
      const scene = buildScene('unstable_stack', seed);
      const top = scene.bodies.at(-1)!;
      const trajectory = await simulate(scene);
      expect(positionAt(trajectory, trajectory.frames - 1, top.id)[2]).toBeLessThan(top.pos[2] / 2);
    }
  });

  it('knows which stacks must fall', () => {
    const layer = (x: number) => ({ pos: [x, 0, 0], quat: [1, 0, 0, 0], half: [0.18, 0.18, 0.1], mass: 1 }) as const;
    // The mean of the upper two is 0.18 (within the edge) or 0.21 (past it) beyond the lowest.
    expect(mustFall([layer(0), layer(0.12), layer(0.24)])).toBe(false);
    expect(mustFall([layer(0), layer(0.14), layer(0.28)])).toBe(true);
  });
});

describe('table world', () => {
  it('stays in view and moves after the given frames', async () => {
    for (let seed = 0; seed < 8; seed++) {
      const { scene, trajectory } = await simulateClip('table', seed);
      expect([scene.frames, scene.fps, scene.cameras.length]).toEqual([33, 12, 1]);
      if (scene.scenario === 'table_still') expect(largestMove(scene, trajectory)).toBeLessThan(0.01);
      else expect(motionProblem(scene, trajectory)).toBeUndefined();
      const { width } = scene.cameras[0]!;
      for (const body of moving(scene)) {
        const radius = body.parts[0]!.size[0]!;
        const disc = projectBall(scene.cameras[0]!, 0, body.pos, radius);
        expect((disc.radius * 2 * 128) / width).toBeGreaterThan(20);
      }
    }
  });

  it('keeps its mixture: every kind comes up, still ones rarely', () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 300; seed++) {
      const { scenario } = buildScene('table', seed);
      counts.set(scenario, (counts.get(scenario) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual([
      'table_collision',
      'table_freefall',
      'table_ramp',
      'table_still',
      'table_trough',
    ]);
    expect(counts.get('table_collision')!).toBeGreaterThan(70);
    expect(counts.get('table_still')!).toBeLessThan(25);
  });

  it('measures views and motion', async () => {
    const { scene, trajectory } = await simulateClip('table_collision', 1);
    const camera = scene.cameras[0]!;
    const disc = { u: 0, v: camera.height / 2, radius: 10, depth: 1 };
    expect(insideShare(disc, camera)).toBeCloseTo(0.5, 1);
    expect(movingShare(scene, trajectory, 8)).toBeGreaterThan(0.01);
    expect(movingShare(scene, trajectory, trajectory.frames - 1)).toBe(0);
  });
});
