// Video in: batches of RGB frames from a file, with back pressure, and the convenience that collects them.
// Which frame is shown when is defined in pick-frames.ts; where pixels land is defined in geometry.ts.
import { availableParallelism } from 'node:os';
import { InputError, OrreryError, throwIfAborted } from '../base/index.ts';
import type { DecodePlan } from './backend-types.ts';
import { checkFile, fileError } from './check-file.ts';
import { outputSize } from './geometry.ts';
import { MAX_FPS, type OpenedVideo, openVideo, runOptionsOf } from './probe.ts';
import { readImage } from './read-image.ts';
import type { DecodeOptions, FrameBatch, ReadFrames, ReadOptions } from './types.ts';

const MAX_BATCH_FRAMES = 32;
const BATCH_BYTES = 16 * 2 ** 20;
const DEFAULT_MAX_BYTES = 2 ** 30;

/**
 * Decodes a video file to uint8 RGB batches `[n, H, W, 3]`. Memory stays flat for any length: the decoder waits while a
 * batch is in use. Leaving the loop early ends the decoder. A cut-off or damaged file ends with a `data` error after its
 * good frames, unless `allowDamaged`.
 */
export async function* decodeVideo(
  path: string,
  options: DecodeOptions = {},
): AsyncGenerator<FrameBatch, void, undefined> {
  checkOptions(options);
  throwIfAborted(options.signal);
  const file = await checkFile(path);
  if (file.kind === 'image')
    throw fileError(path, `an image (${file.container})`, 'a video', 'read it with readImage or readFrames');
  const opened = await openVideo(file, options);
  if (options.lastFrames === undefined) yield* decodeRange(opened, options, options.startSeconds ?? 0);
  else yield* decodeEnd(opened, options, options.lastFrames);
}

/** Reads frames into one array. An image file counts as one frame. Refuses early when the frames would not fit `maxBytes`. */
export async function readFrames(path: string, options: ReadOptions = {}): Promise<ReadFrames> {
  checkOptions(options);
  const file = await checkFile(path);
  if (file.kind === 'image') {
    const { info, ...frames } = await readImage(path, options);
    return { ...frames, times: new Float64Array(1), info };
  }
  const opened = await openVideo(file, options);
  const { info } = opened;
  const size = outputSize(info, options);
  const frameBytes = size.width * size.height * 3;
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
  const seconds =
    Math.min(options.endSeconds ?? info.durationSeconds, info.durationSeconds) - (options.startSeconds ?? 0);
  const expected = Math.min(
    Math.max(1, Math.ceil(seconds * (options.fps ?? info.fps))),
    options.maxFrames ?? Number.POSITIVE_INFINITY,
    options.lastFrames ?? Number.POSITIVE_INFINITY,
  );
  const refuse = (count: number): OrreryError =>
    new OrreryError(
      'memory',
      `${JSON.stringify(path)}: ${count} frames of ${size.width}x${size.height} take ${count * frameBytes} bytes; need at most ${maxBytes}; ask for fewer (maxFrames, fps) or smaller frames, or go through decodeVideo batch by batch`,
      { details: { path, frames: count, maxBytes } },
    );
  if (expected * frameBytes > maxBytes) throw refuse(expected);
  const batches: FrameBatch[] = [];
  let count = 0;
  const source =
    options.lastFrames === undefined
      ? decodeRange(opened, options, options.startSeconds ?? 0)
      : decodeEnd(opened, options, options.lastFrames);
  for await (const batch of source) {
    batches.push(batch);
    count += batch.shape[0];
    if (count * frameBytes > maxBytes) throw refuse(count);
  }
  const data = new Uint8Array(count * frameBytes);
  const times = new Float64Array(count);
  for (const batch of batches) {
    data.set(batch.data, batch.firstIndex * frameBytes);
    times.set(batch.times, batch.firstIndex);
  }
  return { dtype: 'u8', shape: [count, size.height, size.width, 3], data, times, info };
}

