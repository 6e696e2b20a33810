// `shard(out, dst)`: WebDataset tars of the kept clips in the published bins. Resumable: a tar appears when complete, and a
// ledger beside it lists its clips; the same call goes on with the clips that no ledger names.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { InputError, OrreryError, throwIfAborted } from '../../base/index.ts';
import { createTar, makeFolder, readParquet, type TarWriter, writeFileAtomic } from '../../formats/index.ts';
import type { ClipResult } from '../clip-work.ts';
import { checkNesting } from '../ingest/discover.ts';
import { readJob } from '../layout/finish.ts';
import { metaOf } from '../layout/metas.ts';
import { binOf } from './bins.ts';

/** Options of `shard`. */
export type ShardOptions = {
  /** Bytes after which a tar is closed. Default 500 MB. */
  readonly tarBytes?: number;
  /** Tars per part folder. Default 100. */
  readonly tarsPerPart?: number;
  /** Shortest clip. Default 5 seconds, as published; less opens a bin duration_0_5. */
  readonly minSeconds?: number;
  /** Leave clips out that `dedup` found to repeat others. Default true. */
  readonly dropDuplicates?: boolean;
  readonly version?: string;
  readonly signal?: AbortSignal;
};

/** What was written. */
export type ShardResult = {
  readonly tars: number;
  readonly clips: number;
  readonly tooShort: number;
  readonly duplicates: number;
  readonly dir: string;
};

/** Kept clips of a curated folder, duplicates left out. */
export async function clipsToShard(
  out: string,
  dropDuplicates: boolean,
): Promise<{ clips: ClipResult[]; duplicates: number }> {
  if (!existsSync(join(out, 'journal.jsonl')))
    throw new OrreryError('data', `${out}: no journal.jsonl there; need a folder that orrery curate wrote`);
  const all = readJob(out)
    .results.flatMap((r) => r.clips)
    .filter((c) => c.rejected === undefined);
  const table = join(out, 'extraction', 'duplicates.parquet');
  const gone = new Set<string>();
  if (dropDuplicates && existsSync(table))
    for (const row of await readParquet(table, ['id'])) gone.add(String(row['id']));
  const clips = all.filter((c) => !gone.has(c.id));
  return { clips, duplicates: all.length - clips.length };
}

/** Writes or completes the shards. */
export async function shard(out: string, dst: string, options: ShardOptions = {}): Promise<ShardResult> {
  const {
    tarBytes = 500e6,
    tarsPerPart = 100,
    minSeconds = 5,
    dropDuplicates = true,
    version = 'v0',
    signal,
  } = options;
  checkNesting(out, dst);
  if (existsSync(dst) && readdirSync(dst).some((name) => name !== version))
    throw new InputError('dst', { got: dst, need: `an empty folder, or one with shards of ${version} to complete` });
  const { clips, duplicates } = await clipsToShard(out, dropDuplicates);
  const bins = new Map<string, ClipResult[]>();
  let tooShort = 0;
  for (const clip of clips) {
    const bin = binOf(clip, minSeconds);
    if (bin === undefined) tooShort++;
    else bins.set(bin, [...(bins.get(bin) ?? []), clip]);
  }
  let tars = 0;
  let written = 0;
  const list: string[] = ['bin,tars,clips'];
  for (const [bin, members] of [...bins].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const root = join(dst, version, bin);
    const ledgers = join(root, 'ledger');
    makeFolder(ledgers);
    const done = new Set<string>();
    const names: string[] = [];
    for (const file of readdirSync(ledgers).sort()) {
      if (!file.endsWith('.json')) continue;
      const { tar, keys } = JSON.parse(readFileSync(join(ledgers, file), 'utf8')) as { tar: string; keys: string[] };
      // A ledger is written after both tars of its number.
      names.push(tar);
      for (const key of keys) done.add(key);
    }
    let next = names.length;
    let left = members.filter((c) => !done.has(c.id)).sort((a, b) => (a.id < b.id ? -1 : 1));
    while (left.length > 0) {
      throwIfAborted(signal);
      const part = `part_${String(Math.floor(next / tarsPerPart)).padStart(6, '0')}`;
      const name = `${part}/${String(next % tarsPerPart).padStart(6, '0')}.tar`;
      const count = writePair(root, name, left, tarBytes, out);
      const keys = left.slice(0, count).map((c) => c.id);
      writeFileAtomic(join(ledgers, `${String(next).padStart(6, '0')}.json`), JSON.stringify({ tar: name, keys }));
      names.push(name);
      for (const key of keys) done.add(key);
      left = left.slice(count);
      next++;
    }
    tars += names.length;
    written += done.size;
    list.push(`${bin},${names.length},${done.size}`);
    writeFileAtomic(
      join(root, 'wdinfo.json'),
      `${JSON.stringify({ data_keys: ['video', 'metas'], chunk_size: tarsPerPart, data_list: names, root: '.', total_key_count: done.size }, null, 1)}\n`,
    );
  }
  writeFileAtomic(join(dst, version, 'wdinfo_list.csv'), `${list.join('\n')}\n`);
  return { tars, clips: written, tooShort, duplicates, dir: join(dst, version) };
}

/** Fills one tar of videos and its twin of metadata; returns how many clips went in. */
function writePair(root: string, name: string, clips: readonly ClipResult[], limit: number, out: string): number {
  const video = createTar(join(root, 'video', name));
  const open: TarWriter[] = [video];
  try {
    const metas = createTar(join(root, 'metas', name));
    open.push(metas);
    let count = 0;
    for (const clip of clips) {
      const path = join(out, clip.file);
      const size = statSync(path, { throwIfNoEntry: false })?.size;
      if (size === undefined)
        throw new OrreryError('data', `${path}: the clip is not there any more; run orrery curate again`);
      if (count > 0 && video.size + size > limit) break;
      video.add(`${clip.id}.mp4`, readFileSync(path));
      metas.add(`${clip.id}.json`, new TextEncoder().encode(JSON.stringify(metaOf(clip))));
      count++;
    }
    metas.finish();
    video.finish();
    return count;
  } catch (error) {
    for (const tar of open) tar.abort();
    throw error;
  }
}
