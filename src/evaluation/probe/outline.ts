// A region's outline in a few numbers that do not depend on size and place: enough to tell balls, boxes and cylinders apart.
import type { PlaneSize } from '../../motion/index.ts';

export const OUTLINE_NUMBERS = 6;

/** How full its box is, width over height, roundness twice, and how wide its top and bottom are. */
export function outlineOf(pixels: Int32Array, { width }: PlaneSize): number[] {
  const rows = new Map<number, { left: number; right: number }>();
  let [sx, sy] = [0, 0];
  for (const p of pixels) {
    const [x, y] = [p % width, Math.floor(p / width)];
    sx += x;
    sy += y;
    const row = rows.get(y);
    if (row === undefined) rows.set(y, { left: x, right: x });
    else {
      row.left = Math.min(row.left, x);
      row.right = Math.max(row.right, x);
    }
  }
  const [cx, cy] = [sx / pixels.length, sy / pixels.length];
  const left = Math.min(...[...rows.values()].map((r) => r.left));
  const right = Math.max(...[...rows.values()].map((r) => r.right));
  const [top, bottom] = [Math.min(...rows.keys()), Math.max(...rows.keys())];
  const [w, h] = [right - left + 1, bottom - top + 1];
  // Farthest and nearest point of the outline from the middle.
  const reach: number[] = [];
  for (const [y, r] of rows) for (const x of [r.left - 0.5, r.right + 0.5]) reach.push(Math.hypot(x - cx, y - cy));
  const far = Math.max(...reach);
  const spread = Math.sqrt(
    reach.reduce((s, d) => s + d * d, 0) / reach.length - (reach.reduce((s, d) => s + d, 0) / reach.length) ** 2,
  );
  const widthAt = (share: number): number => {
    const row = rows.get(Math.round(top + share * (h - 1)));
    return row === undefined ? 0 : (row.right - row.left + 1) / w;
  };
  return [
    pixels.length / (w * h),
    w / h,
    pixels.length / (Math.PI * far * far),
    spread / far,
    widthAt(0.08),
    widthAt(0.92),
  ];
}
