// A reader of pickles that runs nothing: opcodes become inert records, names stay names, a call is a note of what would be
// called. Anything outside the allowlist is an error. Opcodes after the Python module `pickletools`, protocols 2 to 5.
import { OrreryError, show } from '../base/index.ts';

/** What a pickle holds. Tuples and lists share a kind, since nothing here is ever changed after reading. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleSequence
  | PickleDict
  | PickleGlobal
  | PickleCall
  | PicklePersistent;

export type PickleSequence = { readonly kind: 'list' | 'tuple' | 'set'; readonly items: PickleValue[] };
export type PickleDict = { readonly kind: 'dict'; readonly entries: [PickleValue, PickleValue][] };
/** The name of a class or function, such as `torch._utils _rebuild_tensor_v2`. It is never looked up. */
export type PickleGlobal = { readonly kind: 'global'; readonly name: string };
/** A call that was noted and not made, with what was later put into its result. */
export type PickleCall = {
  readonly kind: 'call';
  /** `reduce`: function applied to arguments; `new`: object of a class. */
  readonly how: 'reduce' | 'new';
  readonly callee: PickleValue;
  readonly args: PickleValue;
  /** What BUILD would set. */
  state?: PickleValue;
  readonly items: PickleValue[];
  readonly entries: [PickleValue, PickleValue][];
};
/** A reference to something outside the pickle, such as a tensor storage. */
export type PicklePersistent = { readonly kind: 'persistent'; readonly id: PickleValue };

/** A pickle that was read: its value, and every class or function that it names with the byte of the first mention. */
export type Pickle = { readonly value: PickleValue; readonly names: ReadonlyMap<string, number> };

/** Limits of `readPickle`: all are far above what a model needs. */
export const PICKLE_LIMITS = {
  bytes: 64_000_000,
  stack: 1_000_000,
  memo: 1_000_000,
  nesting: 200,
  /** Values made in all. */
  values: 8_000_000,
  /** Lists, dictionaries and calls made in all: what takes memory beyond the bytes of the pickle. */
  records: 3_000_000,
} as const;

// biome-ignore format: a table
const OPCODE_NAMES: Readonly<Record<number, string>> = {
  40: 'MARK', 46: 'STOP', 48: 'POP', 49: 'POP_MARK', 50: 'DUP', 70: 'FLOAT', 71: 'BINFLOAT', 73: 'INT',
  74: 'BININT', 75: 'BININT1', 76: 'LONG', 77: 'BININT2', 78: 'NONE', 80: 'PERSID', 81: 'BINPERSID',
  82: 'REDUCE', 83: 'STRING', 84: 'BINSTRING', 85: 'SHORT_BINSTRING', 86: 'UNICODE', 88: 'BINUNICODE',
  97: 'APPEND', 98: 'BUILD', 99: 'GLOBAL', 100: 'DICT', 101: 'APPENDS', 103: 'GET', 104: 'BINGET', 105: 'INST',
  106: 'LONG_BINGET', 108: 'LIST', 111: 'OBJ', 112: 'PUT', 113: 'BINPUT', 114: 'LONG_BINPUT', 115: 'SETITEM',
  116: 'TUPLE', 117: 'SETITEMS', 125: 'EMPTY_DICT', 93: 'EMPTY_LIST', 41: 'EMPTY_TUPLE', 128: 'PROTO',
  129: 'NEWOBJ', 130: 'EXT1', 131: 'EXT2', 132: 'EXT4', 133: 'TUPLE1', 134: 'TUPLE2', 135: 'TUPLE3',
  136: 'NEWTRUE', 137: 'NEWFALSE', 138: 'LONG1', 139: 'LONG4', 66: 'BINBYTES', 67: 'SHORT_BINBYTES',
  140: 'SHORT_BINUNICODE', 141: 'BINUNICODE8', 142: 'BINBYTES8', 143: 'EMPTY_SET', 144: 'ADDITEMS',
  145: 'FROZENSET', 146: 'NEWOBJ_EX', 147: 'STACK_GLOBAL', 148: 'MEMOIZE', 149: 'FRAME', 150: 'BYTEARRAY8',
  151: 'NEXT_BUFFER', 152: 'READONLY_BUFFER',
};

const MARK = Symbol('mark');

/**
 * Reads one pickle. Time and memory are bounded by the length of `bytes` and the limits.
 * @param source file name for messages
 */
