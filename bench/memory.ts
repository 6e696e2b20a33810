// `bench memory`: peak memory of a network whose weights stay in their files, against the bytes of those files. The weights
// are random numbers in bfloat16, written in shards as public checkpoints are; `--only 7` takes 7e9 parameters, default 2e9.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Figure } from './measure.ts';

export async function benchMemory(only: string): Promise<Figure[]> {
  const billions = only === '' ? 2 : Number(only);
  const folder = mkdtempSync(join(tmpdir(), 'orrery-bench-memory-'));
  const program = fileURLToPath(new URL('./memory-run.js', import.meta.url));
  try {
    // Written and measured in processes of their own: neither may count the other's memory.
    for (const job of ['write', 'measure']) {
      const { stdout } = await promisify(execFile)(process.execPath, [program, job, folder, String(billions)]);
      if (job === 'measure') return JSON.parse(stdout) as Figure[];
    }
    return [];
  } finally {
    rmSync(folder, { recursive: true });
  }
}
