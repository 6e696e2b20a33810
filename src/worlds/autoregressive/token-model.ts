// A loaded autoregressive model with its cache: sequences are fed in pieces, each piece one run, and give logits.
// Keys and values stay in the runtime; a run returns only the new ones, which are appended there.
import { randomUUID } from 'node:crypto';
import { f32, InputError, type NdArray, OrreryError, sizeOf } from '../../base/index.ts';
import { blockBytes } from '../../formats/index.ts';
import { compile, input, slice, type Tensor, type TensorType, type WeightSource } from '../../graph/index.ts';
import {
  type AutoregressiveConfig,
  absoluteRows,
  autoregressiveStep,
  crossCache,
  hasCross,
  type KeyValue,
  listWeights,
  type PositionTensors,
  range,
  rotaryRows,
  scoped,
  type WeightSpec,
  type Weights,
} from '../../nets/index.ts';
import {
  availableMemory,
  type LoadOptions,
  openStaged,
  type RunOptions,
  type Runtime,
  type Session,
} from '../../runtime/index.ts';
import { damagedWeight, requireFinite } from '../cosmos/require-finite.ts';

export type TokenModelOptions = {
  readonly runtime: Runtime;
  readonly config: AutoregressiveConfig;
  /** Symbolic weights by checkpoint key. */
  readonly symbols: Weights;
  /** Where the values come from. */
  readonly weights: (name: string, type: TensorType) => WeightSource;
  /** Folder of the files that `weights` names. */
  readonly load?: LoadOptions;
  /**
   * When weights stored in 16 bits become float32. Default: once at load where the memory allows it, which reading one token at a time
   * needs to be fast; else at every use.
   */
  readonly widen?: 'load' | 'use';
  /** True: weights are read from the disk in every run. Each token then costs a reading of all of them. */
  readonly isStreamed?: boolean;
  /** Most new tokens of one run; longer prompts are cut. Default 512. */
  readonly chunk?: number;
};

/** A sequence under way. */
export type SequenceOptions = {
  /** Sequences side by side. Default 1. */
  readonly batch?: number;
  /** Longest sequence wanted; sets the size of the cache. Default: the model's longest. */
  readonly capacity?: number;
  /** Text [batch, M, cross width], zeros past the prompt; needed by models with cross-attention. */
  readonly context?: NdArray;
};

export type FeedOptions = {
  /** Logits of the last token only (default), or of every token fed. */
  readonly logits?: 'last' | 'all';
  readonly signal?: AbortSignal;
};

