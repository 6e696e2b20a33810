// A run is a folder: request, resolved values, events, result and media. Nothing else is stored anywhere.
import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OrreryError } from '../base/index.ts';

export type RunFolder = {
  readonly dir: string;
  readonly id: string;
  /** Writes a JSON file atomically. */
  write(name: string, value: unknown): void;
  /** Appends a line to events.jsonl. */
  event(value: object): void;
};

/** Makes `<root>/<time>-<task>-<short id>/`. */
export function createRunFolder(root: string, task: string, now = new Date()): RunFolder {
  const stamp = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  const id = `${stamp}-${task}-${randomBytes(2).toString('hex')}`;
  const dir = join(root, id);
  const guard = <T>(work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      const next = code === 'ENOSPC' ? 'free some space' : 'choose another folder with -o';
      throw new OrreryError('disk', `${dir}: cannot write the run (${message}); ${next}`, { cause });
    }
  };
  guard(() => mkdirSync(dir, { recursive: true }));
  return {
    dir,
    id,
    write: (name, value) =>
      guard(() => {
        writeFileSync(join(dir, `${name}.tmp`), `${JSON.stringify(value, null, 2)}\n`);
        renameSync(join(dir, `${name}.tmp`), join(dir, name));
      }),
    event: (value) =>
      guard(() =>
        appendFileSync(join(dir, 'events.jsonl'), `${JSON.stringify({ time: new Date().toISOString(), ...value })}\n`),
      ),
  };
}
