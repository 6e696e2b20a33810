// Side-by-side video of a clip: truth, the system, baselines, and where the system is wrong.

import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeMp4, type Frames } from '../../media/index.ts';

/** Error of 255 that is drawn in full red. */
const FULL = 96;

/** Where two clips differ: black through red and yellow to white with the mean channel difference. uint8 [T, H, W, 3]. */
export function errorMap(a: Frames, b: Frames): Frames {
  const data = new Uint8Array(a.data.length);
  for (let p = 0; p < data.length; p += 3) {
    const d =
      (Math.abs(a.data[p]! - b.data[p]!) +
        Math.abs(a.data[p + 1]! - b.data[p + 1]!) +
        Math.abs(a.data[p + 2]! - b.data[p + 2]!)) /
      3;
    const v = Math.min(1, d / FULL) * 3;
    data[p] = 255 * Math.min(1, v);
    data[p + 1] = 255 * Math.min(1, Math.max(0, v - 1));
    data[p + 2] = 255 * Math.min(1, Math.max(0, v - 2));
  }
  return { dtype: 'u8', shape: a.shape, data };
}

const GAP = 4;

/** Clips of one size next to each other, each pixel drawn `zoom` times. */
export function sideBySide(clips: readonly Frames[], zoom = 1): Frames {
  const [frames, height, width] = clips[0]!.shape;
  // Encoders want even sides.
  const even = (n: number): number => n + (n % 2);
  const h = even(height * zoom);
  const w = even(clips.length * width * zoom + (clips.length - 1) * GAP);
  const data = new Uint8Array(frames * h * w * 3);
  for (let t = 0; t < frames; t++) {
    for (const [i, clip] of clips.entries()) {
      const left = i * (width * zoom + GAP);
      for (let y = 0; y < height * zoom; y++) {
        const from = (t * height + Math.floor(y / zoom)) * width;
        for (let x = 0; x < width * zoom; x++) {
          const p = (from + Math.floor(x / zoom)) * 3;
          const q = ((t * h + y) * w + left + x) * 3;
          data[q] = clip.data[p]!;
          data[q + 1] = clip.data[p + 1]!;
          data[q + 2] = clip.data[p + 2]!;
        }
      }
    }
  }
  return { dtype: 'u8', shape: [frames, h, w, 3], data };
}

/** The bytes of an mp4 of these frames. */
export async function mp4Bytes(frames: Frames, fps: number, signal?: AbortSignal): Promise<Uint8Array> {
  const path = join(tmpdir(), `orrery-${randomUUID()}.mp4`);
  try {
    await encodeMp4(frames, { path, fps, crf: 20, ...(signal === undefined ? {} : { signal }) });
    return new Uint8Array(readFileSync(path));
  } finally {
    rmSync(path, { force: true });
  }
}
