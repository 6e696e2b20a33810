// Makes faces unrecognisable in place: pixelated or filled with their mean colour.
import { type FaceBox, pixelate, type Region, shrinkRegion } from '../../nets/index.ts';

export type BlurOptions = {
  readonly mode: 'pixelate' | 'fill';
  /** Added on each side, in parts of the box. */
  readonly margin: number;
  /** Boxes narrower or lower than this stay, in pixels. */
  readonly minSize: number;
  /** Cells per side, 1…5. */
  readonly blocks: number;
};

/** Hides the boxes in one frame uint8 [H, W, 3], in place. Returns how many were hidden. */
export function blurFaces(
  frame: { readonly data: Uint8Array; readonly width: number; readonly height: number },
  boxes: readonly FaceBox[],
  options: BlurOptions,
): number {
  let count = 0;
  for (const box of boxes) {
    const region = regionOf(box, frame, options);
    if (region === undefined) continue;
    count++;
    if (options.mode === 'pixelate') pixelate(frame, region, options.blocks);
    else fill(frame, region);
  }
  return count;
}

function regionOf(
  box: FaceBox,
  { width, height }: { readonly width: number; readonly height: number },
  { margin, minSize }: BlurOptions,
): Region | undefined {
  const [w, h] = [box.x2 - box.x1, box.y2 - box.y1];
  if (!(Math.trunc(w) >= minSize && Math.trunc(h) >= minSize)) return undefined;
  const x = Math.max(0, Math.trunc(box.x1 - margin * w));
  const y = Math.max(0, Math.trunc(box.y1 - margin * h));
  const right = Math.min(width, Math.ceil(box.x2 + margin * w));
  const bottom = Math.min(height, Math.ceil(box.y2 + margin * h));
  // A box outside the frame has nothing to hide.
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y } : undefined;
}

function fill(frame: { readonly data: Uint8Array; readonly width: number; readonly height: number }, r: Region): void {
  const colour = shrinkRegion(frame, r, 1);
  for (let y = r.y; y < r.y + r.height; y++) {
    for (let x = r.x; x < r.x + r.width; x++) frame.data.set(colour, (y * frame.width + x) * 3);
  }
}
