// The arm: closed-form joints, links that end where they should, actions that lead the tip from frame to frame, and pushes
// that move objects the way the tip goes.
import { describe, expect, it } from 'vitest';
import { buildScene, simulateClip } from '../scenarios/index.ts';
import { TABLE_TOP } from '../scenarios/robot.ts';
import type { Scene, Vec3 } from '../scene.ts';
import { orientationAt, positionAt } from '../trajectory.ts';
import { add, distance, rotate } from '../vector.ts';
import { ARM, armAt } from './arm.ts';

const end = (link: { pos: Vec3; quat: readonly [number, number, number, number] }, half: number): Vec3 =>
  add(link.pos, rotate(link.quat, [0, 0, half]));

const idOf = (scene: Scene, name: string): number => scene.bodies.find((body) => body.name === name)!.id;

describe('armAt', () => {
  it.each([
    [0.3, 0, 0.05],
    [0.5, 0.2, 0.06],
    [0.25, -0.28, 0.19],
  ] as Vec3[])('joins its links and ends at the tip (%f, %f, %f)', (...tip) => {
    const pose = armAt(tip);
    expect(distance(end(pose.upper, -ARM.upper / 2), [0, 0, ARM.shoulder])).toBeLessThan(1e-9);
    expect(distance(end(pose.upper, ARM.upper / 2), end(pose.fore, -ARM.fore / 2))).toBeLessThan(1e-9);
    expect(distance(end(pose.fore, ARM.fore / 2), end(pose.tool, -ARM.tool / 2))).toBeLessThan(1e-9);
    expect(distance(end(pose.tool, ARM.tool / 2), tip)).toBeLessThan(1e-9);
    // The tool points down, and the joint angles add up to that.
    const [, shoulder, elbow, wrist] = pose.joints;
    expect(shoulder + elbow + wrist).toBeCloseTo(-Math.PI / 2, 9);
  });

  it('says when it does not reach', () => {
    expect(() => armAt([0.9, 0, 0.05])).toThrow('the arm does not reach it');
  });
});

describe('robot_push', () => {
  it('records the actions that lead its tip from frame to frame, and follows them', async () => {
    const { scene, trajectory } = await simulateClip('robot_push', 4, { frames: 20 });
    const { actions, tip } = scene.robot!;
    const tool = idOf(scene, 'tool');
    for (let f = 0; f < 20; f++) {
      const down = rotate(orientationAt(trajectory, f, tool), [0, 0, ARM.tool / 2]);
      const place = add(positionAt(trajectory, f, tool), down);
      // The engine counts in single precision.
      expect(distance(place, add(tip[f] as unknown as Vec3, [0, 0, TABLE_TOP]))).toBeLessThan(1e-5);
      if (f < 19) for (let i = 0; i < 3; i++) expect(tip[f]![i]! + actions[f]![i]!).toBeCloseTo(tip[f + 1]![i]!, 9);
      expect(actions[f]!.slice(3)).toEqual([0, 0, 0, 0]);
    }
  });

  it('moves what it pushes, and leaves in place what it does not touch', async () => {
    let pushed = 0;
    for (let seed = 0; seed < 6; seed++) {
      const { scene, trajectory } = await simulateClip('robot_push', seed, { frames: 33 });
      const tool = idOf(scene, 'tool');
      for (const body of scene.bodies.filter((one) => one.kind === 'dynamic')) {
        const moved = distance(positionAt(trajectory, 32, body.id), body.pos);
        const isTouched = trajectory.contacts!.some(
          (c) => (c.a === body.id && c.b !== idOf(scene, 'table')) || (c.b === body.id && c.a !== idOf(scene, 'table')),
        );
        if (moved > 0.02) pushed++;
        if (!isTouched) expect(moved).toBeLessThan(0.005);
      }
      expect(scene.bodies.find((one) => one.id === tool)!.path!.poses).toHaveLength(33);
    }
    expect(pushed).toBeGreaterThan(2);
  });

  it('draws other actions for other seeds', () => {
    const actions = Array.from({ length: 20 }, (_, seed) =>
      JSON.stringify(buildScene('robot_push', seed).robot!.actions),
    );
    expect(new Set(actions).size).toBe(20);
  });
});
