// Arrays of numbers inside a pickle, as Python programs write lists of text embeddings. Nothing is run: the notes of the calls that
// would make the arrays are read. Both forms of NumPy: `_reconstruct` with a state, and `_frombuffer`.
import { type NdArray, OrreryError, sizeOf } from '../base/index.ts';
import type { PickleCall, PickleSequence, PickleValue } from './pickle.ts';
import { readPickle } from './pickle.ts';
import { decodeTensor, STORED_BYTES, type StoredDType } from './safetensors.ts';

const DTYPES: Readonly<Record<string, StoredDType>> = {
  f2: 'f16',
  f4: 'f32',
  f8: 'f64',
  i4: 'i32',
  i8: 'i64',
  u1: 'u8',
};
const MAKERS = /^numpy\.(_core|core)\.multiarray _reconstruct$/;
const FROM_BUFFER = /^numpy\.(_core|core)\.numeric _frombuffer$/;
const DTYPE = /^numpy dtype$/;

/** The arrays of a pickle in the order in which they stand; any nesting of lists, tuples and dictionaries. */
export function arraysOfPickle(bytes: Uint8Array, source: string): NdArray[] {
  const found: NdArray[] = [];
  const visit = (value: PickleValue): void => {
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
    if (value.kind === 'call') {
      found.push(arrayOf(value, source));
      return;
    }
    if (value.kind === 'dict') for (const [, item] of value.entries) visit(item);
    else if (value.kind === 'list' || value.kind === 'tuple') value.items.forEach(visit);
  };
  // A plain array: `slice` of a Buffer would be a view of all of it.
  visit(readPickle(new Uint8Array(bytes), source).value);
  return found;
}

function arrayOf(call: PickleCall, source: string): NdArray {
  const { callee } = call;
  const name = isOf(callee, 'global') ? callee.name : 'something';
  const fail = (what: string): OrreryError =>
    new OrreryError('data', `${source}: ${name}: ${what}; need plain NumPy arrays, row by row`);
  if (MAKERS.test(name)) {
    const state = itemsOf(call.state ?? null);
    if (state === undefined || state.length < 5) throw fail('an array without its state');
    const [, shape, dtype, isFortran, data] = state;
    if (isFortran === true) throw fail('stored column by column');
    return build(shape!, dtype!, data!);
  }
  if (FROM_BUFFER.test(name)) {
    const args = itemsOf(call.args);
    if (args === undefined || args.length < 3) throw fail('an array without its parts');
    if (args[3] === 'F') throw fail('stored column by column');
    return build(args[2]!, args[1]!, args[0]!);
  }
  throw fail('not an array');

  function build(shapeValue: PickleValue, dtypeValue: PickleValue, dataValue: PickleValue): NdArray {
    const shape = itemsOf(shapeValue);
    if (
      shape === undefined ||
      !shape.every((n): n is number => typeof n === 'number' && Number.isInteger(n) && n >= 0)
    ) {
      throw fail('its shape is no list of whole numbers');
    }
    const dtype = dtypeOf(dtypeValue);
    if (dtype === undefined) throw fail('numbers of another kind than f2, f4, f8, i4, i8, u1, little-endian');
    // A bytearray or a call around plain bytes, as `_frombuffer` may have it.
    const data = isOf(dataValue, 'call') ? itemsOf(dataValue.args)?.[0] : dataValue;
    if (!(data instanceof Uint8Array)) throw fail('its numbers are not there as bytes');
    if (data.length !== sizeOf(shape) * STORED_BYTES[dtype]) throw fail(`${data.length} bytes for [${shape}]`);
    return decodeTensor({ dtype, shape }, data, source);
  }
}

/** `numpy.dtype('f2', …)` with its byte order in the state; "<" and "|" are ours, absent is native, which is little-endian. */
function dtypeOf(value: PickleValue): StoredDType | undefined {
  if (!isOf(value, 'call') || !isOf(value.callee, 'global') || !DTYPE.test(value.callee.name)) return undefined;
  const code = itemsOf(value.args)?.[0];
  const order = itemsOf(value.state ?? null)?.[1];
  if (typeof code !== 'string' || order === '>') return undefined;
  return DTYPES[code.replace(/^[<|=]/, '')];
}

const isOf = <K extends string>(value: PickleValue, kind: K): value is Extract<PickleValue, { kind: K }> =>
  typeof value === 'object' && value !== null && !(value instanceof Uint8Array) && value.kind === kind;

const itemsOf = (value: PickleValue): readonly PickleValue[] | undefined =>
  isOf(value, 'tuple' as never) || isOf(value, 'list' as never) ? (value as PickleSequence).items : undefined;
