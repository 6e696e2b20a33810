// A folder of checkpoints goes on with its own data only.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { requireSameRun } from './same-run.ts';

const dir = mkdtempSync(join(tmpdir(), 'orrery-same-run-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('the same data goes on, other data is refused', () => {
  const folder = join(dir, 'run');
  requireSameRun(folder, ['a', 1]);
  requireSameRun(folder, ['a', 1]);
  expect(() => requireSameRun(folder, ['a', 2])).toThrow(/run holds a run with other training data/);
});
