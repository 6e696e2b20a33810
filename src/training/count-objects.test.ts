// Counting coloured discs on a grey floor with colours given by hand.
import { expect, it } from 'vitest';
import { colourAxes } from '../motion/index.ts';
import { type ColorTable, countObjects, sameCounts } from './count-objects.ts';

const SIZE = { height: 64, width: 64 };
const COLORS = { red: [200, 40, 40], blue: [40, 60, 200], '': [120, 120, 120] } as const;

const table: ColorTable = {
  centres: Float32Array.from(Object.values(COLORS).flatMap(([r, g, b]) => colourAxes(r, g, b))),
  names: Object.keys(COLORS),
};

function picture(discs: readonly { name: 'red' | 'blue'; x: number; y: number; radius: number }[]): Uint8Array {
  const out = new Uint8Array(64 * 64 * 3).fill(120);
  for (const { name, x, y, radius } of discs) {
    for (let v = 0; v < 64; v++) {
      for (let u = 0; u < 64; u++) if (Math.hypot(u - x, v - y) <= radius) out.set(COLORS[name], (v * 64 + u) * 3);
    }
  }
  return out;
}

it('counts discs by colour and ignores specks', () => {
  const discs = [
    { name: 'red', x: 12, y: 30, radius: 7 },
    { name: 'red', x: 50, y: 30, radius: 7 },
    { name: 'blue', x: 30, y: 50, radius: 8 },
    { name: 'blue', x: 55, y: 55, radius: 1 },
  ] as const;
  expect(countObjects(picture(discs), SIZE, table)).toEqual({ red: 2, blue: 1 });
});

it('does not take a band along the upper border for an object', () => {
  const frame = new Uint8Array(64 * 64 * 3).fill(120);
  for (let i = 0; i < 64 * 8; i++) frame.set(COLORS.blue, i * 3);
  expect(countObjects(frame, SIZE, table)).toEqual({});
});

it('compares counts colour by colour', () => {
  expect(sameCounts({ red: 1 }, { red: 1, blue: 0 })).toBe(true);
  expect(sameCounts({ red: 1 }, { red: 1, blue: 1 })).toBe(false);
});
