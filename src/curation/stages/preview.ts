// Previews: an animated WebP per clip (one picture per second, height 240, quality 50), and the thumbnail for the report.
import { join } from 'node:path';
import sharp from 'sharp';
import { writeFileAtomic } from '../../formats/index.ts';
import type { Work } from '../clip-work.ts';
import type { Stage } from '../engine/stage.ts';
import type { Samples } from '../pass/measure.ts';
import { readSamples } from '../pass/samples.ts';
import { clipStage } from './clip-stage.ts';

/** The stage. A preview that fails is an error of its clip, which goes on without one. */
export function previewStage(out: string): Stage<Work, Work> {
  return clipStage({ name: 'preview', cores: 1 }, async () => ({
    one: async (clip) => {
      if (clip.rejected !== undefined) return clip;
      const preview = `previews/${clip.id}/0_${clip.frames - 1}.webp`;
      try {
        writeFileAtomic(join(out, preview), await animate(readSamples(join(out, clip.samples))));
        return { ...clip, preview };
      } catch (error) {
        return { ...clip, errors: { ...clip.errors, preview: error instanceof Error ? error.message : String(error) } };
      }
    },
  }));
}

/** One picture per second as an endless animation. */
async function animate({ width, height, times, frames }: Samples): Promise<Uint8Array> {
  const picked: Uint8Array[] = [];
  let next = 0;
  times.forEach((time, i) => {
    if (time < next - 1e-6) return;
    picked.push(frames[i]!);
    next = time + 1;
  });
  const raw = { width, height: height * picked.length, channels: 3, pageHeight: height } as const;
  return sharp(Buffer.concat(picked), { raw })
    .webp({ quality: 50, effort: 6, loop: 0, delay: picked.map(() => 1000) })
    .toBuffer();
}

/** A small JPEG of the middle picture. */
export async function thumbnail({ width, height, frames }: Samples): Promise<Uint8Array> {
  return sharp(frames[frames.length >> 1]!, { raw: { width, height, channels: 3 } })
    .resize({ height: 120 })
    .jpeg({ quality: 70 })
    .toBuffer();
}
