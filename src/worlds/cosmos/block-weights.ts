// Weights of a component in blocks of 8 or 4 bits: made once from the stored ones, kept as a file in the cache folder, mapped from there. The
// file holds the whole network: what is not worth rounding lies in it as it was stored.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, statfsSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { f32, type NdArray, OrreryError, sizeOf, throwIfAborted, toF32 } from '../../base/index.ts';
import {
  BLOCK,
  type BlockBits,
  blockBytes,
  createSafetensorsWriter,
  decodeTensor,
  makeFolder,
  openFileAccess,
  openSafetensors,
  packBlocks,
  STORED_BYTES,
  writeFileAtomic,
} from '../../formats/index.ts';
import { blockWeights, isParam, topologicalOrder, type WeightSource } from '../../graph/index.ts';
import { cachedSha256, sha256Steps } from '../../hub/index.ts';
import { cacheFolder } from '../../runtime/index.ts';
import type { Component } from './component.ts';
import type { Outputs } from './networks.ts';

/** Told while weights are rounded; counts numbers. */
export type BlockProgress = { readonly type: 'progress'; readonly done: number; readonly total: number };

export type BlockOptions = {
  readonly bits: BlockBits;
  /** Folder of the made files. Default: `weights` in the cache folder. */
  readonly folder?: string;
  readonly signal?: AbortSignal;
};

/** Changes when the rounding does. */
const FORMAT = 1;
const FORM = { blockSize: BLOCK } as const;
/** Numbers that are widened and rounded at a time. */
const PORTION = 1 << 24;

type Weight = {
  readonly name: string;
  readonly shape: readonly number[];
  readonly source: Exclude<WeightSource, { kind: 'blocks' } | { kind: 'input' }>;
  readonly isBlocked: boolean;
};

/**
 * The component with its large matrices in blocks: from the cache, or made now, which reads the whole network once.
 * @param outputs the network in any size, every weight in it
 */
export async function* inBlocks<Config>(
  component: Component<Config>,
  outputs: Outputs,
  options: BlockOptions,
): AsyncGenerator<BlockProgress, Component<Config>> {
  const { bits, folder = join(cacheFolder(), 'weights') } = options;
  const weights = weightsOf(component, outputs);
  const name = `${keyOf(weights, component.load?.folder, bits)}.safetensors`;
  const path = join(folder, name);
  if (!isWhole(path)) yield* make(path, weights, component.load?.folder, { ...options, folder });
  // The time of last use: a person who clears the cache sees what is still needed.
  utimesSync(path, new Date(), statSync(path).mtime);
  const { weights: _weights, load: _load, ...rest } = component;
  return { ...rest, weights: mapped(path, name, weights, bits), load: { folder } };
}

function weightsOf(component: Component<unknown>, outputs: Outputs): readonly Weight[] {
  const results = Object.values(outputs);
  const blocked = new Set(blockWeights(results, BLOCK).map(({ name }) => name));
  const found = new Map<string, Weight>();
  for (const node of topologicalOrder(results)) {
    if (!isParam(node) || found.has(node.attrs.name)) continue;
    const { name, shape, dtype } = node.attrs;
    const source = component.weights(name, { dtype, shape });
    if (source.kind === 'blocks' || source.kind === 'input') {
      throw new OrreryError('internal', `weight ${name} has no numbers to round`);
    }
    found.set(name, { name, shape, source, isBlocked: blocked.has(name) });
  }
  return [...found.values()];
}

/** Same files, same tensors in them, same form: same name. */
function keyOf(weights: readonly Weight[], folder: string | undefined, bits: BlockBits): string {
  const hash = createHash('sha256').update(JSON.stringify([FORMAT, bits, BLOCK]));
  const files = new Set(weights.flatMap(({ source }) => (source.kind === 'file' ? [source.file] : [])));
  for (const file of [...files].sort()) {
    const path = realpathSync(join(folder!, file));
    const { size, mtimeMs } = statSync(path);
    hash.update(JSON.stringify([path, size, mtimeMs]));
  }
  for (const { name, shape, source, isBlocked } of weights) {
    hash.update(JSON.stringify([name, shape, isBlocked]));
    if (source.kind === 'file') hash.update(JSON.stringify([source.file, source.offset, source.dtype]));
    else hash.update(bytesOf(source.value));
  }
  return hash.digest('hex').slice(0, 32);
}

const bytesOf = ({ data }: NdArray): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

const noteOf = (path: string): string => `${path}.json`;

/** A file with its note, of the size and sum that the note says. */
function isWhole(path: string): boolean {
  if (!existsSync(path) || !existsSync(noteOf(path))) return false;
  try {
    const { sizeBytes, sha256 } = JSON.parse(readFileSync(noteOf(path), 'utf8')) as {
      sizeBytes: number;
      sha256: string;
    };
    return statSync(path).size === sizeBytes && cachedSha256(path) === sha256;
  } catch {
    return false;
  }
}

