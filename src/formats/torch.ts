// What the pickles of PyTorch files mean: which records are tensors, under which key. Torch's `_rebuild_tensor_v2` takes
// (storage, offset, size, stride, …); a storage is named by ("storage", type, key, device, elements). Nothing is run.
import { OrreryError, show, sizeOf } from '../base/index.ts';
import {
  describe,
  isCall,
  isDict,
  isGlobal,
  isPersistent,
  isSequence,
  PICKLE_LIMITS,
  type Pickle,
  type PickleCall,
  type PickleDict,
  type PickleValue,
} from './pickle.ts';
import { STORED_BYTES, type StoredDType } from './safetensors.ts';
import type { TensorInfo } from './tensor-source.ts';

/** Where the elements of one tensor lie. */
export type TorchTensor = TensorInfo & {
  /** Name of the storage; its bytes are one entry of the archive. */
  readonly storage: string;
  /** Elements of that storage. */
  readonly storageElements: number;
  /** First element, and the step per axis, in elements. */
  readonly offset: number;
  readonly strides: readonly number[];
};

/** The tensors of a pickle, and what in it is neither a tensor nor a plain value. */
export type TorchContents = {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  readonly opaque: readonly { readonly key: string; readonly name: string }[];
};

/** Most tensors of one file. */
export const MAX_TORCH_TENSORS = 200_000;
const MAX_VISITS = 4_000_000;
const MAX_OPAQUE = 1000;

const STORAGES: ReadonlyMap<string, StoredDType> = new Map([
  ['FloatStorage', 'f32'],
  ['DoubleStorage', 'f64'],
  ['HalfStorage', 'f16'],
  ['BFloat16Storage', 'bf16'],
  ['ByteStorage', 'u8'],
  ['CharStorage', 'i8'],
  ['ShortStorage', 'i16'],
  ['IntStorage', 'i32'],
  ['LongStorage', 'i64'],
  ['BoolStorage', 'bool'],
]);

/** Calls whose result is a plain value that no weight depends on. */
const PLAIN_CALLS = new Set([
  'torch Size',
  'torch device',
  'numpy.core.multiarray scalar',
  'numpy._core.multiarray scalar',
  'numpy dtype',
  '_codecs encode',
  '__builtin__ set',
  'builtins set',
]);
/** Names that may stand alone. */
const isPlainName = (name: string): boolean =>
  /^torch (\w*Storage|b?float\d*|bfloat16|u?int\d+|half|double|bool|long)$/.test(name);

/** Modules whose functions start programs, open files or build code: a model has no use for them. */
const CODE_MODULES = new Set(
  (
    'os posix nt subprocess sys runpy importlib imp socket shutil ctypes pty code codeop commands webbrowser multiprocessing ' +
    'asyncio threading signal operator functools types marshal pickle _pickle cloudpickle dill joblib pathlib io tempfile glob ' +
    'requests urllib urllib2 urllib3 http httplib ftplib smtplib timeit cProfile profile pdb bdb trace idlelib pip pkgutil ' +
    'zipimport platform inspect ast compile builtins __builtin__ __main__'
  ).split(' '),
);
const PLAIN_BUILTINS =
  /^(builtins|__builtin__) (set|frozenset|dict|list|tuple|int|float|bool|str|bytes|bytearray|complex|slice|range|object)$/;

/** The names in a pickle that stand for running code, such as `os system`. `io BytesIO` is how transformer-engine leaves its states. */
export function codeNames(names: Iterable<string>): string[] {
  return [...names].filter((name) => {
    if (PLAIN_BUILTINS.test(name) || name === '_codecs encode' || /^_?io BytesIO$/.test(name)) return false;
    const [module = '', attribute = ''] = name.split(' ');
    return (
      CODE_MODULES.has(module.split('.')[0]!) || /(^|\.)(eval|exec|system|popen|__import__|getattr)$/i.test(attribute)
    );
  });
}

/** Finds the tensors of a pickle. Keys are the dictionary keys, attributes and list positions on the way, joined by dots. */
export function torchContents({ value: root }: Pick<Pickle, 'value'>, source: string): TorchContents {
  const tensors = new Map<string, TorchTensor>();
  const opaque: { key: string; name: string }[] = [];
  let visits = 0;

  const visit = (value: PickleValue, key: string, above: readonly PickleValue[]): void => {
    if (++visits > MAX_VISITS) throw damaged(source, `more than ${MAX_VISITS} places`);
    if (above.length > PICKLE_LIMITS.nesting)
      throw damaged(source, `nesting exceeds ${PICKLE_LIMITS.nesting} at ${show(key)}`);
    if (isGlobal(value)) {
      if (!isPlainName(value.name)) note(key, value.name);
      return;
    }
    if (isPersistent(value)) note(key, 'a storage without a tensor');
    if (isCall(value)) visitCall(value, key, above);
    if (!isDict(value) && !isSequence(value)) return;
    if (above.includes(value)) throw damaged(source, `${show(key)} contains itself`);
    const inner = [...above, value];
    if (isDict(value)) visitEntries(value.entries, key, inner);
    else for (const [i, item] of value.items.entries()) visit(item, join(key, String(i)), inner);
  };
  const visitEntries = (
    entries: readonly [PickleValue, PickleValue][],
    key: string,
    above: readonly PickleValue[],
  ): void => {
    for (const [name, item] of entries) {
      if (typeof name === 'string') visit(item, join(key, name), above);
      else if (typeof name === 'number') visit(item, join(key, String(name)), above);
    }
  };
  const visitCall = (call: PickleCall, key: string, above: readonly PickleValue[]): void => {
    const name = isGlobal(call.callee) ? call.callee.name : 'something unnamed';
    if (name === 'torch._utils _rebuild_tensor_v2' || name === 'torch._utils _rebuild_parameter') {
      if (tensors.size >= MAX_TORCH_TENSORS) throw damaged(source, `more than ${MAX_TORCH_TENSORS} tensors`);
      tensors.set(key === '' ? 'tensor' : key, tensorOf(call, key, source));
      return;
    }
    if (above.includes(call)) throw damaged(source, `${show(key)} contains itself`);
    const state = name.startsWith('__torch__.') && call.how === 'new' ? (call.state ?? null) : undefined;
    if (name === 'collections OrderedDict') visitEntries(call.entries, key, [...above, call]);
    else if (state !== undefined && isDictOrNull(state)) visitEntries(state?.entries ?? [], key, [...above, call]);
    else if (!PLAIN_CALLS.has(name)) note(key, name);
  };
  const note = (key: string, name: string): void => {
    if (opaque.length < MAX_OPAQUE) opaque.push({ key, name });
  };

  visit(root, '', []);
  return { tensors, opaque };
}

