// Small file access helpers for Node: atomic writes, and disk errors in words. No format knowledge.

import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { OrreryError } from '../base/index.ts';
import type { RandomAccess } from './zip.ts';

/** Turns an error of the file system into one that names the path and the next step. */
export function diskError(error: unknown, action: string, path: string): OrreryError {
  if (error instanceof OrreryError) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const why =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'the disk is full; free some space or choose another folder'
      : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
        ? 'no permission; choose a folder that you may write'
        : code === 'ENOTDIR' || code === 'EEXIST'
          ? 'a part of the path is a file, not a folder; choose another folder'
          : code === 'EMFILE' || code === 'ENFILE'
            ? 'too many open files; close some programs or raise the limit'
            : code === 'ENOENT'
              ? 'no such file or folder; it may have been moved or removed meanwhile'
              : `${code ?? String(error)}`;
  return new OrreryError('disk', `cannot ${action} ${path}: ${why}`, { cause: error, details: { path, code } });
}

/**
 * Makes a folder with those above it, level by level: `mkdirSync` with `recursive` never returns where the file system answers
 * "no such file" to a folder whose parent is there, as `/proc` does (seen on Node 20 and 24).
 */
export function makeFolder(path: string): void {
  const missing: string[] = [];
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.push(at);
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Another process made it in the meantime.
      if (code === 'EEXIST') continue;
      if (code !== 'ENOENT') throw diskError(error, 'make the folder', path);
      throw new OrreryError('disk', `cannot make the folder ${path}: none can be made there; choose another folder`, {
        cause: error,
        details: { path, code },
      });
    }
  }
  if (statSync(path).isDirectory()) return;
  throw new OrreryError('disk', `cannot make the folder ${path}: a file has that name; choose another folder`);
}

/** Writes all of `bytes` at a position of an open file. */
export function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  let done = 0;
  // One write call takes at most 2 GiB on Linux.
  while (done < bytes.length) {
    done += writeSync(fd, bytes, done, Math.min(bytes.length - done, 2 ** 30), position + done);
  }
}

/** A file that appears under its name only when it is complete. */
export type PendingFile = {
  readonly fd: number;
  /** Flushes to disk and gives the file its name, replacing an older one. */
  commit(): void;
  /** Removes what was written. Harmless after `commit`. */
  abort(): void;
};

/** Starts a file under a temporary name beside `path`; makes the folder if needed. */
export function createPendingFile(path: string): PendingFile {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}.tmp`);
  let fd: number;
  try {
    makeFolder(dirname(path));
    fd = openSync(temporary, 'wx+');
  } catch (error) {
    throw diskError(error, 'write', path);
  }
  let isOpen = true;
  const abort = (): void => {
    if (!isOpen) return;
    isOpen = false;
    closeSync(fd);
    rmSync(temporary, { force: true });
  };
  return {
    fd,
    abort,
    commit: () => {
      try {
        fsyncSync(fd);
        closeSync(fd);
        isOpen = false;
        renameSync(temporary, path);
      } catch (error) {
        abort();
        rmSync(temporary, { force: true });
        throw diskError(error, 'write', path);
      }
    },
  };
}

/** Writes a whole file atomically: readers see the old content or the new one, never a part. */
export function writeFileAtomic(path: string, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  const file = createPendingFile(path);
  try {
    writeFully(file.fd, bytes, 0);
  } catch (error) {
    file.abort();
    throw diskError(error, 'write', path);
  }
  file.commit();
}

/** Opens a file for reads at any place. */
export function openFileAccess(path: string): RandomAccess & { readonly close: () => void } {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new OrreryError('data', `cannot open ${path}: ${isMissing ? 'no such file' : String(error)}`, {
      cause: error,
    });
  }
  let isOpen = true;
  const close = (): void => {
    if (isOpen) closeSync(fd);
    isOpen = false;
  };
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    close();
    throw new OrreryError('data', `${path} is not a file; name a file`);
  }
  return {
    path,
    sizeBytes: stat.size,
    close,
    read: (offset, length) => {
      if (!isOpen) throw new OrreryError('internal', `${path} was closed; open it again before reading`);
      // Checked before memory is taken: a damaged length must not cost gigabytes.
      if (offset < 0 || length < 0 || offset + length > stat.size) {
        throw new OrreryError('data', `${path} ended at byte ${stat.size}, need ${offset + length}`);
      }
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const got = readSync(fd, bytes, done, Math.min(length - done, 2 ** 30), offset + done);
        if (got === 0) throw new OrreryError('data', `${path} ended at byte ${offset + done}, need ${offset + length}`);
        done += got;
      }
      return bytes;
    },
  };
}
