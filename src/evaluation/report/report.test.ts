// The report's files say what the rows say, and need nothing from outside.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetReadObjects } from 'hyparquet';
import { afterAll, expect, it } from 'vitest';
import { lineChart, ticks } from './charts.ts';
import type { Results } from './table.ts';
import { writeReport } from './write.ts';

const dir = mkdtempSync(join(tmpdir(), 'orrery-report-'));
afterAll(() => rmSync(dir, { recursive: true }));

const results: Results = {
  benchmark: 'test',
  title: 'Title <with> markup',
  summary: 'What was measured.',
  comparison: 'What may be compared.',
  settings: { firstScoredFrame: 9 },
  systems: ['model', 'repeat-last-frame'],
  metrics: [{ name: 'psnr', label: 'PSNR', unit: 'dB', better: 'higher', digits: 2 }],
  rows: [
    { clip: 'a', group: 'x', system: 'model', values: { psnr: 30 }, series: { psnr: [31, null, 29] } },
    { clip: 'a', group: 'x', system: 'repeat-last-frame', values: { psnr: 20 } },
    { clip: 'b', group: 'y', system: 'model', values: { psnr: null }, notes: ['no value for a reason'] },
    { clip: 'b', group: 'y', system: 'repeat-last-frame', values: { psnr: 22 } },
  ],
};

it('writes scores, table and page without any address', async () => {
  const files = await writeReport(dir, results, []);
  const scores = JSON.parse(readFileSync(files.scores, 'utf8')) as {
    overall: Record<string, Record<string, { mean: number; n: number; undefinedCount: number }>>;
  };
  expect(scores.overall.model!.psnr).toMatchObject({ mean: 30, n: 1, undefinedCount: 1 });
  const page = readFileSync(files.report, 'utf8');
  expect(page).toContain('Title &#60;with&#62; markup');
  expect(page).not.toMatch(/(src|href)="https?:/);
  expect(page).not.toContain('NaN');
  const bytes = readFileSync(files.table);
  const table = await parquetReadObjects({
    file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
  });
  expect(table).toHaveLength(4);
  expect(table[2]).toMatchObject({ clip: 'b', psnr: null, notes: 'no value for a reason' });
});

it('draws round ticks and breaks curves where values are missing', () => {
  expect(ticks(0, 10)).toEqual([0, 2, 4, 6, 8, 10]);
  const chart = lineChart([{ label: 'a', values: [1, null, 2, 3] }], { title: 't', x: 'frame', first: 0 });
  expect(chart.match(/d="M[^"]*M/)).not.toBeNull();
  expect(lineChart([{ label: 'a', values: [null] }], { title: 't', x: 'frame', first: 0 })).toBe('');
});
