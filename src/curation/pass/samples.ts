// The file of sample pictures that goes with a clip through the later stages: one line of JSON, then raw RGB.
import { readFileSync } from 'node:fs';
import { OrreryError } from '../../base/index.ts';
import { writeFileAtomic } from '../../formats/index.ts';
import type { Samples } from './measure.ts';

/** Writes the pictures of a clip. */
export function writeSamples(path: string, samples: Samples): void {
  const { width, height, times } = samples;
  const head = new TextEncoder().encode(`${JSON.stringify({ width, height, times })}\n`);
  const bytes = new Uint8Array(head.length + samples.frames.length * width * height * 3);
  bytes.set(head);
  samples.frames.forEach((frame, i) => {
    bytes.set(frame, head.length + i * width * height * 3);
  });
  writeFileAtomic(path, bytes);
}

/** Reads them back. */
export function readSamples(path: string): Samples {
  const bytes = new Uint8Array(readFileSync(path));
  const end = bytes.indexOf(10);
  const { width, height, times } = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))) as Samples;
  const size = width * height * 3;
  if (bytes.length !== end + 1 + times.length * size)
    throw new OrreryError(
      'data',
      `${path}: ${bytes.length} bytes do not fit its ${times.length} pictures; run the same command again`,
    );
  return {
    width,
    height,
    times,
    frames: times.map((_, i) => bytes.subarray(end + 1 + i * size, end + 1 + (i + 1) * size)),
  };
}
