// Compiled graphs on disk, so that a second start skips building and differentiating the network. A cache only: every
// entry can be deleted at any time, and a damaged one is built again.
import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '../formats/index.ts';
import type { CompiledGraph } from '../graph/index.ts';

/** What the graph depends on: anything that JSON can hold. Two different graphs must differ here. */
export type GraphKey = {
  /** Kind of network and purpose, such as `orrery-nano step`. */
  readonly kind: string;
  readonly config: unknown;
  /** Shapes of the inputs. */
  readonly shapes: unknown;
  /** Anything else: weight files with their offsets, device, options. */
  readonly extra?: unknown;
};

export type GraphCacheOptions = {
  /** Default: `graphs` in the cache folder. */
  readonly folder?: string;
  /** The oldest entries go when the folder grows beyond this many bytes. Default 512 MB. */
  readonly limitBytes?: number;
};

/** Where caches are kept: `ORRERY_CACHE`, else `orrery` in the user's cache folder. */
export function cacheFolder(): string {
  const { ORRERY_CACHE, XDG_CACHE_HOME } = process.env;
  if (ORRERY_CACHE) return ORRERY_CACHE;
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'orrery');
}

/**
 * The compiled graph of `key`: from the disk, or built now and stored. A cache that cannot be read or written is no error.
 * File sources of weights are stored inside the graph, so file names and offsets belong into the key.
 */
export async function cachedGraph(
  key: GraphKey,
  build: () => CompiledGraph,
  options: GraphCacheOptions = {},
): Promise<CompiledGraph> {
  const { folder = join(cacheFolder(), 'graphs'), limitBytes = 512e6 } = options;
  const text = JSON.stringify([await versions(), key]);
  const path = join(folder, `${createHash('sha256').update(text).digest('hex').slice(0, 32)}.graph`);
  const found = await read(path);
  if (found !== undefined) {
    // The time of last use decides which entries go first.
    await utimes(path, new Date(), new Date()).catch(() => undefined);
    return found;
  }
  const graph = build();
  try {
    await write(path, graph);
    await trim(folder, limitBytes);
  } catch {
    // A read-only home or a full disk costs the next start some time, nothing else.
  }
  return graph;
}

// File: 4 bytes length of the JSON header, 32 bytes SHA-256 of everything after them, header, ONNX bytes.
const PREFIX = 36;

async function write(path: string, { onnx, ...header }: CompiledGraph): Promise<void> {
  const json = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(PREFIX);
  prefix.writeUInt32LE(json.length, 0);
  createHash('sha256').update(json).update(onnx).digest().copy(prefix, 4);
  makeFolder(dirname(path));
  const part = `${path}.${randomUUID()}.part`;
  try {
    await writeFile(part, Buffer.concat([prefix, json, onnx]));
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

async function read(path: string): Promise<CompiledGraph | undefined> {
  try {
    const bytes = await readFile(path);
    const rest = bytes.subarray(PREFIX);
    if (!createHash('sha256').update(rest).digest().equals(bytes.subarray(4, PREFIX))) return undefined;
    const length = bytes.readUInt32LE(0);
    const header = JSON.parse(rest.subarray(0, length).toString()) as Omit<CompiledGraph, 'onnx'>;
    // A copy of its own: the graph is posted to a worker thread.
    return { ...header, onnx: new Uint8Array(rest.subarray(length)) };
  } catch {
    return undefined;
  }
}

async function trim(folder: string, limitBytes: number): Promise<void> {
  const entries = await Promise.all(
    (await readdir(folder)).map(async (name) => {
      const path = join(folder, name);
      const { size, mtimeMs } = await stat(path);
      return { path, size, mtimeMs };
    }),
  );
  let total = entries.reduce((n, e) => n + e.size, 0);
  for (const e of entries.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
    if (total <= limitBytes) return;
    await rm(e.path, { force: true });
    total -= e.size;
  }
}

let stamp: Promise<readonly string[]> | undefined;

/** Versions of the package and of ONNX Runtime, and sizes and times of the code that builds graphs. */
function versions(): Promise<readonly string[]> {
  stamp ??= (async () => {
    const require = createRequire(import.meta.url);
    const runtime = (require('onnxruntime-node/package.json') as { version: string }).version;
    const here = dirname(fileURLToPath(import.meta.url));
    const root = join(here, import.meta.url.endsWith('.ts') ? '../..' : '../../..');
    const own = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    const code: string[] = [];
    for (const layer of ['graph', 'nets']) {
      for (const entry of await readdir(join(here, '..', layer), { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.[jt]s$/.test(entry.name) || /\.(test|d)\.ts$/.test(entry.name)) continue;
        const { size, mtimeMs } = await stat(join(entry.parentPath ?? entry.path, entry.name));
        code.push(`${entry.name}:${size}:${mtimeMs}`);
      }
    }
    return [own.version, runtime, createHash('sha256').update(code.sort().join()).digest('hex')];
  })();
  return stamp;
}
