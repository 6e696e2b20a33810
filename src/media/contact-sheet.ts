// One picture that shows many frames: rows of frames with labels, for reports and run folders.
import { InputError } from '../base/index.ts';
import { MAX_SIDE } from './geometry.ts';
import { drawText, textHeight, textWidth } from './glyphs.ts';
import type { Frames } from './types.ts';
import { encodeImage, resizeFrames } from './write-image.ts';

/** One row of a sheet. */
export type SheetRow = {
  /** Text above the row; ASCII. */
  readonly label?: string;
  /** Frames `[T, H, W, 3]`; at most `columns` of them are shown, evenly spread from first to last. */
  readonly frames: Frames;
};

/** Options of `contactSheet`. */
export type SheetOptions = {
  /** Most frames per row. Default 8. */
  readonly columns?: number;
  /** Width of one frame in pixels. Default 160; rows keep their own aspect ratio. */
  readonly cellWidth?: number;
  /** Pixels between cells and around the sheet. Default 4. */
  readonly gap?: number;
  /** Size of label pixels. Default 2 (letters 14 pixels high). */
  readonly textScale?: number;
};

const BACKGROUND = 24;
const INK = [235, 235, 235] as const;

/** Draws rows of frames with labels and returns a PNG file in memory. */
export async function contactSheet(rows: readonly SheetRow[], options: SheetOptions = {}): Promise<Uint8Array> {
  const { columns = 8, cellWidth = 160, gap = 4, textScale = 2 } = options;
  for (const [name, value] of Object.entries({ columns, cellWidth, textScale }))
    if (!Number.isInteger(value) || value < 1)
      throw new InputError(name, { got: value, need: 'a whole number, 1 or more' });
  if (rows.length === 0) throw new InputError('rows', { got: 'no rows', need: 'at least one row of frames' });
  const cells = await Promise.all(rows.map((row) => resizeFrames(spread(row.frames, columns), { width: cellWidth })));
  const labelHeights = rows.map((row) =>
    row.label === undefined || row.label === '' ? 0 : textHeight(textScale) + gap,
  );
  const mostCells = Math.max(...cells.map((cell) => cell.shape[0]));
  const widestLabel = Math.max(...rows.map((row) => textWidth(row.label ?? '', textScale)));
  const framesWidth = mostCells * (cellWidth + gap) - gap;
  // Labels may widen a sheet of few frames, but never beyond twice its frames.
  const width = 2 * gap + Math.max(framesWidth, Math.min(widestLabel, 2 * framesWidth));
  const height = gap + cells.reduce((sum, cell, i) => sum + labelHeights[i]! + cell.shape[1] + gap, 0);
  if (width > MAX_SIDE || height > MAX_SIDE)
    throw new InputError('rows', {
      got: `a sheet of ${width}x${height} pixels`,
      need: `at most ${MAX_SIDE}x${MAX_SIDE}`,
      why: 'use fewer rows, fewer columns or a smaller cellWidth',
    });

  const canvas = { data: new Uint8Array(width * height * 3).fill(BACKGROUND), width, height };
  let y = gap;
  cells.forEach((cell, i) => {
    const [count, cellHeight] = cell.shape;
    if (labelHeights[i]! > 0) drawText(canvas, rows[i]!.label!, gap, y, textScale, INK);
    y += labelHeights[i]!;
    for (let k = 0; k < count; k++) {
      for (let row = 0; row < cellHeight; row++) {
        const from = (k * cellHeight + row) * cellWidth * 3;
        canvas.data.set(
          cell.data.subarray(from, from + cellWidth * 3),
          ((y + row) * width + gap + k * (cellWidth + gap)) * 3,
        );
      }
    }
    y += cellHeight + gap;
  });
  return encodeImage({ dtype: 'u8', shape: [1, height, width, 3], data: canvas.data });
}

/** At most `count` frames, evenly spread, first and last included. */
function spread(frames: Frames, count: number): Frames {
  const [total, height, width] = frames.shape;
  if (total === 0) throw new InputError('frames', { got: 'no frames', need: 'at least one frame in every row' });
  const n = Math.min(total, count);
  const frameBytes = height * width * 3;
  const data = new Uint8Array(n * frameBytes);
  for (let i = 0; i < n; i++) {
    const from = n === 1 ? 0 : Math.round((i * (total - 1)) / (n - 1));
    data.set(frames.data.subarray(from * frameBytes, (from + 1) * frameBytes), i * frameBytes);
  }
  return { dtype: 'u8', shape: [n, height, width, 3], data };
}
