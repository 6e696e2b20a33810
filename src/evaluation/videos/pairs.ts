// Pairs of video files: a generated file and a reference file, or two folders whose files have the same names. Differences in
// length, size and rate have one documented treatment each, and every one is noted beside the score.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { InputError, OrreryError } from '../../base/index.ts';
import { type Frames, probe, readFrames } from '../../media/index.ts';
import { resizeOpenCvBytes } from '../resize/opencv.ts';

const VIDEO = /\.(mp4|m4v|mov|webm|mkv|avi|gif)$/i;

/** The video files of a folder by name, or the one file that `path` names. */
export function videosIn(path: string): string[] {
  if (!existsSync(path)) throw new OrreryError('data', `${path}: no such file or folder`);
  if (!statSync(path).isDirectory()) return [path];
  const names = readdirSync(path).filter((n) => VIDEO.test(n));
  if (names.length === 0) throw new OrreryError('data', `${path}: no video files (mp4, m4v, mov, webm, mkv, avi, gif)`);
  return names.sort().map((n) => join(path, n));
}

export type FilePair = { readonly name: string; readonly generated: string; readonly reference: string };

/** The pairs of two files or two folders. Names that only one folder has are returned in `alone`. */
export function filePairs(
  generated: string,
  reference: string,
): { readonly pairs: FilePair[]; readonly alone: string[] } {
  for (const path of [generated, reference]) {
    if (!existsSync(path)) throw new OrreryError('data', `${path}: no such file or folder`);
  }
  const [isFolder, isReferenceFolder] = [generated, reference].map((p) => statSync(p).isDirectory());
  if (isFolder !== isReferenceFolder) {
    throw new InputError('videos', { got: `${generated} and ${reference}`, need: 'two files or two folders' });
  }
  if (!isFolder) return { pairs: [{ name: stem(generated), generated, reference }], alone: [] };
  const list = (dir: string): Map<string, string> => new Map(videosIn(dir).map((file) => [stem(file), file]));
  const a = list(generated);
  const b = list(reference);
  const pairs = [...a]
    .filter(([name]) => b.has(name))
    .map(([name, path]) => ({ name, generated: path, reference: b.get(name)! }));
  if (pairs.length === 0) {
    throw new InputError('videos', {
      got: `${a.size} files in ${generated} and ${b.size} in ${reference}, no name in both`,
      need: 'files of the same names, such as a/clip1.mp4 and b/clip1.mp4',
    });
  }
  const alone = [...[...a.keys()].filter((n) => !b.has(n)), ...[...b.keys()].filter((n) => !a.has(n))];
  return { pairs, alone };
}

const stem = (path: string): string => basename(path, extname(path));

/** Two clips of one size and length with what was done to make them so. */
export type LoadedPair = {
  readonly generated: Frames;
  readonly reference: Frames;
  readonly fps: number;
  readonly notes: readonly string[];
};

/**
 * Reads a pair. The generated clip stays as it is; the reference is brought to its rate (frame on screen at that time) and its size
 * (area filter); the longer one is cut to the shorter.
 * @param skip frames at the start that do not count, such as those the model was given
 */
export async function loadPair(
  pair: FilePair,
  options: { readonly skip?: number; readonly signal?: AbortSignal } = {},
): Promise<LoadedPair> {
  const { skip = 0, signal } = options;
  const media = signal === undefined ? {} : { signal };
  const [g, r] = [await probe(pair.generated, media), await probe(pair.reference, media)];
  const notes: string[] = [];
  const generated = await readFrames(pair.generated, media);
  const sameRate = g.fps === 0 || r.fps === 0 || Math.abs(g.fps - r.fps) < 0.01;
  if (!sameRate) notes.push(`reference brought from ${r.fps.toFixed(2)} to ${g.fps.toFixed(2)} frames/s`);
  const raw = await readFrames(pair.reference, { ...media, ...(sameRate ? {} : { fps: g.fps }) });
  let reference: Frames = { dtype: 'u8', shape: raw.shape, data: raw.data };
  const [count, height, width] = generated.shape;
  if (raw.shape[1] !== height || raw.shape[2] !== width) {
    notes.push(`reference resized from ${raw.shape[2]}x${raw.shape[1]} to ${width}x${height} (area)`);
    reference = resizeClip(reference, height, width);
  }
  const length = Math.min(count, reference.shape[0]);
  if (count !== reference.shape[0])
    notes.push(`${count} generated and ${reference.shape[0]} reference frames: the first ${length} count`);
  if (skip >= length) {
    throw new InputError(`${pair.name}: frames to skip`, {
      got: skip,
      need: `fewer than the ${length} frames that both have`,
    });
  }
  const cut = (f: Frames): Frames => {
    const each = height * width * 3;
    return { dtype: 'u8', shape: [length - skip, height, width, 3], data: f.data.slice(skip * each, length * each) };
  };
  return { generated: cut(generated), reference: cut(reference), fps: g.fps > 0 ? g.fps : 1, notes };
}

/** Resizes every frame with OpenCV's area filter. */
export function resizeClip(clip: Frames, height: number, width: number): Frames {
  const [count, h, w] = clip.shape;
  const from = h * w * 3;
  const to = height * width * 3;
  const data = new Uint8Array(count * to);
  for (let t = 0; t < count; t++) {
    data.set(
      resizeOpenCvBytes(
        clip.data.subarray(t * from, (t + 1) * from),
        { height: h, width: w, channels: 3 },
        { height, width },
        'area',
      ),
      t * to,
    );
  }
  return { dtype: 'u8', shape: [count, height, width, 3], data };
}
