// The autoregressive models: whole sequences, pieces through the cache, greedy generation, training loss with gradients.
import { f32, InputError, type NdArray } from '../../../base/index.ts';
import { constant, gradients, input, reshape, type Tensor } from '../../../graph/index.ts';
import {
  type AutoregressiveConfig,
  absoluteRows,
  autoregressive,
  autoregressiveConfig,
  autoregressiveLoss,
  nextTokenLabels,
  type PositionTensors,
  range,
  rotaryRows,
  scoped,
} from '../../../nets/index.ts';
import type { Runtime } from '../../../runtime/index.ts';
import { generateTokens, openTokenModel, type TokenModel } from '../../../worlds/index.ts';
import { inputOf, type ParityCase } from '../case.ts';
import { inputsFor, runOnce, type StrictWeights, strictWeights } from '../engine.ts';
import type { CaseKind } from './kind.ts';

/** Options of a case that describe the run, not the network. */
const RUN_OPTIONS = [
  'kv_decode_chunks',
  'kv_vs_full_rel_l2',
  'seq',
  'seed',
  'n_new',
  'min_top2_margin',
  'ignore_first_num_tokens',
  'ignore_index',
  'z_loss_coeff',
  'bov_id',
];

/** The network of a case; the rows of the embedding, which no option states, are those of the file. */
export function tokenConfig(c: ParityCase): AutoregressiveConfig {
  const config = autoregressiveConfig(c.config, { ignored: RUN_OPTIONS });
  const rows = c.weights.get('model.tok_embeddings.weight')?.shape[0] ?? config.inputVocabulary;
  return rows < config.outputVocabulary ? config : { ...config, inputVocabulary: rows };
}

const isTransformer = (c: ParityCase): boolean => c.config.n_layers !== undefined && c.weights.size > 0;

/** Position values of the first `count` places, as constants of the graph. */
function positionsOf(config: AutoregressiveConfig, count: number): PositionTensors {
  const { cos, sin } = rotaryRows(config, range(0, count));
  const absolute = config.hasAbsolutePositions ? { absolute: constant(absoluteRows(config, range(0, count))) } : {};
  return { cos: constant(cos), sin: constant(sin), ...absolute };
}

/** Rows of token ids. */
function rowsOf(array: NdArray): number[][] {
  const [b, s] = array.shape as [number, number];
  const all = Array.from(array.data as ArrayLike<number | bigint>, Number);
  return Array.from({ length: b }, (_, i) => all.slice(i * s, (i + 1) * s));
}

function integers(c: ParityCase, name: string): NdArray {
  const array = c.inputs.get(name);
  if (array?.dtype !== 'i64' && array?.dtype !== 'i32') {
    throw new InputError(`${c.name}: input.${name}`, { got: array?.dtype, need: 'integers of that name' }, 'data');
  }
  return {
    dtype: 'i64',
    shape: array.shape,
    data: BigInt64Array.from(Array.from(array.data as ArrayLike<number | bigint>, BigInt)),
  };
}

/** A model with the weights of a case, fed through the cache. */
function modelOf(c: ParityCase, config: AutoregressiveConfig, runtime: Runtime, strict: StrictWeights): TokenModel {
  return openTokenModel({
    runtime,
    config,
    symbols: strict.weights,
    weights: (name) => ({ kind: 'value', value: c.weights.get(name)! }),
  });
}

export const tokenTransformer: CaseKind = {
  name: 'autoregressive network',
  matches: (c) => isTransformer(c) && c.outputs.has('logits') && c.inputs.has('tokens'),
  async run(c, runtime) {
    const config = tokenConfig(c);
    const tokens = integers(c, 'tokens');
    const feeds: Record<string, NdArray> = { tokens };
    if (config.cross !== undefined) feeds.context = inputOf(c, 'context');
    checkContextMask(c);
    const strict = strictWeights(c.weights);
    const outputs: Record<string, Tensor> = {};
    const symbols = inputsFor(feeds) as { tokens: Tensor; context?: Tensor };
    const positions = positionsOf(config, tokens.shape[1]!);
    outputs.logits = autoregressive(
      { ...symbols, positions },
      config,
      scoped(strict.weights, 'model'),
      (name, value) => {
        if (c.outputs.has(`debug.${name}`)) outputs[`debug.${name}`] = value;
      },
    );
    strict.check((key) => key.endsWith('_extra_state'));
    return {
      ...(await runOnce(runtime, outputs, feeds, c.weights)),
      ...tablesOf(c, config),
      ...(c.outputs.has('logits_kv_decode') ? await decoded(c, config, runtime, strict, tokens, feeds.context) : {}),
    };
  },
};

