// `npm run bench NAME [-- PART] [--json] [--only TEXT]`: a table for people, or one JSON array of {name, value, unit, of, floor, ok}.
import { benchCuration } from './curation.ts';
import { benchEngine } from './engine.ts';
import { benchEvaluation } from './evaluation.ts';
import { benchGuard } from './guard.ts';
import type { Figure } from './measure.ts';
import { benchMemory } from './memory.ts';
import { benchNano } from './nano.ts';
import { benchNets } from './nets.ts';
import { benchPrecision } from './precision.ts';
import { benchRender } from './render.ts';

const BENCHES: Readonly<Record<string, (only: string) => Promise<readonly Figure[]>>> = {
  curation: benchCuration,
  engine: benchEngine,
  evaluation: benchEvaluation,
  guard: benchGuard,
  memory: benchMemory,
  nano: () => benchNano(),
  nets: benchNets,
  precision: benchPrecision,
  render: () => benchRender(),
};

function table(figures: readonly Figure[]): string {
  const rows = figures.map((f) => [
    f.name,
    f.value.toFixed(f.value < 10 ? 3 : 1),
    f.unit,
    f.floor === null ? '' : `${f.isCeiling === true ? '≤' : '≥'} ${f.floor}`,
    f.floor === null ? '' : f.ok ? 'ok' : 'MISS',
    f.of,
  ]);
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((r) => r[i]!.length))) ?? [];
  return rows
    .map((r) =>
      r
        .map((cell, i) => (i === 1 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const args = process.argv.slice(2);
const onlyAt = args.indexOf('--only');
const part = args[1]?.startsWith('--') === false ? args[1] : '';
const only = onlyAt < 0 ? part : (args[onlyAt + 1] ?? '');
const name = args[0] ?? '';
const bench = BENCHES[name];
if (bench === undefined) {
  process.stderr.write(`bench: got ${JSON.stringify(name)}, need one of ${Object.keys(BENCHES).join(', ')}\n`);
  process.exitCode = 2;
} else {
  const figures = await bench(only);
  process.stdout.write(`${args.includes('--json') ? JSON.stringify(figures) : table(figures)}\n`);
  if (figures.some((f) => !f.ok)) process.exitCode = 1;
}
