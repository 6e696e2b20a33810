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
