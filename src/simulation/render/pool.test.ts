import { expect, it } from 'vitest';
import { CHANNELS, renderClip } from './clip.ts';
import { openRenderPool } from './pool.ts';
import { demoScene } from './test-scenes.ts';

it('gives the same clip with one thread, two and none', async () => {
  const { scene, trajectory } = demoScene({ frames: 5, size: 48 });
  const here = renderClip(scene, trajectory, { channels: CHANNELS });
  for (const workers of [1, 2]) {
    await using pool = openRenderPool({ workers });
    const frames: number[] = [];
    const clip = await pool.render(scene, trajectory, { channels: CHANNELS, onFrame: (done) => frames.push(done) });
    for (const name of CHANNELS) {
      const [a, b] = [clip[name]!, here[name]!];
      expect(a.length).toBe(b.length);
      expect(Buffer.from(a.buffer).equals(Buffer.from(b.buffer)), `${name}, ${workers} workers`).toBe(true);
    }
    expect(frames).toEqual([1, 2, 3, 4, 5]);
  }
});

it('stops when asked and renders again afterwards', async () => {
  const { scene, trajectory } = demoScene({ frames: 40, size: 96 });
  await using pool = openRenderPool({ workers: 2 });
  const stop = new AbortController();
  const running = pool.render(scene, trajectory, { signal: stop.signal, onFrame: () => stop.abort() });
  await expect(running).rejects.toMatchObject({ code: 'canceled' });
  const short = demoScene({ frames: 2, size: 32 });
  expect((await pool.render(short.scene, short.trajectory)).frames).toBe(2);
});