async function* make(
  path: string,
  weights: readonly Weight[],
  folder: string | undefined,
  { bits, folder: cache, signal }: BlockOptions & { readonly folder: string },
): AsyncGenerator<BlockProgress, void> {
  const form = { bits, ...FORM };
  const specs = weights.flatMap(({ name, shape, source, isBlocked }) => {
    const [rows, columns] = [shape[0]!, sizeOf(shape.slice(1))];
    if (!isBlocked) return [{ name, dtype: source.kind === 'file' ? source.dtype : source.value.dtype, shape }];
    const blocks = columns / BLOCK;
    return [
      { name: `${name}.packed`, dtype: 'u8' as const, shape: [rows, blocks, (BLOCK * bits) / 8] },
      { name: `${name}.scales`, dtype: 'f32' as const, shape: [rows, blocks] },
    ];
  });
  requireDisk(
    cache,
    weights.reduce((n, w) => n + madeBytes(w, bits), 0),
    path,
  );
  const total = weights.reduce((n, { shape }) => n + sizeOf(shape), 0);
  const writer = createSafetensorsWriter(path, specs, { format: `orrery blocks ${FORMAT}`, bits: String(bits) });
  let done = 0;
  try {
    for (const weight of weights) {
      if (!weight.isBlocked) {
        writer.write(weight.name, storedValue(weight, folder));
        done += sizeOf(weight.shape);
      } else {
        const [rows, columns] = [weight.shape[0]!, sizeOf(weight.shape.slice(1))];
        const packed = new Uint8Array((rows * columns * bits) / 8);
        const scales = new Float32Array((rows * columns) / BLOCK);
        const each = Math.max(1, Math.floor(PORTION / columns));
        for (let row = 0; row < rows; row += each) {
          throwIfAborted(signal);
          const count = Math.min(each, rows - row);
          const part = packBlocks(rowsOf(weight, folder, row, count, columns), columns, form);
          packed.set(part.packed, (row * columns * bits) / 8);
          scales.set(part.scales, (row * columns) / BLOCK);
          done += count * columns;
          yield { type: 'progress', done, total };
          await new Promise((next) => setImmediate(next));
        }
        const blocks = columns / BLOCK;
        writer.write(`${weight.name}.packed`, {
          dtype: 'u8',
          shape: [rows, blocks, (BLOCK * bits) / 8],
          data: packed,
        });
        writer.write(`${weight.name}.scales`, f32([rows, blocks], scales));
      }
    }
    writer.close();
  } catch (error) {
    writer.abort();
    throw error;
  }
  const steps = sha256Steps(path, signal);
  let step = await steps.next();
  while (!step.done) step = await steps.next();
  writeFileAtomic(noteOf(path), `${JSON.stringify({ sizeBytes: statSync(path).size, sha256: step.value })}\n`);
}

const madeBytes = ({ shape, source, isBlocked }: Weight, bits: BlockBits): number =>
  isBlocked
    ? blockBytes(sizeOf(shape), { bits, ...FORM })
    : source.kind === 'file'
      ? source.length
      : source.value.data.byteLength;

function requireDisk(folder: string, bytes: number, path: string): void {
  makeFolder(folder);
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize > bytes * 1.02) return;
  throw new OrreryError(
    'disk',
    `${path} needs ${(bytes / 1e9).toFixed(1)} GB, but ${((bavail * bsize) / 1e9).toFixed(1)} GB are free; free some space, or set ORRERY_CACHE to a folder on another disk`,
  );
}

function storedValue({ name, shape, source }: Weight, folder: string | undefined): NdArray {
  if (source.kind === 'value') return source.value;
  const file = openFileAccess(join(folder!, source.file));
  try {
    return decodeTensor({ dtype: source.dtype, shape }, file.read(source.offset, source.length), name);
  } finally {
    file.close();
  }
}

/** Some rows of a weight in float32, checked. */
function rowsOf(weight: Weight, folder: string | undefined, row: number, count: number, columns: number): Float32Array {
  const { name, source } = weight;
  let values: NdArray;
  if (source.kind === 'value') {
    const { dtype, data } = source.value;
    values = { dtype, shape: [count, columns], data: data.subarray(row * columns, (row + count) * columns) } as NdArray;
  } else {
    const file = openFileAccess(join(folder!, source.file));
    try {
      const width = STORED_BYTES[source.dtype];
      const bytes = file.read(source.offset + row * columns * width, count * columns * width);
      values = decodeTensor({ dtype: source.dtype, shape: [count, columns] }, bytes, name);
    } finally {
      file.close();
    }
  }
  const wide = toF32(values);
  let bad = 0;
  // A difference of zero: every finite number, and no other.
  while (bad < wide.length && wide[bad]! - wide[bad]! === 0) bad++;
  if (bad === wide.length) return wide;
  const where = source.kind === 'file' ? join(folder!, source.file) : 'the model';
  throw new OrreryError(
    'model',
    `${where}: tensor ${name} has ${wide[bad]} at place ${row * columns + bad}, need finite numbers; the file is damaged or its training diverged: fetch it again`,
  );
}

/** Sources inside the made file. */
function mapped(
  path: string,
  file: string,
  weights: readonly Weight[],
  bits: BlockBits,
): Component<unknown>['weights'] {
  using opened = openSafetensors(path);
  const place = (name: string) => {
    const { offset, length, dtype } = opened.tensors.get(name)!;
    return { kind: 'file', file, offset, length, dtype: dtype as NdArray['dtype'] } as const;
  };
  const sources = new Map<string, WeightSource>(
    weights.map(({ name, isBlocked }) => [
      name,
      isBlocked
        ? { kind: 'blocks', bits, ...FORM, packed: place(`${name}.packed`), scales: place(`${name}.scales`) }
        : place(name),
    ]),
  );
  return (name) => {
    const source = sources.get(name);
    if (source === undefined) throw new OrreryError('internal', `weight ${name} was not listed when blocks were made`);
    return source;
  };
}
