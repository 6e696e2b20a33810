// The cache of the hub on disk, shared with its Python library:
//   models--owner--name/refs/<branch>             the commit of a branch
//   models--owner--name/blobs/<etag>              contents; of large files the etag is their SHA-256, of others a git hash
//   models--owner--name/snapshots/<commit>/<file> links to blobs
import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { OrreryError, throwIfAborted } from '../../base/index.ts';
import { diskError, makeFolder, writeFileAtomic } from '../../formats/index.ts';
import { checkRepo, checkRevision, isCommit } from './settings.ts';

/** Folder of a model in the cache. */
export const repoFolder = (cacheDir: string, repo: string): string =>
  join(cacheDir, `models--${checkRepo(repo).replace('/', '--')}`);

/** The commit that a revision means in the cache; undefined when it was never fetched. */
export function cachedCommit(cacheDir: string, repo: string, revision: string): string | undefined {
  checkRevision(revision);
  if (isCommit(revision))
    return existsSync(join(repoFolder(cacheDir, repo), 'snapshots', revision)) ? revision : undefined;
  try {
    const commit = readFileSync(join(repoFolder(cacheDir, repo), 'refs', revision), 'utf8').trim();
    return isCommit(commit) ? commit : undefined;
  } catch {
    return undefined;
  }
}

/** Folder of a fetched revision; undefined when it is not there. */
export function cachedSnapshot(cacheDir: string, repo: string, revision = 'main'): string | undefined {
  const commit = cachedCommit(cacheDir, repo, revision);
  const dir = commit === undefined ? undefined : join(repoFolder(cacheDir, repo), 'snapshots', commit);
  return dir !== undefined && existsSync(dir) ? dir : undefined;
}

/** Notes the commit of a branch or tag. */
export function writeRef(cacheDir: string, repo: string, revision: string, commit: string): void {
  if (!isCommit(revision)) writeFileAtomic(join(repoFolder(cacheDir, repo), 'refs', revision), commit);
}

/** Makes `snapshots/<commit>/<file>` point at a blob: a relative link, or a copy where links cannot be made. */
export function linkBlob(folder: string, commit: string, file: string, blob: string): void {
  const path = join(folder, 'snapshots', commit, file);
  const target = join(folder, 'blobs', blob);
  const link = relative(dirname(path), target);
  try {
    if (readlinkSafe(path) === link) return;
    makeFolder(dirname(path));
    rmSync(path, { force: true });
    try {
      symlinkSync(link, path);
    } catch {
      copyFileSync(target, path);
    }
  } catch (error) {
    throw diskError(error, 'write', path);
  }
}

