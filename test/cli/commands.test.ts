// Commands doing their work as processes, on small input in a folder of their own.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { f32 } from '../../src/base/index.ts';
import { writeSafetensors } from '../../src/formats/index.ts';
import { orrery } from './run-orrery.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'orrery-cli-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

// A stone falls from 10 m: z = 10 − g t²/2, by hand at t = 0.5 s with g = 9.81 m/s².
const FALL = {
  family: 'free_fall',
  cases: [
    {
      id: 'stone',
      g: 9.81,
      input: { z0: 10, vz0: 0, vx0: 0, radius: 0.05, mass: 1, ground: 'none' },
      times: [0.5],
      expected: { z: [8.77375] },
      tol: { z_abs: 0.005 },
    },
  ],
};

describe('simulate check', () => {
  it('prints one row per quantity and passes a right case', async () => {
    writeFileSync(join(dir, 'fall.json'), JSON.stringify(FALL));
    const { code, stdout, stderr } = await orrery(['simulate', 'check', 'fall.json'], { cwd: dir });
    expect(stderr).toBe('');
    const [head, ...rows] = stdout.trimEnd().split('\n');
    expect(head!.split(/ +/)).toEqual(['id', 'quantity', 'got', 'expected', 'tolerance', 'result']);
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows) expect(row).toMatch(/^stone .* pass$/);
    expect(code).toBe(0);
  });

  it('ends with code 1 when a case misses', async () => {
    const wrong = structuredClone(FALL);
    wrong.cases[0]!.expected.z = [9.5];
    writeFileSync(join(dir, 'wrong.json'), JSON.stringify(wrong));
    const { code, stdout } = await orrery(['simulate', 'check', 'wrong.json', '--json'], { cwd: dir });
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { pass: boolean });
    expect(rows.some((row) => !row.pass)).toBe(true);
    expect(code).toBe(1);
  });
});

describe('selftest', () => {
  it('prints unsupported and ends with code 4 for a network it does not have', async () => {
    const path = join(dir, 'strange.safetensors');
    writeSafetensors(path, [['output.y', f32([1], [1])]], {
      what: 'a network nobody has',
      config: '{}',
      tolerance: '1e-4',
    });
    const { code, stdout } = await orrery(['selftest', path]);
    expect(stdout).toMatch(/^strange {2}- {2}- {2}unsupported/);
    expect(code).toBe(4);
  });
});

