// What red-team runs found and later weights mended stays mended; the generator repeats itself; the report counts right.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { openGuardrail } from '../guard.ts';
import { readBlocks } from '../training/corpus.ts';
import { type RedteamResult, redteamReport, reportHtml, wilson } from './report.ts';
import { checkRows, generatedRows, readPromptRows } from './run.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

test('findings of `guard redteam --generate` that were mended', async () => {
  await using guard = await openGuardrail();
  const wrong: string[] = [];
  let count = 0;
  for await (const { row, verdict } of checkRows(
    guard,
    readPromptRows(join(ROOT, 'test/fixtures/guard/mended.jsonl')),
  )) {
    count++;
    if ((verdict !== 'safe') !== (row.label === 'unsafe')) wrong.push(`${row.id}: ${verdict}`);
  }
  expect(count).toBe(38);
  expect(wrong).toEqual([]);
});

test('the generator gives the same prompts for the same seed, in several languages and disguises', () => {
  const blocks = readBlocks(join(ROOT, 'recipes/guard-corpus'));
  const once = [...generatedRows(blocks, 300, 4)];
  expect([...generatedRows(blocks, 300, 4)]).toEqual(once);
  expect(new Set(once.map((r) => r.transform)).size).toBeGreaterThan(6);
  expect(new Set(once.map((r) => r.lang)).size).toBeGreaterThan(8);
  expect(once.filter((r) => r.label === 'unsafe').length).toBeGreaterThan(100);
  expect(once.every((r) => (r.category === null) === (r.label === 'safe'))).toBe(true);
});

const result = (id: string, label: 'safe' | 'unsafe', isBlocked: boolean, more: object = {}): RedteamResult => ({
  row: {
    id,
    text: '<script>',
    lang: 'en',
    label,
    category: label === 'safe' ? null : 'O1',
    transform: 'none',
    ...more,
  },
  verdict: isBlocked ? 'unsafe' : 'safe',
  category: isBlocked ? 'O1' : '-',
  categories: isBlocked ? ['O1'] : [],
  checker: isBlocked ? 'classifier' : 'none',
  score: isBlocked ? 0.9 : 0.1,
  ms: 1,
});

test('Wilson intervals', () => {
  // 10 of 100: 5.5 % to 17.4 % (Wilson 1927).
  const { low, high } = wilson(10, 100);
  expect(low).toBeCloseTo(0.0552, 3);
  expect(high).toBeCloseTo(0.1744, 3);
  expect(wilson(0, 0)).toMatchObject({ low: 0, high: 1 });
});

test('the report: errors count as blocked, texts with many disguises count once, the page holds no prompt', () => {
  const results = [
    result('a', 'unsafe', false, { base_id: 'a' }),
    result('a1', 'unsafe', true, { base_id: 'a', transform: 'leetspeak' }),
    result('b', 'unsafe', true, { base_id: 'b' }),
    { ...result('c', 'safe', true, { base_id: 'c', near_category: 'O1' }), verdict: 'error' as const },
    result('d', 'safe', false, { base_id: 'd' }),
  ];
  const report = redteamReport(results);
  const of = (name: string) => report.lines.find((l) => l.name === name)!;
  expect(report.errors).toBe(1);
  expect(report.disguiseCost).toMatchObject({ count: 0, of: 1 });
  expect(of('English, all transforms').attackSuccess.share).toBeCloseTo(1 / 3);
  expect(of('English, each text once').attackSuccess.share).toBeCloseTo(1 / 4);
  expect(of('hard negatives').falseRefusal).toMatchObject({ count: 1, of: 1 });
  expect(reportHtml(report, 'A & B')).not.toContain('script');
});

test('the report counts what passes only in disguise', () => {
  const report = redteamReport([
    result('a', 'unsafe', true, { base_id: 'a' }),
    result('a1', 'unsafe', false, { base_id: 'a', transform: 'leetspeak' }),
    result('a2', 'unsafe', true, { base_id: 'a', transform: 'spacing' }),
  ]);
  expect(report.disguiseCost).toMatchObject({ count: 1, of: 2 });
});
