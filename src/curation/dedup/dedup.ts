// `dedup(out)`: exact, perceptual and semantic duplicates among the clips of a curated folder, the best of each group kept.
// Writes tables in the published places; removes nothing. `shard` leaves duplicates out.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { InputError, OrreryError, randomStream } from '../../base/index.ts';
import { makeFolder, readParquet, writeFileAtomic, writeParquet } from '../../formats/index.ts';
import type { ClipResult } from '../clip-work.ts';
import { readJob } from '../layout/finish.ts';
import { perceptualRepeats } from './perceptual.ts';
import { type Agreement, pictureAgreement } from './pictures.ts';
import { normaliseRows, type Rows } from './products.ts';
import { type Pruned, pruneRows } from './semantic.ts';

/** Options of `dedup`. */
export type DedupOptions = {
  /** Cosine above 1 − eps counts as a repeat. Default 0.01; at least 0.0001. */
  readonly eps?: number;
  readonly clusters?: number;
  /** Which of a group stays. Default `quality`: resolution, bit rate, sharpness. */
  readonly keep?: 'quality' | 'hard' | 'easy' | 'random';
  /** Mean bits between hashes that still count as the same pictures. Default 6; 0 turns the comparison off. */
  readonly perceptualBits?: number;
  readonly seed?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
};

/** One clip that repeats another. */
export type Duplicate = {
  readonly id: string;
  readonly keptId: string;
  readonly kind: 'exact' | 'perceptual' | 'semantic';
  readonly score: number;
};

/** What `dedup` found. */
export type DedupResult = {
  readonly clips: number;
  readonly kept: number;
  readonly duplicates: readonly Duplicate[];
  readonly table: string;
};

/** Quality order: more pixels first, then bits per second, then sharpness. Smaller is better. */
export function qualityOrder(a: ClipResult, b: ClipResult): number {
  return (
    b.width * b.height - a.width * a.height ||
    b.bytes / b.seconds - a.bytes / a.seconds ||
    b.quality.sharpness - a.quality.sharpness ||
    (a.id < b.id ? -1 : 1)
  );
}

/** Cosine above which pictures are laid over each other. */
const NEAR = 0.85;
/** Correlation of pictures above which they are the same. */
const SAME_LOOK = 0.97;
/** Correlation of their changes below which something else goes on in them. */
const SAME_CHANGE = 0.2;

/** How well the pictures of two clips agree; undefined for clips of an older version. */
function agreementOf(a: ClipResult, b: ClipResult): Agreement | undefined {
  const [x, y] = [a.quality.signature, b.quality.signature];
  return x === undefined || y === undefined
    ? undefined
    : pictureAgreement(Buffer.from(x, 'base64'), Buffer.from(y, 'base64'));
}

const movesAlike = (agreement: Agreement | undefined): boolean => (agreement?.change ?? 1) >= SAME_CHANGE;

/** Finds duplicates among the kept clips of `out`. */
export async function dedup(out: string, options: DedupOptions = {}): Promise<DedupResult> {
  const { eps = 0.01, keep = 'quality', perceptualBits = 6, seed = 42 } = options;
  if (!(eps >= 1e-4 && eps < 1)) throw new InputError('eps', { got: eps, need: '0.0001 or more, below 1' });
  if (!existsSync(join(out, 'journal.jsonl')))
    throw new OrreryError('data', `${out}: no journal.jsonl there; need a folder that orrery curate wrote`);
  const clips = readJob(out)
    .results.flatMap((r) => r.clips)
    .filter((c) => c.rejected === undefined);
  clips.sort(qualityOrder);
  const duplicates: Duplicate[] = [];
  const gone = new Set<string>();
  const drop = (d: Duplicate): void => {
    gone.add(d.id);
    duplicates.push(d);
  };

  const bySum = new Map<string, string>();
  for (const clip of clips) {
    const first = bySum.get(clip.sha256);
    if (first === undefined) bySum.set(clip.sha256, clip.id);
    else drop({ id: clip.id, keptId: first, kind: 'exact', score: 1 });
  }
  if (perceptualBits > 0) {
    const whole = clips.filter((c) => !gone.has(c.id));
    const left = whole.map((c) => ({ id: c.id, hashes: c.quality.hashes }));
    const confirm = (i: number, kept: number): boolean => movesAlike(agreementOf(whole[i]!, whole[kept]!));
    for (const [id, { keptId, distance }] of perceptualRepeats(left, perceptualBits, confirm))
      drop({ id, keptId, kind: 'perceptual', score: 1 - distance / 64 });
  }
  const embedded = clips.filter((c) => !gone.has(c.id) && c.embedding !== undefined);
  if (embedded.length > 0) {
    const rows = rowsOf(embedded.map((c) => ({ id: c.id, embedding: c.embedding! })));
    const random = randomStream(seed, 'keep');
    const rank =
      keep === 'quality'
        ? embedded.map((_, i) => i)
        : keep === 'random'
          ? embedded.map(() => random.uniform())
          : undefined;
    const pruned = await pruneRows(rows, {
      eps,
      seed,
      ...(perceptualBits > 0
        ? {
            near: NEAR,
            confirm: (r: number, kept: number, cosine: number) => {
              const agreement = agreementOf(embedded[r]!, embedded[kept]!);
              return movesAlike(agreement) && (cosine > 1 - eps || (agreement?.look ?? 0) > SAME_LOOK);
            },
          }
        : {}),
      ...(rank === undefined ? {} : { rank }),
      ...(options.clusters === undefined ? {} : { clusters: options.clusters }),
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    });
    const ids = embedded.map((c) => c.id);
    pruned.repeats.forEach((kept, r) => {
      if (kept >= 0) drop({ id: ids[r]!, keptId: ids[kept]!, kind: 'semantic', score: pruned.score[r]! });
    });
    writeSemanticTables(out, ids, pruned, eps);
  }
  const table = join(out, 'extraction', 'duplicates.parquet');
  writeParquet(table, [
    { name: 'id', type: 'text', values: duplicates.map((d) => d.id) },
    { name: 'kept_id', type: 'text', values: duplicates.map((d) => d.keptId) },
    { name: 'kind', type: 'text', values: duplicates.map((d) => d.kind) },
    { name: 'score', type: 'number', values: duplicates.map((d) => d.score) },
  ]);
  const summary = `eps,kept,removed,total\n${eps},${clips.length - duplicates.length},${duplicates.length},${clips.length}\n`;
  writeFileAtomic(join(out, 'extraction', `dedup_summary_${eps}.csv`), summary);
  return { clips: clips.length, kept: clips.length - duplicates.length, duplicates, table };
}

