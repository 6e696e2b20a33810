// What `orrery doctor` and the refusal of `generate` predict, against the peak of a process that loads and runs a network: within 15 %. The
// program is the one of `npm run bench memory`, on a transformer of 85 million random weights in place of two billion.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../dist/bench/memory-run.js', import.meta.url));
const BILLIONS = '0.084';
let folder = '';

function run(...args: string[]): { readonly name: string; readonly value: number; readonly of: string }[] {
  const env = { ...process.env, ORRERY_CACHE: join(folder, 'cache') };
  const out = execFileSync(process.execPath, [program, folder, BILLIONS, ...args], { env, encoding: 'utf8' });
  return out === '' ? [] : JSON.parse(out);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-memory-'));
  run('write');
});
afterAll(() => rmSync(folder, { recursive: true }));

it.skipIf(process.platform !== 'linux').each(['stored', '8bit', '4bit', 'offload'])(
  'predicts the peak with weights %s',
  // The peak is a reading of the whole process: other work on the machine moves it.
  { timeout: 60_000, retry: 2 },
  (form) => {
    if (form.endsWith('bit')) run('round', form);
    const figures = run('measure', form);
    const prediction = figures.find(({ name }) => name.endsWith(': prediction'));
    const peak = figures.find(({ name }) => name.endsWith(': peak'));
    expect(prediction?.value, `peak ${peak?.value.toFixed(3)} GB, ${peak?.of}`).toBeLessThan(0.15);
  },
);