describe('simulate dataset', () => {
  const SPEC = {
    name: 'tiny',
    mixture: { table_still: 1 },
    clips: 3,
    heldOut: 1,
    seed: 5,
    frames: 3,
    fps: 12,
    width: 32,
    height: 32,
  };

  it('writes a data set, says so on stdout, and reports progress without a terminal in lines', async () => {
    writeFileSync(join(dir, 'tiny.json'), JSON.stringify(SPEC));
    const { code, stdout, stderr } = await orrery(
      ['simulate', 'dataset', 'tiny.json', '-o', 'tiny', '--workers', '1'],
      { cwd: dir },
    );
    expect(stderr).toMatch(/clips 50 % · 2\/4/);
    expect(stderr).toMatch(/4 clips, \d+ clips per minute/);
    expect(stdout).toBe('tiny\n');
    expect(code).toBe(0);
    expect(existsSync(join(dir, 'tiny/dataset.json'))).toBe(true);
    const written = readFileSync(join(dir, 'tiny/train/clips-00000.bin'));
    expect(written.length).toBe(3 * 3 * 32 * 32 * 3);
    // The same command again finds everything done.
    const again = await orrery(['simulate', 'dataset', 'tiny.json', '-o', 'tiny'], { cwd: dir });
    expect(again.code).toBe(0);
    expect(readFileSync(join(dir, 'tiny/train/clips-00000.bin')).equals(written)).toBe(true);
  });

  it('stops at Ctrl-C with code 130, says how to go on, and leaves nothing half-written', async () => {
    writeFileSync(join(dir, 'long.json'), JSON.stringify({ ...SPEC, name: 'long', clips: 60 }));
    const { code, stderr } = await orrery(['simulate', 'dataset', 'long.json', '-o', 'long', '--workers', '1'], {
      cwd: dir,
      interruptWhen: ['clips 10 %'],
    });
    expect(stderr).toContain('stopping after the current step');
    expect(stderr).toContain('continue with: orrery simulate dataset long.json -o long');
    expect(code).toBe(130);
    const left = ['train', 'heldout'].flatMap((split) => readdirSync(join(dir, 'long', split)));
    expect(left.filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('models', () => {
  it('lists the shipped models with a checked sum', async () => {
    const { code, stdout } = await orrery(['models', 'list', '--json']);
    const models = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string; isWhole: boolean });
    expect(models.map((model) => model.name)).toContain('orrery-tokenizer');
    expect(models.every((model) => model.isWhole)).toBe(true);
    expect(code).toBe(0);
  });

  it('inspects a file without reading its values', async () => {
    const path = join(dir, 'two.safetensors');
    writeSafetensors(path, [
      ['a', f32([2, 2], [1, 2, 3, 4])],
      ['b', f32([1], [Number.NaN])],
    ]);
    const { stdout, code } = await orrery(['models', 'inspect', path]);
    expect(stdout.toLowerCase().trimEnd().split('\n').sort()).toEqual(['a  f32  [2, 2]', 'b  f32  [1]']);
    expect(code).toBe(0);
  });

  it('refuses an altered model and names the file', async () => {
    const { code, stderr } = await orrery(['models', 'inspect', alteredModel()]);
    expect(stderr).toMatch(/model\.safetensors has been altered: sha256 .* expected/);
    expect(code).toBe(4);
  });
});

/** A model folder whose one file does not have the sum that its record states. */
function alteredModel(): string {
  const folder = mkdtempSync(join(dir, 'model-'));
  writeSafetensors(join(folder, 'model.safetensors'), [['w', f32([1], [1])]]);
  const sizeBytes = readFileSync(join(folder, 'model.safetensors')).length;
  const files = { 'model.safetensors': { sizeBytes, sha256: '0'.repeat(64) } };
  const record = { kind: 'orrery-tokenizer', name: 'altered', parameters: 1, config: {}, files };
  writeFileSync(join(folder, 'model.json'), JSON.stringify(record));
  return folder;
}

describe('runs', () => {
  it('lists and shows run folders, newest first, and skips other folders', async () => {
    const runs = mkdtempSync(join(dir, 'runs-'));
    const { createRunFolder } = await import('../../src/hub/index.ts');
    const first = createRunFolder(runs, 'generate', new Date('2026-01-01T00:00:00Z'));
    first.write('resolved.json', { task: 'generate', prompt: 'a ball', seed: 7 });
    first.write('result.json', { status: 'completed' });
    const second = createRunFolder(runs, 'generate', new Date('2026-01-02T00:00:00Z'));
    second.write('resolved.json', { task: 'generate', prompt: 'a box' });
    mkdtempSync(join(runs, 'other-'));
    const list = await orrery(['runs', 'list', '-o', runs, '--json']);
    const rows = list.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { id: string; status: string });
    expect(rows.map((row) => [row.id, row.status])).toEqual([
      [second.id, 'unfinished'],
      [first.id, 'completed'],
    ]);
    const show = await orrery(['runs', 'show', first.id, '-o', runs]);
    expect(show.stdout).toMatch(/prompt +a ball\nseed +7\n/);
    expect(show.code).toBe(0);
  });
});

describe('doctor', () => {
  it('reports the machine as JSON and says that it used no network', async () => {
    const { code, stdout } = await orrery(['doctor', '--json'], { cwd: dir });
    const report = JSON.parse(stdout) as {
      devices: { name: string; isAvailable: boolean }[];
      machine: { cores: number };
      publicModels: { name: string; forms: { weights: string; offload: boolean; needsBytes: number }[] }[];
      network: string;
    };
    expect(report.devices.map((device) => device.name)).toEqual(['cpu', 'webgpu', 'cuda']);
    expect(report.devices[0]!.isAvailable).toBe(true);
    expect(report.machine.cores).toBeGreaterThan(0);
    // 7e9 parameters, two bytes each, and the text encoder and one step beside them.
    const seven = report.publicModels.find(({ name }) => name === 'nvidia/Cosmos-Predict1-7B-Text2World')!;
    const [stored, eight, four] = seven.forms.map(({ needsBytes }) => needsBytes);
    expect(stored).toBeGreaterThan(14e9);
    expect(eight).toBeLessThan(stored!);
    expect(four).toBeLessThan(eight!);
    expect(report.network).toBe('none used');
    expect(existsSync(join(dir, 'runs'))).toBe(false);
    expect(code).toBe(0);
  });
});
