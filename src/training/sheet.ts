// Contact sheets: rows of clips, columns of frames, as one PNG.
import sharp from 'sharp';

/** Writes one PNG with a row per clip (uint8 [T, H, W, 3]) and every n-th frame as a column. */
export async function writeSheet(
  path: string,
  clips: readonly Uint8Array[],
  layout: { readonly frames: number; readonly height: number; readonly width: number; readonly every: number },
): Promise<void> {
  const { frames, height, width, every } = layout;
  const shown = Array.from({ length: Math.ceil(frames / every) }, (_, i) => i * every);
  const gap = 2;
  const sheetWidth = shown.length * (width + gap) - gap;
  const sheetHeight = clips.length * (height + gap) - gap;
  const sheet = new Uint8Array(sheetWidth * sheetHeight * 3).fill(255);
  for (const [r, clip] of clips.entries()) {
    for (const [c, frame] of shown.entries()) {
      for (let y = 0; y < height; y++) {
        const from = (frame * height + y) * width * 3;
        sheet.set(
          clip.subarray(from, from + width * 3),
          ((r * (height + gap) + y) * sheetWidth + c * (width + gap)) * 3,
        );
      }
    }
  }
  await sharp(sheet, { raw: { width: sheetWidth, height: sheetHeight, channels: 3 } })
    .png()
    .toFile(path);
}
