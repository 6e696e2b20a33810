// PyTorch files on disk: `.pt` archives of torch.save and TorchScript `.jit` archives. Weights and constants only.
import { type NdArray, OrreryError, show, sizeOf } from '../base/index.ts';
import { openFileAccess } from './files.node.ts';
import { PICKLE_LIMITS, readPickle } from './pickle.ts';
import { decodeTensor, STORED_BYTES } from './safetensors.ts';
import type { TensorSource } from './tensor-source.ts';
import { codeNames, extentOf, gatherTensor, type TorchContents, type TorchTensor, torchContents } from './torch.ts';
import { isZip, openZip, type RandomAccess, type ZipArchive } from './zip.ts';

/** A torch file: a tensor source that also knows which functions its pickle names. */
export type TorchFile = TensorSource & {
  /** Names in the pickle that would run code, such as `os system`: never run here, and a reason not to trust the file. */
  readonly code: readonly string[];
};

/** Expanded views of one storage may add up to this many times the file. */
const MAX_RATIO = 100;

/** Opens a `.pt` or `.jit` archive. Reads its directory and pickles; tensors are read when asked for. */
export function openTorch(path: string): TorchFile {
  const file = openFileAccess(path);
  try {
    return torchFrom(file, file.close);
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The same on any source of bytes. */
export function torchFrom(source: RandomAccess, close: () => void = () => {}): TorchFile {
  const { path } = source;
  const head = source.read(0, Math.min(16, source.sizeBytes));
  if (!isZip(head)) throw notAnArchive(path, head);
  const zip = openZip(source);
  const root = rootOf(zip, path);
  checkByteOrder(zip, source, root);

  const found = new Map<string, { tensor: TorchTensor; offset: number }>();
  const opaque: { key: string; name: string }[] = [];
  const names = new Set<string>();
  const addPickle = (name: string, folder: string, prefix: string): void => {
    const entry = zip.entries.get(name)!;
    if (entry.sizeBytes > PICKLE_LIMITS.bytes) {
      throw new OrreryError(
        'data',
        `${path}: ${name} has ${entry.sizeBytes} bytes, need at most ${PICKLE_LIMITS.bytes}`,
      );
    }
    const pickle = readPickle(source.read(zip.locate(entry), entry.sizeBytes), `${path} (${name})`);
    for (const one of pickle.names.keys()) names.add(one);
    const contents: TorchContents = torchContents(pickle, path);
    opaque.push(...contents.opaque);
    for (const [key, tensor] of contents.tensors) {
      found.set(prefix === '' ? key : `${prefix}.${key}`, {
        tensor,
        offset: placeOf(tensor, key, zip, `${root}/${folder}`, path),
      });
    }
  };
  const isScript = zip.entries.has(`${root}/constants.pkl`);
  if (isScript) addPickle(`${root}/constants.pkl`, 'constants', 'constants');
  addPickle(`${root}/data.pkl`, 'data', '');

  const total = [...found.values()].reduce((sum, { tensor: t }) => sum + sizeOf(t.shape) * STORED_BYTES[t.dtype], 0);
  if (total > source.sizeBytes * MAX_RATIO) {
    throw new OrreryError(
      'data',
      `${path}: its tensors claim ${total} bytes, the file has ${source.sizeBytes}; it is not used`,
    );
  }
  const readBytes = (name: string): Uint8Array => {
    const one = found.get(name);
    if (one === undefined) throw new OrreryError('data', `${path}: no tensor ${show(name)}; it has ${found.size}`);
    const width = STORED_BYTES[one.tensor.dtype];
    return gatherTensor(one.tensor, source.read(one.offset, extentOf(one.tensor) * width));
  };
  return {
    path,
    format: isScript ? 'torchscript' : 'torch',
    sizeBytes: source.sizeBytes,
    tensors: new Map([...found].map(([key, { tensor: t }]) => [key, { dtype: t.dtype, shape: t.shape }])),
    metadata: new Map(),
    opaque,
    code: codeNames(names),
    readBytes,
    placeOf: (name) => {
      const one = found.get(name);
      if (one === undefined || path === '' || !isRowByRow(one.tensor)) return undefined;
      return { path, offset: one.offset, length: sizeOf(one.tensor.shape) * STORED_BYTES[one.tensor.dtype] };
    },
    read: (name): NdArray => {
      const bytes = readBytes(name);
      return decodeTensor(found.get(name)!.tensor, bytes, `${path}: ${name}`);
    },
    close,
    [Symbol.dispose]: close,
  };
}

/** True when the elements follow one another in the order of the shape. */
function isRowByRow({ shape, strides }: TorchTensor): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return false;
    step *= shape[i]!;
  }
  return true;
}

