// Images in: one RGB frame from an image file. Decoding runs in a media process (images from outside are not trusted).
import { checkFile, fileError } from './check-file.ts';
import { outputSize } from './geometry.ts';
import { runJob } from './media-process.ts';
import { imageInfo, runOptionsOf } from './probe.ts';
import type { Fit, Frames, MediaOptions, VideoInfo } from './types.ts';

/** Options of `readImage`. */
export type ImageOptions = MediaOptions & {
  /** Wanted size in pixels; a missing side follows the aspect ratio. Default: the image's own size. */
  readonly width?: number;
  readonly height?: number;
  /** Default `crop`. Matters only when both sides are given. */
  readonly fit?: Fit;
};

/**
 * Reads an image file (JPEG, PNG, WebP, AVIF, TIFF) as one frame `[1, H, W, 3]`. The EXIF turn is applied; EXIF, GPS and
 * all other metadata are dropped; transparency is laid on white; grey becomes three equal channels.
 */
export async function readImage(
  path: string,
  options: ImageOptions = {},
): Promise<Frames & { readonly info: VideoInfo }> {
  const file = await checkFile(path);
  if (file.kind !== 'image')
    throw fileError(path, `a video (${file.container})`, 'an image', 'read it with decodeVideo or readFrames');
  const run = runOptionsOf(options);
  const info = await imageInfo(file, run);
  const { width, height } = outputSize(info, options);
  const job = { factsOnly: false, width, height, fit: options.fit ?? 'crop' } as const;
  const steps = runJob({ op: 'image', path: file.path, job }, path, run, async function* (running) {
    const picture = await running.receive();
    await running.receive(); // done
    yield* [];
    return picture.payload;
  });
  for (;;) {
    const step = await steps.next();
    if (step.done) return { dtype: 'u8', shape: [1, height, width, 3], data: step.value, info };
  }
}