/** Decodes from `startSeconds` on, in batches. */
async function* decodeRange(
  { backend, file, facts, info }: OpenedVideo,
  options: DecodeOptions,
  startSeconds: number,
): AsyncGenerator<FrameBatch, void, undefined> {
  const { width, height } = outputSize(info, options);
  const plan: DecodePlan = {
    picture: facts,
    width,
    height,
    fit: options.fit ?? 'crop',
    fps: options.fps ?? null,
    startSeconds,
    endSeconds: options.endSeconds ?? null,
    maxFrames: options.maxFrames ?? null,
    threads: options.threads ?? Math.min(4, availableParallelism()),
    canSeek: file.demuxer !== 'avi',
    frameSeconds: 1 / info.fps,
  };
  const frameBytes = width * height * 3;
  const perBatch = Math.min(
    options.batchFrames ?? Math.min(MAX_BATCH_FRAMES, Math.max(1, Math.floor(BATCH_BYTES / frameBytes))),
    options.maxFrames ?? Number.POSITIVE_INFINITY,
  );
  let buffer: Uint8Array | undefined;
  let times: number[] = [];
  let total = 0;
  let previous: Uint8Array | undefined;
  const slot = (byteLength: number): Uint8Array => {
    if (byteLength !== frameBytes)
      throw new OrreryError('internal', `a picture of ${byteLength} bytes, expected ${frameBytes}; please report this`);
    buffer ??= new Uint8Array(perBatch * frameBytes);
    return buffer.subarray(times.length * frameBytes, (times.length + 1) * frameBytes);
  };
  const flush = (): FrameBatch => {
    const count = times.length;
    const data = count === perBatch ? buffer! : buffer!.slice(0, count * frameBytes);
    const batch: FrameBatch = {
      dtype: 'u8',
      shape: [count, height, width, 3],
      data,
      firstIndex: total - count,
      times: Float64Array.from(times),
    };
    buffer = undefined;
    times = [];
    return batch;
  };
  const pictures = backend.decode(file, plan, slot, runOptionsOf(options));
  try {
    for (;;) {
      const step = await pictures.next();
      throwIfAborted(options.signal);
      if (step.done) {
        if (times.length > 0) yield flush();
        const { errors, isAtEnd } = step.value;
        if (total === 0) throw noFrames(file.name, startSeconds, info.durationSeconds);
        if (isAtEnd && options.allowDamaged !== true && (info.problem !== undefined || errors > 0))
          throw damaged(file.name, total, info.problem ?? `${errors} decoding errors`);
        return;
      }
      const { time, pixels } = step.value;
      const target = slot(frameBytes);
      const source = pixels ?? previous!;
      if (source.buffer !== target.buffer || source.byteOffset !== target.byteOffset) target.set(source);
      previous = target;
      times.push(time);
      total++;
      if (times.length === perBatch) yield flush();
    }
  } finally {
    await pictures.return({ errors: 0, isAtEnd: false });
  }
}

/** The last `count` frames of the wanted range: starts near the end, and earlier again when that gave too few. */
async function* decodeEnd(
  opened: OpenedVideo,
  options: DecodeOptions,
  count: number,
): AsyncGenerator<FrameBatch, void, undefined> {
  const { info } = opened;
  const first = options.startSeconds ?? 0;
  const rate = options.fps ?? info.fps;
  const end = Math.min(options.endSeconds ?? Number.POSITIVE_INFINITY, info.durationSeconds);
  for (let reach = count / rate + 1; ; reach *= 3) {
    // On the rate's own grid, so that the same frames come out as without `lastFrames`.
    const steps = Math.floor((end - reach - first) * rate);
    const start = steps > 0 && options.maxFrames === undefined ? first + steps / rate : first;
    const kept: FrameBatch[] = [];
    let held = 0;
    for await (const batch of decodeRange(opened, options, start)) {
      kept.push(batch);
      held += batch.shape[0];
      while (held - kept[0]!.shape[0] >= count) held -= kept.shift()!.shape[0];
    }
    if (held < count && start > first) continue;
    let firstIndex = 0;
    let surplus = Math.max(0, held - count);
    for (const batch of kept) {
      const [n, height, width] = batch.shape;
      const skip = Math.min(surplus, n);
      surplus -= skip;
      if (skip === n) continue;
      yield {
        dtype: 'u8',
        shape: [n - skip, height, width, 3],
        data: batch.data.slice(skip * height * width * 3),
        firstIndex,
        times: batch.times.slice(skip),
      };
      firstIndex += n - skip;
    }
    return;
  }
}

function noFrames(name: string, startSeconds: number, durationSeconds: number): OrreryError {
  if (startSeconds > 0)
    return new InputError('startSeconds', {
      got: startSeconds,
      need: `less than the length, ${durationSeconds} s`,
      why: `no frame of ${JSON.stringify(name)} is on screen then`,
    });
  return fileError(
    name,
    'no frame can be decoded',
    'at least one good frame',
    'copy it again in full, or give another file',
  );
}

function damaged(name: string, count: number, found: string): OrreryError {
  return fileError(
    name,
    `${found}; ${count} frames could be decoded`,
    'a complete file',
    'copy it again in full, or set allowDamaged to use what there is',
  );
}

function checkOptions(options: DecodeOptions): void {
  const number = (name: keyof DecodeOptions, low: number, high: number, need: string): void => {
    const value = options[name];
    if (value !== undefined && !(typeof value === 'number' && value >= low && value <= high))
      throw new InputError(name, { got: value, need });
  };
  const whole = (name: keyof DecodeOptions): void => {
    const value = options[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && (value as number) >= 1))
      throw new InputError(name, { got: value, need: 'a whole number, 1 or more' });
  };
  number('fps', 0.001, MAX_FPS, `0.001…${MAX_FPS} frames per second`);
  number('startSeconds', 0, 1e7, 'seconds after the first frame, 0 or more');
  number('endSeconds', 0, 1e7, 'seconds after the first frame, more than startSeconds');
  for (const name of ['maxFrames', 'lastFrames', 'batchFrames', 'threads'] as const) whole(name);
  if (options.endSeconds !== undefined && options.endSeconds <= (options.startSeconds ?? 0))
    throw new InputError('endSeconds', {
      got: options.endSeconds,
      need: `more than startSeconds, ${options.startSeconds ?? 0}`,
    });
  if (options.fit !== undefined && !['crop', 'pad', 'stretch'].includes(options.fit))
    throw new InputError('fit', { got: options.fit, need: '"crop", "pad" or "stretch"' });
}
