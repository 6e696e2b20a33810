// Relative poses and bundle adjustment on points whose truth is known.
import { expect, it } from 'vitest';
import { randomStream } from '../../../base/index.ts';
import { angleDegrees, mul3, transpose3 } from '../small.ts';
import { adjust, projected, rotationExp, type Scene3, type Sight, sightError } from './bundle.ts';
import { type RayPairs, relativePoses } from './five-point.ts';
import { structureFromMotion } from './structure.ts';

const ROTATION = rotationExp([0.05, -0.16, 0.02]);
const STEP = [0.6, -0.1, 0.25].map((v) => v / Math.hypot(0.6, -0.1, 0.25));

/** Rays of points in two views; every tenth match is wrong. @param depth depth of a point from two uniform numbers */
function pairsOf(count: number, depth: (x: number, y: number, u: number) => number): RayPairs {
  const random = randomStream(5, 'sfm test');
  const a: number[] = [];
  const b: number[] = [];
  for (let i = 0; i < count; i++) {
    const [x, y] = [random.uniform(-0.4, 0.4), random.uniform(-0.4, 0.4)];
    const z = depth(x, y, random.uniform());
    const p = [x * z, y * z, z];
    const [u, v, w] = [0, 1, 2].map(
      (k) => ROTATION[3 * k]! * p[0]! + ROTATION[3 * k + 1]! * p[1]! + ROTATION[3 * k + 2]! * p[2]! + STEP[k]!,
    ) as [number, number, number];
    a.push(x, y);
    if (i % 10 === 9) b.push(random.uniform(-0.4, 0.4), random.uniform(-0.4, 0.4));
    else b.push(u / w, v / w);
  }
  return { count, a: Float64Array.from(a), b: Float64Array.from(b) };
}

it.each([
  ['a room', (_x: number, _y: number, u: number) => 2 + 4 * u],
  ['a plane, where eight-point fails', (_x: number, y: number) => 3 / (1 + 0.8 * y)],
])('finds the relative pose in %s among wrong matches', (_, depth) => {
  const found = relativePoses(pairsOf(120, depth), { threshold: 1 / 500, iterations: 50 });
  const errors = found.map(({ rotation, translation }) => [
    angleDegrees(mul3(transpose3(rotation), ROTATION)),
    Math.hypot(...translation.map((v, k) => v - STEP[k]!)),
  ]);
  // A plane leaves two explanations: one of them is right.
  expect(errors.some(([r, t]) => r! < 0.01 && t! < 0.001)).toBe(true);
});

it('adjusts cameras, points and the focal length to the truth up to scale', () => {
  const random = randomStream(6, 'sfm test');
  const views = Array.from({ length: 6 }, (_, i) => ({
    rotation: rotationExp([0.02 * i, -0.05 * i, 0.01 * i]),
    translation: Float64Array.of(0.3 * i, 0.05 * i, 0.1 * i),
  }));
  const points = Float64Array.from({ length: 180 }, (_, i) =>
    i % 3 === 2 ? random.uniform(3, 7) : random.uniform(-1.5, 1.5),
  );
  const truth: Scene3 = { views, points, focal: 300, centre: [128, 128] };
  const sights: Sight[] = views.flatMap((view, v) =>
    Array.from({ length: 60 }, (_, point) => {
      const { x, y } = projected(truth, view, point);
      return { view: v, point, x, y };
    }),
  );
  const scene: Scene3 = {
    views: views.map(({ rotation, translation }, v) => ({
      rotation: v === 0 ? rotation : mul3(rotationExp([0.01, 0.008, -0.01]), rotation),
      translation: v === 0 ? translation : translation.map((t) => t + 0.03),
    })),
    points: points.map((p) => p * 1.03),
    focal: 270,
    centre: [128, 128],
  };
  adjust(scene, sights, { refinesFocal: true, iterations: 60 });
  expect(Math.max(...sights.map((s) => sightError(scene, s)))).toBeLessThan(0.01);
  expect(scene.focal).toBeCloseTo(300, 0);
  for (const [v, view] of scene.views.entries()) {
    expect(angleDegrees(mul3(transpose3(view.rotation), views[v]!.rotation))).toBeLessThan(0.02);
  }
});

it('says why a clip has no poses', async () => {
  const still = { dtype: 'u8', shape: [4, 64, 64, 3], data: new Uint8Array(4 * 64 * 64 * 3).fill(90) } as const;
  const got = await structureFromMotion(still);
  expect(got).toMatchObject({ isSuccess: false, registered: 0, why: 'only 0 points could be followed' });
  const short = await structureFromMotion({ ...still, shape: [2, 64, 64, 3] });
  expect(short.why).toBe('2 frames: three are needed');
});
