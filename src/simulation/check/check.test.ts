// Physics against closed forms: a few cases from the fixtures, all of the shared ones when they are there.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type CheckRow, parsePhysicsFamily, runPhysicsCase, runPhysicsFamily } from './index.ts';
import type { PhysicsCase } from './setting.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const fixtures = join(root, 'test/fixtures/physics');
const shared = join(root, '../shared/parity/physics');

async function misses(folder: string, file: string): Promise<readonly CheckRow[]> {
  const family = parsePhysicsFamily(readFileSync(join(folder, file), 'utf8'), file);
  const rows: CheckRow[] = [];
  for await (const row of runPhysicsFamily(family)) rows.push(row);
  expect(rows.length).toBeGreaterThan(0);
  return rows.filter((row) => !row.pass);
}

const filesOf = (folder: string): readonly string[] =>
  existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.json')) : [];

describe('closed forms', () => {
  it.each(filesOf(fixtures))('%s of the fixtures', async (file) => {
    expect(await misses(fixtures, file)).toEqual([]);
  });
});

const isShared = existsSync(shared);
if (!isShared) console.log(`skipped: all closed-form cases, because ${shared} is not there`);
describe.skipIf(!isShared)('closed forms, all cases', () => {
  it.each(filesOf(shared))('%s', async (file) => {
    expect(await misses(shared, file)).toEqual([]);
  });
});

describe('steps', () => {
  it('halving the step makes no error larger than rounding', async () => {
    const worse: string[] = [];
    for (const file of filesOf(fixtures)) {
      const { family, cases } = parsePhysicsFamily(readFileSync(join(fixtures, file), 'utf8'), file);
      const dt = family === 'bounce' ? 1 / 3840 : 1 / 960;
      for (const one of cases.slice(0, 1)) {
        const coarse = await runPhysicsCase(family, one, { dt });
        const fine = await runPhysicsCase(family, one, { dt: dt / 2 });
        coarse.forEach((row, i) => {
          const [before, after] = [row, fine[i]!].map((r) => Math.abs(r.got - r.expected)) as [number, number];
          // Single precision leaves up to a fiftieth of the tolerances.
          if (after > before + 0.02 * row.tolerance + 1e-9)
            worse.push(`${row.id} ${row.quantity} ${before} → ${after}`);
        });
      }
    }
    expect(worse).toEqual([]);
  });
});

describe('other numbers of the same families', () => {
  const run = async (family: string, one: Partial<PhysicsCase>): Promise<readonly CheckRow[]> =>
    runPhysicsCase(family, { id: 'own', g: 9.81, input: {}, expected: {}, tol: {}, ...one });

  it('keeps energy and momentum while a body tumbles about its middle axis', async () => {
    // L² = Σ(Iᵢωᵢ)², E = ½ΣIᵢωᵢ² of the start; the middle axis is unstable, so the spin turns over.
    const rows = await run('gyroscope', {
      g: 0,
      input: { I1: 0.01, I2: 0.02, I3: 0.03, omega_body: [0.01, 10, 0.01] },
      expected: { energy: 1.000002, angular_momentum: 0.2000003, flips: true },
      tol: { energy_rel_after_5s: 1e-4, angular_momentum_rel_after_5s: 1e-4 },
    });
    expect(rows.map((row) => row.pass)).toEqual([true, true, true]);
  });

  it('lets a stack past the critical shift fall and reports it', async () => {
    const rows = await run('stack_and_domino', {
      input: { boxes: 4, box_length: 0.4, box_height: 0.1, offset_each: 0.12, friction: 0.8, run_s: 2 },
      expected: { critical_offset: 0.1, stands: false },
    });
    expect(rows.map((row) => [row.quantity, row.got, row.pass])).toEqual([
      ['stands', 0, true],
      ['critical_offset', 0.1, true],
    ]);
  });

  it('fails a case whose expected value is wrong', async () => {
    const rows = await run('incline_slide', {
      input: { angle_deg: 30, pair_friction: 0.3, box_half: [0.2, 0.2, 0.05], mass: 1 },
      // The right value is g(sin 30° − 0.3 cos 30°) = 2.3563.
      expected: { acceleration: 2.5, slides: true },
      tol: { acc_abs: 0.03, creep_m: 0.002 },
    });
    expect(rows.map((row) => row.pass)).toEqual([false, true]);
    expect(rows[0]!.got).toBeCloseTo(2.3563, 2);
  });

  it('names what is wrong with a case', async () => {
    await expect(run('free_fall', { input: { z0: 'high' } })).rejects.toThrow('own.input.z0: got "high"');
    expect(() => parsePhysicsFamily('{"family":"tides","cases":[]}')).toThrow('need free_fall, bounce');
  });
});
