// SHA-256 of files, remembered by size and times, so that a model of many gigabytes is hashed once and not at every start.

import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { throwIfAborted } from '../base/index.ts';
import { writeFileAtomic } from '../formats/index.ts';

const CHUNK_BYTES = 4 * 1024 * 1024;

/** SHA-256 of a file in hexadecimal; reads 4 MiB at a time and blocks until done. */
export function sha256OfFile(path: string): string {
  const fd = openSync(path, 'r');
  try {
    const hash = createHash('sha256');
    const chunk = new Uint8Array(CHUNK_BYTES);
    for (let got = readSync(fd, chunk); got > 0; got = readSync(fd, chunk)) hash.update(chunk.subarray(0, got));
    return hash.digest('hex');
  } finally {
    closeSync(fd);
  }
}

/** The same in steps, for long files: yields the bytes hashed so far and returns the sum. The event loop runs between steps. */
export async function* sha256Steps(path: string, signal?: AbortSignal): AsyncGenerator<number, string> {
  const fd = openSync(path, 'r');
  try {
    const hash = createHash('sha256');
    const chunk = new Uint8Array(CHUNK_BYTES);
    let done = 0;
    for (let got = readSync(fd, chunk); got > 0; got = readSync(fd, chunk)) {
      throwIfAborted(signal);
      hash.update(chunk.subarray(0, got));
      done += got;
      yield done;
      await new Promise((continueLater) => setImmediate(continueLater));
    }
    return hash.digest('hex');
  } finally {
    closeSync(fd);
  }
}

/** What must be unchanged for a remembered sum to hold. The change time cannot be set back by ordinary means. */
type Stamp = { readonly path: string; readonly size: string; readonly modified: string; readonly changed: string };

function stampOf(path: string): Stamp {
  const { size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return { path: resolve(path), size: `${size}`, modified: `${mtimeNs}`, changed: `${ctimeNs}` };
}

/** One small file per hashed file, beside the other caches of Orrery (`ORRERY_CACHE`, else the user's cache folder). */
function noteOf(path: string): string {
  const { ORRERY_CACHE, XDG_CACHE_HOME } = process.env;
  const root = ORRERY_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'orrery');
  return join(root, 'sha256', `${createHash('sha256').update(resolve(path)).digest('hex').slice(0, 32)}.json`);
}

/** The sum of a file: remembered if the file has not changed since, else computed and remembered. */
export function cachedSha256(path: string): string {
  const stamp = stampOf(path);
  try {
    const { sha256, ...known } = JSON.parse(readFileSync(noteOf(path), 'utf8')) as Stamp & { sha256: string };
    if (JSON.stringify(known) === JSON.stringify(stamp) && /^[0-9a-f]{64}$/.test(sha256)) return sha256;
  } catch {
    // Not remembered yet, or unreadable: compute it.
  }
  const sha256 = sha256OfFile(path);
  rememberSha256(path, sha256, stamp);
  return sha256;
}

/** Remembers a sum that was just computed. A cache that cannot be written only costs time. */
export function rememberSha256(path: string, sha256: string, stamp: Stamp = stampOf(path)): void {
  // A file changed within the last moments may change again under the same time stamp on coarse file systems.
  if (Date.now() - Number(BigInt(stamp.changed) / 1_000_000n) < 2000) return;
  try {
    writeFileAtomic(noteOf(path), JSON.stringify({ ...stamp, sha256 }));
  } catch {
    // Read-only home or full disk.
  }
}