/** Padding of the text takes part as zeros: only a mask that hides nothing is known. */
function checkContextMask(c: ParityCase): void {
  const mask = c.inputs.get('context_mask');
  if (mask !== undefined && Array.from(mask.data as ArrayLike<number>).some((v) => !v)) {
    throw new InputError('context_mask', { got: 'hidden places', need: 'all true; padding is zeros' }, 'unsupported');
  }
}

/** The same tokens in pieces, through the cache. */
async function decoded(
  c: ParityCase,
  config: AutoregressiveConfig,
  runtime: Runtime,
  strict: StrictWeights,
  tokens: NdArray,
  context: NdArray | undefined,
): Promise<Record<string, NdArray>> {
  const stated = c.config.kv_decode_chunks;
  const rows = rowsOf(tokens);
  const total = tokens.shape[1]!;
  const chunks = Array.isArray(stated) ? stated.map(Number) : [total];
  await using model = modelOf(c, config, runtime, strict);
  await model.begin({ batch: rows.length, capacity: total, ...(context === undefined ? {} : { context }) });
  const parts: NdArray[] = [];
  let at = 0;
  for (const size of chunks) {
    parts.push(
      await model.feed(
        rows.map((row) => row.slice(at, at + size)),
        { logits: 'all' },
      ),
    );
    at += size;
  }
  return { logits_kv_decode: joined(parts) };
}

/** [B, n_i, V] one after the other along the middle axis. */
function joined(parts: readonly NdArray[]): NdArray {
  const [b, , v] = parts[0]!.shape as [number, number, number];
  const total = parts.reduce((n, p) => n + p.shape[1]!, 0);
  const out = f32([b, total, v]);
  let at = 0;
  for (const { shape, data } of parts) {
    const size = shape[1]! * v;
    for (let i = 0; i < b; i++) {
      out.data.set((data as Float32Array).subarray(i * size, (i + 1) * size), i * total * v + at);
    }
    at += size;
  }
  return out;
}

/** Whole position tables, where a case stores them: angles twice, half after half or pair by pair. */
function tablesOf(c: ParityCase, config: AutoregressiveConfig): Record<string, NdArray> {
  const out: Record<string, NdArray> = {};
  const all = range(0, config.maxTokens);
  if (c.outputs.has('debug.rope_cos') || c.outputs.has('debug.rope_sin')) {
    const { cos, sin } = rotaryRows(config, all);
    out['debug.rope_cos'] = bothHalves(cos, config.rotary.isInterleaved);
    out['debug.rope_sin'] = bothHalves(sin, config.rotary.isInterleaved);
  }
  if (c.outputs.has('debug.abs_pos_emb')) {
    const rows = absoluteRows(config, all);
    out['debug.abs_pos_emb'] = { ...rows, shape: [1, ...rows.shape] };
  }
  return out;
}

/** [n, D/2] → [n, D]: every angle stands twice in a head. */
export function bothHalves(table: NdArray, isInterleaved: boolean): NdArray {
  const [n, half] = table.shape as [number, number];
  const source = table.data as Float32Array;
  const data = new Float32Array(n * half * 2);
  for (let i = 0; i < n * half; i++) {
    const [row, k] = [Math.floor(i / half), i % half];
    const [a, b] = isInterleaved ? [2 * k, 2 * k + 1] : [k, k + half];
    data[row * 2 * half + a] = source[i]!;
    data[row * 2 * half + b] = source[i]!;
  }
  return f32([n, 2 * half], data);
}

