// Counts coloured objects in a picture without knowing where they are: pixels take the nearest of colours learnt from simulated
// frames, connected pixels of one colour make an object. It scores text to world, where there is no true picture to compare.
import { clustersOf, colourAxes } from '../motion/index.ts';
import type { Clips } from './clips.ts';

/** Colours of objects and of all else, as cluster centres in `colourAxes`. */
export type ColorTable = {
  readonly centres: Float32Array;
  /** Name per centre; empty for the background. */
  readonly names: readonly string[];
};

/** How many objects of each colour there are. */
export type ColorCounts = Readonly<Record<string, number>>;

/** Smallest object, in pixels of a 128×128 picture. */
const MIN_AREA = 160;

const nameOf = (color: unknown): string =>
  Array.isArray(color) ? color.map((v) => v.toFixed(2)).join('/') : `${color}`;

/** Colours of the moving objects of a clip, by name. */
export function expectedCounts(clips: Clips, clip: number): ColorCounts {
  const counts: Record<string, number> = {};
  for (const o of clips.meta[clip]!.objects ?? [])
    if (o.dynamic) counts[nameOf(o.color)] = (counts[nameOf(o.color)] ?? 0) + 1;
  return counts;
}

/** Learns the colours from the first frames of up to `count` clips with instance maps. */
export function learnColors(clips: Clips, count: number): ColorTable {
  const pixels = clips.height * clips.width;
  const points = new Map<string, [number, number, number][]>([['', []]]);
  for (let i = 0; i < Math.min(count, clips.count); i++) {
    const instance = clips.instanceView(i)?.slice(0, pixels);
    if (instance === undefined) continue;
    const rgb = clips.clipView(i);
    const nameById = new Map(
      (clips.meta[i]!.objects ?? []).filter((o) => o.dynamic).map((o) => [o.id, nameOf(o.color)]),
    );
    for (let p = 0; p < pixels; p += 3) {
      const name = nameById.get(instance[p]!) ?? '';
      // The background is most of every picture: a tenth of it is enough.
      if (name === '' && p % 30 !== 0) continue;
      const list = points.get(name) ?? [];
      if (list.length === 0) points.set(name, list);
      list.push(colourAxes(rgb[p * 3]!, rgb[p * 3 + 1]!, rgb[p * 3 + 2]!));
    }
  }
  const centres: number[] = [];
  const names: string[] = [];
  for (const [name, list] of points) {
    if (list.length === 0) continue;
    for (const centre of clustersOf(list, name === '' ? 64 : 10, 16)) {
      centres.push(...centre);
      names.push(name);
    }
  }
  return { centres: Float32Array.from(centres), names };
}

/** Objects by colour in the first frame of a clip: uint8 [H, W, 3]. */
export function countObjects(
  frame: Uint8Array,
  size: { readonly height: number; readonly width: number },
  { centres, names }: ColorTable,
): ColorCounts {
  const { height, width } = size;
  const label = new Int16Array(height * width);
  for (let i = 0; i < label.length; i++) {
    const [l, u, v] = colourAxes(frame[i * 3]!, frame[i * 3 + 1]!, frame[i * 3 + 2]!);
    let least = Number.POSITIVE_INFINITY;
    let best = 0;
    for (let c = 0; c < names.length; c++) {
      const d = (l - centres[c * 3]!) ** 2 + (u - centres[c * 3 + 1]!) ** 2 + (v - centres[c * 3 + 2]!) ** 2;
      if (d < least) {
        least = d;
        best = c;
      }
    }
    label[i] = names[best] === '' ? -1 : names.indexOf(names[best]!);
  }
  const counts: Record<string, number> = {};
  const minArea = (MIN_AREA * height * width) / (128 * 128);
  const stack: number[] = [];
  for (let i = 0; i < label.length; i++) {
    const mine = label[i]!;
    if (mine < 0) continue;
    let area = 0;
    // The haze at the horizon looks like a pale object: it lies flat along the upper border.
    let atTop = 0;
    const box = { left: width, right: 0, top: height, bottom: 0 };
    stack.push(i);
    label[i] = -1;
    while (stack.length > 0) {
      const p = stack.pop()!;
      area++;
      const x = p % width;
      const y = Math.floor(p / width);
      if (y === 0) atTop++;
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x);
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y);
      for (const q of [x > 0 ? p - 1 : -1, x < width - 1 ? p + 1 : -1, p - width, p + width]) {
        if (q >= 0 && q < label.length && label[q] === mine) {
          label[q] = -1;
          stack.push(q);
        }
      }
    }
    const filled = area / ((box.right - box.left + 1) * (box.bottom - box.top + 1));
    const isObject = area >= minArea && filled >= 0.5 && atTop < 0.6 * (box.right - box.left + 1);
    if (isObject) counts[names[mine]!] = (counts[names[mine]!] ?? 0) + 1;
  }
  return counts;
}

/** Whether two counts agree in every colour. */
export function sameCounts(a: ColorCounts, b: ColorCounts): boolean {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((k) => (a[k] ?? 0) === (b[k] ?? 0));
}