export function readPickle(bytes: Uint8Array, source: string): Pickle {
  if (bytes.length > PICKLE_LIMITS.bytes) {
    throw new OrreryError('data', `${source}: a pickle of ${bytes.length} bytes, need at most ${PICKLE_LIMITS.bytes}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  const stack: (PickleValue | typeof MARK)[] = [];
  const marks: number[] = [];
  const memo = new Map<number, PickleValue>();
  const names = new Map<string, number>();
  let at = 0;
  let start = 0;
  let values = 0;
  let records = 0;

  const fail = (problem: string): OrreryError => {
    const code = bytes[start];
    const name = code === undefined ? 'end' : (OPCODE_NAMES[code] ?? `0x${code.toString(16).padStart(2, '0')}`);
    return new OrreryError('data', `${source}: pickle opcode ${name} at byte ${start}: ${problem}`, {
      details: { opcode: name, offset: start },
    });
  };
  const need = (count: number): number => {
    if (count > bytes.length - at) throw fail(`it needs ${count} more bytes, ${bytes.length - at} are left`);
    at += count;
    return at - count;
  };
  const u8 = (): number => view.getUint8(need(1));
  const u32 = (): number => view.getUint32(need(4), true);
  const u64 = (): number => {
    const value = view.getBigUint64(need(8), true);
    if (value > BigInt(bytes.length)) throw fail(`a length of ${value}`);
    return Number(value);
  };
  const push = (value: PickleValue | typeof MARK): void => {
    if (stack.length >= PICKLE_LIMITS.stack) throw fail(`the stack exceeds ${PICKLE_LIMITS.stack} entries`);
    if (++values > PICKLE_LIMITS.values) throw fail(`more than ${PICKLE_LIMITS.values} values`);
    stack.push(value);
  };
  const record = <T extends PickleValue>(value: T): T => {
    if (++records > PICKLE_LIMITS.records) throw fail(`more than ${PICKLE_LIMITS.records} lists and dictionaries`);
    return value;
  };
  const pop = (): PickleValue => {
    const value = stack.pop();
    if (value === undefined || value === MARK) throw fail('the stack is empty');
    return value;
  };
  const top = (): PickleValue => {
    const value = stack[stack.length - 1];
    if (value === undefined || value === MARK) throw fail('the stack is empty');
    return value;
  };
  const popMark = (): PickleValue[] => {
    const mark = marks.pop();
    if (mark === undefined) throw fail('there is no mark');
    const items = stack.splice(mark + 1) as PickleValue[];
    stack.pop();
    return items;
  };
  const text = (length: number): string => {
    const from = need(length);
    try {
      return utf8.decode(bytes.subarray(from, from + length));
    } catch {
      throw fail('its text is not UTF-8');
    }
  };
  const raw = (length: number): Uint8Array => {
    const from = need(length);
    return bytes.slice(from, from + length);
  };
  const line = (): string => {
    const end = bytes.indexOf(10, at);
    if (end < 0 || end - at > 1000) throw fail('a name without an end');
    const value = text(end - at);
    at = end + 1;
    return value;
  };
  const remember = (index: number): void => {
    if (memo.size >= PICKLE_LIMITS.memo) throw fail(`the memo exceeds ${PICKLE_LIMITS.memo} entries`);
    memo.set(index, top());
  };
  const recall = (index: number): void => {
    const value = memo.get(index);
    if (value === undefined) throw fail(`nothing is remembered under ${index}`);
    push(value);
  };
  const long = (length: number): void => {
    if (length > 255) throw fail(`a number of ${length} bytes`);
    let value = 0n;
    const from = need(length);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[from + i]!);
    if (length > 0 && bytes[from + length - 1]! >= 128) value -= 1n << BigInt(8 * length);
    push(value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value);
  };
  const append = (target: PickleValue, items: readonly PickleValue[]): void => {
    const list =
      isSequence(target) && target.kind !== 'tuple' ? target.items : isCall(target) ? target.items : undefined;
    if (list === undefined) throw fail(`items are put into ${describe(target)}`);
    for (const item of items) list.push(item);
  };
  const setItems = (target: PickleValue, items: readonly PickleValue[]): void => {
    const entries = isDict(target) || isCall(target) ? target.entries : undefined;
    if (entries === undefined) throw fail(`entries are put into ${describe(target)}`);
    if (items.length % 2 !== 0) throw fail('a key without a value');
    for (let i = 0; i < items.length; i += 2) entries.push([items[i]!, items[i + 1]!]);
  };
  const call = (how: 'reduce' | 'new', callee: PickleValue, args: PickleValue): void =>
    push(record({ kind: 'call', how, callee, args, items: [], entries: [] }));
  const global = (module: string, name: string): void => {
    const full = `${module} ${name}`;
    if (!names.has(full)) names.set(full, start);
    push(record({ kind: 'global', name: full }));
  };
  const tuple = (items: PickleValue[]): void => push(record({ kind: 'tuple', items }));
  const take = (count: number): PickleValue[] => Array.from({ length: count }, pop).reverse();

  for (;;) {
    start = at;
    if (at >= bytes.length) throw fail('the pickle ends without STOP');
    const opcode = bytes[at++]!;
    switch (opcode) {
      case 0x80: {
        const protocol = u8();
        if (protocol < 2 || protocol > 5) throw fail(`protocol ${protocol}, need 2 to 5`);
        break;
      }
      case 0x95: // FRAME: only a hint for reading ahead
        u64();
        break;
      case 0x2e: {
        const result = pop();
        if (stack.length !== 0) throw fail(`${stack.length} values are left over`);
        return { value: result, names };
      }
      case 0x28:
        if (marks.length >= PICKLE_LIMITS.nesting) throw fail(`nesting exceeds ${PICKLE_LIMITS.nesting}`);
        marks.push(stack.length);
        push(MARK);
        break;
      case 0x4e:
        push(null);
        break;
      case 0x88:
        push(true);
        break;
      case 0x89:
        push(false);
        break;
      case 0x4a:
        push(view.getInt32(need(4), true));
        break;
      case 0x4b:
        push(u8());
        break;
      case 0x4d:
        push(view.getUint16(need(2), true));
        break;
      case 0x8a:
        long(u8());
        break;
      case 0x8b:
        long(u32());
        break;
      case 0x47:
        push(view.getFloat64(need(8), false));
        break;
      case 0x58:
        push(text(u32()));
        break;
      case 0x8c:
        push(text(u8()));
        break;
      case 0x8d:
        push(text(u64()));
        break;
      case 0x42:
        push(raw(u32()));
        break;
      case 0x43:
        push(raw(u8()));
        break;
      case 0x8e:
      case 0x96:
        push(raw(u64()));
        break;
      case 0x7d:
        push(record({ kind: 'dict', entries: [] }));
        break;
      case 0x5d:
        push(record({ kind: 'list', items: [] }));
        break;
      case 0x8f:
        push(record({ kind: 'set', items: [] }));
        break;
      case 0x29:
        tuple([]);
        break;
      case 0x74:
        tuple(popMark());
        break;
      case 0x85:
        tuple(take(1));
        break;
      case 0x86:
        tuple(take(2));
        break;
      case 0x87:
        tuple(take(3));
        break;
      case 0x91:
        push(record({ kind: 'set', items: popMark() }));
        break;
      case 0x61: {
        const item = pop();
        append(top(), [item]);
        break;
      }
      case 0x65:
      case 0x90: {
        const items = popMark();
        append(top(), items);
        break;
      }
      case 0x73: {
        const pair = take(2);
        setItems(top(), pair);
        break;
      }
      case 0x75: {
        const items = popMark();
        setItems(top(), items);
        break;
      }
      case 0x71:
        remember(u8());
        break;
      case 0x72:
        remember(u32());
        break;
      case 0x94:
        remember(memo.size);
        break;
      case 0x68:
        recall(u8());
        break;
      case 0x6a:
        recall(u32());
        break;
      case 0x63:
        global(line(), line());
        break;
      case 0x93: {
        const [module, name] = take(2);
        if (typeof module !== 'string' || typeof name !== 'string') throw fail('a name that is not text');
        global(module, name);
        break;
      }
      case 0x52: {
        const [callee, args] = take(2) as [PickleValue, PickleValue];
        call('reduce', callee, args);
        break;
      }
      case 0x81: {
        const [callee, args] = take(2) as [PickleValue, PickleValue];
        call('new', callee, args);
        break;
      }
      case 0x62: {
        const state = pop();
        const target = top();
        if (!isCall(target)) throw fail(`a state is given to ${describe(target)}`);
        target.state = state;
        break;
      }
      case 0x51:
        push(record({ kind: 'persistent', id: pop() }));
        break;
      default:
        throw fail('it is not among the opcodes of model files; nothing of the file was run');
    }
  }
}

const kindOf = (value: PickleValue): string | undefined =>
  typeof value === 'object' && value !== null && !(value instanceof Uint8Array) ? value.kind : undefined;

export const isCall = (value: PickleValue): value is PickleCall => kindOf(value) === 'call';
export const isDict = (value: PickleValue): value is PickleDict => kindOf(value) === 'dict';
export const isGlobal = (value: PickleValue): value is PickleGlobal => kindOf(value) === 'global';
export const isPersistent = (value: PickleValue): value is PicklePersistent => kindOf(value) === 'persistent';
export const isSequence = (value: PickleValue): value is PickleSequence => {
  const kind = kindOf(value);
  return kind === 'list' || kind === 'tuple' || kind === 'set';
};

/** A value in a few words, for messages. */
export function describe(value: PickleValue): string {
  if (isCall(value)) return `a call of ${isGlobal(value.callee) ? value.callee.name : 'something unnamed'}`;
  if (isGlobal(value)) return `the name ${value.name}`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return kindOf(value) === undefined ? show(value) : `a ${kindOf(value)}`;
}
