// A run that stops half-way goes on; a folder of another run is refused.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { ClipRow } from '../report/table.ts';
import { comparedRows, openRun, runJobs } from './runner.ts';

const dir = mkdtempSync(join(tmpdir(), 'orrery-runner-'));
afterAll(() => rmSync(dir, { recursive: true }));

const row = (clip: string): ClipRow => ({ clip, group: 'g', system: 'model', values: { m: 1 } });

it('keeps finished clips and runs only the others', async () => {
  const out = join(dir, 'a');
  const ran: string[] = [];
  const jobs = ['one', 'two', 'three'].map((id) => ({
    id,
    async run() {
      if (id === 'three' && ran.length === 2) throw new Error('stopped');
      ran.push(id);
      return [row(id)];
    },
  }));
  const settings = { model: 'm', given: 9 };
  openRun(out, 'physics', settings);
  const all = async (): Promise<boolean[]> => {
    const reused: boolean[] = [];
    for await (const done of runJobs(out, jobs)) reused.push(done.isReused);
    return reused;
  };
  await expect(all()).rejects.toThrow('stopped');
  ran.push('between');
  openRun(out, 'physics', settings);
  expect(await all()).toEqual([true, true, false]);
  expect(ran).toEqual(['one', 'two', 'between', 'three']);
  expect(comparedRows([out], 'physics', { ...settings, model: 'other' }, jobs).map((r) => r.system)).toEqual([
    'a',
    'a',
    'a',
  ]);
  expect(() => openRun(out, 'physics', { ...settings, given: 1 })).toThrow('other settings (given)');
  expect(() => comparedRows([out], 'physics', { ...settings, given: 1 }, jobs)).toThrow('same settings');
  expect(() => comparedRows([dir], 'physics', settings, jobs)).toThrow('no run.json');
});
