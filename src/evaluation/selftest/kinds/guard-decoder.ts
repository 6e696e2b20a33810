// Guard decoders: one pass over a sequence, the same with a low-rank adapter, and greedy continuations with a cache.
import { f32, InputError, type NdArray } from '../../../base/index.ts';
import { input, type Tensor } from '../../../graph/index.ts';
import {
  CACHE_NAMES,
  type LlamaConfig,
  llama,
  llamaConfig,
  llamaStep,
  loraConfig,
  mergeLora,
} from '../../../nets/index.ts';
import type { Runtime } from '../../../runtime/index.ts';
import { isRecord, type ParityCase } from '../case.ts';
import { loadNet, runOnce, strictWeights } from '../engine.ts';
import type { CaseKind } from './kind.ts';
import { argMaxOf } from './vision-numbers.ts';

export const guardDecoder: CaseKind = {
  name: 'guard decoder',
  matches: (c) => c.inputs.has('ids') && c.outputs.has('logits') && c.weights.has('model.embed_tokens.weight'),
  async run(c, runtime) {
    const ids = c.inputs.get('ids');
    if (ids?.dtype !== 'i64')
      throw new InputError(`${c.name}: input.ids`, { got: ids?.dtype, need: 'int64 [B, L]' }, 'data');
    const config = llamaConfig(isRecord(c.config['config']) ? c.config['config'] : c.config);
    const strict = strictWeights(c.weights);
    const outputs: Record<string, Tensor> = {};
    outputs['logits'] = llama(input('ids', ids.shape, 'i64'), config, strict.weights, {
      tap: (i, x) => {
        if (c.outputs.has(`hidden.${i}`)) outputs[`hidden.${i}`] = x;
      },
    });
    strict.check((key) => key.endsWith('rotary_emb.inv_freq') || (config.isTied && key === 'lm_head.weight'));
    const out = await runOnce(runtime, outputs, { ids }, c.weights);
    const greedy = c.outputs.get('greedy');
    if (greedy !== undefined) out['greedy'] = await continued(ids, greedy.shape[1]!, config, c.weights, runtime);
    if (c.adapter.size > 0) Object.assign(out, await adapted(c, ids, config, runtime));
    return out;
  },
};

/** Logits with the adapter kept apart; the continuation with it merged, so that both ways are compared. */
async function adapted(
  c: ParityCase,
  ids: NdArray,
  config: LlamaConfig,
  runtime: Runtime,
): Promise<Record<string, NdArray>> {
  const options = isRecord(c.config['lora']) ? c.config['lora'] : {};
  const rank = Number(options['r']);
  const alpha = Number(options['alpha'] ?? options['lora_alpha']);
  const lora = loraConfig(c.adapter.keys(), { rank, alpha });
  const all = new Map([...c.weights, ...c.adapter]);
  const strict = strictWeights(c.weights);
  const logits = llama(input('ids', ids.shape, 'i64'), config, strict.weights, { lora });
  const apart = await runOnce(runtime, { logits }, { ids }, all);
  const out: Record<string, NdArray> = { logits_with_adapter: apart['logits']! };
  const greedy = c.outputs.get('greedy_with_adapter');
  if (greedy === undefined) return out;
  const merged = new Map(c.weights);
  for (const key of c.weights.keys()) {
    const module = key.replace(/\.weight$/, '');
    if (!lora.targets(module)) continue;
    const [a, b] = ['A', 'B'].map((part) => c.adapter.get(`${lora.prefix}${module}.lora_${part}.weight`)!) as [
      NdArray,
      NdArray,
    ];
    merged.set(key, mergeLora(c.weights.get(key)!, a, b, alpha / rank));
  }
  out['greedy_with_adapter'] = await continued(ids, greedy.shape[1]!, config, merged, runtime);
  return out;
}

/** Greedy continuation of one sequence to `total` tokens, keys and values cached. */
async function continued(
  ids: NdArray,
  total: number,
  config: LlamaConfig,
  weights: ReadonlyMap<string, NdArray>,
  runtime: Runtime,
): Promise<NdArray> {
  const sequence = Array.from(ids.data as BigInt64Array, Number);
  let cache: Record<string, NdArray> = {};
  const arrays = Array.from({ length: config.layers }, (_, i) => [CACHE_NAMES.keys(i), CACHE_NAMES.values(i)]).flat();
  const shape = [1, total, config.kvHeads, config.headWidth];
  for (const name of arrays) cache[name] = f32(shape, new Float32Array(total * config.kvHeads * config.headWidth));
  const i64 = (values: readonly number[], at: readonly number[]): NdArray => ({
    dtype: 'i64',
    shape: at,
    data: BigInt64Array.from(values, BigInt),
  });
  const step = async (
    net: Awaited<ReturnType<typeof loadNet>>,
    tokens: readonly number[],
    start: number,
  ): Promise<number> => {
    const feeds = {
      ids: i64(tokens, [1, tokens.length]),
      start: i64([start], [1]),
      last: i64([tokens.length - 1], [1]),
    };
    const found = await net.run({ ...feeds, ...cache });
    cache = Object.fromEntries(arrays.map((name) => [name, found[CACHE_NAMES.next(name)]!]));
    return argMaxOf(found['logits']!)[0]!;
  };
  const net = (n: number): ReturnType<typeof loadNet> =>
    loadNet(runtime, llamaStep(n, total, config, strictWeights(weights).weights), weights);
  const first = await net(sequence.length);
  const one = await net(1);
  try {
    sequence.push(await step(first, sequence, 0));
    while (sequence.length < total) sequence.push(await step(one, sequence.slice(-1), sequence.length - 1));
  } finally {
    await first.dispose();
    await one.dispose();
  }
  return i64(sequence, [1, total]);
}
