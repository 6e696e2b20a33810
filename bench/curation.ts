// `npm run bench curation`: shot detection, efficiency against plain ffmpeg, scaling, engine overhead, memory, hostile files,
// dedup. `--only shots|efficiency|engine|hostile|dedup|million` runs a part. Needs the folder of sample media named by
// ORRERY_MEDIA_SAMPLES (default ../shared/media); parts without their media are left out.
import { spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { randomStream } from '../src/base/index.ts';
import { curate, openEmbedded, pruneRows, runPipeline, type Stage } from '../src/curation/index.ts';
import { benchShots } from './curation-shots.ts';
import { type Figure, figure } from './measure.ts';

const MEDIA = resolve(process.env['ORRERY_MEDIA_SAMPLES'] ?? '../shared/media');

/** The figures of curation. */
export async function benchCuration(only: string): Promise<readonly Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'orrery-bench-'));
  const figures: Figure[] = [];
  const wants = (part: string): boolean => only === '' || only === part;
  try {
    if (wants('shots')) figures.push(...(await benchShots(MEDIA)));
    if (wants('engine')) figures.push(await engineRate());
    if (wants('efficiency')) figures.push(...(await efficiency(folder)));
    if (wants('hostile')) figures.push(...(await hostile(folder)));
    if (wants('dedup')) figures.push(...(await planted(40_000)));
    if (wants('million')) figures.push(...(await planted(1_000_000)));
    return figures;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function engineRate(): Promise<Figure> {
  const stage = (name: string): Stage => ({
    name,
    batch: 8,
    cores: 0.5,
    open: async () => ({
      process: async (units, io) => {
        for (const unit of units) await io.emit(unit, unit.id);
      },
      dispose: () => {},
    }),
  });
  const stages = ['a', 'b', 'c'].map(stage);
  const backend = openEmbedded({ stages: stages.map((s) => s.name), keepsResults: false });
  const count = 60_000;
  function* source() {
    for (let i = 0; i < count; i++) yield { id: `unit-${i}`, value: i };
  }
  const from = performance.now();
  for await (const _ of runPipeline({ stages, backend, source: source() }));
  const rate = count / ((performance.now() - from) / 1000);
  await backend.close();
  return figure({
    name: 'engine: empty stages',
    value: rate,
    unit: 'items/s',
    of: 'three stages, in memory',
    floor: 20_000,
  });
}

const BARE = {
  split: 'fixed',
  clipSeconds: 5,
  minSeconds: 1,
  motion: 'off',
  embed: 'off',
  caption: 'off',
  quality: 'score',
  metas: false,
} as const;

async function timed(
  input: string,
  out: string,
  options: Parameters<typeof curate>[2],
): Promise<{ seconds: number; clips: number; peakMb: number }> {
  let seconds = 0;
  let clips = 0;
  let peakMb = 0;
  const watch = setInterval(() => {
    peakMb = Math.max(peakMb, treeMb(process.pid));
  }, 250);
  for await (const event of curate(input, out, options))
    if (event.type === 'done') {
      seconds = event.seconds;
      clips = event.summary.clips + event.summary.filtered;
    }
  clearInterval(watch);
  return { seconds, clips, peakMb };
}

/** Resident memory of a process and its children, MB; 0 where the system does not tell. */
function treeMb(pid: number): number {
  try {
    const own = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) / 256;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return own + children.reduce((sum, child) => sum + (child === '' ? 0 : treeMb(Number(child))), 0);
  } catch {
    return 0;
  }
}

