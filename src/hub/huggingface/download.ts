// One file of the hub into its blob: by ranges into `<blob>.incomplete`, hashed while it is written, renamed when it is right.
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { OrreryError, throwIfAborted } from '../../base/index.ts';
import { diskError, makeFolder } from '../../formats/index.ts';
import { type BlobHash, blobHash, fileSize, hashFile } from './cache.ts';
import { hubGet, TransientError } from './request.ts';
import type { HubSettings } from './settings.ts';

export type DownloadOptions = {
  readonly repo: string;
  readonly commit: string;
  readonly file: string;
  /** Bytes, and the hash that is the blob's name. */
  readonly sizeBytes: number;
  readonly blob: string;
  /** Folder of the model in the cache. */
  readonly folder: string;
  readonly settings: HubSettings;
  readonly signal?: AbortSignal;
  /** Tries without a new byte before giving up. Default 5. */
  readonly tries?: number;
  /** Wait before the second try; doubles each time. Default 500 ms. */
  readonly waitMs?: number;
};

export type DownloadEvent =
  | { readonly type: 'progress'; readonly doneBytes: number }
  | { readonly type: 'retry'; readonly reason: string; readonly waitMs: number };

/** Downloads the file unless its blob is there. Yields bytes on disk; what is left of an interrupted download is continued. */
export async function* downloadBlob(options: DownloadOptions): AsyncGenerator<DownloadEvent> {
  const { folder, blob, sizeBytes, file, tries = 5, waitMs = 500, signal } = options;
  const path = join(folder, 'blobs', blob);
  if (fileSize(path) === sizeBytes) return;
  const partial = `${path}.incomplete`;
  let fd: number;
  try {
    makeFolder(dirname(path));
    // Never truncated at opening: what is there may be a good start.
    fd = openSync(partial, existsSync(partial) ? 'r+' : 'w+');
  } catch (error) {
    throw diskError(error, 'write', partial);
  }
  try {
    let failures = 0;
    let last = -1;
    for (;;) {
      throwIfAborted(signal);
      const had = statSync(partial).size;
      failures = had > last ? 0 : failures + 1;
      last = had;
      try {
        yield* attempt(fd, partial, options);
        break;
      } catch (error) {
        if (!(error instanceof TransientError)) throw error;
        const now = statSync(partial).size;
        if (now > had) failures = 0;
        if (failures + 1 >= tries) {
          throw new OrreryError(
            'model',
            `${file}: ${error.message}, ${tries} tries without progress; ${now} of ${sizeBytes} bytes are kept: run the same command again to go on`,
            { cause: error },
          );
        }
        const wait = error.afterMs ?? waitMs * 2 ** failures;
        yield { type: 'retry', reason: error.message, waitMs: wait };
        await pause(wait, signal);
      }
    }
    try {
      fsyncSync(fd);
      renameSync(partial, path);
    } catch (error) {
      throw diskError(error, 'write', path);
    }
  } finally {
    closeSync(fd);
  }
}

