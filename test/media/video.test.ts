// Video in and out through the public API, on every backend that this machine has, with video that the tests make themselves.
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OrreryError } from '../../src/base/index.ts';
import { decodeVideo, encodeMp4, type Frames, mediaBackends, probe, readFrames } from '../../src/media/index.ts';
import { meanDifference, numberedFrames, numbersOf } from './numbered.ts';

const backends = (await mediaBackends()).filter((b) => b.isAvailable).map((b) => b.name);
if (backends.length < 2)
  console.log(`media: only ${backends.join(', ') || 'no backend'} here; comparisons of backends are skipped`);
const hasFfmpeg = backends.includes('ffmpeg');

let folder = '';
let clip = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'orrery-media-'));
  clip = join(folder, 'clip.mp4');
  await encodeMp4(numberedFrames(120), { path: clip, fps: 30, metadata: { comment: '{"seed":7}' } });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function errorOf(work: Promise<unknown>): Promise<OrreryError> {
  try {
    await work;
  } catch (error) {
    expect(error).toBeInstanceOf(OrreryError);
    return error as OrreryError;
  }
  throw new Error('no error was thrown');
}

/** Rewrites four bytes (or more) after the n-th occurrence of a box name. */
async function patched(name: string, box: string, offset: number, bytes: readonly number[]): Promise<string> {
  const data = Buffer.from(await readFile(clip));
  data.set(bytes, data.indexOf(box) + 4 + offset);
  const path = join(folder, name);
  await writeFile(path, data);
  return path;
}

it('has at least one backend', () => {
  expect(backends.length).toBeGreaterThan(0);
});

