// Physics of scenes: exact pair values, holds, joints, determinism over processes.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bareScene, FLOOR, solid } from './check/setting.ts';
import { openPhysics, simulate, stepFor } from './physics.ts';
import { buildScene } from './scenarios/index.ts';
import type { Scene, Vec3 } from './scene.ts';
import { contactsBetween, positionAt, stateBytes, trajectoryHash } from './trajectory.ts';

const ball = (name: string, pos: Vec3, holdSeconds = 0): Parameters<typeof bareScene>[0]['bodies'][number] => ({
  name,
  class: 'ball',
  pos,
  mass: 1,
  holdSeconds,
  parts: [solid('sphere', [0.1])],
});

function clip(bodies: Parameters<typeof bareScene>[0]['bodies'], rest: Partial<Scene> = {}): Scene {
  return { ...bareScene({ dt: 1 / 960, gravity: 9.81, bodies }), fps: 24, frames: 24, ...rest };
}

describe('simulate', () => {
  it('lets each pair act with its own restitution', async () => {
    const scene = clip([FLOOR, ball('dull', [0, 0, 0.6]), ball('lively', [1, 0, 0.6])], {
      frames: 20,
      pairs: [
        { a: '*', b: '*', friction: 0.5, restitution: 0.5 },
        { a: 'dull', b: 'floor', friction: 0.5, restitution: 0 },
        { a: 'lively', b: 'floor', friction: 0.5, restitution: 0.9 },
      ],
    });
    const trajectory = await simulate(scene);
    // The drop of 0.5 m takes 0.32 s; the lively ball is at its apex 0.81·0.5 m after a further 0.29 s (frame 14.6).
    const top = Math.max(...[13, 14, 15, 16].map((f) => positionAt(trajectory, f, 3)[2] - 0.1));
    expect(top).toBeGreaterThan(0.39);
    expect(top).toBeLessThan(0.41);
    expect(positionAt(trajectory, 14, 2)[2]).toBeCloseTo(0.1, 3);
    expect(contactsBetween(trajectory, 1, 3)[0]!.time).toBeCloseTo(Math.sqrt(1 / 9.81), 2);
    // m·v·(1 + e) of the first hit.
    expect(contactsBetween(trajectory, 1, 3)[0]!.impulse).toBeCloseTo(3.13 * 1.9, 0);
  });

  it('holds a body still until its release', async () => {
    const trajectory = await simulate(clip([FLOOR, ball('ball', [0, 0, 5], 0.5)]));
    expect(positionAt(trajectory, 12, 2)).toEqual([0, 0, 5]);
    // 11 frames after the release at 0.5 s: g·t²/2 of 0.4583 s.
    expect(positionAt(trajectory, 23, 2)[2]).toBeCloseTo(5 - 0.5 * 9.81 * (11 / 24) ** 2, 2);
  });

  it('gives the same bytes twice and in another process', async () => {
    const scene = buildScene('table_collision', 7);
    const first = await trajectoryHash(await simulate(scene));
    expect(await trajectoryHash(await simulate(buildScene('table_collision', 7)))).toBe(first);
    const entry = fileURLToPath(new URL('../../dist/src/simulation/index.js', import.meta.url));
    const script = `import('${entry}').then(async (s) =>
      console.log(await s.trajectoryHash(await s.simulate(s.buildScene('table_collision', 7)))))`;
    expect(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }).trim()).toBe(first);
    expect(await trajectoryHash(await simulate(buildScene('table_collision', 8)))).not.toBe(first);
  });

  it('refuses a step that does not divide a frame', async () => {
    await expect(simulate(clip([FLOOR], { dt: 0.003 }))).rejects.toThrow('scene.dt: got 0.003');
  });

  it('stops when asked', async () => {
    await expect(simulate(clip([FLOOR]), { signal: AbortSignal.abort() })).rejects.toThrow('canceled');
  });
});

describe('openPhysics', () => {
  it('swings a colliding bob on a hinge with the engine, within 1 % of the closed period', async () => {
    const bob = { ...ball('bob', [0, 0, 0]), pos: [Math.sin(0.1), 0, -Math.cos(0.1)] as Vec3 };
    const scene = clip([bob], {
      joints: [{ type: 'spherical', a: 0, b: 1, anchorA: [0, 0, 0], anchorB: [0, 0, 1], axis: [0, 1, 0] }],
    });
    // The anchor turns with the body: start it upright beside the bottom would break the joint, so turn the body too.
    const turned = {
      ...scene,
      bodies: scene.bodies.map((b) => ({ ...b, quat: [Math.cos(0.05), 0, -Math.sin(0.05), 0] as const })),
    };
    using physics = await openPhysics(turned);
    const times: number[] = [];
    let before = 1;
    while (times.length < 3 && physics.time < 5) {
      physics.step();
      const x = physics.state(1).pos[0];
      if (Math.sign(x) !== Math.sign(before)) times.push(physics.time);
      before = x;
    }
    // Physical pendulum: I = m·L² + 2/5·m·r².
    const period = 2 * Math.PI * Math.sqrt((1 + 0.4 * 0.01) / 9.81) * (1 + 0.1 ** 2 / 16);
    expect(times[2]! - times[0]!).toBeCloseTo(period, 2);
  });
});

describe('bytes', () => {
  it('stores 13 float32 per body and frame', async () => {
    const trajectory = await simulate(clip([FLOOR, ball('ball', [1, 2, 3])], { frames: 2 }));
    const bytes = stateBytes(trajectory);
    expect(bytes.length).toBe(2 * 2 * 13 * 4);
    expect(Array.from(new Float32Array(bytes.buffer, 13 * 4, 7))).toEqual([1, 2, 3, 1, 0, 0, 0]);
  });

  it('divides frames into whole steps', () => {
    expect(stepFor(12)).toBeCloseTo(1 / 960, 12);
    expect(stepFor(25)).toBeCloseTo(1 / 975, 12);
  });
});