/** Packs embeddings into unit rows; all must have one length. */
export function rowsOf(list: readonly { readonly id: string; readonly embedding: ArrayLike<number> }[]): Rows {
  const size = list[0]?.embedding.length ?? 0;
  const data = new Float32Array(list.length * size);
  list.forEach(({ id, embedding }, r) => {
    if (embedding.length !== size)
      throw new OrreryError(
        'data',
        `embedding of ${id}: ${embedding.length} numbers, the others have ${size}; need tables of one model`,
      );
    data.set(embedding, r * size);
  });
  const rows = { count: list.length, size, data };
  normaliseRows(rows);
  return rows;
}

/** Reads all embedding tables of a folder: columns id, embedding. */
export async function readEmbeddings(folder: string): Promise<{ ids: string[]; rows: Rows }> {
  const names = readdirSync(folder)
    .filter((n) => n.endsWith('.parquet'))
    .sort();
  if (names.length === 0) throw new OrreryError('data', `${folder}: no parquet tables; need columns id and embedding`);
  const list: { id: string; embedding: Float32Array }[] = [];
  for (const name of names)
    for (const row of await readParquet(join(folder, name), ['id', 'embedding'])) {
      if (typeof row['id'] !== 'string' || !Array.isArray(row['embedding']))
        throw new OrreryError('data', `${join(folder, name)}: need columns id (text) and embedding (list of numbers)`);
      list.push({ id: row['id'], embedding: Float32Array.from(row['embedding'] as number[]) });
    }
  return { ids: list.map((l) => l.id), rows: rowsOf(list) };
}

function writeSemanticTables(out: string, ids: readonly string[], pruned: Pruned, _eps: number): void {
  const { clusters, repeats, score } = pruned;
  const base = join(out, 'clustering_results', 'embs_by_nearest_center');
  const tables = join(out, 'extraction', 'semdedup_pruning_tables');
  makeFolder(tables);
  const members: number[][] = Array.from({ length: clusters.centroids.count }, () => []);
  ids.forEach((_, r) => {
    members[clusters.of[r]!]!.push(r);
  });
  members.forEach((list, c) => {
    if (list.length === 0) return;
    writeParquet(join(base, `nearest_cent_${c}`, 'actor_0.parquet'), [
      { name: 'id', type: 'text', values: list.map((r) => ids[r]!) },
      { name: 'cosine_dist_to_cent', type: 'float', values: list.map((r) => clusters.distance[r]!) },
    ]);
    writeParquet(join(tables, `cluster_${c}.parquet`), [
      { name: 'id', type: 'text', values: list.map((r) => ids[r]!) },
      { name: 'max_id', type: 'text', values: list.map((r) => ids[repeats[r]! >= 0 ? repeats[r]! : r]!) },
      { name: 'cosine_sim_score', type: 'float', values: list.map((r) => score[r]!) },
    ]);
  });
  writeFileAtomic(join(out, 'clustering_results', 'kmeans_centroids.npy'), npyOf(clusters.centroids));
}

/** A float32 matrix as `.npy`, version 1.0. */
function npyOf({ count, size, data }: Rows): Uint8Array {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${count}, ${size}), }`;
  const head = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + head.length + data.byteLength);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, head.length & 255, head.length >> 8]);
  bytes.set(new TextEncoder().encode(head), 10);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + head.length);
  return bytes;
}
