// Spans by hand: the published rules in frames.
import { describe, expect, it } from 'vitest';
import { openCutter, type SplitPlan } from './cutter.ts';
import { fixedClipId, pythonFloat, uuid5 } from './ids.ts';

const SHOTS: SplitPlan = { by: 'shots', minSeconds: 2, maxSeconds: 10, cropSeconds: 0.5, longShots: 'stride' };

function spans(plan: SplitPlan, fps: number, frames: number, cuts: readonly (readonly [number, number])[] = []) {
  const cutter = openCutter(plan, fps);
  for (const [start, end] of cuts) cutter.transition({ start, end, kind: start === end ? 'cut' : 'gradual', score: 1 });
  cutter.end(frames);
  const found = new Map<string, [number, number]>();
  for (let f = 0; f < frames; f++)
    for (const { key, startFrame } of cutter.spansOf(f, f / fps))
      found.set(key, [found.get(key)?.[0] ?? startFrame, f + 1]);
  return [...found.values()].filter(([a, b]) => cutter.isKept(b - a, (b - a) / fps));
}

describe('shots', () => {
  it('become clips cropped at both ends; the last frame is not lost', () => {
    expect(spans(SHOTS, 24, 240, [[100, 100]])).toEqual([
      [12, 88],
      [112, 228],
    ]);
  });
  it('leave out the frames of gradual transitions', () => {
    expect(spans(SHOTS, 24, 240, [[100, 120]])).toEqual([
      [12, 88],
      [133, 228],
    ]);
  });
  it('longer than the limit are cut, and short rests dropped', () => {
    expect(spans(SHOTS, 24, 24 * 21)).toEqual([
      [12, 228],
      [252, 468],
    ]);
    expect(spans({ ...SHOTS, longShots: 'truncate' }, 24, 24 * 21)).toEqual([[12, 228]]);
  });
  it('shorter than the limit are dropped', () => {
    expect(spans(SHOTS, 24, 100, [[50, 50]])).toEqual([]);
  });
  it('wait for the end of a pending fade', () => {
    const cutter = openCutter(SHOTS, 24);
    cutter.transition({ start: 100, end: 110, kind: 'gradual', score: 1, isPending: true });
    expect(cutter.spansOf(115, 0)).toEqual([]);
    cutter.transition({ start: 100, end: 130, kind: 'gradual', score: 1 });
    expect(cutter.spansOf(120, 0)).toEqual([]);
    cutter.end(400);
    expect(cutter.spansOf(150, 0)).toEqual([{ key: '143', startFrame: 143 }]);
  });
});

describe('fixed stride', () => {
  const FIXED: SplitPlan = { by: 'fixed', lengthSeconds: 10, strideSeconds: 10, minSeconds: 2 };
  it('cuts from zero and drops a short rest', () => {
    expect(spans(FIXED, 10, 215)).toEqual([
      [0, 100],
      [100, 200],
    ]);
    expect(spans(FIXED, 10, 225).length).toBe(3);
  });
  it('may overlap', () => {
    expect(spans({ ...FIXED, lengthSeconds: 4, strideSeconds: 2 }, 10, 80)).toEqual([
      [0, 40],
      [20, 60],
      [40, 80],
      [60, 80],
    ]);
  });
});

describe('ids', () => {
  it('are UUIDs of version 5', () => {
    // RFC 9562, appendix A.4 uses the DNS space; this value is Python's uuid5(NAMESPACE_URL, 'http://python.org/').
    expect(uuid5('http://python.org/')).toBe('4c565f0d-3f5a-5890-b41b-20cf47701c5e');
  });
  it('print numbers as Python does', () => {
    expect([pythonFloat(0), pythonFloat(10), pythonFloat(2.5)]).toEqual(['0.0', '10.0', '2.5']);
    expect(fixedClipId('a', 0, 10)).toBe(uuid5('a_0.0_10.0'));
  });
});