export type TokenModel = {
  readonly config: AutoregressiveConfig;
  /** Tokens in the cache. */
  readonly length: number;
  /** Starts a new sequence and empties the cache. */
  begin(options?: SequenceOptions): Promise<void>;
  /**
   * Feeds tokens that follow those in the cache.
   * @param tokens [batch][n], each row of the same length
   * @returns float32 [batch, 1 or n, outputVocabulary]
   */
  feed(tokens: readonly (readonly number[])[], options?: FeedOptions): Promise<NdArray & { data: Float32Array }>;
  /** Frees the sessions and the cache; the runtime stays. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Every weight of the model under its checkpoint key below `model.`, with its shape. */
export function autoregressiveWeights(config: AutoregressiveConfig): WeightSpec[] {
  return listWeights((weights) => autoregressiveGraph(config, weights));
}

/** A step and the cache of the text: every weight in the way that generation uses it. Default: one token, nothing before it. */
export function autoregressiveGraph(
  config: AutoregressiveConfig,
  weights: Weights,
  { tokens, past, text }: Pick<StepShape, 'tokens' | 'past' | 'text'> = { tokens: 1, past: 0, text: 1 },
): Record<string, Tensor> {
  const w = scoped(weights, 'model');
  const outputs = config.cross === undefined ? {} : textCache([1, text, config.cross.width], config, w);
  const shape = { batch: 1, tokens, past, text, oneRow: false };
  return { ...outputs, ...stepTensors(shape, config, w, config.cross !== undefined) };
}

/** Keys and values of a text [B, M, width] in each layer that looks at it. */
function textCache(shape: readonly number[], config: AutoregressiveConfig, w: Weights): Record<string, Tensor> {
  const outputs: Record<string, Tensor> = {};
  for (const [i, kv] of crossCache(input('context', shape), config, w).entries()) {
    if (kv !== undefined) Object.assign(outputs, { [`text.${i}.keys`]: kv.keys, [`text.${i}.values`]: kv.values });
  }
  return outputs;
}

/** Shapes of one run. */
type StepShape = {
  readonly batch: number;
  readonly tokens: number;
  /** Places of the cache that take part, from the first on; 0: none. */
  readonly past: number;
  /** Text tokens; 0: none. */
  readonly text: number;
  readonly oneRow: boolean;
};

function stepTensors(
  s: StepShape,
  c: AutoregressiveConfig,
  weights: Weights,
  hasText: boolean,
  capacity = s.past,
): Record<string, Tensor> {
  const half = c.headWidth / 2;
  const positions: PositionTensors = {
    cos: input('cos', [s.tokens, half]),
    sin: input('sin', [s.tokens, half]),
    ...(c.hasAbsolutePositions ? { absolute: input('absolute', [s.tokens, c.width]) } : {}),
  };
  const pair = (name: string, length: number): KeyValue => {
    const shape = [s.batch, c.keyValueHeads, length, c.headWidth];
    return { keys: input(`${name}.keys`, shape), values: input(`${name}.values`, shape) };
  };
  const layers = range(0, c.layers);
  const past = (i: number): KeyValue => {
    const { keys, values } = pair(`past.${i}`, capacity);
    return { keys: slice(keys, 2, 0, s.past), values: slice(values, 2, 0, s.past) };
  };
  const { logits, appended } = autoregressiveStep(
    {
      tokens: input('tokens', [s.batch, s.tokens], 'i64'),
      positions,
      ...(s.past === 0 ? {} : { past: layers.map(past), pastMask: input('pastMask', [1, 1, 1, s.past]) }),
      ...(hasText ? { cross: layers.map((i) => (hasCross(c, i) ? pair(`text.${i}`, s.text) : undefined)) } : {}),
      ...(s.oneRow ? { row: input('row', [1], 'i64') } : {}),
    },
    c,
    weights,
  );
  const outputs: Record<string, Tensor> = { logits };
  for (const [i, { keys, values }] of appended.entries()) {
    outputs[`new.${i}.keys`] = keys;
    outputs[`new.${i}.values`] = values;
  }
  return outputs;
}

/** Bytes of all weights in their files; of those among them that would be widened, in float32; of those in blocks. */
function weightSizes(
  c: AutoregressiveConfig,
  weights: TokenModelOptions['weights'],
): { readonly stored: number; readonly wide: number; readonly packed: number } {
  const sizes = { stored: 0, wide: 0, packed: 0 };
  for (const { key, shape } of autoregressiveWeights(c)) {
    const source = weights(key, { dtype: 'f32', shape });
    const size = sizeOf(shape);
    if (source.kind === 'blocks') {
      sizes.packed += blockBytes(size, source);
      continue;
    }
    sizes.stored += source.kind === 'file' ? source.length : 4 * size;
    if (!key.includes('tok_embeddings')) sizes.wide += 4 * size;
  }
  return { ...sizes, stored: sizes.stored + sizes.packed };
}

/** Opens a model; nothing is loaded before the first `feed`. */
export function openTokenModel(options: TokenModelOptions): TokenModel {
  const { runtime, config: c, symbols, weights, load = {}, chunk = 512, isStreamed = false } = options;
  const prefix = `tokens-${randomUUID()}`;
  const w = scoped(symbols, 'model');
  const sessions = new Map<string, Session>();
  const stateNames = new Set<string>();
  let length = 0;
  let batch = 1;
  let capacity = c.maxTokens;
  let text = 0;

  let plan: { readonly widen: 'load' | 'use'; readonly isPacked: boolean; readonly sessionBytes: number } | undefined;
  /** Decided at the first run: what is free then counts. */
  function planned(): NonNullable<typeof plan> {
    if (plan !== undefined) return plan;
    const sizes = weightSizes(c, weights);
    // Widened at load: the files, the float32 form, and what the runtime packs of it.
    const widen = options.widen ?? (sizes.stored + 2 * sizes.wide < 0.7 * availableMemory() ? 'load' : 'use');
    const sessionBytes = isStreamed ? 0 : sizes.packed + (widen === 'load' ? 2 * sizes.wide : 0);
    plan = { widen, isPacked: widen === 'load' || sizes.packed > 0, sessionBytes };
    return plan;
  }

  async function session(key: string, build: () => Record<string, Tensor>, name: string): Promise<Session> {
    const known = sessions.get(key);
    if (known !== undefined) return known;
    const { widen, isPacked, sessionBytes } = planned();
    // ONNX Runtime keeps packed copies of the weights per session: a large model gets one session at a time.
    if (sessionBytes > 0.25 * availableMemory()) await unload();
    const how = { weights, widen, name };
    const outputs = build();
    const opened = isStreamed
      ? openStaged(runtime, outputs, { ...how, ...load })
      : await runtime.load(compile(outputs, how), { ...load, isPacked });
    sessions.set(key, opened);
    return opened;
  }

  async function unload(): Promise<void> {
    for (const one of sessions.values()) await one.dispose();
    sessions.clear();
  }

  async function setState(name: string, shape: readonly number[]): Promise<void> {
    stateNames.add(name);
    await runtime.setState(name, f32(shape), { move: true });
  }

  async function begin({ batch: b = 1, capacity: wanted = c.maxTokens, context }: SequenceOptions = {}): Promise<void> {
    if (!(Number.isInteger(wanted) && wanted >= 1 && wanted <= c.maxTokens)) {
      throw new InputError('tokens', { got: wanted, need: `a whole number from 1 to ${c.maxTokens}` });
    }
    length = 0;
    batch = b;
    capacity = wanted;
    for (let i = 0; i < c.layers; i++) {
      for (const part of ['keys', 'values']) {
        await setState(`${prefix}.past.${i}.${part}`, [b, c.keyValueHeads, capacity, c.headWidth]);
      }
    }
    text = 0;
    if (c.cross === undefined) {
      if (context !== undefined) {
        throw new InputError('context', {
          got: 'a text embedding',
          need: 'none',
          why: 'this model has no cross-attention',
        });
      }
      return;
    }
    const [rows, count, width] = context?.shape ?? [];
    if (context?.dtype !== 'f32' || rows !== b || width !== c.cross.width || count === undefined || count < 1) {
      const got = context === undefined ? undefined : `${context.dtype} [${context.shape}]`;
      throw new InputError('context', { got, need: `float32 [${b}, tokens, ${c.cross.width}]` });
    }
    text = count;
    const name = `text ${b} ${count}`;
    const loaded = await session(name, () => textCache(context.shape, c, w), 'text cache');
    const keep = Object.fromEntries(loaded.graph.outputs.map((o) => [o.name, `${prefix}.${o.name}`]));
    for (const state of Object.values(keep)) stateNames.add(state);
    await loaded.run({ context }, { keep });
    sessions.delete(name);
    await loaded.dispose();
  }

  /** One run of `size` tokens, of which the first ones are real, beside the first `visible` places of the cache. */
  async function step(
    rows: readonly (readonly number[])[],
    size: number,
    visible: number,
    o: FeedOptions,
  ): Promise<NdArray> {
    const count = rows[0]!.length;
    const past = length === 0 ? 0 : visible;
    const oneRow = (o.logits ?? 'last') === 'last';
    const shape: StepShape = { batch, tokens: size, past, text, oneRow };
    const loaded = await session(
      JSON.stringify([shape, capacity]),
      () => stepTensors(shape, c, w, text > 0, capacity),
      'autoregressive step',
    );
    const ids = new BigInt64Array(batch * size);
    for (const [b, row] of rows.entries()) for (const [i, id] of row.entries()) ids[b * size + i] = BigInt(id);
    // Filling tokens lie beyond the real ones: nobody attends to them, and their keys are not kept.
    const places = range(length, size).map((p) => Math.min(p, c.maxTokens - 1));
    const feeds: Record<string, NdArray> = {
      tokens: { dtype: 'i64', shape: [batch, size], data: ids },
      ...rotaryRows(c, places),
    };
    if (c.hasAbsolutePositions) feeds.absolute = absoluteRows(c, places);
    if (past > 0) feeds.pastMask = f32([1, 1, 1, past], new Float32Array(past).fill(-1e30, length));
    if (oneRow) feeds.row = { dtype: 'i64', shape: [1], data: BigInt64Array.of(BigInt(count - 1)) };
    const state: Record<string, string> = {};
    const append: Record<string, { state: string; axis: number; at: number; count: number }> = {};
    for (const { name } of loaded.graph.inputs) {
      if (name.startsWith('past.') || name.startsWith('text.')) state[name] = `${prefix}.${name}`;
    }
    for (const { name } of loaded.graph.outputs) {
      if (name.startsWith('new.')) {
        append[name] = { state: `${prefix}.past.${name.slice(4)}`, axis: 2, at: length, count };
      }
    }
    const run: RunOptions = { state, append, ...(o.signal === undefined ? {} : { signal: o.signal }) };
    const { logits } = await loaded.run(feeds, run);
    requireFinite(logits!.data as Float32Array, 'the autoregressive transformer', () =>
      damagedWeight({ weights, load }, autoregressiveGraph(c, symbols)),
    );
    length += count;
    return logits!;
  }

  async function feed(
    tokens: readonly (readonly number[])[],
    o: FeedOptions = {},
  ): Promise<NdArray & { data: Float32Array }> {
    const count = tokens[0]?.length ?? 0;
    if (tokens.length !== batch || count === 0 || tokens.some((row) => row.length !== count)) {
      throw new InputError('tokens', {
        got: tokens.map((r) => r.length),
        need: `${batch} equal rows of 1 or more tokens`,
      });
    }
    const wrong = tokens.flat().find((id) => !(Number.isInteger(id) && id >= 0 && id < c.inputVocabulary));
    if (wrong !== undefined) {
      throw new InputError('token', { got: wrong, need: `a whole number from 0 to ${c.inputVocabulary - 1}` });
    }
    if (stateNames.size === 0) throw new OrreryError('internal', 'feed before begin');
    if (length + count > capacity) {
      throw new InputError('tokens', { got: length + count, need: `at most ${capacity} in this sequence` });
    }
    const pieces: NdArray[] = [];
    // All pieces of a long prompt share one graph, which sees as much of the cache as the last of them needs.
    const visible = count > chunk ? length + Math.floor((count - 1) / chunk) * chunk : capacity;
    for (let at = 0; at < count; at += chunk) {
      const rows = tokens.map((row) => row.slice(at, at + chunk));
      pieces.push(await step(rows, count > chunk ? chunk : rows[0]!.length, visible, o));
    }
    if ((o.logits ?? 'last') === 'last') return pieces[pieces.length - 1]! as NdArray & { data: Float32Array };
    const all = f32([batch, count, c.outputVocabulary]);
    let at = 0;
    for (const piece of pieces) {
      const [, size] = piece.shape as [number, number];
      const real = Math.min(size, count - at);
      for (let b = 0; b < batch; b++) {
        const from = b * size * c.outputVocabulary;
        const part = (piece.data as Float32Array).subarray(from, from + real * c.outputVocabulary);
        all.data.set(part, (b * count + at) * c.outputVocabulary);
      }
      at += real;
    }
    return all;
  }

  async function dispose(): Promise<void> {
    await unload();
    for (const name of stateNames) await runtime.dropState(name);
    stateNames.clear();
  }

  return {
    config: c,
    get length() {
      return length;
    },
    begin,
    feed,
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}
