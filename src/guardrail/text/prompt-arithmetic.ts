// The network of `promptNet` in plain arithmetic, for one window. A prompt is a few dozen words, so the sums take under a
// millisecond, while an engine session costs a worker, a compiled graph and a third of a second before the first prompt.
// A test holds both to the same numbers.
import { halfToNumber, type NdArray, OrreryError, toF32 } from '../../base/index.ts';
import type { PromptNetConfig } from '../../nets/index.ts';

/** Logits [outputs] of a window of ids [words × ids]; 0 = nothing. The array is used again by the next call. */
export type PromptArithmetic = (ids: Int32Array) => Float32Array;

/** Dense layer with its matrix turned to [in, out], so that zero inputs are skipped. */
type Dense = {
  readonly ins: number;
  readonly outs: number;
  readonly matrix: Float32Array;
  readonly bias: Float32Array;
};

/**
 * Prepares the sums.
 * @param weights by the names of `promptNet`; float16 tables are widened row by row when they are used
 * @param keyOf the key under which a name is stored
 */
export function promptArithmetic(
  net: PromptNetConfig,
  weights: ReadonlyMap<string, NdArray>,
  keyOf: (name: string) => string = (name) => name,
): PromptArithmetic {
  const { words, ids: each, width, channels, hidden, outputs } = net;
  const rowOf = tableRows(tensor(weights, keyOf('table.weight'), [net.table, width]), net.table, width);
  const conv1 = dense(weights, keyOf('conv1'), channels, 3 * width);
  const conv2 = dense(weights, keyOf('conv2'), channels, 3 * channels);
  const inner = dense(weights, keyOf('hidden'), hidden, 4 * channels);
  const last = dense(weights, keyOf('out'), outputs, hidden);
  const bag = new Float32Array(words * width);
  const first = new Float32Array(words * channels);
  const second = new Float32Array(words * channels);
  const pooled = new Float32Array(4 * channels);
  const middle = new Float32Array(hidden);
  const logits = new Float32Array(outputs);
  const isWord = new Uint8Array(words);

  return (ids) => {
    let count = 0;
    bag.fill(0);
    for (let t = 0; t < words; t++) {
      let total = 0;
      for (let f = 0; f < each; f++) {
        const id = ids[t * each + f]!;
        if (id <= 0) continue;
        total++;
        const row = rowOf(id);
        for (let c = 0; c < width; c++) bag[t * width + c]! += row[c]!;
      }
      isWord[t] = total > 0 ? 1 : 0;
      count += isWord[t]!;
      const scale = Math.max(1, 0.5 * total);
      for (let c = 0; c < width; c++) bag[t * width + c]! /= scale;
    }
    neighbours(bag, isWord, 1, conv1, first);
    neighbours(first, isWord, 2, conv2, second);
    pooled.fill(0);
    for (const [side, values] of [first, second].entries()) {
      const top = side * channels;
      const mean = 2 * channels + top;
      for (let t = 0; t < words; t++) {
        if (isWord[t] === 0) continue;
        for (let c = 0; c < channels; c++) {
          const v = values[t * channels + c]!;
          if (v > pooled[top + c]!) pooled[top + c] = v;
          // NaN must reach the logits, where it is refused; a comparison alone would lose it.
          pooled[mean + c]! += v;
        }
      }
      for (let c = 0; c < channels; c++) pooled[mean + c]! /= Math.max(4, count);
    }
    middle.set(inner.bias);
    addProducts(inner, 0, pooled, 0, inner.ins, middle, 0);
    for (let i = 0; i < hidden; i++) middle[i] = Math.max(0, middle[i]!);
    logits.set(last.bias);
    addProducts(last, 0, middle, 0, hidden, logits, 0);
    return logits;
  };
}

/** Three words, `gap` apart, through a dense layer and the rectifier; places without a word stay zero. */
function neighbours(from: Float32Array, isWord: Uint8Array, gap: number, layer: Dense, to: Float32Array): void {
  const { outs } = layer;
  const width = layer.ins / 3;
  to.fill(0);
  for (let t = 0; t < isWord.length; t++) {
    if (isWord[t] === 0) continue;
    to.set(layer.bias, t * outs);
    for (let k = 0; k < 3; k++) {
      const at = t + (k - 1) * gap;
      if (at >= 0 && at < isWord.length) addProducts(layer, k * width, from, at * width, width, to, t * outs);
    }
    for (let o = t * outs; o < (t + 1) * outs; o++) to[o] = Math.max(0, to[o]!);
  }
}

/** Adds `count` inputs from place `at`, times the rows of the matrix from `row` on. */
function addProducts(
  { matrix, outs }: Dense,
  row: number,
  from: Float32Array,
  at: number,
  count: number,
  to: Float32Array,
  place: number,
): void {
  for (let i = 0; i < count; i++) {
    const x = from[at + i]!;
    if (x === 0) continue;
    const start = (row + i) * outs;
    for (let o = 0; o < outs; o++) to[place + o]! += x * matrix[start + o]!;
  }
}

function dense(weights: ReadonlyMap<string, NdArray>, name: string, outs: number, ins: number): Dense {
  const stored = toF32(tensor(weights, `${name}.weight`, [outs, ins]));
  const matrix = new Float32Array(outs * ins);
  for (let o = 0; o < outs; o++) for (let i = 0; i < ins; i++) matrix[i * outs + o] = stored[o * ins + i]!;
  return { ins, outs, matrix, bias: toF32(tensor(weights, `${name}.bias`, [outs])) };
}

function tensor(weights: ReadonlyMap<string, NdArray>, name: string, shape: readonly number[]): NdArray {
  const value = weights.get(name);
  if (value === undefined || value.shape.join() !== shape.join()) {
    const got = value === undefined ? 'no such tensor' : `[${value.shape.join(', ')}]`;
    throw new OrreryError(
      'model',
      `weights of the prompt guard: ${name}: ${got}, need [${shape.join(', ')}]; restore the model folder`,
    );
  }
  return value;
}

/** Rows of the embedding table; those of float16 are widened once, when first used. */
function tableRows(stored: NdArray, rows: number, width: number): (id: number) => Float32Array {
  if (stored.dtype !== 'f16') {
    const table = toF32(stored);
    return (id) => table.subarray(id * width, (id + 1) * width);
  }
  const halves = stored.data as Uint16Array;
  const known: (Float32Array | undefined)[] = new Array(rows);
  return (id) => {
    let row = known[id];
    if (row === undefined) {
      row = Float32Array.from(halves.subarray(id * width, (id + 1) * width), halfToNumber);
      known[id] = row;
    }
    return row;
  };
}
