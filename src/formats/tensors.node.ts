// Opens any checkpoint file by its contents: safetensors, a set of safetensors with an index, torch and TorchScript archives.
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { OrreryError, show } from '../base/index.ts';
import { openFileAccess } from './files.node.ts';
import { openSafetensors, type SafetensorsFile } from './safetensors.node.ts';
import { findEntry, type TensorEntry } from './safetensors.ts';
import type { TensorPlace, TensorSource } from './tensor-source.ts';
import { openTorch } from './torch.node.ts';
import { isZip } from './zip.ts';

const MAX_INDEX_BYTES = 100_000_000;
const SHARD = /^(.*)-(\d{5})-of-(\d{5})\.safetensors$/;

/** Opens a checkpoint file. The ending only decides for `.json`, an index; everything else is told by its first bytes. */
export function openTensors(path: string): TensorSource {
  if (path.endsWith('.json')) return openShards(path);
  const head = headOf(path);
  const length = head.length < 8 ? -1 : Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0, true));
  const isSafetensors = length >= 2 && length <= 100_000_000 && (head.length < 9 || head[8] === 0x7b);
  if (isZip(head) || !isSafetensors) {
    // A file that claims to be safetensors gets the messages of that format.
    if (path.endsWith('.safetensors') && !isZip(head) && !isPlainText(head)) return sourceOf(openSafetensors(path));
    return openTorch(path);
  }
  const shard = SHARD.exec(basename(path));
  if (shard !== null && Number(shard[3]) > 1) {
    throw new OrreryError(
      'model',
      `${path} is part ${Number(shard[2])} of ${Number(shard[3])} and not a whole model; name the folder or ${shard[1]}.safetensors.index.json`,
    );
  }
  return sourceOf(openSafetensors(path));
}

const isPlainText = (head: Uint8Array): boolean =>
  head.length > 0 && head.every((b) => b === 9 || b === 10 || (b >= 32 && b < 127));

function headOf(path: string): Uint8Array {
  const file = openFileAccess(path);
  try {
    return file.read(0, Math.min(16, file.sizeBytes));
  } finally {
    file.close();
  }
}

function sourceOf(file: SafetensorsFile): TensorSource {
  return {
    path: file.path,
    format: 'safetensors',
    sizeBytes: file.sizeBytes,
    tensors: file.tensors,
    metadata: file.metadata,
    opaque: [],
    read: file.read,
    readBytes: file.readBytes,
    placeOf: (name) => placeIn(file, name),
    close: file.close,
    [Symbol.dispose]: file.close,
  };
}

function placeIn(file: SafetensorsFile, name: string): TensorPlace | undefined {
  const entry = file.tensors.get(name);
  return entry === undefined ? undefined : { path: file.path, offset: entry.offset, length: entry.length };
}

/** Opens the set of files that a `*.safetensors.index.json` names. Every file and every tensor must be there. */
export function openShards(path: string): TensorSource {
  const map = readIndex(path);
  const dir = dirname(path);
  const names = [...new Set(map.values())].sort();
  const absent = names.filter((name) => statSync(join(dir, name), { throwIfNoEntry: false })?.isFile() !== true);
  if (absent.length > 0) {
    const some = absent.slice(0, 3).join(', ') + (absent.length > 3 ? ', …' : '');
    throw new OrreryError(
      'model',
      `${path}: ${absent.length} of its ${names.length} files are missing: ${some}; fetch them`,
      {
        details: { missing: absent },
      },
    );
  }
  const files = new Map<string, SafetensorsFile>();
  const close = (): void => {
    for (const file of files.values()) file.close();
  };
  try {
    for (const name of names) files.set(name, openSafetensors(join(dir, name)));
    const tensors = new Map<string, TensorEntry>();
    const lost: string[] = [];
    for (const [key, name] of map) {
      const entry = files.get(name)!.tensors.get(key);
      if (entry === undefined) lost.push(`${key} (${name})`);
      else tensors.set(key, entry);
    }
    const extra = [...files].flatMap(([name, file]) =>
      [...file.tensors.keys()].filter((k) => map.get(k) !== name).map((k) => `${k} (${name})`),
    );
    if (lost.length > 0 || extra.length > 0) {
      const what =
        lost.length > 0
          ? `${lost.length} tensors are not in the files it names: ${lost.slice(0, 3).join(', ')}`
          : `${extra.length} tensors of its files are not listed: ${extra.slice(0, 3).join(', ')}`;
      throw new OrreryError('model', `${path}: ${what}; index and files are of two versions, fetch all of them again`);
    }
    const holder = (key: string): SafetensorsFile => {
      findEntry(tensors, key, path);
      return files.get(map.get(key)!)!;
    };
    return {
      path,
      format: 'sharded safetensors',
      sizeBytes: [...files.values()].reduce((sum, file) => sum + file.sizeBytes, 0),
      tensors,
      metadata: new Map([...files.values()].flatMap((file) => [...file.metadata])),
      opaque: [],
      read: (key) => holder(key).read(key),
      readBytes: (key) => holder(key).readBytes(key),
      placeOf: (key) => placeIn(holder(key), key),
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Key → file name. */
function readIndex(path: string): Map<string, string> {
  const wrong = (problem: string, cause?: unknown): OrreryError =>
    new OrreryError('model', `${path} is not a sound index of safetensors files: ${problem}; fetch it again`, {
      cause,
    });
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isFile() !== true) throw new OrreryError('model', `cannot open ${path}: no such file`);
  if (stat.size > MAX_INDEX_BYTES) throw wrong(`it has ${stat.size} bytes, need at most ${MAX_INDEX_BYTES}`);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw wrong('it is not JSON', cause);
  }
  const map = (json as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) throw wrong('it has no "weight_map"');
  const entries = Object.entries(map);
  if (entries.length === 0) throw wrong('its "weight_map" is empty');
  for (const [key, name] of entries) {
    if (typeof name !== 'string' || !/^[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors$/.test(name)) {
      throw wrong(`${show(key)} is said to lie in ${show(name)}, need a plain file name ending in .safetensors`);
    }
  }
  return new Map(entries as [string, string][]);
}
