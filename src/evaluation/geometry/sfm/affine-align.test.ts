import { describe, expect, it } from 'vitest';
import { alignTemplate, type Plane, templateAt } from './affine-align.ts';

/** A smooth texture without period, looked at through x ↦ A x + t. */
function textured(a = 1, b = 0, c = 0, d = 1, x = 0, y = 0): Plane {
  const [width, height] = [96, 96];
  const data = new Float32Array(width * height);
  const det = a * d - b * c;
  for (let v = 0; v < height; v++) {
    for (let u = 0; u < width; u++) {
      const [du, dv] = [u - 48 - x, v - 48 - y];
      const [p, q] = [(d * du - b * dv) / det, (-c * du + a * dv) / det];
      data[v * width + u] =
        128 + 40 * Math.sin(0.31 * p + 0.7) * Math.cos(0.23 * q) + 30 * Math.sin(0.17 * p - 0.29 * q);
    }
  }
  return { data, width, height };
}

const UNCHANGED = { a: 1, b: 0, c: 0, d: 1 } as const;

describe('alignTemplate', () => {
  it('finds a patch that has moved, turned and been foreshortened', () => {
    const template = templateAt(textured(), 48, 48, 12)!;
    const [a, b, c, d] = [1.06, -0.09, 0.05, 0.9];
    const got = alignTemplate(template, textured(a, b, c, d, 1.3, -0.8), { ...UNCHANGED, x: 48, y: 48 })!;
    expect(got.alike).toBeGreaterThan(0.995);
    expect(got.placement.x).toBeCloseTo(49.3, 1);
    expect(got.placement.y).toBeCloseTo(47.2, 1);
    for (const [k, v] of Object.entries({ a, b, c, d })) expect(got.placement[k as 'a']).toBeCloseTo(v, 1);
  });

  it('has no template where one edge is all there is, and none at the border', () => {
    const edge = textured();
    for (let i = 0; i < edge.data.length; i++) edge.data[i] = i % 96 < 48 ? 0 : 200;
    expect(templateAt(edge, 48, 48, 12)).toBeUndefined();
    expect(templateAt(textured(), 5, 48, 12)).toBeUndefined();
  });

  it('says so when a patch leaves the picture', () => {
    const template = templateAt(textured(), 48, 48, 12)!;
    expect(alignTemplate(template, textured(), { ...UNCHANGED, x: 88, y: 48 })).toBeUndefined();
  });
});
