// 200 damaged or hostile files among 50 good ones.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomStream } from '../../src/base/index.ts';
import { readJob } from '../../src/curation/index.ts';
import { type Figure, figure } from '../measure.ts';
import { ffmpeg, has, MEDIA, timed } from './jobs.ts';

/** Good files among bad ones: all good ones curated, each bad one explained. */
export async function benchHostile(folder: string): Promise<Figure[]> {
  const source = join(MEDIA, 'real', 'robot_arm_mug_hevc.mp4');
  if (!existsSync(source) || !has('ffmpeg')) return [];
  const input = join(folder, 'hostile');
  mkdirSync(input);
  // Two codecs, short and small: the damage counts, not the length.
  const short = ['-t', '1.6', '-an', '-vf', 'scale=320:240', '-preset', 'ultrafast'];
  const whole = ['libx264', 'libx265'].map((codec) => {
    const file = join(folder, `${codec}.mp4`);
    const quiet = codec === 'libx265' ? ['-x265-params', 'log-level=none'] : [];
    ffmpeg('-i', source, ...short, '-c:v', codec, ...quiet, file);
    return readFileSync(file);
  });
  const [goods, bads] = [50, 200];
  for (let i = 0; i < goods; i++) writeFileSync(join(input, `good-${i}.mp4`), whole[i % 2]!);
  for (let i = 0; i < bads; i++) writeFileSync(join(input, `bad-${i}.mp4`), damage(whole[(i >> 3) % 2]!, i));
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
    {
      error?: string;
      clips?: string[];
      problem?: string;
      decode_errors?: number;
      num_clips_filtered_by_damage?: number;
    }
  >;
  const curated = Array.from({ length: goods }, (_, i) => summary[`good-${i}.mp4`]!).filter(
    (v) => (v.clips?.length ?? 0) === 1,
  ).length;
  const badOnes = Array.from({ length: bads }, (_, i) => summary[`bad-${i}.mp4`]!);
  const isExplained = (v: (typeof badOnes)[number]): boolean =>
    v.error !== undefined ||
    v.problem !== undefined ||
    (v.decode_errors ?? 0) > 0 ||
    (v.num_clips_filtered_by_damage ?? 0) > 0;
  // Damage that changes no picture needs no word: those clips are the same, byte for byte, as the clips of good files.
  const sums = new Map(
    readJob(join(folder, 'hostile-out')).results.flatMap((r) => r.clips.map((c) => [c.id, c.sha256] as const)),
  );
  const goodSums = new Set(
    Array.from({ length: goods }, (_, i) => summary[`good-${i}.mp4`]!).flatMap((v) =>
      (v.clips ?? []).map((id) => sums.get(id)),
    ),
  );
  const isHarmless = (v: (typeof badOnes)[number]): boolean =>
    (v.clips?.length ?? 0) > 0 && v.clips!.every((id) => goodSums.has(sums.get(id)));
  const harmless = badOnes.filter((v) => !isExplained(v) && isHarmless(v)).length;
  const explained = badOnes.filter(isExplained).length;
  return [
    figure({
      name: 'hostile files: good ones curated',
      value: curated,
      unit: '',
      of: `${goods}, among ${bads} bad ones`,
      floor: goods,
    }),
    figure({
      name: 'hostile files: bad ones explained',
      value: explained + harmless,
      unit: '',
      of: `${bads}; ${harmless} of them were damaged without any effect on their pictures`,
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
