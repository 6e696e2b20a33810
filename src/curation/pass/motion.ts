// Motion of one frame on a grid of 8x8 pixels: from the decoder's motion vectors, or by block matching where the codec
// exports none. And what a clip's fields say together.

/** Motion of a frame. Lengths are shares of (width + height), as in the published filter. */
export type MotionField = {
  readonly columns: number;
  readonly rows: number;
  /** Flow to the right and down per cell. */
  readonly x: Float32Array;
  readonly y: Float32Array;
};

/** Side of a cell in pixels: every block that H.264 exports is a multiple of it. */
const CELL = 8;
const RECORD = 40;

/**
 * Paints FFmpeg's motion vectors (AVMotionVector records of 40 bytes). Flow = −motion/scale; later records overwrite earlier
 * ones; blocks other than 8x8, 8x16, 16x8 and 16x16 are left out; cells without a vector have no motion.
 */
export function fieldOfVectors(records: Uint8Array, width: number, height: number): MotionField {
  const columns = Math.max(1, Math.ceil(width / CELL));
  const rows = Math.max(1, Math.ceil(height / CELL));
  const x = new Float32Array(columns * rows);
  const y = new Float32Array(columns * rows);
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  for (let at = 0; at + RECORD <= records.byteLength; at += RECORD) {
    const [w, h] = [view.getUint8(at + 4), view.getUint8(at + 5)];
    if ((w !== 8 && w !== 16) || (h !== 8 && h !== 16)) continue;
    const [dstX, dstY] = [view.getInt16(at + 10, true), view.getInt16(at + 12, true)];
    const scale = view.getUint16(at + 32, true) || 1;
    // A reference in the future tells the same motion with the other sign.
    const sign = view.getInt32(at, true) > 0 ? 1 : -1;
    const flowX = (sign * view.getInt32(at + 24, true)) / scale / (width + height);
    const flowY = (sign * view.getInt32(at + 28, true)) / scale / (width + height);
    const [c0, r0] = [Math.max(0, (dstX - w / 2) >> 3), Math.max(0, (dstY - h / 2) >> 3)];
    for (let r = r0; r < Math.min(rows, r0 + h / 8); r++)
      for (let c = c0; c < Math.min(columns, c0 + w / 8); c++) {
        x[r * columns + c] = flowX;
        y[r * columns + c] = flowY;
      }
  }
  return { columns, rows, x, y };
}

const BLOCK = 8;
const REACH = 7;

/**
 * Block matching between two luma pictures [H, W] of a quarter of the video's size or less: blocks of 8x8, full search of
 * ±7 pixels, with a small preference for no motion so that flat blocks stay still.
 */
export function fieldOfMatching(before: Uint8Array, now: Uint8Array, width: number, height: number): MotionField {
  const columns = Math.max(1, Math.floor(width / BLOCK));
  const rows = Math.max(1, Math.floor(height / BLOCK));
  const x = new Float32Array(columns * rows);
  const y = new Float32Array(columns * rows);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const [px, py] = [c * BLOCK, r * BLOCK];
      const cost = (dx: number, dy: number, limit: number): number => {
        let sum = 0;
        for (let j = 0; j < BLOCK; j++) {
          const a = (py + j) * width + px;
          const b = (py + j - dy) * width + px - dx;
          for (let i = 0; i < BLOCK; i++) sum += Math.abs(now[a + i]! - before[b + i]!);
          if (sum >= limit) return sum;
        }
        return sum;
      };
      let best = cost(0, 0, Number.POSITIVE_INFINITY) - 64;
      let [bx, by] = [0, 0];
      if (best > 0)
        for (let dy = -REACH; dy <= REACH; dy++)
          for (let dx = -REACH; dx <= REACH; dx++) {
            if (px - dx < 0 || py - dy < 0 || px - dx + BLOCK > width || py - dy + BLOCK > height) continue;
            const value = cost(dx, dy, best);
            if (value < best) {
              best = value;
              [bx, by] = [dx, dy];
            }
          }
      x[r * columns + c] = bx / (width + height);
      y[r * columns + c] = by / (width + height);
    }
  return { columns, rows, x, y };
}

/** What the fields of a clip say. */
export type MotionFacts = {
  /** Frames with motion data. */
  readonly samples: number;
  /** Mean length over all cells and frames. */
  readonly globalMean: number;
  /** Smallest time-averaged length at the centres of 256-pixel patches (mean of the four cells around each). */
  readonly perPatchMin256: number;
  /** Camera: mean flow, shares of (width + height) per frame; zoom > 0 moves in. */
  readonly camera: { readonly x: number; readonly y: number; readonly zoom: number; readonly jitter: number };
  /** Share of cells that move against the camera. */
  readonly movingShare: number;
  /** Separate regions of such cells, in the middle sample. */
  readonly movingRegions: number;
};

