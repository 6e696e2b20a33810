// Fetches a model of the hub into the cache: the revision becomes a commit first, then every file of that commit.
import { statfsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { InputError, OrreryError } from '../../base/index.ts';
import { cachedCommit, cachedSnapshot, fileSize, linkBlob, repoFolder, snapshotFiles, writeRef } from './cache.ts';
import { downloadBlob, lockBlob } from './download.ts';
import { describeModel, type HubFile, TransientError } from './request.ts';
import { checkRepo, checkRevision, type HubSettings, hubSettings } from './settings.ts';

export type GetOptions = {
  /** Branch, tag or commit. Default "main". */
  readonly revision?: string;
  /** Patterns of names, `*` for anything; default every file. */
  readonly include?: readonly string[];
  readonly settings?: HubSettings;
  readonly signal?: AbortSignal;
  readonly tries?: number;
  readonly waitMs?: number;
};

export type GetEvent =
  | {
      readonly type: 'resolved';
      readonly repo: string;
      readonly commit: string;
      readonly files: number;
      readonly totalBytes: number;
      readonly missingBytes: number;
      readonly licence?: string;
    }
  | { readonly type: 'file'; readonly file: string; readonly sizeBytes: number; readonly from: 'cache' | 'hub' }
  | {
      readonly type: 'progress';
      readonly file: string;
      readonly doneBytes: number;
      readonly sizeBytes: number;
      readonly allDoneBytes: number;
      readonly allBytes: number;
    }
  | { readonly type: 'retry'; readonly file: string; readonly reason: string; readonly waitMs: number }
  | { readonly type: 'waiting'; readonly file: string }
  | { readonly type: 'completed'; readonly repo: string; readonly commit: string; readonly dir: string };

type Known = Required<HubFile>;

/** Fetches `repo`; what is in the cache is not fetched again. Offline only the cache is asked. */
export async function* getModel(repo: string, options: GetOptions = {}): AsyncGenerator<GetEvent> {
  const { revision = 'main', settings = hubSettings(), signal, include = [] } = options;
  checkRepo(repo);
  checkRevision(revision);
  if (settings.isOffline) {
    yield* fromCache(repo, revision, settings);
    return;
  }
  const model = await describe(repo, revision, settings, signal);
  const wanted = model.files.filter(
    ({ name }) => include.length === 0 || include.some((pattern) => matches(pattern, name)),
  );
  if (wanted.length === 0) {
    throw new InputError(
      '--include',
      {
        got: include.join(', '),
        need: `patterns of its ${model.files.length} files, such as ${model.files
          .slice(0, 3)
          .map((f) => f.name)
          .join(', ')}`,
      },
      'usage',
    );
  }
  const unknown = wanted.find((file) => file.blob === undefined || file.sizeBytes === undefined);
  if (unknown !== undefined)
    throw new OrreryError(
      'model',
      `${repo}: the hub does not tell size and hash of ${unknown.name}; check HF_ENDPOINT`,
    );
  const files = wanted as readonly Known[];
  const folder = repoFolder(settings.cacheDir, repo);
  const isHere = (file: Known): boolean => fileSize(join(folder, 'blobs', file.blob)) === file.sizeBytes;
  const allBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const missing = files.filter((file) => !isHere(file));
  const partOf = (file: Known): number =>
    Math.min(file.sizeBytes, fileSize(join(folder, 'blobs', `${file.blob}.incomplete`)) ?? 0);
  const missingBytes = missing.reduce((sum, file) => sum + file.sizeBytes - partOf(file), 0);
  requireSpace(settings.cacheDir, missingBytes, repo);
  yield {
    type: 'resolved',
    repo,
    commit: model.commit,
    files: files.length,
    totalBytes: allBytes,
    missingBytes,
    ...(model.licence === undefined ? {} : { licence: model.licence }),
  };

  let before = 0;
  for (const file of files) {
    const from = isHere(file) ? 'cache' : 'hub';
    if (from === 'hub') {
      const locking = lockBlob(settings.cacheDir, basename(folder), file.blob, signal);
      let step = await locking.next();
      for (; !step.done; step = await locking.next()) yield { type: 'waiting', file: file.name };
      using _lock = step.value;
      const job = {
        repo,
        commit: model.commit,
        file: file.name,
        sizeBytes: file.sizeBytes,
        blob: file.blob,
        folder,
        settings,
      };
      const limits = {
        ...(signal === undefined ? {} : { signal }),
        ...(options.tries === undefined ? {} : { tries: options.tries }),
        ...(options.waitMs === undefined ? {} : { waitMs: options.waitMs }),
      };
      for await (const event of downloadBlob({ ...job, ...limits })) {
        if (event.type === 'retry') yield { ...event, file: file.name };
        else
          yield {
            type: 'progress',
            file: file.name,
            doneBytes: event.doneBytes,
            sizeBytes: file.sizeBytes,
            allDoneBytes: before + event.doneBytes,
            allBytes,
          };
      }
    }
    linkBlob(folder, model.commit, file.name, file.blob);
    before += file.sizeBytes;
    yield { type: 'file', file: file.name, sizeBytes: file.sizeBytes, from };
  }
  writeRef(settings.cacheDir, repo, revision, model.commit);
  yield { type: 'completed', repo, commit: model.commit, dir: join(folder, 'snapshots', model.commit) };
}

async function describe(
  repo: string,
  revision: string,
  settings: HubSettings,
  signal: AbortSignal | undefined,
): ReturnType<typeof describeModel> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await describeModel(repo, revision, settings, signal);
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      if (attempt < 2) continue;
      const known = cachedCommit(settings.cacheDir, repo, revision);
      const hint =
        known === undefined
          ? 'check the network and HF_ENDPOINT'
          : `commit ${known.slice(0, 12)}… is in the cache: HF_HUB_OFFLINE=1 uses it`;
      throw new OrreryError('model', `${repo}: ${error.message}; ${hint}`, { cause: error });
    }
  }
}

