import { describe, expect, it } from 'vitest';
import { lookAt, project } from '../cameras.ts';
import type { Scene, Trajectory } from '../scene.ts';
import { occlusionOf } from './channels.ts';
import { createRenderer, type RenderOptions } from './renderer.ts';
import { body, demoCamera, demoScene, material, part, sceneOf, stillTrajectory } from './test-scenes.ts';

type AllChannels = {
  rgb: Uint8Array;
  depth: Float32Array;
  instance: Uint16Array;
  normal: Float32Array;
  flow: Float32Array;
  nextDepth: Float32Array;
};

function channels(size: number): AllChannels {
  const pixels = size * size;
  return {
    rgb: new Uint8Array(pixels * 3),
    depth: new Float32Array(pixels),
    instance: new Uint16Array(pixels),
    normal: new Float32Array(pixels * 3),
    flow: new Float32Array(pixels * 2),
    nextDepth: new Float32Array(pixels),
  };
}

function renderAll(clip: { scene: Scene; trajectory: Trajectory }, options: RenderOptions = {}): AllChannels[] {
  const renderer = createRenderer(clip.scene, clip.trajectory, 0, options);
  return Array.from({ length: clip.trajectory.frames }, (_, t) => {
    const out = channels(renderer.width);
    renderer.render(t, out);
    return out;
  });
}

/** A unit-free plain material for scenes whose colours do not matter. */
const GREY = { grey: material([0.5, 0.5, 0.5], [0.5, 0.5, 0.5], 'flat', 1) };

describe('the cache of still parts', () => {
  it.each(['tiles', 'checker', 'wood', 'fbm', 'flat'] as const)(
    'gives the frames of a full render, %s floor',
    (texture) => {
      const clip = demoScene({ texture, frames: 5 });
      const cached = renderAll(clip);
      const full = renderAll(clip, { cache: false });
      for (let t = 0; t < cached.length; t++) {
        for (const name of ['rgb', 'depth', 'instance', 'normal', 'flow'] as const) {
          expect(Buffer.from(cached[t]![name].buffer).equals(Buffer.from(full[t]![name].buffer)), `${name} ${t}`).toBe(
            true,
          );
        }
      }
    },
  );

  it('gives the same frame whatever was rendered before', () => {
    const clip = demoScene({ frames: 6 });
    const inOrder = renderAll(clip);
    const renderer = createRenderer(clip.scene, clip.trajectory);
    for (const t of [4, 1, 5]) {
      const out = channels(renderer.width);
      renderer.render(t, out);
      expect(out.rgb).toEqual(inOrder[t]!.rgb);
    }
  });
});

describe('depth', () => {
  // The camera stands at (0, −4, 1) and looks along +y.
  const size = 96;
  const camera = demoCamera(size, [lookAt([0, -4, 1], [0, 0, 1])]);
  const bodies = [
    body(1, 'floor', 'static', [0, 0, 0], part('plane', [], 'grey')),
    body(2, 'ball', 'static', [0.3, 0.2, 1.1], part('sphere', [0.5], 'grey')),
  ];
  const scene = sceneOf(bodies, camera, 1, GREY);
  const [frame] = renderAll({ scene, trajectory: stillTrajectory(scene) });

  it('is the closed form on a plane and on a sphere', () => {
    let onPlane = 0;
    let onSphere = 0;
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const i = y * size + x;
        const u = (x + 0.5 - camera.cx) / camera.fx;
        const v = (y + 0.5 - camera.cy) / camera.fy;
        if (frame!.instance[i] === 1) {
          // Height 1 above the floor: depth · v = 1.
          expect(Math.abs(frame!.depth[i]! - 1 / v) * v).toBeLessThan(1e-4);
          onPlane++;
        } else if (frame!.instance[i] === 2) {
          // |t·(u, 1, −v) − (0.3, 4.2, 0.1)| = 0.5, the smaller root.
          const a = u * u + 1 + v * v;
          const b = 0.3 * u + 4.2 - 0.1 * v;
          const root = Math.sqrt(b * b - a * (0.09 + 17.64 + 0.01 - 0.25));
          expect(Math.abs(frame!.depth[i]! - (b - root) / a)).toBeLessThan(1e-4);
          onSphere++;
        } else expect(frame!.depth[i]).toBe(Number.POSITIVE_INFINITY);
      }
    }
    expect(onPlane).toBeGreaterThan(1000);
    expect(onSphere).toBeGreaterThan(200);
  });

  it('comes with unit normals that face the camera', () => {
    for (let i = 0; i < size * size; i++) {
      const [x, y, z] = [frame!.normal[i * 3]!, frame!.normal[i * 3 + 1]!, frame!.normal[i * 3 + 2]!];
      if (frame!.instance[i] === 0) expect([x, y, z]).toEqual([0, 0, 0]);
      else expect(Math.hypot(x, y, z)).toBeCloseTo(1, 5);
      if (frame!.instance[i] === 1) expect(z).toBeCloseTo(1, 6);
    }
  });
});

