// Shot detection on edits with exact truth, scored as their README says, and its speed.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findShots } from '../../src/curation/index.ts';
import { type Figure, figure } from '../measure.ts';

type Truth = { readonly type: string; readonly start: number; readonly end: number };
type Score = { hits: number; misses: number; falseAlarms: number; readonly kinds: Map<string, [number, number]> };

/** A detection is the middle of its range; it hits when start − 2 ≤ d ≤ end + 3, one per transition. */
async function scoreFile(
  path: string,
  truth: readonly Truth[],
  ignore: readonly (readonly [number, number])[],
  score: Score,
): Promise<{ seconds: number; falseAlarms: number }> {
  const from = performance.now();
  const { transitions, frames, fps } = await findShots(path);
  const wall = (performance.now() - from) / 1000;
  const found = transitions.map((t) => (t.start + t.end) / 2).filter((d) => !ignore.some(([a, b]) => d >= a && d <= b));
  const used = new Set<number>();
  for (const { type, start, end } of truth) {
    const kind = score.kinds.get(type) ?? [0, 0];
    kind[1]++;
    const i = found.findIndex((d, at) => !used.has(at) && d >= start - 2 && d <= end + 3);
    if (i >= 0) {
      used.add(i);
      score.hits++;
      kind[0]++;
    } else score.misses++;
    score.kinds.set(type, kind);
  }
  score.falseAlarms += found.length - used.size;
  return { seconds: frames / fps / wall, falseAlarms: found.length - used.size };
}

const f1 = (s: Score): number => (2 * s.hits) / (2 * s.hits + s.misses + s.falseAlarms);
const empty = (): Score => ({ hits: 0, misses: 0, falseAlarms: 0, kinds: new Map() });

/** Figures of the detector; none without the folder of edits. */
export async function benchShots(media: string): Promise<Figure[]> {
  const folder = join(media, 'shots');
  if (!existsSync(join(folder, 'ground_truth.json'))) return [];
  const truth = JSON.parse(readFileSync(join(folder, 'ground_truth.json'), 'utf8')) as {
    videos: { file: string; transitions: Truth[] }[];
  };
  const score = empty();
  let distractors = 0;
  const speeds: number[] = [];
  for (const { file, transitions } of truth.videos) {
    const one = await scoreFile(join(folder, file), transitions, [], score);
    speeds.push(one.seconds);
    if (file.startsWith('distractors')) distractors = one.falseAlarms;
  }
  const trailer = JSON.parse(readFileSync(join(folder, 'trailer_truth.json'), 'utf8')) as {
    file: string;
    transitions: Truth[];
    ignore: [number, number][];
  };
  const film = empty();
  await scoreFile(join(folder, trailer.file), trailer.transitions, trailer.ignore, film);
  const [seen, all] = score.kinds.get('dissolve') ?? [0, 1];
  return [
    figure({ name: 'shots: F1', value: f1(score), unit: '', of: 'five edits with exact truth', floor: 0.92 }),
    figure({ name: 'shots: recall of dissolves', value: seen / all, unit: '', of: `${all} dissolves`, floor: 0.85 }),
    figure({
      name: 'shots: false alarms on distractors',
      value: distractors,
      unit: '',
      of: 'flashes, exposure, whip pans',
      floor: 2,
      isCeiling: true,
    }),
    figure({ name: 'shots: F1 of the trailer', value: f1(film), unit: '', of: 'hand annotation', floor: 0.85 }),
    figure({
      name: 'shots: speed',
      value: Math.min(...speeds),
      unit: 'x real time',
      of: `640x360, one decoder thread, slowest of ${speeds.length} files (best ${Math.max(...speeds).toFixed(0)})`,
      floor: 20,
    }),
  ];
}