/** Plain ffmpeg: one process per video, one input per span with the seek before it, the same encoder settings. */
async function plain(files: readonly string[], out: string, parallel: number): Promise<number> {
  mkdirSync(out, { recursive: true });
  const queue = [...files];
  const from = performance.now();
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const probed = spawnSync('ffprobe', ['-v', 'error', '-show_entries', 'format=duration', '-of', 'csv=p=0', file], {
        encoding: 'utf8',
      });
      const spans = Math.max(1, Math.ceil((Number(probed.stdout) - 1) / 5));
      const inputs: string[] = [];
      const outputs: string[] = [];
      for (let i = 0; i < spans; i++) {
        inputs.push('-threads', '1', '-ss', `${i * 5}`, '-t', '5', '-i', file);
        outputs.push(
          '-map',
          `${i}:v:0`,
          '-c:v',
          'libx264',
          '-preset',
          'veryfast',
          '-crf',
          '20',
          '-threads',
          '1',
          '-x264-params',
          'keyint=48',
          '-pix_fmt',
          'yuv420p',
          '-movflags',
          '+faststart',
          join(out, `${file.split('/').at(-1)}-${i}.mp4`),
        );
      }
      const args = ['-v', 'error', '-nostdin', '-y', '-filter_threads', '1', ...inputs, ...outputs];
      await new Promise((done) => spawn('ffmpeg', args, { stdio: 'ignore' }).on('close', done));
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return (performance.now() - from) / 1000;
}

async function efficiency(folder: string): Promise<Figure[]> {
  const shots = join(MEDIA, 'shots');
  if (!existsSync(shots) || spawnSync('ffmpeg', ['-version']).status !== 0) return [];
  const input = join(folder, 'efficiency');
  mkdirSync(input);
  for (const name of ['hard_cuts', 'mixed', 'jump_cuts', 'dissolves'])
    copyFileSync(join(shots, `${name}.mp4`), join(input, `${name}.mp4`));
  const files = readdirSync(input)
    .sort()
    .map((name) => join(input, name));
  const figures: Figure[] = [];
  const bare: number[] = [];
  for (const cores of [1, 2]) {
    const reference = await plain(files, join(folder, `plain-${cores}`), cores);
    const ours = await timed(input, join(folder, `bare-${cores}`), { ...BARE, cores });
    bare.push(ours.seconds);
    figures.push(
      figure({
        name: `efficiency on ${cores} core${cores > 1 ? 's' : ''}`,
        value: reference / ours.seconds,
        unit: '',
        of: 'wall time of plain ffmpeg, same spans and settings',
        floor: 0.9,
      }),
    );
  }
  const full = await timed(input, join(folder, 'full'), { split: 'fixed', clipSeconds: 5, minSeconds: 1, cores: 2 });
  figures.push(
    figure({
      name: 'default filters, embeddings, captions',
      value: full.seconds / bare[1]! - 1,
      unit: '',
      of: 'extra wall time on two cores',
      floor: 0.35,
      isCeiling: true,
    }),
    figure({
      name: 'scaling, 2 workers',
      value: bare[0]! / bare[1]!,
      unit: 'x',
      of: 'of one, four videos of unequal length',
      floor: 1.8,
    }),
    figure({
      name: 'memory of all processes',
      value: full.peakMb,
      unit: 'MB',
      of: `${full.clips} clips, two media workers`,
      floor: null,
    }),
  );
  return figures;
}

async function hostile(folder: string): Promise<Figure[]> {
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

/** Rows of random directions in loose groups, a tenth of them near-copies of others. */
async function planted(count: number): Promise<Figure[]> {
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
    if (
      copies.get(r) === kept ||
      copies.get(kept) === r ||
      (copies.get(r) !== undefined && copies.get(r) === copies.get(kept))
    )
      found++;
    else wrong++;
  });
  const label = count >= 1e6 ? 'dedup of a million' : `dedup of ${count}`;
  const rss = process.resourceUsage().maxRSS / 1e6;
  return [
    figure({
      name: `${label}: time`,
      value: minutes,
      unit: 'min',
      of: `${size}-d embeddings`,
      floor: 10,
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
    figure({ name: `${label}: memory`, value: rss, unit: 'GB', of: 'peak of this process', floor: 4, isCeiling: true }),
  ];
}
