// `bench memory`: peak memory, speed and loss of a diffusion transformer in each form of its weights, beside what the product predicts. The
// weights are random numbers in bfloat16, in shards as public checkpoints are: 2e9 parameters, the shape of Predict2 2B.
// `--only 7`: the shape of the 7B model, its weights made in 4 bits at once. `--only 0.1`: a small one, to try the bench.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Figure } from './measure.ts';

export async function benchMemory(only: string): Promise<Figure[]> {
  const billions = only === '' ? 2 : Number(only);
  const folder = mkdtempSync(join(process.env.ORRERY_BENCH_FOLDER ?? tmpdir(), 'orrery-bench-memory-'));
  const program = fileURLToPath(new URL('./memory-run.js', import.meta.url));
  const env = { ...process.env, ORRERY_CACHE: join(folder, 'cache') };
  const figures: Figure[] = [];
  try {
    // Written, rounded and measured in processes of their own: none may count the others' memory.
    const run = async (...args: string[]): Promise<void> => {
      const { stdout } = await promisify(execFile)(process.execPath, [program, folder, String(billions), ...args], {
        env,
      });
      const made = stdout === '' ? [] : (JSON.parse(stdout) as Figure[]);
      figures.push(...made);
      // The whole takes minutes: what is known is told at once.
      for (const f of made) process.stderr.write(`${f.name}: ${f.value.toPrecision(3)} ${f.unit}, ${f.of}\n`);
    };
    await run('write');
    if (billions >= 4) await run('measure', '4bit');
    else {
      await run('measure', 'stored');
      await run('measure', 'offload');
      for (const form of ['8bit', '4bit']) {
        await run('round', form);
        await run('measure', form);
      }
    }
    return figures;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
