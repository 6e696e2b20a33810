// Video out: RGB frames to an MP4 file (H.264, 4:2:0, BT.709). The file appears complete or not at all.
import { randomBytes } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { InputError, OrreryError, throwIfAborted } from '../base/index.ts';
import { openBackend } from './backend.ts';
import type { EncodePlan } from './backend-types.ts';
import { MAX_SIDE } from './geometry.ts';
import { MAX_FPS, runOptionsOf } from './probe.ts';
import type { EncodeOptions, EncodeResult, Frames } from './types.ts';

/** Frames in any portion: one array, a list of arrays, or a stream of them. All have the same height and width. */
export type FrameSource = Frames | Iterable<Frames> | AsyncIterable<Frames>;

/**
 * Encodes frames `[n, H, W, 3]` to an MP4 file. Writes beside the target and renames at the end; on failure or abort
 * nothing is left. The same frames and settings give the same bytes.
 */
export async function encodeMp4(frames: FrameSource, options: EncodeOptions): Promise<EncodeResult> {
  checkOptions(options);
  throwIfAborted(options.signal);
  const path = resolve(options.path);
  await checkFolder(options.path, path);
  const backend = await openBackend(options.backend);
  const source = portionsOf(frames)[Symbol.asyncIterator]();
  const first = await source.next();
  if (first.done) throw new InputError('frames', { got: 'no frames', need: 'at least one frame' });
  const [, firstHeight, firstWidth] = first.value.shape;
  const width = options.width ?? firstWidth;
  const height = options.height ?? firstHeight;
  checkEven('width', width);
  checkEven('height', height);

  const temporary = join(dirname(path), `.${basename(path).slice(0, 40)}.${randomBytes(6).toString('hex')}.part`);
  const plan: EncodePlan = {
    path: temporary,
    width,
    height,
    rate: fractionOf(options.fps),
    crf: options.crf ?? 16,
    preset: options.preset ?? 'medium',
    tags: Object.fromEntries(Object.entries(options.metadata ?? {}).filter(([, text]) => text !== undefined)) as Record<
      string,
      string
    >,
  };
  let count = 0;
  async function* pictures(): AsyncGenerator<Uint8Array> {
    const frameBytes = width * height * 3;
    try {
      for (let portion = first; !portion.done; portion = await source.next()) {
        throwIfAborted(options.signal);
        checkFrames(portion.value, width, height, count);
        for (let i = 0; i < portion.value.shape[0]; i++) {
          yield portion.value.data.subarray(i * frameBytes, (i + 1) * frameBytes);
          count++;
        }
      }
    } finally {
      await source.return(undefined);
    }
  }
  try {
    const encoder = await backend.encode(plan, pictures(), runOptionsOf(options));
    throwIfAborted(options.signal);
    const handle = await open(temporary, 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    const { size } = await stat(temporary);
    await rename(temporary, path);
    return {
      path: options.path,
      frames: count,
      width,
      height,
      fps: options.fps,
      sizeBytes: size,
      backend: backend.name,
      encoder,
    };
  } catch (error) {
    await rm(temporary, { force: true });
    throw renamed(error, temporary, options.path);
  }
}

/** Messages speak of the wanted file, not of the temporary one. */
function renamed(error: unknown, temporary: string, path: string): unknown {
  if (!(error instanceof OrreryError)) {
    const code = (error as NodeJS.ErrnoException | undefined)?.code;
    if (code === 'ENOSPC' || code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
      return new OrreryError(
        'disk',
        `${JSON.stringify(path)}: cannot be written (${code}); need a writable folder with free space; choose another path`,
        { cause: error },
      );
    return error;
  }
  if (!error.message.includes(temporary)) return error;
  return new OrreryError(error.code, error.message.replaceAll(temporary, path), {
    cause: error,
    details: { ...error.details, path },
  });
}

async function* portionsOf(frames: FrameSource): AsyncGenerator<Frames> {
  if ('dtype' in frames) {
    if (frames.shape[0] > 0) yield frames;
  } else for await (const portion of frames) if (portion.shape[0] > 0) yield portion;
}

function checkFrames(frames: Frames, width: number, height: number, done: number): void {
  const [n, h, w, c] = frames.shape;
  if (w !== width || h !== height || c !== 3)
    throw new InputError('frames', {
      got: `[${frames.shape.join(', ')}] after ${done} frames`,
      need: `[n, ${height}, ${width}, 3]`,
    });
  if (!(frames.data instanceof Uint8Array) || frames.data.length !== n * h * w * c)
    throw new InputError('frames', {
      got: `${frames.data.length} bytes for [${frames.shape.join(', ')}]`,
      need: `${n * h * w * c} bytes of uint8`,
    });
}

function checkEven(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 2 || value > MAX_SIDE || value % 2 !== 0)
    throw new InputError(name, {
      got: value,
      need: `an even number, 2…${MAX_SIDE}`,
      why: 'H.264 stores colour at half size; resize or cut one row or column',
    });
}

function checkOptions(options: EncodeOptions): void {
  if (!(options.fps >= 0.001 && options.fps <= MAX_FPS))
    throw new InputError('fps', { got: options.fps, need: `0.001…${MAX_FPS} frames per second` });
  if (options.crf !== undefined && !(Number.isInteger(options.crf) && options.crf >= 0 && options.crf <= 51))
    throw new InputError('crf', { got: options.crf, need: 'a whole number 0 (lossless)…51 (smallest file)' });
  const presets = ['ultrafast', 'veryfast', 'fast', 'medium', 'slow'];
  if (options.preset !== undefined && !presets.includes(options.preset))
    throw new InputError('preset', { got: options.preset, need: presets.join(', ') });
  if (options.path.includes('\0')) throw new InputError('path', { got: options.path, need: 'a file name without NUL' });
}

async function checkFolder(name: string, path: string): Promise<void> {
  const folder = await stat(dirname(path)).catch(() => undefined);
  if (folder === undefined || !folder.isDirectory())
    throw new OrreryError(
      'disk',
      `${JSON.stringify(name)}: its folder does not exist; need an existing folder; create ${dirname(path)}`,
    );
  const target = await stat(path).catch(() => undefined);
  if (target?.isDirectory())
    throw new OrreryError(
      'disk',
      `${JSON.stringify(name)}: a directory is in the way; need a file name; choose another name`,
    );
}

/** Frames per second as a fraction: 23.976 and its kin exactly, whole rates exactly, others to a thousandth. */
export function fractionOf(fps: number): readonly [number, number] {
  if (Number.isInteger(fps)) return [fps, 1];
  const film = Math.round(fps * 1.001);
  if (Math.abs(fps - film / 1.001) < 0.001) return [film * 1000, 1001];
  let [num, den] = [Math.round(fps * 1000), 1000];
  for (const prime of [2, 2, 2, 5, 5, 5]) if (num % prime === 0) [num, den] = [num / prime, den / prime];
  return [num, den];
}
