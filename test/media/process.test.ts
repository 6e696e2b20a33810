// What happens when a media process crashes, hangs, or is left alone.
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OrreryError } from '../../src/base/index.ts';
import { decodeVideo, encodeMp4, mediaBackends, probe, readFrames } from '../../src/media/index.ts';
import { numberedFrames } from './numbered.ts';

const hasNodeAv = (await mediaBackends()).some((b) => b.name === 'node-av' && b.isAvailable);
if (!hasNodeAv) console.log('media: node-av is not installed; its process tests are skipped');

let folder = '';
let clip = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'orrery-media-'));
  clip = join(folder, 'clip.mp4');
  await encodeMp4(numberedFrames(200, 640, 480), { path: clip, fps: 30, preset: 'ultrafast' });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Process ids of this process's own media children (Linux). */
async function mediaChildren(): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const [status, command] = await Promise.all(
      ['status', 'cmdline'].map((file) => readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '')),
    );
    if (status!.includes(`PPid:\t${process.pid}\n`) && command!.includes('media/worker.js')) found.push(Number(name));
  }
  return found;
}

describe.skipIf(process.platform !== 'linux' || !hasNodeAv)('a media process', () => {
  it.each([
    ['SIGKILL', 60, /the media process crashed \(signal SIGKILL\)/],
    ['SIGSTOP', 1, /no progress for 1 s, so the media process was ended/],
  ] as const)('costs one clear error on %s, and the next job works', async (signal, stallSeconds, message) => {
    let error: unknown;
    try {
      for await (const batch of decodeVideo(clip, { backend: 'node-av', batchFrames: 4, stallSeconds })) {
        if (batch.firstIndex === 0) for (const id of await mediaChildren()) process.kill(id, signal);
      }
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(OrreryError);
    expect((error as OrreryError).code).toBe('data');
    expect((error as OrreryError).message).toMatch(message);
    expect((await readFrames(clip, { backend: 'node-av', maxFrames: 2, width: 64 })).shape[0]).toBe(2);
  });

  it('waits while its reader is slow: nothing is decoded far ahead', async () => {
    const openFiles = async (id: number): Promise<number> => {
      for (const fd of await readdir(`/proc/${id}/fd`)) {
        const target = await readlink(`/proc/${id}/fd/${fd}`).catch(() => '');
        if (target === clip) return Number(/pos:\s+(\d+)/.exec(await readFile(`/proc/${id}/fdinfo/${fd}`, 'utf8'))![1]);
      }
      return -1;
    };
    for await (const _ of decodeVideo(clip, { backend: 'node-av', batchFrames: 2, threads: 1 })) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      const positions = await Promise.all((await mediaChildren()).map(openFiles));
      // After two of 200 frames the child must not have read the whole file.
      const size = (await probe(clip, { backend: 'node-av' })).sizeBytes;
      expect(Math.max(...positions)).toBeGreaterThan(0);
      expect(Math.max(...positions)).toBeLessThan(size * 0.9);
      break;
    }
  });

  it('is used again, and serves several callers at once', async () => {
    const results = await Promise.all(
      Array.from({ length: 5 }, (_, i) =>
        readFrames(clip, { backend: 'node-av', startSeconds: i, maxFrames: 3, width: 64 }),
      ),
    );
    expect(results.map((r) => r.times[0])).toEqual([0, 1, 2, 3, 4]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await mediaChildren()).length).toBeLessThanOrEqual(2);
  });
});

it('survives damaged bytes anywhere: frames or a clear error, never a crash of this process', async () => {
  const whole = await readFile(clip);
  for (let k = 0; k < 12; k++) {
    const bytes = Buffer.from(whole);
    // Damage at fixed, spread places: index, first frames, middle, end.
    for (let i = 0; i < 40; i++) bytes[Math.floor(((k * 40 + i) * 7919) % bytes.length)] ^= 0x55;
    const path = join(folder, `damaged-${k}.mp4`);
    await writeFile(path, bytes);
    try {
      const frames = await readFrames(path, { width: 64, allowDamaged: true });
      expect(frames.shape[0]).toBeGreaterThan(0);
    } catch (error) {
      expect(error).toBeInstanceOf(OrreryError);
      expect((error as OrreryError).code).toMatch(/data|memory/);
    }
  }
});
