// A run is a folder: request, resolved values, events, result and media. Nothing else is stored anywhere.

import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { assert, InputError, OrreryError } from '../base/index.ts';
import { diskError, makeFolder, writeFileAtomic } from '../formats/index.ts';

/** The folder of a run that is being made. */
export type RunFolder = {
  readonly dir: string;
  readonly id: string;
  /** Writes a JSON file atomically: `request.json`, `resolved.json`, `result.json`. */
  write(name: string, value: unknown): void;
  /** Appends a line with the time to `events.jsonl`. */
  event(value: object): void;
};

/** Makes `<root>/<time>-<task>-<short id>/`. Time is UTC, so that names sort by age. */
export function createRunFolder(root: string, task: string, now = new Date()): RunFolder {
  assert(/^[a-z0-9]+(-[a-z0-9]+)*$/.test(task) && task.length <= 32, `task name ${task}`);
  const stamp = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  const { id, dir } = makeRunFolder(root, `${stamp}-${task}`);
  return {
    dir,
    id,
    write: (name, value) => writeFileAtomic(join(dir, name), `${JSON.stringify(value, null, 2)}\n`),
    event: (value) => {
      const path = join(dir, 'events.jsonl');
      try {
        appendFileSync(path, `${JSON.stringify({ time: new Date().toISOString(), ...value })}\n`);
      } catch (error) {
        throw diskError(error, 'write', path);
      }
    },
  };
}

function makeRunFolder(root: string, prefix: string): { id: string; dir: string } {
  try {
    makeFolder(root);
    for (let attempt = 0; ; attempt++) {
      const id = `${prefix}-${randomBytes(2).toString('hex')}`;
      try {
        mkdirSync(join(root, id));
        return { id, dir: join(root, id) };
      } catch (error) {
        // Two runs of the same second drew the same short id: draw again.
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt === 20) throw error;
      }
    }
  } catch (error) {
    throw diskError(error, 'make a run folder in', root);
  }
}

/** What a run folder tells about a run. */
export type RunRecord = {
  readonly id: string;
  readonly dir: string;
  readonly task: string;
  /** From `result.json`; "unfinished" when there is none. */
  readonly status: string;
  /** Empty when the run had none or kept it private. */
  readonly prompt: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly resolved: Readonly<Record<string, unknown>>;
  readonly result: Readonly<Record<string, unknown>>;
  readonly files: readonly { readonly name: string; readonly sizeBytes: number }[];
};

const RUN_ID = /^[A-Za-z0-9-]{1,64}$/;

/** All runs below `root`, newest first. A run under way or cut off is listed as unfinished. */
export function listRuns(root = 'runs'): RunRecord[] {
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .filter((id) => RUN_ID.test(id) && isRun(join(root, id)))
    .sort()
    .reverse()
    .map((id) => readRun(id, root));
}

/** One run by its id; ids are names, never paths. */
export function readRun(id: string, root = 'runs'): RunRecord {
  if (!RUN_ID.test(id))
    throw new InputError('id', { got: id, need: 'letters, digits and dashes, at most 64' }, 'usage');
  const dir = join(root, id);
  if (!isRun(dir)) {
    throw new OrreryError('data', `run ${id}: no run folder in ${root}; orrery runs list prints the ones there are`);
  }
  const [request, resolved, result] = ['request', 'resolved', 'result'].map((name) =>
    readJson(join(dir, `${name}.json`)),
  );
  const text = (value: unknown, otherwise: string): string => (typeof value === 'string' ? value : otherwise);
  const files = readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map(({ name }) => ({ name, sizeBytes: statSync(join(dir, name)).size }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    id,
    dir,
    task: text(resolved!.task, 'unknown'),
    status: text(result!.status, 'unfinished'),
    prompt: text(resolved!.prompt, ''),
    request: request!,
    resolved: resolved!,
    result: result!,
    files,
  };
}

/** The events of a run, oldest first. A last line that is cut off is left out. */
export function readEvents(dir: string): Readonly<Record<string, unknown>>[] {
  const path = join(dir, 'events.jsonl');
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const value = parseObject(line);
      return value ? [value] : [];
    });
}

/** Absolute path of a file of a run, only if it is a plain file inside the run's folder (no link that leads out). */
export function runFile(id: string, name: string, root = 'runs'): string {
  const { dir, files } = readRun(id, root);
  if (!files.some((file) => file.name === name)) {
    throw new OrreryError('data', `run ${id} has no file ${name}; it has ${files.map((f) => f.name).join(', ')}`);
  }
  return join(realpathSync(dir), name);
}

const isRun = (dir: string): boolean => existsSync(join(dir, 'request.json')) || existsSync(join(dir, 'resolved.json'));

/** A file of the run; one that is missing or cut off reads as empty, since a run may be under way. */
function readJson(path: string): Readonly<Record<string, unknown>> {
  return (existsSync(path) && parseObject(readFileSync(path, 'utf8'))) || {};
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