function* fromCache(repo: string, revision: string, settings: HubSettings): Generator<GetEvent> {
  const dir = cachedSnapshot(settings.cacheDir, repo, revision);
  if (dir === undefined) {
    throw new OrreryError(
      'model',
      `${repo} at ${revision} is not in ${settings.cacheDir}, and HF_HUB_OFFLINE forbids to fetch it; go online once: orrery models get ${repo}`,
    );
  }
  const files = snapshotFiles(dir);
  const gone = files.filter((file) => file.isMissing);
  if (gone.length > 0) {
    throw new OrreryError(
      'model',
      `${repo}: ${gone.length} of ${files.length} files are not in the cache, first ${gone[0]!.name}, and HF_HUB_OFFLINE forbids to fetch them; go online once: orrery models get ${repo}`,
    );
  }
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const commit = basename(dir);
  yield { type: 'resolved', repo, commit, files: files.length, totalBytes, missingBytes: 0 };
  for (const { name, sizeBytes } of files) yield { type: 'file', file: name, sizeBytes, from: 'cache' };
  yield { type: 'completed', repo, commit, dir };
}

/** `*` stands for anything, also across folders. */
function matches(pattern: string, name: string): boolean {
  const text = pattern
    .split('*')
    .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^${text}$`).test(name);
}

function requireSpace(cacheDir: string, needBytes: number, repo: string): void {
  let dir = cacheDir;
  while (statSync(dir, { throwIfNoEntry: false }) === undefined && join(dir, '..') !== dir) dir = join(dir, '..');
  let free: number;
  try {
    const { bavail, bsize } = statfsSync(dir);
    free = bavail * bsize;
  } catch {
    return; // not told by this file system
  }
  if (needBytes > free) {
    const gb = (bytes: number): string => `${(bytes / 1e9).toPrecision(3)} GB`;
    throw new OrreryError(
      'disk',
      `${repo} needs ${gb(needBytes)} more, ${cacheDir} has ${gb(free)} free; free some space, set HF_HUB_CACHE to another disk, or fetch a part with --include`,
    );
  }
}
