// `npm run bench curation [-- PART]`: the figures of curation, a part at a time or all. Needs the folder of sample media named
// by ORRERY_MEDIA_SAMPLES (default ../shared/media), ffmpeg as the yardstick, and nats-server; a part without what it needs
// says so and prints nothing.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../src/base/index.ts';
import { benchDedup, benchDuplicates } from './curation/dedup.ts';
import { benchHostile } from './curation/hostile.ts';
import { MEDIA } from './curation/jobs.ts';
import { benchFlat, benchLong } from './curation/memory.ts';
import { benchShots } from './curation/shots.ts';
import { benchEfficiency, benchEngineRate, benchNats, benchScaling, benchStages } from './curation/speed.ts';
import type { Figure } from './measure.ts';

const PARTS: Readonly<Record<string, (folder: string) => Promise<readonly Figure[]>>> = {
  shots: () => benchShots(MEDIA),
  engine: () => benchEngineRate(),
  efficiency: (folder) => benchEfficiency(folder, 1),
  'efficiency-2': (folder) => benchEfficiency(folder, 2),
  stages: benchStages,
  scaling: benchScaling,
  nats: benchNats,
  memory: benchFlat,
  long: benchLong,
  hostile: benchHostile,
  duplicates: benchDuplicates,
  dedup: () => benchDedup(),
};

/** The figures of curation. */
export async function benchCuration(only: string): Promise<readonly Figure[]> {
  if (only !== '' && !(only in PARTS)) throw new InputError('part', { got: only, need: Object.keys(PARTS).join(', ') });
  const figures: Figure[] = [];
  for (const [name, run] of Object.entries(PARTS)) {
    if (only !== '' && only !== name) continue;
    const folder = mkdtempSync(join(tmpdir(), 'orrery-bench-'));
    try {
      const found = await run(folder);
      if (found.length === 0) process.stderr.write(`${name}: left out, its sample media or programs are not there\n`);
      figures.push(...found);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return figures;
}
