// Dedup: a million synthetic embeddings with planted near-copies, and real clips with planted re-encodings, crops, logos
// and changed speed.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { randomStream } from '../../src/base/index.ts';
import { dedup, pruneRows, readJob } from '../../src/curation/index.ts';
import { type Figure, figure } from '../measure.ts';
import { ffmpeg, has, MEDIA, timed } from './jobs.ts';

/** Rows of random directions in loose groups, a tenth of them near-copies of others. */
export async function benchDedup(count = 1_000_000): Promise<Figure[]> {
  const size = 256;
  const random = randomStream(7, 'planted');
  const data = new Float32Array(count * size);
  // Cheap normal-like numbers: sums of bytes of 32-bit draws.
  const loose = (): number => {
    const bits = random.uint32();
    return ((bits & 255) + ((bits >>> 8) & 255) + ((bits >>> 16) & 255) + (bits >>> 24) - 510) / 148;
  };
  const copies = new Map<number, number>();
  for (let r = 0; r < count; r++) {
    const of = r > 10 && random.uniform() < 0.1 ? random.integer(0, r - 1) : -1;
    const at = r * size;
    if (of >= 0 && !copies.has(of)) {
      copies.set(r, of);
      for (let i = 0; i < size; i++) data[at + i] = data[of * size + i]! + 0.003 * loose();
    } else for (let i = 0; i < size; i++) data[at + i] = loose() + (i === r % 200 ? 6 : 0);
    let norm = 0;
    for (let i = 0; i < size; i++) norm += data[at + i]! ** 2;
    norm = 1 / Math.sqrt(norm);
    for (let i = 0; i < size; i++) data[at + i]! *= norm;
  }
  const from = performance.now();
  const { repeats } = await pruneRows({ count, size, data }, { threads: 2 });
  const minutes = (performance.now() - from) / 60_000;
  let found = 0;
  let wrong = 0;
  repeats.forEach((kept, r) => {
    if (kept < 0) return;
    const isPair = copies.get(r) === kept || copies.get(kept) === r;
    const isSibling = copies.get(r) !== undefined && copies.get(r) === copies.get(kept);
    if (isPair || isSibling) found++;
    else wrong++;
  });
  const label = `dedup of ${count === 1_000_000 ? 'a million' : count}`;
  const of = `${size}-d embeddings, two threads`;
  return [
    figure({ name: `${label}: time`, value: minutes, unit: 'min', of, floor: 10, isCeiling: true }),
    figure({
      name: `${label}: memory`,
      value: process.resourceUsage().maxRSS / 1e6,
      unit: 'GB',
      of: 'peak of this process, the embeddings included',
      floor: 4,
      isCeiling: true,
    }),
    figure({
      name: `${label}: recall`,
      value: found / copies.size,
      unit: '',
      of: `${copies.size} planted near-copies`,
      floor: null,
    }),
    figure({
      name: `${label}: precision`,
      value: found / Math.max(1, found + wrong),
      unit: '',
      of: `${found + wrong} removed`,
      floor: null,
    }),
  ];
}

/** Different takes: no two of them are near-duplicates. None begins in the dark: black copies of black say nothing. */
const TAKES = [
  'driving_hills',
  'freeway_tele_30fov',
  'robot_arm_mug_hevc',
  'robot_kitchen_sim',
  'generated_warehouse_robot',
  'vp9_numbered',
  'av_lidar_front',
  'av_hdmap_front',
  'av_generated_front',
  'freeway_dusk_front',
  'driving_dusk_traffic',
] as const;

const PLANTED: Readonly<Record<string, readonly string[]>> = {
  're-encode': ['-vf', 'scale=400:-2', '-crf', '34'],
  crop: ['-vf', 'crop=iw*0.92:ih*0.92,scale=480:-2', '-crf', '23'],
  logo: ['-vf', 'drawbox=x=iw*0.82:y=ih*0.06:w=iw*0.13:h=ih*0.1:color=white:t=fill', '-crf', '23'],
  speed: ['-vf', 'setpts=PTS/1.15', '-crf', '23'],
};

/** Precision and recall of `orrery curate dedup` with its defaults on real clips. */
export async function benchDuplicates(folder: string): Promise<Figure[]> {
  const input = join(folder, 'duplicates');
  if (!existsSync(join(MEDIA, 'real')) || !has('ffmpeg')) return [];
  mkdirSync(input);
  for (const take of TAKES) {
    const source = join(MEDIA, 'real', `${take}.${take.startsWith('vp9') ? 'webm' : 'mp4'}`);
    if (!existsSync(source)) continue;
    const base = join(input, `${take}--base.mp4`);
    ffmpeg('-i', source, '-t', '1.5', '-an', '-vf', 'scale=-2:360', '-preset', 'veryfast', '-crf', '18', base);
    for (const [kind, args] of Object.entries(PLANTED))
      ffmpeg('-i', base, ...args, '-preset', 'veryfast', join(input, `${take}--${kind}.mp4`));
  }
  const out = join(folder, 'duplicates-out');
  await timed(input, out, { split: 'fixed', minSeconds: 1, clipSeconds: 3, quality: 'score', preset: 'ultrafast' });
  const clips = readJob(out).results.flatMap((r) => r.clips);
  const partsOf = new Map(clips.map((c) => [c.id, c.video.replace(/\.mp4$/, '').split('--')] as const));
  const { duplicates } = await dedup(out);
  const removed = new Map(duplicates.map((d) => [d.id, d]));
  let right = 0;
  for (const { id, keptId } of duplicates) if (partsOf.get(id)![0] === partsOf.get(keptId)![0]) right++;
  /** The clip that stands for a clip: itself, or the end of the chain of kept ones. */
  const standsFor = (id: string): string => {
    const next = removed.get(id)?.keptId;
    return next === undefined ? id : standsFor(next);
  };
  const groups = new Set([...partsOf.values()].map(([take]) => take));
  const find = (take: string, kind: string): string | undefined =>
    clips.find((c) => partsOf.get(c.id)!.join() === [take, kind].join())?.id;
  const figures = Object.keys(PLANTED).map((kind) => {
    const pairs = [...groups].map((take) => [find(take!, 'base'), find(take!, kind)] as const);
    const whole = pairs.filter((pair): pair is readonly [string, string] => pair.every((id) => id !== undefined));
    const found = whole.filter(([base, copy]) => standsFor(base) === standsFor(copy)).length;
    return figure({
      name: `near-duplicates found: ${kind}`,
      value: found / Math.max(1, whole.length),
      unit: '',
      of: `recall over ${whole.length} takes`,
      floor: null,
    });
  });
  return [
    ...figures,
    figure({
      name: 'near-duplicates: precision',
      value: right / Math.max(1, duplicates.length),
      unit: '',
      of: `${duplicates.length} removed of ${clips.length} clips`,
      floor: null,
    }),
  ];
}
