// The probe on drawn pictures: what it learns from labelled frames it reads back from others.
import { expect, it } from 'vitest';
import type { Frames } from '../../media/index.ts';
import { agreement, type LabelledFrame, learnProbe, readClip, readFrame, type SeenThing } from './probe.ts';

const SIDE = 96;
const SIZE = { height: SIDE, width: SIDE };
const COLOURS: Readonly<Record<string, readonly number[]>> = { red: [200, 40, 30], blue: [40, 70, 200] };

type Drawn = SeenThing & { readonly x: number; readonly y: number; readonly r: number };

function draw(things: readonly Drawn[]): LabelledFrame {
  const rgb = new Uint8Array(SIDE * SIDE * 3);
  const instance = new Uint16Array(SIDE * SIDE).fill(1);
  for (let p = 0; p < SIDE * SIDE; p++) {
    const [x, y] = [p % SIDE, Math.floor(p / SIDE)];
    const k = things.findIndex((t) =>
      t.shape === 'ball'
        ? Math.hypot(x - t.x, y - t.y) <= t.r
        : Math.abs(x - t.x) <= 0.85 * t.r && Math.abs(y - t.y) <= 0.85 * t.r,
    );
    if (k >= 0) instance[p] = k + 2;
    rgb.set(k < 0 ? [120, 118, 112 + (x % 7)] : COLOURS[things[k]!.color]!, 3 * p);
  }
  return { rgb, instance, things: new Map(things.map((t, i) => [i + 2, t])), size: SIZE };
}

const ball = (color: string, x: number, y: number, r = 12): Drawn => ({ color, shape: 'ball', x, y, r });
const box = (color: string, x: number, y: number, r = 12): Drawn => ({ color, shape: 'box', x, y, r });
const PROBE = learnProbe([
  draw([ball('red', 25, 30), box('blue', 65, 60)]),
  draw([box('red', 30, 60, 14), ball('blue', 70, 40, 10)]),
  draw([ball('red', 40, 40, 15), box('blue', 75, 75, 11)]),
  draw([box('red', 20, 70, 10), ball('blue', 60, 25, 14)]),
]);

it('reads colours and shapes of separate things', () => {
  const seen = readFrame(
    PROBE,
    draw([ball('red', 60, 30, 13), box('red', 25, 70, 13), ball('blue', 70, 72)]).rgb,
    SIZE,
  );
  expect(seen.map((t) => `${t.color} ${t.shape}`).sort()).toEqual(['blue ball', 'red ball', 'red box']);
  expect(readFrame(PROBE, draw([]).rgb, SIZE)).toEqual([]);
});

it('tells whether a clip moves and which attributes agree', () => {
  const clipOf = (step: number): Frames => ({
    dtype: 'u8',
    shape: [9, SIDE, SIDE, 3],
    data: Uint8Array.from(Array.from({ length: 9 }, (_, t) => [...draw([ball('red', 25 + step * t, 40)]).rgb]).flat()),
  });
  const still = readClip(PROBE, clipOf(0));
  expect(still).toEqual({ things: [{ color: 'red', shape: 'ball' }], isMoving: false });
  expect(readClip(PROBE, clipOf(3)).isMoving).toBe(true);
  const wanted = { things: [{ color: 'red', shape: 'box' }], isMoving: false };
  expect(agreement(still, wanted)).toEqual({ count: 1, color: 1, shape: 0, motion: 1, all: 0 });
});
