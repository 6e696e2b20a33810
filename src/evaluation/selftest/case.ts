// A parity case in memory: a safetensors file with weights, inputs and the outputs of a reference, options in its metadata.
import { InputError, type NdArray, OrreryError, toF32 } from '../../base/index.ts';
import { openSafetensors } from '../../formats/index.ts';

/** One case file, read and sorted by prefix. */
export type ParityCase = {
  /** File name without ending. */
  readonly name: string;
  readonly path: string;
  /** Metadata values; JSON where they parse, else text. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The option "config", or an empty record. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Tensors named `weights.…`, `input.…`, `output.…`, without the prefix. */
  readonly weights: ReadonlyMap<string, NdArray>;
  readonly inputs: ReadonlyMap<string, NdArray>;
  readonly outputs: ReadonlyMap<string, NdArray>;
  /** Tensors named `adapter.…`: a low-rank adapter on top of the weights. */
  readonly adapter: ReadonlyMap<string, NdArray>;
  /** The float64 tensors unrounded, by full name (`input.…`, `output.…`). */
  readonly doubles: ReadonlyMap<string, Float64Array>;
};

/** Reads a case file. */
export function readCase(path: string): ParityCase {
  const file = openSafetensors(path);
  try {
    const parts = {
      weights: new Map<string, NdArray>(),
      input: new Map<string, NdArray>(),
      output: new Map<string, NdArray>(),
      adapter: new Map<string, NdArray>(),
    };
    const doubles = new Map<string, Float64Array>();
    for (const [key, { dtype }] of file.tensors) {
      if (dtype === 'f64') doubles.set(key, file.readF64(key));
      const dot = key.indexOf('.');
      const part = parts[key.slice(0, dot) as keyof typeof parts];
      // Other prefixes hold the same weights in another spelling.
      if (part !== undefined) part.set(key.slice(dot + 1), file.read(key));
    }
    if (parts.output.size === 0) {
      throw new OrreryError('data', `${path}: no tensor named "output.…"; need a parity case, see docs/selftest.md`);
    }
    const options = Object.fromEntries([...file.metadata].map(([name, text]) => [name, parseOption(text)]));
    const config = options.config;
    return {
      name: path
        .split('/')
        .pop()!
        .replace(/\.safetensors$/, ''),
      path,
      options,
      config: isRecord(config) ? config : {},
      weights: parts.weights,
      inputs: parts.input,
      outputs: parts.output,
      adapter: parts.adapter,
      doubles,
    };
  } finally {
    file.close();
  }
}

/** True for plain objects. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parseOption(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The float32 input of that name. */
export function inputOf(c: ParityCase, name: string): NdArray & { readonly data: Float32Array } {
  const array = c.inputs.get(name);
  if (array === undefined || array.dtype !== 'f32') {
    throw new InputError(
      `${c.name}: input.${name}`,
      { got: array?.dtype, need: 'a float32 tensor of that name' },
      'data',
    );
  }
  return array as NdArray & { readonly data: Float32Array };
}

/** An input of any numeric type as doubles, float64 unrounded, with its shape. */
export function doublesOf(
  c: ParityCase,
  name: string,
): { readonly shape: readonly number[]; readonly data: Float64Array } {
  const array = c.inputs.get(name);
  if (array === undefined) {
    throw new InputError(`${c.name}: input.${name}`, { got: undefined, need: 'a tensor of that name' }, 'data');
  }
  const isFloat = array.dtype === 'f32' || array.dtype === 'f16' || array.dtype === 'bf16';
  const data =
    c.doubles.get(`input.${name}`) ??
    Float64Array.from(isFloat ? toF32(array) : Array.from(array.data as ArrayLike<number | bigint>, Number));
  return { shape: array.shape, data };
}

/** The uint8 input of that name. */
export function bytesOf(c: ParityCase, name: string): NdArray & { readonly data: Uint8Array } {
  const array = c.inputs.get(name);
  if (array === undefined || (array.dtype !== 'u8' && array.dtype !== 'bool')) {
    throw new InputError(
      `${c.name}: input.${name}`,
      { got: array?.dtype, need: 'a uint8 tensor of that name' },
      'data',
    );
  }
  return array as NdArray & { readonly data: Uint8Array };
}

/** A number among the options. */
export function numberOf(c: ParityCase, name: string, standard?: number): number {
  const value = c.options[name] ?? standard;
  if (typeof value !== 'number')
    throw new InputError(`${c.name}: option ${name}`, { got: value, need: 'a number' }, 'data');
  return value;
}
