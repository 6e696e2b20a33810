// Picture geometry as plain numbers: display size, rotation matrix, fit, and the one filter line that both backends run.
import { InputError } from '../base/index.ts';
import type { Fit } from './types.ts';

/** Largest picture side in pixels, for reading and writing. */
export const MAX_SIDE = 8192;

/** Turn of the stored picture: mirror left-right first, then turn clockwise by `rotation` degrees. */
export type Orientation = { readonly rotation: 0 | 90 | 180 | 270; readonly isMirrored: boolean };

/** A stored picture: pixel size, shape of one pixel, and turn. */
export type StoredPicture = Orientation & {
  readonly codedWidth: number;
  readonly codedHeight: number;
  readonly sar: readonly [number, number];
};

/**
 * Reads a display matrix (ISO 14496-12: `[x y 1]·M` maps stored to shown coordinates).
 * @param matrix `[a, b, c, d]`, the upper left 2×2 part in any scale. Angles between quarter turns go to the nearest one.
 */
export function orientationOf(matrix: readonly [number, number, number, number]): Orientation {
  let [a, b] = matrix;
  const [, , c, d] = matrix;
  // A negative determinant means a mirror: undo it on the x axis first, so that a pure turn remains.
  const isMirrored = a * d - b * c < 0;
  if (isMirrored) [a, b] = [-a, -b];
  // The stored x axis goes to (a, b); y points down on screen, so a positive angle is clockwise.
  const quarter = Math.round(Math.atan2(b, a) / (Math.PI / 2));
  return { rotation: ((((quarter % 4) + 4) % 4) * 90) as Orientation['rotation'], isMirrored };
}

/** Size on screen in square pixels: the narrower direction of a stored pixel keeps its count, so no detail is lost. */
export function displaySize(picture: StoredPicture): { width: number; height: number } {
  const { codedWidth, codedHeight, sar, rotation } = picture;
  const ratio = sar[0] / sar[1];
  const width = ratio > 1 ? Math.round(codedWidth * ratio) : codedWidth;
  const height = ratio < 1 ? Math.round(codedHeight / ratio) : codedHeight;
  return rotation === 90 || rotation === 270 ? { width: height, height: width } : { width, height };
}

/** Output size from what the caller asked for; a missing side follows the display's aspect ratio. */
export function outputSize(
  display: { readonly width: number; readonly height: number },
  wanted: { readonly width?: number; readonly height?: number },
): { width: number; height: number } {
  checkSide('width', wanted.width);
  checkSide('height', wanted.height);
  const width =
    wanted.width ??
    (wanted.height === undefined
      ? display.width
      : Math.max(1, Math.round((display.width * wanted.height) / display.height)));
  const height = wanted.height ?? Math.max(1, Math.round((display.height * width) / display.width));
  checkSide('width', width);
  checkSide('height', height);
  return { width, height };
}

function checkSide(name: string, value: number | undefined): void {
  if (value === undefined) return;
  if (!Number.isInteger(value) || value < 1 || value > MAX_SIDE)
    throw new InputError(name, { got: value, need: `a whole number of pixels, 1…${MAX_SIDE}` });
}

/** How a source of one size becomes a picture of another. All numbers are whole pixels on screen. */
export type Placement = {
  /** Size that the source is scaled to. */
  readonly scaledWidth: number;
  readonly scaledHeight: number;
  /** Left upper corner: of the cut inside the scaled picture (`crop`), or of the scaled picture inside the output (`pad`). */
  readonly x: number;
  readonly y: number;
};

/** Places a picture of `from` into a picture of `to`. Halves of odd remainders go to the right and the bottom. */
export function placeInto(
  from: { readonly width: number; readonly height: number },
  to: { readonly width: number; readonly height: number },
  fit: Fit,
): Placement {
  if (fit === 'stretch') return { scaledWidth: to.width, scaledHeight: to.height, x: 0, y: 0 };
  const ratios = [to.width / from.width, to.height / from.height];
  const scale = fit === 'crop' ? Math.max(...ratios) : Math.min(...ratios);
  const size = (side: number, limit: number): number => {
    const scaled = Math.max(1, Math.round(side * scale));
    return fit === 'crop' ? Math.max(limit, scaled) : Math.min(limit, scaled);
  };
  const scaledWidth = size(from.width, to.width);
  const scaledHeight = size(from.height, to.height);
  return {
    scaledWidth,
    scaledHeight,
    x: Math.floor(Math.abs(to.width - scaledWidth) / 2),
    y: Math.floor(Math.abs(to.height - scaledHeight) / 2),
  };
}

/** Colour facts that the stream itself may leave open. */
export type ColourFacts = { readonly pixelFormat: string; readonly isMatrixKnown: boolean };

/**
 * The filter line from stored picture to RGB of the wanted size: scale and colour in one pass, then turn, then cut or pad.
 * Untagged YUV is read as BT.709 from 720 stored lines upwards and as BT.601 below, as players do.
 */
export function filterLine(
  picture: StoredPicture & ColourFacts,
  to: { readonly width: number; readonly height: number },
  fit: Fit,
): string {
  const place = placeInto(displaySize(picture), to, fit);
  const isTurned = picture.rotation === 90 || picture.rotation === 270;
  const [w, h] = isTurned ? [place.scaledHeight, place.scaledWidth] : [place.scaledWidth, place.scaledHeight];
  const isYuv = /^(yuv|nv|p0|p2|p4|y2)/.test(picture.pixelFormat);
  const matrix =
    isYuv && !picture.isMatrixKnown ? `:in_color_matrix=${picture.codedHeight >= 720 ? 'bt709' : 'bt601'}` : '';
  const steps = [`scale=w=${w}:h=${h}:flags=${SCALE_FLAGS}${matrix}`, 'format=pix_fmts=rgb24'];
  if (picture.isMirrored) steps.push('hflip');
  if (picture.rotation === 90) steps.push('transpose=dir=clock');
  if (picture.rotation === 180) steps.push('hflip', 'vflip');
  if (picture.rotation === 270) steps.push('transpose=dir=cclock');
  const isWhole = place.scaledWidth === to.width && place.scaledHeight === to.height;
  if (!isWhole && fit === 'crop') steps.push(`crop=w=${to.width}:h=${to.height}:x=${place.x}:y=${place.y}:exact=1`);
  if (!isWhole && fit === 'pad') steps.push(`pad=w=${to.width}:h=${to.height}:x=${place.x}:y=${place.y}:color=black`);
  return steps.join(',');
}

/** Bicubic with antialiasing when shrinking, exact rounding, the same bytes on every CPU. */
const SCALE_FLAGS = 'bicubic+accurate_rnd+full_chroma_int+bitexact';