/** The one top folder of the archive. */
function rootOf(zip: ZipArchive, path: string): string {
  const roots = [...zip.entries.keys()].flatMap((name) => /^([^/]+)\/data\.pkl$/.exec(name)?.[1] ?? []);
  if (roots.length === 1) return roots[0]!;
  const some = [...zip.entries.keys()].slice(0, 3).join(', ');
  throw new OrreryError(
    'data',
    `${path}: an archive with ${roots.length} files data.pkl (it begins with ${some || 'nothing'}), need one of torch.save or torch.jit.save`,
  );
}

function checkByteOrder(zip: ZipArchive, source: RandomAccess, root: string): void {
  const entry = zip.entries.get(`${root}/byteorder`);
  if (entry === undefined) return;
  const text = new TextDecoder().decode(source.read(zip.locate(entry), Math.min(entry.sizeBytes, 16)));
  if (text !== 'little') {
    throw new OrreryError(
      'unsupported',
      `${source.path}: byte order ${show(text)}, need "little"; re-save it on another machine`,
    );
  }
}

/** First byte of a tensor in the archive; checks that the storage is there and as long as it says. */
function placeOf(tensor: TorchTensor, key: string, zip: ZipArchive, folder: string, path: string): number {
  const name = `${folder}/${tensor.storage}`;
  const entry = zip.entries.get(name);
  const width = STORED_BYTES[tensor.dtype];
  if (entry === undefined)
    throw new OrreryError('data', `${path}: tensor ${show(key)}: its storage ${name} is missing; fetch the file again`);
  if (entry.sizeBytes !== tensor.storageElements * width) {
    throw new OrreryError(
      'data',
      `${path}: tensor ${show(key)}: its storage ${name} has ${entry.sizeBytes} bytes, ${tensor.storageElements} elements of ${tensor.dtype} need ${tensor.storageElements * width}; fetch the file again`,
    );
  }
  return zip.locate(entry) + tensor.offset * width;
}

const RESAVE =
  're-save it where it was made: safetensors.torch.save_file(torch.load(path, weights_only=True), "model.safetensors")';

function notAnArchive(path: string, head: Uint8Array): OrreryError {
  // Protocol 2, then a long of ten bytes: the magic number of torch.save before version 1.6.
  const isLegacy = head[0] === 0x80 && head[2] === 0x8a && head[3] === 0x0a;
  const isPickle = head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5;
  const isGzip = head[0] === 0x1f && head[1] === 0x8b;
  const isHtml = /^\s*</.test(new TextDecoder().decode(head));
  const isPointer = new TextDecoder().decode(head).startsWith('version https');
  const what = isLegacy
    ? `a torch file of a version before 1.6, which is one long program; ${RESAVE}`
    : isPickle
      ? `a bare pickle, which is a program; ${RESAVE}`
      : isPointer
        ? 'only a Git LFS pointer to the file; fetch the file itself: git lfs pull, or orrery models get'
        : isHtml
          ? 'a web page, as when a download needs a login; fetch it with: orrery models get'
          : isGzip
            ? 'a gzip file; unpack it first'
            : 'neither safetensors nor an archive of torch.save or torch.jit.save; fetch it again';
  return new OrreryError('data', `${path} is ${what}`, { details: { path } });
}
