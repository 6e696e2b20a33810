// Folders are made level by level, and what cannot be made is said at once.
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { diskError, makeFolder } from './index.ts';

const root = mkdtempSync(join(tmpdir(), 'orrery-files-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

it('makes the folders above, and minds none that is there', () => {
  const path = join(root, 'a', 'b', 'c');
  makeFolder(path);
  makeFolder(path);
  expect(statSync(path).isDirectory()).toBe(true);
});

it('refuses a path through a file', () => {
  writeFileSync(join(root, 'file'), '');
  expect(() => makeFolder(join(root, 'file'))).toThrow(/a file has that name/);
  expect(() => makeFolder(join(root, 'file', 'below'))).toThrow(
    /cannot make the folder .*below: a part of the path is a file/,
  );
});

it.skipIf(!existsSync('/proc/self'))('answers at once where no folder can ever be made', () => {
  expect(() => makeFolder('/proc/nowhere/below')).toThrow(/none can be made there; choose another folder/);
});

it('does not blame the folder when a file vanished', () => {
  const vanished = Object.assign(new Error('gone'), { code: 'ENOENT' });
  expect(diskError(vanished, 'read', 'x.bin').message).toMatch(/cannot read x\.bin: no such file/);
});
