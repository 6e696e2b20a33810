// Luma with the same contrast everywhere: a soft floor then holds as many points as a checked one.
import type { OpenCv, PlaneSize } from '../../../motion/index.ts';
import { POINT_BLUR } from '../features.ts';
import type { Plane } from './affine-align.ts';

/** Size of the surroundings whose contrast is evened, pixels of the video. */
const SURROUNDINGS = 12;
/** Contrast below which nothing is made of noise, luma levels. */
const LEAST_CONTRAST = 1;
const GAIN = 48;

/**
 * Luma of a picture, `zoom` times as large, blurred, less its local mean, over its local deviation; 128 is the mean.
 * Rounding to whole levels would move points on soft textures, so the plane stays in floats.
 * @param rgb uint8 [H, W, 3]
 */
export function evenLuma(cv: OpenCv, rgb: Uint8Array, { height, width }: PlaneSize, zoom: number): Plane {
  const luma = new Float32Array(height * width);
  for (let i = 0; i < luma.length; i++)
    luma[i] = 0.299 * rgb[3 * i]! + 0.587 * rgb[3 * i + 1]! + 0.114 * rgb[3 * i + 2]!;
  const small = cv.matFromArray(height, width, cv.CV_32FC1, luma as unknown as number[]);
  const [big, local] = [new cv.Mat(), new cv.Mat()];
  try {
    cv.resize(small, big, new cv.Size(Math.round(width * zoom), Math.round(height * zoom)), 0, 0, cv.INTER_CUBIC);
    cv.GaussianBlur(big, big, new cv.Size(0, 0), POINT_BLUR * zoom);
    cv.GaussianBlur(big, local, new cv.Size(0, 0), SURROUNDINGS * zoom);
    // Views are made once: asking OpenCV for one costs more than a pixel's arithmetic.
    const data = Float32Array.from(big.data32F);
    const mean = local.data32F;
    for (let i = 0; i < data.length; i++) {
      data[i]! -= mean[i]!;
      mean[i] = data[i]! * data[i]!;
    }
    cv.GaussianBlur(local, local, new cv.Size(0, 0), SURROUNDINGS * zoom);
    const variance = local.data32F;
    for (let i = 0; i < data.length; i++)
      data[i] = 128 + (GAIN * data[i]!) / (Math.sqrt(Math.max(0, variance[i]!)) + LEAST_CONTRAST);
    return { data, width: big.cols, height: big.rows };
  } finally {
    for (const m of [small, big, local]) m.delete();
  }
}
