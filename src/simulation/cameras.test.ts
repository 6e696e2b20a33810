// Cameras: OpenCV axes, projection and placement by hand-derivable numbers.
import { describe, expect, it } from 'vitest';
import { eyeOf, lookAt, orbitCamera, project, toCamera } from './cameras.ts';
import { axisAngle, multiply, rotate } from './vector.ts';

describe('cameras', () => {
  const lens = { width: 200, height: 100, verticalFov: Math.PI / 2 };

  it('sees its target in the middle, right and down as in pictures', () => {
    // From −y looking along +y: world x is right, world z is up.
    const orbit = { target: [0, 0, 1], distance: 4, azimuth: -Math.PI / 2, elevation: 0 } as const;
    const camera = orbitCamera('view0', lens, [orbit]);
    expect(camera.fx).toBeCloseTo(50, 9);
    expect(project(camera, 0, [0, 0, 1])).toEqual({ u: 100, v: 50, depth: 4 });
    // One metre right and one up at 4 m: 50/4 pixels each.
    const { u, v } = project(camera, 0, [1, 0, 2]);
    expect(u).toBeCloseTo(112.5, 9);
    expect(v).toBeCloseTo(37.5, 9);
  });

  it('places the eye on its orbit', () => {
    const eye = eyeOf({ target: [1, 2, 3], distance: 2, azimuth: 0, elevation: Math.PI / 6 });
    expect(eye[0]).toBeCloseTo(1 + Math.sqrt(3), 9);
    expect(eye[1]).toBeCloseTo(2, 9);
    expect(eye[2]).toBeCloseTo(4, 9);
  });

  it('keeps +x right when it looks straight down', () => {
    const matrix = lookAt([0, 0, 2], [0, 0, 0]);
    const camera = { ...orbitCamera('top', lens, []), worldToCamera: [matrix] };
    expect(toCamera(camera, 0, [1, 0, 0])[0]).toBeCloseTo(1, 9);
    expect(toCamera(camera, 0, [0, 0, 0])[2]).toBeCloseTo(2, 9);
  });
});

describe('quaternions', () => {
  it('turn by the right hand', () => {
    const turned = rotate(axisAngle([0, 0, 1], Math.PI / 2), [1, 0, 0]);
    expect(turned[0]).toBeCloseTo(0, 12);
    expect(turned[1]).toBeCloseTo(1, 12);
  });

  it('multiply from right to left', () => {
    const a = axisAngle([0, 0, 1], 0.4);
    const b = axisAngle([1, 0, 0], -1.1);
    const both = rotate(multiply(a, b), [0.2, 0.5, -0.3]);
    const step = rotate(a, rotate(b, [0.2, 0.5, -0.3]));
    for (const i of [0, 1, 2]) expect(both[i]!).toBeCloseTo(step[i]!, 12);
  });
});
