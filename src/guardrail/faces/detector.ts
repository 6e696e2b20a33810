// What finds faces: one interface, two detectors. Both run in the graph engine.
import type { FaceBox } from '../../nets/index.ts';

/** Finds faces in frames. */
export type FaceDetector = {
  readonly name: string;
  readonly version: string;
  /** Boxes in pixels for each of T frames uint8 RGB, best first. @param data [T, H, W, 3] */
  detect(data: Uint8Array, size: { readonly width: number; readonly height: number }): Promise<FaceBox[][]>;
  dispose(): Promise<void>;
};

/** Frames that are in work at once: the next ones are prepared here while the network looks at one in its thread. */
const AT_ONCE = 6;

/** Faces of each frame, uint8 RGB [H·W·3]; frames that are undefined are not looked at. */
export async function detectFaces(
  detector: FaceDetector,
  frames: readonly (Uint8Array | undefined)[],
  size: { readonly width: number; readonly height: number },
): Promise<FaceBox[][]> {
  const found: FaceBox[][] = [];
  for (let at = 0; at < frames.length; at += AT_ONCE) {
    const part = frames.slice(at, at + AT_ONCE);
    const boxes = await Promise.all(
      part.map(async (frame) => (frame === undefined ? [] : (await detector.detect(frame, size))[0]!)),
    );
    found.push(...boxes);
  }
  return found;
}