export const tokenGeneration: CaseKind = {
  name: 'autoregressive generation',
  matches: (c) => isTransformer(c) && c.inputs.has('prompt_tokens') && c.outputs.has('tokens'),
  async run(c, runtime) {
    const config = tokenConfig(c);
    const prompt = integers(c, 'prompt_tokens');
    const rows = rowsOf(prompt);
    if (rows.length !== 1) throw new InputError('prompt_tokens', { got: rows.length, need: 'one row' }, 'unsupported');
    const count = c.outputs.get('tokens')!.shape[1]!;
    const strict = strictWeights(c.weights);
    await using model = modelOf(c, config, runtime, strict);
    const context = config.cross === undefined ? {} : { context: inputOf(c, 'context') };
    const logits: Float32Array[] = [];
    const tokens: number[] = [];
    // Stored cases are greedy: a drawn stream cannot be compared.
    for await (const event of generateTokens(model, { prompt: rows[0]!, count, seed: 0, temperature: 0, ...context })) {
      if (event.type !== 'token') continue;
      logits.push(event.logits);
      tokens.push(event.token);
    }
    strict.check((key) => key.endsWith('_extra_state'));
    const data = new Float32Array(logits.length * config.outputVocabulary);
    for (const [i, row] of logits.entries()) data.set(row, i * config.outputVocabulary);
    return {
      tokens: { dtype: 'i64', shape: [1, tokens.length], data: BigInt64Array.from(tokens, BigInt) },
      step_logits: f32([logits.length, config.outputVocabulary], data),
    };
  },
};

export const tokenLoss: CaseKind = {
  name: 'autoregressive training loss',
  matches: (c) => isTransformer(c) && c.outputs.has('ce_loss') && c.inputs.has('tokens'),
  async run(c, runtime) {
    const config = tokenConfig(c);
    const tokens = integers(c, 'tokens');
    const [b, s] = tokens.shape as [number, number];
    const number = (name: string, standard: number): number =>
      typeof c.config[name] === 'number' ? (c.config[name] as number) : standard;
    const ignore = number('ignore_index', 64002);
    const labels = nextTokenLabels(tokens, { ignoreFirst: number('ignore_first_num_tokens', 0), ignore });
    const feeds: Record<string, NdArray> = { tokens: firstColumns(tokens, s - 1), labels };
    if (config.cross !== undefined) feeds.context = inputOf(c, 'context');
    const strict = strictWeights(c.weights);
    const context = feeds.context === undefined ? {} : { context: input('context', feeds.context.shape) };
    const logits = autoregressive(
      { tokens: input('tokens', [b, s - 1], 'i64'), positions: positionsOf(config, s - 1), ...context },
      config,
      scoped(strict.weights, 'model'),
    );
    const loss = autoregressiveLoss(logits, input('labels', [b, s - 1], 'i64'), {
      ignore,
      zWeight: number('z_loss_coeff', 1e-4),
    });
    strict.check((key) => key.endsWith('_extra_state'));
    const keys = [...c.outputs.keys()].filter((name) => name.startsWith('grad.')).map((name) => name.slice(5));
    const found = gradients(loss.total, keys.map(strict.param));
    const scalars = { loss: loss.total, ce_loss: loss.crossEntropy, z_loss: loss.zLoss };
    return {
      labels,
      ...(await runOnce(
        runtime,
        {
          'debug.logits': logits,
          ...Object.fromEntries(Object.entries(scalars).map(([name, t]) => [name, reshape(t, [1])])),
          ...Object.fromEntries(keys.map((key, i) => [`grad.${key}`, found[i]!])),
        },
        feeds,
        c.weights,
      )),
    };
  },
};

function firstColumns(tokens: NdArray, count: number): NdArray {
  const rows = rowsOf(tokens).map((row) => row.slice(0, count));
  return { dtype: 'i64', shape: [rows.length, count], data: BigInt64Array.from(rows.flat(), BigInt) };
}