it('covers the area of the projected ellipse with a sphere', () => {
  const size = 512;
  const camera = demoCamera(size, [lookAt([0, -4, 0.4], [0, 0, 0.4])]);
  const [x, z, r] = [0.7, 1.0, 0.5];
  const scene = sceneOf([body(1, 'ball', 'static', [x, 0, z], part('sphere', [r], 'grey'))], camera, 1, GREY);
  const out = channels(size);
  createRenderer(scene, stillTrajectory(scene), 0, { antialias: false }).render(0, out);
  const area = out.instance.reduce((n, id) => n + (id === 1 ? 1 : 0), 0);
  // A cone around the unit vector c with half angle a meets the plane z = 1 in an ellipse of area
  // π sin²a cos a / (c_z² − sin²a)^{3/2}; here sin a = r/d and c_z = 4/d.
  const d = Math.hypot(x, 4, z - 0.4);
  const sin2 = (r / d) ** 2;
  const ellipse = (Math.PI * sin2 * Math.sqrt(1 - sin2)) / ((4 / d) ** 2 - sin2) ** 1.5;
  expect(area / (ellipse * camera.fx ** 2)).toBeCloseTo(1, 2);
});

it('shows a projected point within a hundredth of a pixel', () => {
  // A tiny ball's outline is found by bisection over the ball's place: it must switch pixels where projection says.
  const size = 64;
  const camera = { ...demoCamera(size, [lookAt([1.5, -2, 1.2], [0, 0, 0.3])]), fx: 80, fy: 90, cx: 30.3, cy: 33.7 };
  const border = 40;
  const at = (x: number): Scene =>
    sceneOf([body(1, 'ball', 'static', [x, 0.1, 0.4], part('sphere', [1e-3], 'grey'))], camera, 1, GREY);
  // The depth of the pixel centre's ray at a known surface point, projected back, must return the centre itself.
  const scene = demoScene({ size }).scene;
  const view = { ...scene, cameras: [camera] };
  const trajectory = stillTrajectory(view);
  const out = channels(size);
  createRenderer(view, trajectory).render(0, out);
  const m = camera.worldToCamera[0]!;
  for (let i = 0; i < size * size; i += 7) {
    if (out.instance[i] === 0) continue;
    const [px, py] = [(i % size) + 0.5, Math.floor(i / size) + 0.5];
    const t = out.depth[i]!;
    const c = [((px - camera.cx) / camera.fx) * t - m[3]!, ((py - camera.cy) / camera.fy) * t - m[7]!, t - m[11]!];
    const world = [0, 1, 2].map((k) => m[k]! * c[0]! + m[4 + k]! * c[1]! + m[8 + k]! * c[2]!) as [
      number,
      number,
      number,
    ];
    const seen = project(camera, 0, world);
    expect(Math.hypot(seen.u - px, seen.v - py)).toBeLessThan(0.01);
    // And it lies on the body that the instance map names.
    if (out.instance[i] === 1) expect(Math.abs(world[2])).toBeLessThan(1e-5);
    if (out.instance[i] === 2) expect(Math.hypot(world[0] + 0.9, world[1] + 0.1, world[2] - 0.2)).toBeCloseTo(0.2, 5);
  }
  // Independently of depth: a ball of 1 mm covers the pixel whose centre its projection comes nearest to.
  const { u, v } = project(camera, 0, [0.2, 0.1, 0.4]);
  const shifted = { ...camera, cx: camera.cx + border + 0.5 - u, cy: camera.cy + border + 0.5 - v };
  const spot = { ...at(0.2), cameras: [shifted] };
  createRenderer(spot, stillTrajectory(spot)).render(0, out);
  expect(out.instance[border * size + border]).toBe(1);
  expect(out.instance.reduce((n, id) => n + id, 0)).toBe(1);
});