describe.each(backends)('backend %s', (backend) => {
  it('keeps count, order, time and look of frames', async () => {
    const frames = numberedFrames(50, 128, 96);
    const path = join(folder, `round-${backend}.mp4`);
    const result = await encodeMp4(frames, {
      path,
      fps: 24,
      backend,
      metadata: { comment: 'recipe = ü; #\\ "q"\nline 2' },
    });
    expect(result).toMatchObject({ frames: 50, width: 128, height: 96, backend });
    const info = await probe(path, { backend });
    expect(info).toMatchObject({
      kind: 'video',
      container: 'mp4',
      codec: 'h264',
      width: 128,
      height: 96,
      fps: 24,
      frames: 50,
      isFrameCountExact: true,
      rotation: 0,
      sar: [1, 1],
      startSeconds: 0,
    });
    expect(info.durationSeconds).toBeCloseTo(50 / 24, 3);
    expect(info.tags.comment).toBe('recipe = ü; #\\ "q"\nline 2');
    const back = await readFrames(path, { backend });
    expect(numbersOf(back)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    back.times.forEach((time, i) => {
      expect(time).toBeCloseTo(i / 24, 4);
    });
    expect(meanDifference(frames.data, back.data)).toBeLessThan(2.5);
  });

  it('writes the same bytes for the same frames', async () => {
    const [a, b] = [join(folder, `a-${backend}.mp4`), join(folder, `b-${backend}.mp4`)];
    await encodeMp4(numberedFrames(30), { path: a, fps: 30, backend });
    // In other portions, too.
    await encodeMp4([numberedFrames(7), numberedFrames(23, 96, 64, 7)], { path: b, fps: 30, backend });
    expect(Buffer.compare(await readFile(a), await readFile(b))).toBe(0);
  });

  it('seeks exactly, resamples by time and takes the last frames', async () => {
    const numbers = async (options: object): Promise<number[]> =>
      numbersOf(await readFrames(clip, { backend, ...options }));
    expect(await numbers({ startSeconds: 1.7, maxFrames: 3 })).toEqual([51, 52, 53]);
    expect(await numbers({ startSeconds: 77 / 30, endSeconds: 80 / 30 })).toEqual([77, 78, 79]);
    expect(await numbers({ startSeconds: 3.99 })).toEqual([119]);
    expect(await numbers({ fps: 10, maxFrames: 4 })).toEqual([0, 3, 6, 9]);
    expect(await numbers({ fps: 60, startSeconds: 2, maxFrames: 5 })).toEqual([60, 60, 61, 61, 62]);
    expect((await numbers({ fps: 7.5 })).length).toBe(30);
    expect(await numbers({ fps: 1 })).toEqual([0, 30, 60, 90]);
    expect(await numbers({ lastFrames: 4 })).toEqual([116, 117, 118, 119]);
    expect(await numbers({ lastFrames: 3, fps: 10 })).toEqual([111, 114, 117]);
    expect(await numbers({ lastFrames: 2, endSeconds: 1 })).toEqual([28, 29]);
    expect((await numbers({ lastFrames: 500 })).length).toBe(120);
  });

  it('crops, pads and stretches', async () => {
    const size = async (options: object): Promise<Frames> => readFrames(clip, { backend, maxFrames: 1, ...options });
    expect((await size({ width: 48 })).shape).toEqual([1, 32, 48, 3]);
    expect((await size({ height: 128 })).shape).toEqual([1, 128, 192, 3]);
    const padded = await size({ width: 96, height: 96, fit: 'pad' });
    expect([...padded.data.subarray(0, 96 * 16 * 3)].every((value) => value === 0)).toBe(true);
    const plain = await size({});
    const cropped = await size({ width: 64, height: 64, fit: 'crop' });
    const expected = new Uint8Array(64 * 64 * 3);
    for (let y = 0; y < 64; y++) expected.set(plain.data.subarray((y * 96 + 16) * 3, (y * 96 + 80) * 3), y * 64 * 3);
    expect(meanDifference(cropped.data, expected)).toBe(0);
    expect((await size({ width: 50, height: 70, fit: 'stretch' })).shape).toEqual([1, 70, 50, 3]);
  });

  it('gives batches of the wanted size and stops early without harm', async () => {
    const sizes: number[] = [];
    for await (const batch of decodeVideo(clip, { backend, batchFrames: 50 })) sizes.push(batch.shape[0]);
    expect(sizes).toEqual([50, 50, 20]);
    for await (const batch of decodeVideo(clip, { backend, batchFrames: 1 })) {
      expect(batch.firstIndex).toBe(0);
      break;
    }
    expect((await readFrames(clip, { backend, maxFrames: 2 })).shape[0]).toBe(2);
  });

  it('turns by the display matrix: all eight ways', async () => {
    const plain = await readFrames(clip, { backend, maxFrames: 1 });
    for (const matrix of [
      [1, 0, 0, 1],
      [0, 1, -1, 0],
      [-1, 0, 0, -1],
      [0, -1, 1, 0],
      [-1, 0, 0, 1],
      [1, 0, 0, -1],
      [0, 1, 1, 0],
      [0, -1, -1, 0],
    ] as const) {
      const [a, b, c, d] = matrix;
      const word = (value: number): number[] => [...Buffer.from(new Int32Array([value * 65536]).buffer)].reverse();
      // ISO 14496-12 track header, version 0: the matrix begins 40 bytes after the type, as a b u c d v x y w.
      const bytes = [...word(a), ...word(b), 0, 0, 0, 0, ...word(c), ...word(d)];
      const path = await patched('turned.mp4', 'tkhd', 40, bytes);
      const turned = await readFrames(path, { backend, maxFrames: 1 });
      const [w, h] = a === 0 ? [64, 96] : [96, 64];
      expect(turned.shape).toEqual([1, h, w, 3]);
      // The standard's own rule: a stored point (x, y) is shown at (a·x + c·y, b·x + d·y), moved into the picture.
      const expected = new Uint8Array(w * h * 3);
      for (let y = 0; y < 64; y++) {
        for (let x = 0; x < 96; x++) {
          const sx = a * x + c * y + (a + c < 0 && (a < 0 || c < 0) ? w - 1 : 0) + (a < 0 && c > 0 ? w - 1 : 0);
          const sy = b * x + d * y + (b < 0 || d < 0 ? h - 1 : 0);
          expected.set(plain.data.subarray((y * 96 + x) * 3, (y * 96 + x) * 3 + 3), (sy * w + sx) * 3);
        }
      }
      expect(meanDifference(turned.data, expected), `matrix ${matrix.join(' ')}`).toBe(0);
    }
  });

  it('treats names as names', async () => {
    for (const name of [
      '-i.mp4',
      'http:x.mp4',
      '%03d.mp4',
      'concat:a|b.mp4',
      "it's [1],2;.mp4",
      'ünï cödé.mp4',
      'pipe:1',
    ]) {
      const path = join(folder, name);
      await encodeMp4(numberedFrames(3), { path, fps: 30, backend, preset: 'ultrafast' });
      expect(numbersOf(await readFrames(path, { backend }))).toEqual([0, 1, 2]);
    }
  });

  it('leaves nothing behind after a failure or an abort', async () => {
    const before = await readdir(folder);
    const path = join(folder, 'never.mp4');
    const broken = async function* (): AsyncGenerator<Frames> {
      yield numberedFrames(20);
      throw new RangeError('the source failed');
    };
    await expect(encodeMp4(broken(), { path, fps: 30, backend })).rejects.toThrow('the source failed');
    const controller = new AbortController();
    const endless = async function* (): AsyncGenerator<Frames> {
      for (let i = 0; ; i++) {
        if (i === 5) controller.abort();
        yield numberedFrames(5);
      }
    };
    expect((await errorOf(encodeMp4(endless(), { path, fps: 30, backend, signal: controller.signal }))).code).toBe(
      'canceled',
    );
    const mixed = [numberedFrames(2), numberedFrames(2, 128, 64)];
    expect((await errorOf(encodeMp4(mixed, { path, fps: 30, backend }))).message).toMatch(
      /\[2, 64, 128, 3\] after 2 frames/,
    );
    expect(await readdir(folder)).toEqual(before);
    const already = AbortSignal.abort();
    expect((await errorOf(readFrames(clip, { backend, signal: already }))).code).toBe('canceled');
  });

  it('explains damaged files and can use them on request', async () => {
    const whole = await readFile(clip);
    const cut = join(folder, 'cut.mp4');
    await writeFile(cut, whole.subarray(0, Math.floor(whole.length * 0.7)));
    expect((await probe(cut, { backend })).problem).toMatch(/^cut off: \d+ of the \d+ bytes/);
    const error = await errorOf(readFrames(cut, { backend }));
    expect(error.code).toBe('data');
    expect(error.message).toMatch(/cut off: .*; \d+ frames could be decoded; need a complete file; .*allowDamaged/);
    const some = await readFrames(cut, { backend, allowDamaged: true });
    expect(some.shape[0]).toBeGreaterThan(5);
    expect(some.shape[0]).toBeLessThan(120);
    expect((await readFrames(cut, { backend, maxFrames: 5 })).shape[0]).toBe(5);

    const noIndex = join(folder, 'no-index.mp4');
    await writeFile(noIndex, whole.subarray(0, 32).toString('latin1') + whole.subarray(0, 0).toString(), 'latin1');
    expect((await errorOf(probe(noIndex, { backend }))).code).toBe('data');
  });

  it('refuses an absurd frame rate', async () => {
    // The track's clock (mdhd, version 0: 12 bytes after the type) made 90000 × 512 ticks per second.
    const fast = await errorOf(probe(await patched('fast.mp4', 'mdhd', 12, [2, 0xbf, 0x20, 0]), { backend }));
    expect(fast.code).toBe('data');
    expect(fast.message).toMatch(/fast\.mp4": a frame rate of 90000 per second; need more than 0 and at most 1000/);
  });

  it('explains wrong values', async () => {
    const message = async (options: object): Promise<string> =>
      (await errorOf(readFrames(clip, { backend, ...options }))).message;
    expect(await message({ fps: 0 })).toBe('fps: got 0, need 0.001…1000 frames per second');
    expect(await message({ fps: Number.NaN })).toContain('fps: got NaN');
    expect(await message({ startSeconds: 99 })).toMatch(/^startSeconds: got 99, need less than the length, 4 s/);
    expect(await message({ width: 9000 })).toMatch(/^width: got 9000, need a whole number of pixels, 1…8192/);
    expect(await message({ maxBytes: 1000 })).toMatch(/120 frames of 96x64 take 2211840 bytes; need at most 1000/);
    const path = join(folder, 'x.mp4');
    const encode = async (frames: Frames, options: object): Promise<OrreryError> =>
      errorOf(encodeMp4(frames, { path, fps: 30, backend, ...options }));
    expect((await encode(numberedFrames(1, 97, 64), {})).message).toMatch(/^width: got 97, need an even number/);
    expect((await encode(numberedFrames(1), { fps: 1e6 })).message).toContain('fps: got 1000000');
    expect((await encode(numberedFrames(1), { path: join(folder, 'no', 'x.mp4') })).code).toBe('disk');
    expect((await encode(numberedFrames(1), { path: folder })).message).toContain('a directory is in the way');
    expect((await errorOf(encodeMp4([], { path, fps: 30, backend }))).message).toContain('frames: got "no frames"');
  });

  it('reads a one-frame video', async () => {
    const path = join(folder, `one-${backend}.mp4`);
    await encodeMp4(numberedFrames(1, 96, 64, 5), { path, fps: 24, backend });
    expect(numbersOf(await readFrames(path, { backend }))).toEqual([5]);
    expect(numbersOf(await readFrames(path, { backend, lastFrames: 3 }))).toEqual([5]);
    expect(await probe(path, { backend })).toMatchObject({ frames: 1, fps: 24 });
  });
});

describe.skipIf(backends.length < 2)('node-av against ffmpeg', () => {
  it('gives the same pixels', async () => {
    for (const options of [{}, { width: 50, height: 40 }, { fps: 12.5, startSeconds: 0.7 }]) {
      const [a, b] = [
        await readFrames(clip, { ...options, backend: 'node-av' }),
        await readFrames(clip, { ...options, backend: 'ffmpeg' }),
      ];
      expect(a.shape).toEqual(b.shape);
      expect([...a.times].map((t) => t.toFixed(4))).toEqual([...b.times].map((t) => t.toFixed(4)));
      expect(meanDifference(a.data, b.data)).toBeLessThan(0.6);
    }
  });
});

describe.skipIf(!hasFfmpeg)('other containers and odd files (made by the ffmpeg program)', () => {
  const make = (name: string, ...args: string[]): string => {
    const path = join(folder, name);
    const run = spawnSync('ffmpeg', ['-v', 'error', '-y', ...args, path], { encoding: 'utf8' });
    if (run.status !== 0) throw new Error(run.stderr);
    return path;
  };

  it.each(backends)('reads MKV, WebM-like, MPEG-TS, AVI, MOV and FLV with %s', async (backend) => {
    for (const name of ['c.mkv', 'c.ts', 'c.avi', 'c.mov', 'c.flv']) {
      const path = make(name, '-i', clip, '-c', 'copy');
      const frames = await readFrames(path, { backend });
      expect(numbersOf(frames), name).toEqual(Array.from({ length: 120 }, (_, i) => i));
      expect(numbersOf(await readFrames(path, { backend, startSeconds: 2.5, maxFrames: 2 })), name).toEqual([75, 76]);
      expect(numbersOf(await readFrames(path, { backend, lastFrames: 2 })), name).toEqual([118, 119]);
    }
  });

  it.each(backends)('resamples variable frame rate by presentation time with %s', async (backend) => {
    // Frames 0…29 at 30 per second, then every third frame only.
    const path = make(
      'vfr.mkv',
      '-i',
      clip,
      '-vf',
      "select='lt(n,30)+not(mod(n,3))'",
      '-fps_mode',
      'vfr',
      '-crf',
      '10',
    );
    const native = numbersOf(await readFrames(path, { backend }));
    expect(native).toEqual([
      ...Array.from({ length: 30 }, (_, i) => i),
      ...Array.from({ length: 30 }, (_, i) => 30 + 3 * i),
    ]);
    const even = numbersOf(await readFrames(path, { backend, fps: 30 }));
    even.slice(0, 118).forEach((number, k) => {
      expect(number).toBe(k < 30 ? k : k - (k % 3));
    });
    expect(numbersOf(await readFrames(path, { backend, fps: 10, startSeconds: 2 }))).toEqual(
      Array.from({ length: 20 }, (_, k) => 60 + 3 * k),
    );
  });

  it.each(backends)('applies the sample aspect ratio and refuses sound with %s', async (backend) => {
    const wide = make('sar.mp4', '-i', clip, '-vf', 'setsar=2/1', '-frames:v', '3');
    expect(await probe(wide, { backend })).toMatchObject({ width: 192, height: 64, sar: [2, 1] });
    expect((await readFrames(wide, { backend })).shape).toEqual([3, 64, 192, 3]);
    const sound = make('sound.mp4', '-f', 'lavfi', '-i', 'sine=duration=0.2');
    expect((await errorOf(probe(sound, { backend }))).message).toContain('sound but no pictures');
  });

  it.each(backends)('takes 8K, refuses larger pictures with %s', async (backend) => {
    const flat = (size: string, name: string): string =>
      make(name, '-f', 'lavfi', '-i', `color=s=${size}:r=2`, '-frames:v', '2', '-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p');
    expect((await readFrames(flat('7680x4320', '8k.mkv'), { backend, width: 64 })).shape).toEqual([2, 36, 64, 3]);
    const large = await errorOf(readFrames(flat('8200x16', 'large.mkv'), { backend }));
    expect(large.message).toContain('8200x16 pixels; need at most 8192x8192');
  });

  it.each(backends)('converts colour by range and matrix with %s', async (backend) => {
    // One flat colour through full range, limited range and both matrices must come back as itself.
    const flat = numberedFrames(4, 96, 64);
    for (let i = 0; i < flat.data.length; i += 3) flat.data.set([200, 60, 30], i);
    const raw = join(folder, 'flat.rgb');
    await writeFile(raw, flat.data);
    for (const [matrix, range] of [
      ['bt709', 'tv'],
      ['bt709', 'pc'],
      ['smpte170m', 'tv'],
    ] as const) {
      const tags = ['-colorspace', matrix, '-color_range', range, '-crf', '1'];
      const filter = `scale=out_color_matrix=${matrix === 'bt709' ? 'bt709' : 'bt601'}:out_range=${range},format=yuv420p`;
      const path = make(
        `${matrix}-${range}.mp4`,
        '-f',
        'rawvideo',
        '-pix_fmt',
        'rgb24',
        '-s',
        '96x64',
        '-i',
        raw,
        '-vf',
        filter,
        ...tags,
      );
      const frames = await readFrames(path, { backend });
      expect(meanDifference(frames.data, flat.data), `${matrix} ${range}`).toBeLessThan(2);
    }
  });
});

it('is replaced whole: an old file stays until the new one is complete', async () => {
  const path = join(folder, 'replace.mp4');
  await encodeMp4(numberedFrames(3), { path, fps: 30 });
  const old = await stat(path);
  const broken = async function* (): AsyncGenerator<Frames> {
    yield numberedFrames(3);
    throw new Error('no');
  };
  await expect(encodeMp4(broken(), { path, fps: 30 })).rejects.toThrow('no');
  expect((await stat(path)).ino).toBe(old.ino);
});