/** Sums up the fields of a clip. `cellPixels` is the side of a cell in pixels of the video. */
export function motionFacts(fields: readonly MotionField[], cellPixels: number): MotionFacts | undefined {
  const first = fields[0];
  if (first === undefined) return undefined;
  const { columns, rows } = first;
  const same = fields.filter((f) => f.columns === columns && f.rows === rows);
  const cells = columns * rows;
  const average = new Float64Array(cells);
  const cameras: { x: number; y: number; zoom: number }[] = [];
  let moving = 0;
  let regions = 0;
  same.forEach((field, index) => {
    const camera = cameraOf(field);
    cameras.push(camera);
    const mask = new Uint8Array(cells);
    for (let i = 0; i < cells; i++) {
      average[i]! += Math.hypot(field.x[i]!, field.y[i]!) / same.length;
      const [u, v] = placeOf(i, columns, rows);
      const dx = field.x[i]! - camera.x - camera.zoom * u;
      const dy = field.y[i]! - camera.y - camera.zoom * v;
      if (Math.hypot(dx, dy) > 0.002) mask[i] = 1;
    }
    moving += mask.reduce((a, b) => a + b, 0) / cells / same.length;
    if (index === same.length >> 1) regions = countRegions(mask, columns, rows);
  });
  const globalMean = average.reduce((a, b) => a + b, 0) / cells;
  const step = 256 / cellPixels;
  let patchMin = Number.POSITIVE_INFINITY;
  const patches = (n: number): number => Math.max(1, Math.round(n / step));
  for (let j = 0; j < patches(rows); j++)
    for (let i = 0; i < patches(columns); i++) {
      const [cx, cy] = [(i + 0.5) * step, (j + 0.5) * step];
      let sum = 0;
      for (const [ox, oy] of [
        [-0.5, -0.5],
        [0.5, -0.5],
        [-0.5, 0.5],
        [0.5, 0.5],
      ] as const) {
        const c = Math.max(0, Math.min(columns - 1, Math.floor(cx + ox)));
        const r = Math.max(0, Math.min(rows - 1, Math.floor(cy + oy)));
        sum += average[r * columns + c]!;
      }
      patchMin = Math.min(patchMin, sum / 4);
    }
  const mean = (pick: (c: { x: number; y: number; zoom: number }) => number): number =>
    cameras.reduce((a, c) => a + pick(c), 0) / cameras.length;
  const [mx, my] = [mean((c) => c.x), mean((c) => c.y)];
  return {
    samples: same.length,
    globalMean,
    perPatchMin256: patchMin,
    camera: {
      x: mx,
      y: my,
      zoom: mean((c) => c.zoom),
      jitter: Math.sqrt(mean((c) => (c.x - mx) ** 2 + (c.y - my) ** 2)),
    },
    movingShare: moving,
    movingRegions: regions,
  };
}

/** Place of a cell relative to the centre, −0.5…0.5 of the width. */
function placeOf(i: number, columns: number, rows: number): [number, number] {
  return [((i % columns) + 0.5) / columns - 0.5, ((Math.floor(i / columns) + 0.5) / rows - 0.5) * (rows / columns)];
}

/** Flow of the camera: medians, so that objects do not pull; zoom by least squares on the rest. */
function cameraOf(field: MotionField): { x: number; y: number; zoom: number } {
  const { columns, rows } = field;
  const median = (values: Float32Array): number => values.slice().sort()[values.length >> 1]!;
  const [x, y] = [median(field.x), median(field.y)];
  let top = 0;
  let bottom = 1e-9;
  for (let i = 0; i < columns * rows; i++) {
    const [u, v] = placeOf(i, columns, rows);
    const limit = 0.02;
    top +=
      u * Math.max(-limit, Math.min(limit, field.x[i]! - x)) + v * Math.max(-limit, Math.min(limit, field.y[i]! - y));
    bottom += u * u + v * v;
  }
  return { x, y, zoom: top / bottom };
}

/** Connected regions of at least four cells, or half a percent of the picture. */
function countRegions(mask: Uint8Array, columns: number, rows: number): number {
  const seen = mask.slice();
  let regions = 0;
  const least = Math.max(4, mask.length / 200);
  for (let i = 0; i < seen.length; i++) {
    if (seen[i] === 0) continue;
    const stack = [i];
    seen[i] = 0;
    let size = 0;
    while (stack.length > 0) {
      const at = stack.pop()!;
      size++;
      const [c, r] = [at % columns, Math.floor(at / columns)];
      for (const [dc, dr] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ] as const) {
        const [nc, nr] = [c + dc, r + dr];
        if (nc < 0 || nr < 0 || nc >= columns || nr >= rows || seen[nr * columns + nc] === 0) continue;
        seen[nr * columns + nc] = 0;
        stack.push(nr * columns + nc);
      }
    }
    if (size >= least) regions++;
  }
  return regions;
}
