// `orrery runs list|show`: the run folders, which are the only record of what was made.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { InputError, OrreryError } from '../../base/index.ts';
import { bytes, globalsOf, type Session, table } from '../session.ts';

const ID = /^[A-Za-z0-9-]{1,64}$/;

type Run = {
  readonly id: string;
  readonly task: string;
  readonly status: string;
  readonly prompt: string;
  readonly files: readonly string[];
};

export function runsCommand(session: Session): Command {
  return new Command('runs')
    .description('what was made, from the run folders')
    .addHelpText('after', '\nExample:\n  orrery runs list')
    .addCommand(listCommand(session))
    .addCommand(showCommand(session));
}

function listCommand(session: Session): Command {
  return new Command('list')
    .description('all runs, newest first')
    .option('-o, --out <dir>', 'folder of the run folders (default runs)')
    .addHelpText('after', '\nExample:\n  orrery runs list --json')
    .action((options: { out?: string }, command: Command) => {
      const root = options.out ?? 'runs';
      const names = existsSync(root) ? readdirSync(root).filter((name) => isRun(join(root, name))) : [];
      const runs = names
        .sort()
        .reverse()
        .map((id) => readRun(root, id));
      if (globalsOf(command).json) {
        for (const run of runs) session.print(JSON.stringify(run));
      } else if (runs.length === 0) {
        session.note(`no runs in ${root}; make one: orrery demo`);
      } else {
        const rows = runs.map(({ id, task, status, prompt }) => [id, task, status, prompt.slice(0, 60)]);
        for (const line of table([['id', 'task', 'status', 'prompt'], ...rows])) session.print(line);
      }
    });
}

function showCommand(session: Session): Command {
  return new Command('show')
    .description('request, result and files of one run')
    .argument('<id>', 'id of the run, as orrery runs list prints it')
    .option('-o, --out <dir>', 'folder of the run folders (default runs)')
    .addHelpText('after', '\nExample:\n  orrery runs show 20261124-120000-generate-3fa1')
    .action((id: string, options: { out?: string }, command: Command) => {
      const root = options.out ?? 'runs';
      if (!ID.test(id))
        throw new InputError('id', { got: id, need: 'letters, digits and dashes, at most 64' }, 'usage');
      const dir = join(root, id);
      if (!isRun(dir)) {
        throw new OrreryError(
          'data',
          `run ${id}: no run folder in ${root}; orrery runs list prints the ones there are`,
        );
      }
      const run = readRun(root, id);
      const resolved = readJson(join(dir, 'resolved.json'));
      const result = readJson(join(dir, 'result.json'));
      if (globalsOf(command).json) {
        session.print(JSON.stringify({ ...run, dir, resolved, result }));
        return;
      }
      session.print(`${id} · ${run.task} · ${run.status} · ${dir}`);
      for (const [name, value] of Object.entries(resolved)) {
        session.print(`${name.padEnd(16)} ${typeof value === 'string' ? value : JSON.stringify(value)}`);
      }
      for (const name of run.files) session.print(`${name.padEnd(16)} ${bytes(statSync(join(dir, name)).size)}`);
    });
}

const isRun = (dir: string): boolean => existsSync(join(dir, 'request.json')) || existsSync(join(dir, 'resolved.json'));

function readRun(root: string, id: string): Run {
  const dir = join(root, id);
  const { task, prompt } = readJson(join(dir, 'resolved.json'));
  const { status } = readJson(join(dir, 'result.json'));
  return {
    id,
    task: typeof task === 'string' ? task : 'unknown',
    status: typeof status === 'string' ? status : 'unfinished',
    prompt: typeof prompt === 'string' ? prompt : '',
    files: readdirSync(dir).sort(),
  };
}

/** A file of the run; one that is missing or cut off reads as empty, since a run may be under way. */
function readJson(path: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
