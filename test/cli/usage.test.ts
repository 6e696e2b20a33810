// The command line as a process: exit codes, suggestions, help, and messages that never hold a trace.
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/index.ts';
import { orrery } from './run-orrery.ts';

const TRACE = /\n\s+at .*:\d+:\d+/;

describe('orrery', () => {
  it('prints its version and help to stdout with code 0', async () => {
    const version = await orrery(['--version']);
    expect(version).toMatchObject({ code: 0, stderr: '' });
    expect(version.stdout).toMatch(/^orrery \d+\.\d+\.\d+\n$/);
    const help = await orrery(['--help']);
    expect(help.code).toBe(0);
    expect(help.stdout).toContain('Commands:');
  });

  it('prints help to stderr with code 2 when nothing was asked', async () => {
    const { code, stdout, stderr } = await orrery([]);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain('Usage: orrery');
  });

  it.each([
    { args: ['genrate'], says: "unknown command 'genrate' (Did you mean generate?)" },
    { args: ['generate', 'x', '--sed', '3'], says: "unknown option '--sed' (Did you mean --seed?)" },
    { args: ['simulate', 'dataset', 'x.json', '--worker', '2'], says: '(Did you mean --workers?)' },
    { args: ['train'], says: "missing required argument 'recipe'" },
    { args: ['runs', 'lst'], says: '(Did you mean list?)' },
    { args: ['generate', 'x', '--steps', 'many'], says: '--steps: got "many", need a number' },
    { args: ['generate', 'x', '--device', 'tpu'], says: '--device: got "tpu", need cpu, webgpu or cuda' },
    { args: ['simulate', 'table', '--seed', '-1'], says: '--seed: got "-1", need a whole number from 0 to 4294967295' },
    { args: ['simulate', 'table', '--size', '8'], says: '--size: got "8", need width x height from 16 to 4096' },
    { args: ['simulate', 'tabel'], says: 'scenario: got "tabel", need table,' },
    { args: ['generate', ''], says: 'need a sentence, or an image or video as input' },
    { args: ['generate', 'x', '--count', '1000'], says: 'count: got 1000' },
    { args: ['generate', 'ball '.repeat(20_000)], says: 'prompt: got ' },
    { args: ['runs', 'show', '../..'], says: 'id: got "../..", need letters, digits and dashes' },
  ])('$args ends with code 2 and says what to do', async ({ args, says }) => {
    const { code, stdout, stderr } = await orrery(args);
    expect(stderr).toContain(says);
    expect(stderr).not.toMatch(TRACE);
    expect(stderr.length).toBeLessThan(1200);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  it.each([
    { args: ['models', 'inspect', 'no-such-model'], says: 'no model.json in' },
    { args: ['generate', 'x', '--model', 'no-such-model'], says: 'orrery models list' },
    { args: ['runs', 'show', 'no-such-run'], says: 'orrery runs list' },
    { args: ['train', 'no-such-recipe.json'], says: 'no-such-recipe.json' },
    { args: ['simulate', 'check', 'no-such-file.json'], says: 'no-such-file.json' },
    { args: ['simulate', 'check', 'package.json'], says: 'family' },
    { args: ['selftest', 'package.json'], says: 'package.json' },
    { args: ['tokenize', 'no-such-video.mp4'], says: 'no such file' },
    { args: ['tokenize', 'package.json'], says: 'need a video' },
  ])('$args ends with code 4 and names the file', async ({ args, says }) => {
    const { code, stderr, stdout } = await orrery(args);
    expect(stderr + stdout).toContain(says);
    expect(stderr).not.toMatch(TRACE);
    expect(code).toBe(4);
  });

  it('prints an error as JSON with --json, and the trace only with --debug', async () => {
    const json = await orrery(['runs', 'show', 'no-such-run', '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: 'data' } });
    const debug = await orrery(['runs', 'show', 'no-such-run', '--debug']);
    expect(debug.stderr).toMatch(TRACE);
  });

  it('shows control characters of what it was given as escapes', async () => {
    const { code, stderr } = await orrery(['tokenize', '\u001b[2Jno\u202esuch.mp4']);
    expect(stderr).toMatch(/^error: .*no.*such\.mp4/);
    expect(stderr).not.toMatch(/\u001b|\u202e/u);
    expect(code).toBe(4);
  });

  it('gives every command a help of one screen with an example', () => {
    const visit = (command: ReturnType<typeof createProgram>): void => {
      let text = '';
      command.configureOutput({ writeOut: (part) => (text += part) });
      command.outputHelp();
      // A curation has a flag or two for each of a dozen stages.
      const most = command.name() === 'curate' ? 72 : 40;
      expect(text.split('\n').length, command.name()).toBeLessThanOrEqual(most);
      expect(text, command.name()).toMatch(/Examples?:\n {2}orrery /);
      for (const child of command.commands) visit(child as typeof command);
    };
    visit(createProgram());
  });
});
