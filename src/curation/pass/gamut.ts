// Colours that no picture can have. Y'CbCr holds far more values than there are RGB colours; pictures and their averages stay
// inside, while damaged data, decoded without any complaint (HEVC has no checksums), leave: blocks that were never written
// are all zero, and broken residuals run away. So a share of impossible colours tells damage that no decoder tells.

/** Grid that pictures are averaged to before the check: mixing legal colours gives legal colours. */
const GAMUT_GRID = { width: 64, height: 48 } as const;

/** FFmpeg filter line to that grid: uint8 planes Y, Cb, Cr of limited range. */
export const GAMUT_LINE = `scale=w=${GAMUT_GRID.width}:h=${GAMUT_GRID.height}:flags=area,format=pix_fmts=yuv444p`;

/** Share of a picture above which it counts as damaged. Sound video of any kind gave 0, damaged intra pictures 0.07 to 0.6. */
export const MAX_IMPOSSIBLE = 0.01;

/** How far outside 0…255 a colour must lie: ringing and wrong range flags stay below. */
const MARGIN = 30;

/** BT.601 and BT.709: a colour is impossible only when it is in both, because many files name no matrix or a wrong one. */
const MATRICES = [
  { rv: 1.596, gu: 0.392, gv: 0.813, bu: 2.017 },
  { rv: 1.793, gu: 0.213, gv: 0.533, bu: 2.112 },
] as const;

/**
 * Share of impossible colours.
 * @param planes uint8 [3, n]: Y, Cb, Cr of limited range
 */
export function impossibleShare(planes: Uint8Array): number {
  const n = Math.floor(planes.length / 3);
  let count = 0;
  for (let p = 0; p < n; p++) {
    const y = 1.164 * (planes[p]! - 16);
    const u = planes[n + p]! - 128;
    const v = planes[2 * n + p]! - 128;
    const isImpossible = MATRICES.every(({ rv, gu, gv, bu }) => {
      const r = y + rv * v;
      const g = y - gu * u - gv * v;
      const b = y + bu * u;
      return Math.min(r, g, b) < -MARGIN || Math.max(r, g, b) > 255 + MARGIN;
    });
    if (isImpossible) count++;
  }
  return n === 0 ? 0 : count / n;
}