describe('flow', () => {
  it.each([0, 0.25])('carries each pixel to the same surface in the next frame (camera orbit %s rad)', (orbit) => {
    const size = 128;
    const clip = demoScene({ size, frames: 4, orbit, texture: 'flat' });
    // Fixed light and no shadows on what moves: only borders may differ.
    const frames = renderAll(clip);
    let compared = 0;
    let wrongId = 0;
    let error = 0;
    for (let t = 0; t + 1 < frames.length; t++) {
      const now = frames[t]!;
      const next = frames[t + 1]!;
      const occluded = occlusionOf(size, size, now, next);
      for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
          const i = y * size + x;
          const u = x + now.flow[i * 2]!;
          const v = y + now.flow[i * 2 + 1]!;
          const [ux, vy] = [Math.floor(u), Math.floor(v)];
          if (occluded[i] === 1 || ux < 0 || vy < 0 || ux + 1 >= size || vy + 1 >= size) continue;
          const corners = [vy * size + ux, vy * size + ux + 1, (vy + 1) * size + ux, (vy + 1) * size + ux + 1];
          // Within a pixel of an edge the samples mix two surfaces.
          if (corners.some((j) => next.instance[j] !== now.instance[i])) {
            wrongId++;
            continue;
          }
          compared++;
          const weights = [
            (1 - u + ux) * (1 - v + vy),
            (u - ux) * (1 - v + vy),
            (1 - u + ux) * (v - vy),
            (u - ux) * (v - vy),
          ];
          for (let k = 0; k < 3; k++) {
            const warped = corners.reduce((sum, j, n) => sum + weights[n]! * next.rgb[j * 3 + k]!, 0);
            error += Math.abs(warped - now.rgb[i * 3 + k]!) / 3;
          }
        }
      }
    }
    expect(compared).toBeGreaterThan(35_000);
    expect(wrongId / compared).toBeLessThan(0.04);
    expect(error / compared).toBeLessThan(3);
  });

  it('is zero where nothing moves and in the last frame', () => {
    const clip = demoScene({ frames: 2 });
    const [first, last] = renderAll(clip);
    expect(last!.flow.every((f) => f === 0)).toBe(true);
    first!.instance.forEach((id, i) => {
      if (id === 1 || id === 0 || id === 5) expect(first!.flow[i * 2]).toBe(0);
    });
    expect(first!.flow.some((f) => f !== 0)).toBe(true);
  });
});

describe('light', () => {
  const size = 64;
  const camera = demoCamera(size, [lookAt([0, -0.01, 6], [0, 0, 0])]);
  const shade = (parts: ReturnType<typeof body>[]): Uint8Array => {
    const scene = sceneOf(
      [body(1, 'floor', 'static', [0, 0, 0], part('plane', [], 'grey')), ...parts],
      camera,
      1,
      GREY,
    );
    const out = channels(size);
    createRenderer(scene, stillTrajectory(scene)).render(0, out);
    return out.rgb;
  };
  const brightness = (rgb: Uint8Array, x: number, y: number): number => rgb[(y * size + x) * 3 + 1]!;

  it('puts a shadow on the side away from the sun, darker than the floor but not black', () => {
    const rgb = shade([body(2, 'ball', 'static', [0, 0, 1], part('sphere', [0.4], 'grey'))]);
    // The sun direction is (0.42, −0.55, 0.72): the shadow's centre lies at −(0.42, −0.55)/0.72 on the floor.
    const { u, v } = project(camera, 0, [-0.42 / 0.72, 0.55 / 0.72, 0]);
    const lit = brightness(rgb, 60, 60);
    const dark = brightness(rgb, Math.floor(u), Math.floor(v));
    expect(dark).toBeLessThan(0.75 * lit);
    expect(dark).toBeGreaterThan(30);
  });

  it('spheres cast the same shadow in closed form as capsules of no length do by rays', () => {
    const ball = shade([body(2, 'ball', 'static', [0, 0, 1], part('sphere', [0.4], 'grey'))]);
    const capsule = shade([body(2, 'capsule', 'static', [0, 0, 1], part('capsule', [0.4, 0], 'grey'))]);
    let sum = 0;
    let worst = 0;
    ball.forEach((value, i) => {
      const d = Math.abs(value - capsule[i]!);
      sum += d;
      worst = Math.max(worst, d);
    });
    expect(sum / ball.length).toBeLessThan(0.5);
    expect(worst).toBeLessThan(30);
  });
});