const isDictOrNull = (value: PickleValue): value is PickleDict | null => value === null || isDict(value);

const join = (prefix: string, name: string): string => (prefix === '' ? name : `${prefix}.${name}`);

function tensorOf(call: PickleCall, key: string, source: string): TorchTensor {
  const wrong = (problem: string): OrreryError => damaged(source, `tensor ${show(key)}: ${problem}`);
  const args = isSequence(call.args) ? call.args.items : [];
  if (isGlobal(call.callee) && call.callee.name === 'torch._utils _rebuild_parameter') {
    const [data] = args;
    if (
      data !== undefined &&
      isCall(data) &&
      isGlobal(data.callee) &&
      data.callee.name === 'torch._utils _rebuild_tensor_v2'
    ) {
      return tensorOf(data, key, source);
    }
    throw wrong(`a parameter made of ${describe(data ?? null)}, need a tensor`);
  }
  const [storage, offset, size, stride] = args;
  if (storage === undefined || !isPersistent(storage)) throw wrong(`its storage is ${describe(storage ?? null)}`);
  const [tag, type, name, , count] = isSequence(storage.id) ? storage.id.items : [];
  const dtype =
    type !== undefined && isGlobal(type) ? STORAGES.get(type.name.replace(/^torch(\.storage)? /, '')) : undefined;
  if (tag !== 'storage') throw wrong(`its storage is marked ${describe(tag ?? null)}, need "storage"`);
  if (dtype === undefined)
    throw wrong(`its storage has the type ${describe(type ?? null)}, need one of ${[...STORAGES.keys()].join(', ')}`);
  if (typeof name !== 'string' || !/^[A-Za-z0-9_.-]{1,64}$/.test(name) || name.startsWith('.')) {
    throw wrong(`its storage is called ${describe(name ?? null)}, need a plain name`);
  }
  const shape = counts(size);
  const strides = counts(stride);
  if (!isCount(count) || !isCount(offset)) throw wrong('its storage has no length or offset');
  if (shape === undefined || strides === undefined || shape.length !== strides.length || shape.length > 16) {
    throw wrong(`its size is ${describe(size ?? null)} with strides ${describe(stride ?? null)}`);
  }
  const elements = sizeOf(shape);
  const extent = elements === 0 ? 0 : 1 + shape.reduce((sum, d, i) => sum + (d - 1) * strides[i]!, 0);
  if (!Number.isSafeInteger(elements) || !(offset + extent <= count)) {
    throw wrong(`[${shape}] with strides [${strides}] from ${offset} leaves its storage of ${count} elements`);
  }
  // A stride of 0 repeats elements: a small file could claim a tensor of any size.
  if (elements > Math.max(count, 1_000_000)) throw wrong(`[${shape}] repeats the ${count} elements of its storage`);
  return { dtype, shape, storage: name, storageElements: count, offset, strides };
}

const isCount = (value: PickleValue | undefined): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function counts(value: PickleValue | undefined): number[] | undefined {
  if (value === undefined) return undefined;
  // torch.Size is a call with one tuple.
  const list = isCall(value) && isSequence(value.args) ? value.args.items[0] : value;
  if (list === undefined || !isSequence(list) || !list.items.every(isCount)) return undefined;
  return [...(list.items as number[])];
}

/** Copies the elements of a tensor into a row-by-row array. `bytes` holds its storage from the tensor's first element on. */
export function gatherTensor(tensor: TorchTensor, bytes: Uint8Array): Uint8Array {
  const width = STORED_BYTES[tensor.dtype];
  const { shape, strides } = tensor;
  const total = sizeOf(shape);
  if (isContiguous(tensor)) return bytes.subarray(0, total * width);
  const out = new Uint8Array(total * width);
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let n = 0; n < total; n++) {
    for (let b = 0; b < width; b++) out[n * width + b] = bytes[from * width + b]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

/** Elements of the storage that a tensor reaches, from its first one. */
export function extentOf({ shape, strides }: TorchTensor): number {
  return sizeOf(shape) === 0 ? 0 : 1 + shape.reduce((sum, d, i) => sum + (d - 1) * strides[i]!, 0);
}

function isContiguous({ shape, strides }: TorchTensor): boolean {
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== step) return sizeOf(shape) === 0;
    step *= shape[axis]!;
  }
  return true;
}

function damaged(source: string, problem: string): OrreryError {
  return new OrreryError('data', `${source}: ${problem}; the file was not run and is not used`);
}