function readlinkSafe(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** A file of a snapshot. */
export type SnapshotFile = {
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** Name of its blob, which tells its hash; undefined for a copy. */
  readonly blob?: string;
  /** The link leads nowhere. */
  readonly isMissing: boolean;
};

/** Files of a snapshot by name. Links that leave the model's folder are refused. */
export function snapshotFiles(dir: string): SnapshotFile[] {
  const folder = realpathSync(dirname(dirname(dir)));
  const files: SnapshotFile[] = [];
  const walk = (at: string, depth: number): void => {
    if (depth > 16 || files.length > 100_000)
      throw new OrreryError('model', `${dir} holds too many files or folders; remove it and fetch the model again`);
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      const path = join(at, entry.name);
      if (entry.isDirectory()) walk(path, depth + 1);
      else files.push(fileOf(path, relative(dir, path).split(sep).join('/'), folder));
    }
  };
  walk(dir, 0);
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function fileOf(path: string, name: string, folder: string): SnapshotFile {
  const link = readlinkSafe(path);
  if (!existsSync(path))
    return { name, path, sizeBytes: 0, isMissing: true, ...(link === undefined ? {} : { blob: basename(link) }) };
  const real = realpathSync(path);
  if (!real.startsWith(folder + sep))
    throw new OrreryError('model', `${path} leads out of the cache, to ${real}; remove it and fetch the model again`);
  const stat = statSync(real);
  return {
    name,
    path,
    sizeBytes: stat.size,
    isMissing: false,
    ...(link === undefined ? {} : { blob: basename(real) }),
  };
}

/** A model in the cache. */
export type CachedModel = {
  readonly repo: string;
  readonly dir: string;
  /** Fetched commits, newest first. */
  readonly commits: readonly string[];
  /** Bytes of all blobs. */
  readonly sizeBytes: number;
  /** Parts of downloads that were not finished. */
  readonly unfinished: number;
};

/** Every model in the cache. */
export function cachedModels(cacheDir: string): CachedModel[] {
  if (!existsSync(cacheDir)) return [];
  return readdirSync(cacheDir)
    .filter((name) => /^models--[\w.-]+--[\w.-]+$/.test(name))
    .sort()
    .map((name) => {
      const dir = join(cacheDir, name);
      const list = (part: string): string[] => (existsSync(join(dir, part)) ? readdirSync(join(dir, part)) : []);
      const blobs = list('blobs');
      const size = (blob: string): number => statSync(join(dir, 'blobs', blob), { throwIfNoEntry: false })?.size ?? 0;
      const age = (commit: string): number => statSync(join(dir, 'snapshots', commit)).mtimeMs;
      return {
        repo: name.slice('models--'.length).replace('--', '/'),
        dir,
        commits: list('snapshots')
          .filter(isCommit)
          .sort((a, b) => age(b) - age(a)),
        sizeBytes: blobs.reduce((sum, blob) => sum + size(blob), 0),
        unfinished: blobs.filter((blob) => blob.endsWith('.incomplete')).length,
      };
    });
}

/** Removes a model from the cache, locks included. @returns the bytes that were freed */
export function removeCached(cacheDir: string, repo: string): number {
  const found = cachedModels(cacheDir).find((model) => model.repo === checkRepo(repo));
  if (found === undefined)
    throw new OrreryError('model', `${repo} is not in ${cacheDir}; orrery models list prints what is there`);
  try {
    rmSync(found.dir, { recursive: true });
    rmSync(join(cacheDir, '.locks', basename(found.dir)), { recursive: true, force: true });
  } catch (error) {
    throw diskError(error, 'remove', found.dir);
  }
  return found.sizeBytes;
}

/** What a blob's name promises: SHA-256 of the content (64 digits), or git's SHA-1 of `blob <size>\0` and the content (40). */
export type BlobHash = {
  readonly update: (bytes: Uint8Array) => void;
  readonly isMatch: () => boolean;
  readonly digest: () => string;
};

/** Starts checking a content against a blob's name; undefined when the name is no hash. */
export function blobHash(blob: string, sizeBytes: number): BlobHash | undefined {
  const name = /^[0-9a-f]{64}$/.test(blob) ? 'sha256' : /^[0-9a-f]{40}$/.test(blob) ? 'sha1' : undefined;
  if (name === undefined) return undefined;
  const hash = createHash(name);
  if (name === 'sha1') hash.update(`blob ${sizeBytes}\0`);
  let digest: string | undefined;
  const finish = (): string => (digest ??= hash.digest('hex'));
  return { update: (bytes) => void hash.update(bytes), digest: finish, isMatch: () => finish() === blob };
}

/** Hashes the files of a snapshot in steps: yields progress; throws at the first that is missing or altered. */
export async function* verifySnapshot(
  dir: string,
  signal?: AbortSignal,
): AsyncGenerator<{
  readonly file: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly isChecked: boolean;
}> {
  const files = snapshotFiles(dir);
  const gone = files.filter((file) => file.isMissing);
  if (gone.length > 0) {
    throw new OrreryError(
      'model',
      `${gone[0]!.path} is missing (${gone.length} of ${files.length} files); fetch the model again: orrery models get`,
    );
  }
  for (const { name, path, blob, sizeBytes } of files) {
    const hash = blob === undefined ? undefined : blobHash(blob, sizeBytes);
    if (hash !== undefined) {
      for await (const done of hashFile(path, hash, signal))
        yield { file: name, doneBytes: done, totalBytes: sizeBytes, isChecked: false };
      if (!hash.isMatch()) {
        throw new OrreryError(
          'model',
          `${path} has been altered: hash ${hash.digest().slice(0, 12)}…, ${blob!.slice(0, 12)}… expected; remove the model and fetch it again`,
        );
      }
    }
    yield { file: name, doneBytes: sizeBytes, totalBytes: sizeBytes, isChecked: hash !== undefined };
  }
}

/** Feeds a file to a hash, 4 MiB at a time; the event loop runs between steps. */
export async function* hashFile(path: string, hash: BlobHash, signal?: AbortSignal): AsyncGenerator<number> {
  const fd = openSync(path, 'r');
  try {
    const chunk = new Uint8Array(4 * 1024 * 1024);
    let done = 0;
    for (let got = readSync(fd, chunk); got > 0; got = readSync(fd, chunk)) {
      throwIfAborted(signal);
      hash.update(chunk.subarray(0, got));
      done += got;
      yield done;
      await new Promise((next) => setImmediate(next));
    }
  } finally {
    closeSync(fd);
  }
}

/** Bytes of a file; undefined when it is not there or cannot be looked at. */
export function fileSize(path: string): number | undefined {
  try {
    return statSync(path).size;
  } catch {
    return undefined;
  }
}
