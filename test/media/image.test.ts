// Images in and out: EXIF turn, alpha, grey, sizes, sheets, resizing. Test images are made by sharp itself.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  contactSheet,
  decodeVideo,
  encodeImage,
  type Frames,
  probe,
  readFrames,
  readImage,
  resizeFrames,
} from '../../src/media/index.ts';
import { meanDifference, numberedFrames } from './numbered.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'orrery-media-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function saved(name: string, bytes: Uint8Array | Promise<Uint8Array>): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, await bytes);
  return path;
}

/** A 3×2 picture with six different colours. */
const six = Uint8Array.from([255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0, 0, 255, 255, 255, 0, 255]);
const sixImage = (): ReturnType<typeof sharp> => sharp(six, { raw: { width: 3, height: 2, channels: 3 } });

describe('readImage', () => {
  it('applies the eight EXIF turns and agrees with the facts', async () => {
    // Where the stored pixel (x, y) of a 3×2 picture is shown, by EXIF orientation 1…8 (TIFF 6.0, tag 274).
    const shown: readonly ((x: number, y: number) => readonly [number, number])[] = [
      (x, y) => [x, y],
      (x, y) => [2 - x, y],
      (x, y) => [2 - x, 1 - y],
      (x, y) => [x, 1 - y],
      (x, y) => [y, x],
      (x, y) => [1 - y, x],
      (x, y) => [1 - y, 2 - x],
      (x, y) => [y, 2 - x],
    ];
    for (let orientation = 1; orientation <= 8; orientation++) {
      const path = await saved(`turn-${orientation}`, sixImage().withMetadata({ orientation }).png().toBuffer());
      const image = await readImage(path);
      const [, height, width] = image.shape;
      expect([width, height]).toEqual(orientation < 5 ? [3, 2] : [2, 3]);
      const expected = new Uint8Array(18);
      for (let y = 0; y < 2; y++)
        for (let x = 0; x < 3; x++) {
          const [sx, sy] = shown[orientation - 1]!(x, y);
          expected.set(six.subarray((y * 3 + x) * 3, (y * 3 + x) * 3 + 3), (sy * width + sx) * 3);
        }
      expect([...image.data], `orientation ${orientation}`).toEqual([...expected]);
      expect(await probe(path)).toMatchObject({
        kind: 'image',
        container: 'png',
        width,
        height,
        codedWidth: 3,
        codedHeight: 2,
        frames: 1,
      });
    }
  });

  it('lays transparency on white, spreads grey, reads 16 bits', async () => {
    const clear = sharp({
      create: { width: 4, height: 4, channels: 4, background: { r: 255, g: 0, b: 0, alpha: 0.5 } },
    });
    const pixel = [...(await readImage(await saved('alpha.png', clear.png().toBuffer()))).data.subarray(0, 3)];
    expect(pixel[0]).toBe(255);
    expect(Math.abs(pixel[1]! - 127)).toBeLessThan(2);
    const grey = sharp(Uint8Array.from([0, 100, 200, 255]), { raw: { width: 2, height: 2, channels: 1 } });
    const path = await saved('grey.png', grey.toColourspace('b-w').png().toBuffer());
    expect([...(await readImage(path)).data]).toEqual([0, 0, 0, 100, 100, 100, 200, 200, 200, 255, 255, 255]);
    const deep = sixImage().toColourspace('rgb16').png();
    expect([...(await readImage(await saved('deep.png', deep.toBuffer()))).data]).toEqual([...six]);
  });

  it('reads every format that it promises', async () => {
    const frame = numberedFrames(1, 96, 64);
    const image = sharp(frame.data, { raw: { width: 96, height: 64, channels: 3 } });
    for (const [name, bytes] of [
      ['jpeg', image.clone().jpeg({ quality: 95 }).toBuffer()],
      ['webp', image.clone().webp({ quality: 95 }).toBuffer()],
      ['avif', image.clone().avif({ quality: 80, effort: 0 }).toBuffer()],
      ['tiff', image.clone().tiff().toBuffer()],
    ] as const) {
      const read = await readFrames(await saved(`image.${name}`, bytes));
      expect(read.info).toMatchObject({ kind: 'image', container: name });
      expect(meanDifference(read.data, frame.data), name).toBeLessThan(6);
    }
  });

  it('crops and pads to a wanted size', async () => {
    const path = await saved('wide.png', encodeImage(numberedFrames(1, 200, 100, 1023)));
    expect((await readImage(path, { width: 50, height: 50 })).shape).toEqual([1, 50, 50, 3]);
    const padded = await readImage(path, { width: 50, height: 50, fit: 'pad' });
    expect([...padded.data.subarray(0, 12 * 50 * 3)].every((value) => value === 0)).toBe(true);
    expect(padded.data[(14 * 50 + 25) * 3]).toBe(255);
    expect((await readImage(path, { height: 25 })).shape).toEqual([1, 25, 50, 3]);
  });

  it('explains what it cannot read', async () => {
    const png = await encodeImage(numberedFrames(1));
    const cut = await saved('cut.png', png.subarray(0, png.length / 2));
    await expect(readImage(cut)).rejects.toThrow(/cut\.png": a damaged or unsupported image/);
    const huge = sharp({ create: { width: 9000, height: 2, channels: 3, background: 'red' } });
    await expect(readImage(await saved('huge.png', huge.png().toBuffer()))).rejects.toThrow(
      /9000x2 pixels; need .*|9000x2 pixels; need at most 8192x8192/,
    );
    await expect(decodeVideo(cut).next()).rejects.toThrow(/an image \(png\); need a video/);
  });
});

describe('encodeImage and resizeFrames', () => {
  it('gives PNG without loss, the same bytes each time, and small WebP', async () => {
    const frames = numberedFrames(3, 96, 64, 100);
    const png = await encodeImage(frames, { index: 2 });
    expect(Buffer.compare(png, await encodeImage(frames, { index: 2 }))).toBe(0);
    const back = await readImage(await saved('back.png', png));
    expect(meanDifference(back.data, frames.data.subarray(2 * 96 * 64 * 3))).toBe(0);
    const thumbnail = await encodeImage(frames, { format: 'webp', width: 48 });
    expect((await sharp(thumbnail).metadata()).width).toBe(48);
    expect((await sharp(await encodeImage(frames, { format: 'jpeg' })).metadata()).format).toBe('jpeg');
    await expect(encodeImage(frames, { index: 3 })).rejects.toThrow('index: got 3, need 0…2');
  });

  it('keeps flat colours and averages fine stripes when shrinking', async () => {
    const flat: Frames = { dtype: 'u8', shape: [2, 40, 60, 3], data: new Uint8Array(2 * 40 * 60 * 3).fill(77) };
    const small = await resizeFrames(flat, { width: 13, height: 31 });
    expect(small.shape).toEqual([2, 31, 13, 3]);
    expect(new Set(small.data)).toEqual(new Set([77]));
    // One-pixel stripes of 0 and 200 have no detail left at a quarter of the size: about 100 everywhere, not 0 or 200.
    const stripes: Frames = { dtype: 'u8', shape: [1, 64, 64, 3], data: new Uint8Array(64 * 64 * 3) };
    for (let i = 0; i < stripes.data.length; i++) stripes.data[i] = Math.floor(i / 3) % 2 === 0 ? 0 : 200;
    const quarter = await resizeFrames(stripes, { width: 16 });
    for (let x = 2; x < 14; x++) expect(Math.abs(quarter.data[(8 * 16 + x) * 3]! - 100)).toBeLessThan(6);
  });

  it('keeps a linear ramp when enlarging', async () => {
    const ramp: Frames = { dtype: 'u8', shape: [1, 8, 32, 3], data: new Uint8Array(8 * 32 * 3) };
    for (let i = 0; i < ramp.data.length; i++) ramp.data[i] = (Math.floor(i / 3) % 32) * 8;
    const large = await resizeFrames(ramp, { width: 64 });
    // Pixel centres: output x sits at input (x + 0.5)/2 - 0.5.
    for (let x = 8; x < 56; x++)
      expect(Math.abs(large.data[(8 * 64 + x) * 3]! - ((x + 0.5) / 2 - 0.5) * 8)).toBeLessThan(3);
  });
});

describe('contactSheet', () => {
  it('lays out rows, columns and labels', async () => {
    const white: Frames = { dtype: 'u8', shape: [3, 64, 96, 3], data: new Uint8Array(3 * 64 * 96 * 3).fill(255) };
    const png = await contactSheet([{ label: 'seed 7: "Hi" é', frames: white }, { frames: numberedFrames(20) }], {
      columns: 4,
      cellWidth: 96,
      gap: 4,
    });
    const sheet = await readImage(await saved('sheet.png', png));
    // Height: gap + label (14 + gap) + 64 + gap + 64 + gap; width: gaps around four cells.
    expect(sheet.shape).toEqual([1, 4 + 18 + 64 + 4 + 64 + 4, 2 * 4 + 4 * 96 + 3 * 4, 3]);
    const at = (x: number, y: number): number => sheet.data[(y * sheet.shape[2] + x) * 3]!;
    expect(at(50, 60)).toBe(255);
    expect(at(4 + 3 * 100 + 50, 60)).toBe(24);
    // The label's row holds both ink and background.
    const row = Array.from({ length: 200 }, (_, x) => at(4 + x, 8));
    expect(row).toContain(235);
    expect(row).toContain(24);
    await expect(contactSheet([])).rejects.toThrow('rows: got "no rows"');
  });
});