/** One connection: continues at the end of the partial file. Returns when the file is whole and its hash is right. */
async function* attempt(fd: number, partial: string, options: DownloadOptions): AsyncGenerator<DownloadEvent> {
  const { blob, sizeBytes, file, repo, commit, settings, signal } = options;
  let hash = startHash(blob, sizeBytes);
  let done = statSync(partial).size;
  if (done > sizeBytes) done = restart(fd);
  if (done > 0) {
    for await (const _ of hashFile(partial, hash, signal));
    yield { type: 'progress', doneBytes: done };
  }
  if (done < sizeBytes || sizeBytes === 0) {
    const url = `${settings.endpoint}/${repo}/resolve/${commit}/${file.split('/').map(encodeURIComponent).join('/')}`;
    const { response, first } = await hubGet({
      url,
      settings,
      repo,
      what: `${repo}/${file}`,
      // Compressed bytes could not be continued or counted.
      headers: { 'accept-encoding': 'identity', ...(done > 0 ? { range: `bytes=${done}-` } : {}) },
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      checkIdentity(first, response, options);
      if (done > 0 && !continues(response, done, sizeBytes)) {
        // The server ignores ranges: it sends the file from its start.
        if (response.status === 206) throw new TransientError('the server sent another part than was asked for');
        done = restart(fd);
        hash = startHash(blob, sizeBytes);
      }
      for await (const part of response.body ?? []) {
        throwIfAborted(signal);
        if (done + part.length > sizeBytes) {
          restart(fd);
          throw new OrreryError(
            'model',
            `${file}: the server sends more than the ${sizeBytes} bytes that the hub lists; nothing of it is kept: check HF_ENDPOINT, then try again`,
          );
        }
        try {
          for (let at = 0; at < part.length; ) at += writeSync(fd, part, at, part.length - at, done + at);
        } catch (error) {
          throw diskError(error, 'write', partial);
        }
        hash.update(part);
        done += part.length;
        yield { type: 'progress', doneBytes: done };
      }
    } catch (error) {
      await response.body?.cancel().catch(() => {});
      if (error instanceof OrreryError || error instanceof TransientError) throw error;
      if (signal?.aborted) throw new OrreryError('canceled', 'canceled', { cause: signal.reason });
      throw new TransientError('the connection broke', { cause: error });
    }
  }
  if (done < sizeBytes) throw new TransientError(`the connection ended after ${done} of ${sizeBytes} bytes`);
  if (!hash.isMatch()) {
    restart(fd);
    rmSync(partial, { force: true });
    throw new OrreryError(
      'model',
      `${file}: its content has the hash ${hash.digest().slice(0, 12)}…, the hub promised ${blob.slice(0, 12)}…; nothing of it is kept: try again, and if it stays so the file at the hub is damaged`,
    );
  }
}

function startHash(blob: string, sizeBytes: number): BlobHash {
  const hash = blobHash(blob, sizeBytes);
  if (hash === undefined)
    throw new OrreryError('model', `the hub names the content ${blob}, need a SHA-256 or git hash; check HF_ENDPOINT`);
  return hash;
}

function restart(fd: number): number {
  ftruncateSync(fd, 0);
  return 0;
}

/** A pinned commit cannot change: another identity means another file, and pieces of two files must not be joined. */
function checkIdentity(first: Headers, response: Response, { blob, file, commit }: DownloadOptions): void {
  const etag = (first.get('x-linked-etag') ?? first.get('etag') ?? '').replace(/^W\//, '').replaceAll('"', '');
  const isHash = /^[0-9a-f]{40}$|^[0-9a-f]{64}$/.test(etag);
  if (isHash && etag.length === blob.length && etag !== blob) {
    throw new OrreryError(
      'model',
      `${file}: the hub now has ${etag.slice(0, 12)}…, it listed ${blob.slice(0, 12)}… before: the file was changed during the download. Nothing was joined; run the same command again`,
    );
  }
  const at = first.get('x-repo-commit');
  if (at !== null && at !== commit) {
    throw new OrreryError(
      'model',
      `${file}: asked for commit ${commit.slice(0, 12)}…, the hub sends ${at.slice(0, 12)}…; nothing is kept`,
    );
  }
  if (response.headers.get('content-encoding') !== null && response.headers.get('content-encoding') !== 'identity') {
    throw new OrreryError(
      'model',
      `${file}: the server compresses the file, which cannot be checked or continued; check HF_ENDPOINT`,
    );
  }
}

function continues(response: Response, done: number, sizeBytes: number): boolean {
  if (response.status !== 206) return false;
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  return range !== null && Number(range[1]) === done && (range[2] === '*' || Number(range[2]) === sizeBytes);
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(new OrreryError('canceled', 'canceled', { cause: signal?.reason }));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

/** A lock that a crashed process leaves is taken over when its process is gone or it was not touched for this long. */
const STALE_MS = 120_000;

/** Held while a blob is written, so that two processes do not write one file. */
export type BlobLock = Disposable;

/** Waits for the lock of a blob; yields once per second of waiting. */
export async function* lockBlob(
  cacheDir: string,
  folderName: string,
  blob: string,
  signal?: AbortSignal,
): AsyncGenerator<'waiting', BlobLock> {
  const path = join(cacheDir, '.locks', folderName, `${blob}.orrery.lock`);
  makeFolder(dirname(path));
  for (;;) {
    throwIfAborted(signal);
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw diskError(error, 'write', path);
      if (isStale(path)) rmSync(path, { force: true });
      else {
        yield 'waiting';
        await pause(1000, signal);
      }
    }
  }
  const beat = setInterval(() => touch(path), STALE_MS / 4);
  beat.unref();
  return {
    [Symbol.dispose]: () => {
      clearInterval(beat);
      rmSync(path, { force: true });
    },
  };
}

function touch(path: string): void {
  try {
    utimesSync(path, new Date(), new Date());
  } catch {
    // The lock was removed by hand: the download goes on, the hash decides.
  }
}

function isStale(path: string): boolean {
  try {
    if (Date.now() - statSync(path).mtimeMs > STALE_MS) return true;
    const pid = Number(readFileSync(path, 'utf8'));
    if (!Number.isInteger(pid) || pid <= 0) return false;
    process.kill(pid, 0); // signal 0 only asks whether the process is there
    return false;
  } catch (error) {
    return ['ESRCH', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '');
  }
}
