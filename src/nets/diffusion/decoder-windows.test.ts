// Windows of the diffusion decoder and the blending of what they decode to.
import { describe, expect, it } from 'vitest';
import { f32 } from '../../base/index.ts';
import { blendWindows, codeWindows } from './index.ts';

describe('codeWindows', () => {
  it('mirrors a short last window without repeating its edge', () => {
    expect(codeWindows(5).map((w) => w.frames.join(' '))).toEqual(['0 1 2 3 4 3 2 1']);
    expect(codeWindows(11).map((w) => [w.start, w.count])).toEqual([
      [0, 8],
      [6, 5],
    ]);
  });

  it('swings back and forth where one mirror is too short', () => {
    expect(codeWindows(2)[0]!.frames).toEqual([0, 1, 0, 1, 0, 1, 0, 1]);
    expect(codeWindows(1)[0]!.frames).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('covers every frame, with the overlap asked for', () => {
    for (const overlap of [0, 1, 2, 3]) {
      for (let total = 1; total < 40; total++) {
        const windows = codeWindows(total, { overlap });
        const last = windows[windows.length - 1]!;
        expect(last.start + last.count).toBe(total);
        for (const [i, w] of windows.entries()) expect(w.start).toBe(i * (8 - overlap));
      }
    }
  });

  it('refuses what it cannot cut', () => {
    expect(() => codeWindows(0)).toThrow(/latent frames: got 0/);
    expect(() => codeWindows(8, { overlap: 8 })).toThrow(/overlap: got 8/);
    expect(() => codeWindows(700)).toThrow(/at most 596, which make 99 windows/);
  });
});

describe('blendWindows', () => {
  const ramp = (value: number, frames: number) => f32([1, 1, frames, 1, 1], new Float32Array(frames).fill(value));

  it('mixes the whole overlap by default', () => {
    const { shape, data } = blendWindows([ramp(0, 5), ramp(1, 5)], 3);
    expect(shape).toEqual([1, 1, 7, 1, 1]);
    expect([...data]).toEqual([0, 0, 0.25, 0.5, 0.75, 1, 1]);
  });

  it('switches at once over two frames in the literal way', () => {
    expect([...blendWindows([ramp(0, 4), ramp(1, 4)], 2, 'literal').data]).toEqual([0, 0, 0, 1, 1, 1]);
  });

  it('leaves constant video alone, whatever the overlap', () => {
    for (const overlap of [0, 1, 2, 4]) {
      const { data } = blendWindows([ramp(2, 6), ramp(2, 6), ramp(2, 6)], overlap);
      expect(data.every((v) => v === 2)).toBe(true);
    }
  });

  it('names windows that do not fit', () => {
    expect(() => blendWindows([ramp(0, 4), f32([1, 2, 4, 1, 1])], 2)).toThrow(/window: got "f32 \[1,2,4,1,1\]/);
    expect(() => blendWindows([], 2)).toThrow(/windows/);
  });
});
