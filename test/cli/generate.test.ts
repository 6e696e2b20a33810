// `orrery generate` and `orrery demo` as processes, with the shipped model.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { orrery } from './run-orrery.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'orrery-generate-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const runsIn = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

describe('generate', () => {
  it('prints the path of the video alone on stdout and leaves one run folder', async () => {
    const { code, stdout, stderr } = await orrery(['demo', '-o', 'demo'], { cwd: dir });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^demo\/[\w-]+\/video\.mp4\n$/);
    expect(existsSync(join(dir, stdout.trim()))).toBe(true);
    expect(runsIn(join(dir, 'demo'))).toHaveLength(1);
    expect(stderr).toContain('guardrail default');
    expect(stderr).toContain('no network used');
    const record = JSON.parse(readFileSync(join(dir, stdout.trim(), '../resolved.json'), 'utf8')) as object;
    expect(record).toMatchObject({ seed: 7, guardrail: 'default' });
  });

  it('stops at Ctrl-C with code 130 and leaves nothing half-written', async () => {
    const args = ['generate', 'a red ball', '--steps', '200', '-o', 'stopped'];
    const { code, stdout, stderr } = await orrery(args, { cwd: dir, interruptWhen: ['sampling  10 %'] });
    expect(stderr).toContain('stopping after the current step');
    expect(stderr).toContain('the same command starts it again');
    expect(stdout).toBe('');
    expect(code).toBe(130);
    expect(runsIn(join(dir, 'stopped'))).toEqual([]);
  });

  it('checks every request of a spec file before the first one costs time', async () => {
    writeFileSync(join(dir, 'two.jsonl'), '{"prompt": "a ball"}\n{"prompt": "a box", "stepz": 3}\n');
    const { code, stderr } = await orrery(['generate', '--spec', 'two.jsonl', '-o', 'spec'], { cwd: dir });
    expect(stderr).toContain('stepz');
    expect(code).toBe(2);
    expect(runsIn(join(dir, 'spec'))).toEqual([]);
  });

  it('says what to do when the folder cannot be written', async () => {
    writeFileSync(join(dir, 'file'), '');
    const { code, stderr } = await orrery(['generate', 'a ball', '--steps', '1', '-o', 'file/runs'], { cwd: dir });
    expect(stderr).toMatch(
      /error: cannot make the folder .*file\/runs: a part of the path is a file.*choose another folder/,
    );
    expect(code).toBe(1);
  });
});
