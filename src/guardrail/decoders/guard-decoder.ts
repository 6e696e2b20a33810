// A guard decoder of the Llama or Qwen family from a public model folder: greedy answers with cached keys and values.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { type NdArray, OrreryError, throwIfAborted, zeros } from '../../base/index.ts';
import { compile } from '../../graph/index.ts';
import {
  CACHE_NAMES,
  type LlamaConfig,
  llamaConfig,
  llamaStep,
  loraConfig,
  mergeLora,
  namedWeights,
} from '../../nets/index.ts';
import { openRuntime, type Runtime, requireMemory, type Session } from '../../runtime/index.ts';
import { readTensors, weightFiles } from '../weights.ts';

export type DecoderOptions = {
  readonly folder: string;
  /** Folder of a PEFT adapter, merged into the weights. */
  readonly adapter?: string;
  readonly maxTokens: number;
  readonly threads?: number;
};

export type GuardDecoder = {
  /** The greedy continuation of a text, special tokens left out. */
  answer(prompt: string, signal?: AbortSignal): Promise<string>;
  dispose(): Promise<void>;
};

/** Prompts are read in steps of this many tokens; the cache grows in steps of the same size. */
const CHUNK = 128;

const readJson = (path: string): Record<string, unknown> => {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  } catch (cause) {
    throw new OrreryError('model', `cannot read ${path}: need the folder of a published guard model`, { cause });
  }
};

/** Opens a decoder. Weights are float32 on the processor: an 8B model needs 32 GB. */
export async function openGuardDecoder(options: DecoderOptions): Promise<GuardDecoder> {
  const { folder, maxTokens } = options;
  const json = readJson(join(folder, 'config.json'));
  const config = llamaConfig(json);
  const tokenizer = new Tokenizer(
    readJson(join(folder, 'tokenizer.json')) as never,
    (existsSync(join(folder, 'tokenizer_config.json')) ? readJson(join(folder, 'tokenizer_config.json')) : {}) as never,
  );
  const weights = await loadWeights(options, config);
  const runtime = openRuntime(options.threads === undefined ? {} : { threads: options.threads });
  const ends = new Set([json['eos_token_id']].flat().filter((id): id is number => typeof id === 'number'));
  const steps = new Map<string, Promise<Session>>();
  return {
    async answer(prompt, signal) {
      const ids = (tokenizer.encode(prompt, { add_special_tokens: false } as never) as { ids: number[] }).ids;
      const capacity = Math.ceil((ids.length + maxTokens) / CHUNK) * CHUNK;
      const made = await decode({ ids, capacity, maxTokens, ends, signal }, config, weights, runtime, steps);
      return tokenizer.decode(made, { skip_special_tokens: true });
    },
    dispose: () => runtime.dispose(),
  };
}

async function loadWeights({ folder, adapter }: DecoderOptions, config: LlamaConfig): Promise<Map<string, NdArray>> {
  requireMemory(llamaStep(CHUNK, 8 * CHUNK, config, namedWeights), {
    what: `the guard model in ${folder}`,
    cheaper: 'a smaller guard model, or the default classifier',
  });
  const weights = new Map<string, NdArray>();
  for (const file of weightFiles(folder)) {
    for (const [key, value] of readTensors(file)) if (!key.endsWith('rotary_emb.inv_freq')) weights.set(key, value);
  }
  if (adapter !== undefined) {
    const settings = readJson(join(adapter, 'adapter_config.json'));
    const [rank, alpha] = [Number(settings['r']), Number(settings['lora_alpha'])];
    if (settings['fan_in_fan_out'] === true || !(rank > 0) || !(alpha > 0)) {
      throw new OrreryError('unsupported', `${adapter}: need an adapter with r, lora_alpha and fan_in_fan_out false`);
    }
    const parts = new Map(readTensors(join(adapter, 'adapter_model.safetensors')));
    const lora = loraConfig(parts.keys(), { rank, alpha });
    for (const [key, value] of weights) {
      const module = key.replace(/\.weight$/, '');
      if (!lora.targets(module)) continue;
      const [a, b] = ['A', 'B'].map((p) => parts.get(`${lora.prefix}${module}.lora_${p}.weight`)) as [NdArray, NdArray];
      weights.set(key, mergeLora(value, a, b, alpha / rank));
    }
  }
  return weights;
}

type Decoding = {
  readonly ids: readonly number[];
  readonly capacity: number;
  readonly maxTokens: number;
  readonly ends: ReadonlySet<number>;
  readonly signal: AbortSignal | undefined;
};

async function decode(
  { ids, capacity, maxTokens, ends, signal }: Decoding,
  config: LlamaConfig,
  weights: ReadonlyMap<string, NdArray>,
  runtime: Runtime,
  steps: Map<string, Promise<Session>>,
): Promise<number[]> {
  const arrays = Array.from({ length: config.layers }, (_, i) => [CACHE_NAMES.keys(i), CACHE_NAMES.values(i)]).flat();
  const shape = [1, capacity, config.kvHeads, config.headWidth];
  for (const name of arrays) await runtime.setState(name, zeros('f32', shape));
  const state = Object.fromEntries(arrays.map((name) => [name, name]));
  const keep = Object.fromEntries(arrays.map((name) => [CACHE_NAMES.next(name), name]));
  const extend = async (tokens: readonly number[], start: number): Promise<number> => {
    throwIfAborted(signal);
    const n = tokens.length === 1 ? 1 : CHUNK;
    const key = `${n} of ${capacity}`;
    const session = steps.get(key) ?? load(n, capacity, config, weights, runtime);
    steps.set(key, session);
    const padded = [...tokens, ...new Array<number>(n - tokens.length).fill(0)];
    const feeds = { ids: ints(padded, [1, n]), start: ints([start], [1]), last: ints([tokens.length - 1], [1]) };
    const { logits } = await (await session).run(feeds, { state, keep, fetch: ['logits'] });
    return largest(logits!.data as Float32Array);
  };
  let next = -1;
  for (let at = 0; at < ids.length; at += CHUNK) next = await extend(ids.slice(at, at + CHUNK), at);
  const made: number[] = [];
  while (made.length < maxTokens && !ends.has(next)) {
    made.push(next);
    if (made.length < maxTokens) next = await extend([next], ids.length + made.length - 1);
  }
  return made;
}

function load(
  n: number,
  capacity: number,
  config: LlamaConfig,
  weights: ReadonlyMap<string, NdArray>,
  runtime: Runtime,
): Promise<Session> {
  const graph = compile(llamaStep(n, capacity, config, namedWeights), {
    name: 'guard-decoder',
    weights: (name) => {
      const value = weights.get(name);
      if (value === undefined) throw new OrreryError('model', `the guard model has no weight ${name}`);
      return { kind: 'value', value };
    },
  });
  return runtime.load(graph);
}

const ints = (values: readonly number[], shape: readonly number[]): NdArray => ({
  dtype: 'i64',
  shape,
  data: BigInt64Array.from(values, BigInt),
});

function largest(values: Float32Array): number {
  let best = 0;
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i]!)) throw new OrreryError('model', 'the guard decoder gave NaN; its weights are damaged');
    if (values[i]! > values[best]!) best = i;
  }
  return best;
}
