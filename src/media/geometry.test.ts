import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { displaySize, filterLine, orientationOf, outputSize, placeInto } from './geometry.ts';

describe('orientationOf', () => {
  it('reads quarter turns and mirrors from the images of the axes', () => {
    // [a, b] is where the stored x axis points on screen (y down), [c, d] where the y axis points.
    expect(orientationOf([1, 0, 0, 1])).toEqual({ rotation: 0, isMirrored: false });
    expect(orientationOf([0, 1, -1, 0])).toEqual({ rotation: 90, isMirrored: false });
    expect(orientationOf([-65536, 0, 0, -65536])).toEqual({ rotation: 180, isMirrored: false });
    expect(orientationOf([0, -1, 1, 0])).toEqual({ rotation: 270, isMirrored: false });
    expect(orientationOf([-1, 0, 0, 1])).toEqual({ rotation: 0, isMirrored: true });
    expect(orientationOf([1, 0, 0, -1])).toEqual({ rotation: 180, isMirrored: true });
  });
});

describe('displaySize', () => {
  const picture = { codedWidth: 640, codedHeight: 360, isMirrored: false } as const;
  it('stretches the direction with the wide pixels and turns last', () => {
    expect(displaySize({ ...picture, sar: [2, 1], rotation: 0 })).toEqual({ width: 1280, height: 360 });
    expect(displaySize({ ...picture, sar: [1, 2], rotation: 0 })).toEqual({ width: 640, height: 720 });
    expect(displaySize({ ...picture, sar: [2, 1], rotation: 270 })).toEqual({ width: 360, height: 1280 });
  });
});

describe('placeInto', () => {
  it('covers, contains or distorts', () => {
    const from = { width: 200, height: 100 };
    const to = { width: 50, height: 50 };
    expect(placeInto(from, to, 'crop')).toEqual({ scaledWidth: 100, scaledHeight: 50, x: 25, y: 0 });
    expect(placeInto(from, to, 'pad')).toEqual({ scaledWidth: 50, scaledHeight: 25, x: 0, y: 12 });
    expect(placeInto(from, to, 'stretch')).toEqual({ scaledWidth: 50, scaledHeight: 50, x: 0, y: 0 });
  });

  it('never leaves the output or the source', () => {
    const side = fc.integer({ min: 1, max: 8192 });
    fc.assert(
      fc.property(side, side, side, side, fc.constantFrom('crop' as const, 'pad' as const), (a, b, c, d, fit) => {
        const place = placeInto({ width: a, height: b }, { width: c, height: d }, fit);
        const [big, small] = fit === 'crop' ? [place.scaledWidth, c] : [c, place.scaledWidth];
        const [tall, low] = fit === 'crop' ? [place.scaledHeight, d] : [d, place.scaledHeight];
        return big >= small + place.x && tall >= low + place.y && (big === small || tall === low);
      }),
    );
  });
});

describe('outputSize and filterLine', () => {
  it('follows the aspect ratio for a missing side', () => {
    expect(outputSize({ width: 1920, height: 1080 }, { width: 640 })).toEqual({ width: 640, height: 360 });
    expect(outputSize({ width: 1920, height: 1080 }, { height: 108 })).toEqual({ width: 192, height: 108 });
    expect(() => outputSize({ width: 2, height: 2 }, { width: 0 })).toThrow(
      /width: got 0, need a whole number of pixels/,
    );
    expect(() => outputSize({ width: 1, height: 8192 }, { width: 8192 })).toThrow(/height/);
  });

  it('swaps the scale for turned pictures and guesses the matrix of untagged video by its height', () => {
    const picture = { codedWidth: 100, codedHeight: 50, sar: [1, 1], rotation: 90, isMirrored: false } as const;
    const line = filterLine(
      { ...picture, pixelFormat: 'yuv420p', isMatrixKnown: false },
      { width: 50, height: 100 },
      'crop',
    );
    expect(line).toMatch(
      /^scale=w=100:h=50:flags=[a-z_+]+:in_color_matrix=bt601,format=pix_fmts=rgb24,transpose=dir=clock$/,
    );
    expect(
      filterLine(
        { ...picture, codedHeight: 720, pixelFormat: 'nv12', isMatrixKnown: false },
        { width: 8, height: 8 },
        'crop',
      ),
    ).toContain('in_color_matrix=bt709');
    expect(
      filterLine({ ...picture, pixelFormat: 'rgb24', isMatrixKnown: false }, { width: 50, height: 100 }, 'crop'),
    ).not.toContain('in_color_matrix');
  });
});
