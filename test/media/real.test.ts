// Real files from cameras, films and other encoders: sizes, counts, times, turns. Skipped where they are not at hand.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { decodeVideo, mediaBackends, probe, readFrames, readImage } from '../../src/media/index.ts';
import { meanDifference } from './numbered.ts';

const folder = fileURLToPath(new URL('../../../shared/media/real/', import.meta.url));
const isHere = existsSync(folder);
if (!isHere) console.log(`media: no real media at ${folder}; those tests are skipped`);
const backends = (await mediaBackends()).filter((b) => b.isAvailable).map((b) => b.name);

// File, display size, frames per second (average), frames. From the folder's own table, with turn and pixel shape applied.
const VIDEOS = [
  ['film_trailer_30s_480p.mp4', 854, 480, 24, 720],
  ['film_trailer_10s_480p.mp4', 854, 480, 24, 240],
  ['driving_hills.mp4', 1024, 640, 30, 60],
  ['driving_dusk_traffic.mp4', 1024, 640, 30, 60],
  ['freeway_dusk_front.mp4', 1280, 704, 24, 233],
  ['freeway_tele_30fov.mp4', 1280, 720, 30, 128],
  ['car_field_2160p_9f.mp4', 3840, 2160, 24, 9],
  ['multiview6_concat_snow_forest.mp4', 848, 480, 30, 54],
  ['six_view_hdmap/front.mp4', 1280, 720, 30, 646],
  ['av_lidar_front.mp4', 1280, 704, 24, 121],
  ['robot_arm_mug_hevc.mp4', 640, 480, 30, 121],
  ['robot_kitchen_sim.mp4', 1280, 704, 24, 121],
  ['generated_warehouse_robot.mp4', 1280, 704, 24, 121],
  ['avc_annexb_1080p.mkv', 1920, 1080, 21.15, 745],
  ['h264_edit_list.mp4', 854, 480, 25, 225],
  ['h264_sar_2x1.mp4', 1280, 360, 30, 150],
  ['h264_rotated.mp4', 1080, 1920, 24, 45],
  ['vp9_numbered.webm', 1080, 1080, 30, 100],
] as const;

describe.skipIf(!isHere)('real media', () => {
  it.each(VIDEOS)('%s', async (name, width, height, fps, frames) => {
    const info = await probe(folder + name);
    expect(info).toMatchObject({ kind: 'video', width, height, frames });
    expect(info.fps).toBeCloseTo(fps, 1);
    expect(info.problem).toBeUndefined();
    let count = 0;
    let last = -1;
    for await (const batch of decodeVideo(folder + name, { width: 64 })) {
      count += batch.shape[0];
      for (const time of batch.times) {
        expect(time).toBeGreaterThanOrEqual(last);
        last = time;
      }
    }
    expect(count).toBe(frames);
    expect(last).toBeLessThan(info.durationSeconds);
  });

  it.each(backends)('seeks to the same frames as decoding from the start: %s', async (backend) => {
    for (const name of [
      'vp9_numbered.webm',
      'film_trailer_10s_480p.mp4',
      'robot_arm_mug_hevc.mp4',
      'h264_edit_list.mp4',
      'h264_rotated.mp4',
    ]) {
      const all = await readFrames(folder + name, { backend, width: 48, height: 48 });
      const bytes = 48 * 48 * 3;
      for (const index of [1, 17, 44]) {
        const part = await readFrames(folder + name, {
          backend,
          width: 48,
          height: 48,
          startSeconds: all.times[index]!,
          maxFrames: 2,
        });
        const expected = all.data.subarray(index * bytes, (index + part.shape[0]) * bytes);
        expect(meanDifference(part.data, expected), `${name} frame ${index}`).toBe(0);
        expect(part.times[0]).toBeCloseTo(all.times[index]!, 5);
      }
      const tail = await readFrames(folder + name, { backend, width: 48, height: 48, lastFrames: 3 });
      expect(meanDifference(tail.data, all.data.slice(-3 * bytes)), `${name} end`).toBe(0);
    }
  });

  it.skipIf(backends.length < 2)('gives nearly the same pixels from both backends', async () => {
    for (const name of [
      'h264_rotated.mp4',
      'h264_sar_2x1.mp4',
      'vp9_numbered.webm',
      'robot_arm_mug_hevc.mp4',
      'freeway_dusk_front.mp4',
    ]) {
      const options = { width: 160, height: 120, maxFrames: 12, fps: 12 } as const;
      const a = await readFrames(folder + name, { ...options, backend: 'node-av' });
      const b = await readFrames(folder + name, { ...options, backend: 'ffmpeg' });
      expect(a.shape).toEqual(b.shape);
      expect(meanDifference(a.data, b.data), name).toBeLessThan(1);
    }
  });

  it('reads photographs', async () => {
    for (const [name, width, height] of [
      ['bus_terminal.jpg', 5472, 3648],
      ['robot_welding.jpg', 1280, 704],
      ['image_input0.jpg', 1920, 1080],
      ['image_input1.jpg', 1024, 640],
    ] as const) {
      expect(await probe(folder + name)).toMatchObject({ kind: 'image', container: 'jpeg', width, height });
      const image = await readImage(folder + name, { width: 256, height: 144 });
      expect(image.shape).toEqual([1, 144, 256, 3]);
      // A photograph, not a flat field.
      expect(Math.max(...image.data) - Math.min(...image.data)).toBeGreaterThan(150);
    }
  });
});
