// 200 damaged or hostile files among 50 good ones.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomStream } from '../../src/base/index.ts';
import { type Figure, figure } from '../measure.ts';
import { MEDIA, timed } from './jobs.ts';

/** Good files among bad ones: all good ones curated, each bad one explained. */
export async function benchHostile(folder: string): Promise<Figure[]> {
  const source = join(MEDIA, 'real', 'robot_arm_mug_hevc.mp4');
  if (!existsSync(source)) return [];
  const input = join(folder, 'hostile');
  mkdirSync(input);
  const good = readFileSync(source);
  const [goods, bads] = [50, 200];
  for (let i = 0; i < goods; i++) writeFileSync(join(input, `good-${i}.mp4`), good);
  for (let i = 0; i < bads; i++) writeFileSync(join(input, `bad-${i}.mp4`), damage(good, i));
  const { seconds, peakMb } = await timed(input, join(folder, 'hostile-out'), {
    split: 'fixed',
    clipSeconds: 2,
    minSeconds: 1,
    embed: 'off',
    preset: 'ultrafast',
    stallSeconds: 30,
  });
  const summary = JSON.parse(readFileSync(join(folder, 'hostile-out', 'summary.json'), 'utf8')) as Record<
    string,
    { processed?: boolean; error?: string; clips?: unknown[]; problem?: string; num_clips_filtered_by_damage?: number }
  >;
  const curated = Array.from({ length: goods }, (_, i) => summary[`good-${i}.mp4`]!).filter(
    (v) => (v.clips?.length ?? 0) === 2,
  ).length;
  const explained = Array.from({ length: bads }, (_, i) => summary[`bad-${i}.mp4`]!).filter(
    (v) =>
      v.error !== undefined ||
      v.problem !== undefined ||
      (v.num_clips_filtered_by_damage ?? 0) > 0 ||
      (v.clips?.length ?? 0) > 0,
  ).length;
  return [
    figure({
      name: 'hostile files: good ones curated',
      value: curated,
      unit: '',
      of: `${goods}, among ${bads} bad ones`,
      floor: goods,
    }),
    figure({
      name: 'hostile files: bad ones settled',
      value: explained,
      unit: '',
      of: `${bads}: an error, a note of damage, or clips of what is whole`,
      floor: bads,
    }),
    figure({
      name: 'hostile files: memory',
      value: peakMb,
      unit: 'MB',
      of: `peak of all processes, ${seconds.toFixed(0)} s`,
      floor: null,
    }),
  ];
}

/** Cut off, overwritten, headers damaged, other content, empty. */
function damage(good: Buffer, seed: number): Buffer {
  const random = randomStream(seed, 'damage');
  const out = Buffer.from(good);
  switch (seed % 6) {
    case 0:
      return out.subarray(0, random.integer(1, out.length - 1));
    case 1:
      for (let i = 0; i < 400; i++) out[random.integer(0, out.length - 1)] = random.integer(0, 255);
      return out;
    case 2:
      out.fill(0, random.integer(0, out.length >> 1), random.integer(out.length >> 1, out.length));
      return out;
    case 3:
      for (let i = 0; i < 60; i++) out[random.integer(0, 2000)] = random.integer(0, 255);
      return out;
    case 4:
      return Buffer.from(Array.from({ length: random.integer(0, 4000) }, () => random.integer(0, 255)));
    default:
      out.write(['PK\u0003\u0004', '#EXTM3U\nhttp://', '<svg ', '%PDF-1.4'][random.integer(0, 3)]!, 0);
      return out;
  }
}
