// Layouts of the autoregressive checkpoints: pure copies, there and back.
import { InputError, type NdArray } from '../../../base/index.ts';
import {
  assembleTensor,
  fromTransformerEngine,
  mergeTensorParallel,
  type Shapes,
  type TensorPlan,
  tensorParallelShard,
  toTransformerEngine,
} from '../../../hub/index.ts';
import type { ParityCase } from '../case.ts';
import type { CaseKind } from './kind.ts';

type Tensors = ReadonlyMap<string, NdArray>;

const shapesOf = (tensors: Tensors): Shapes => new Map([...tensors].map(([key, { shape }]) => [key, shape]));

const made = (plans: readonly TensorPlan[], files: readonly Tensors[]): Tensors =>
  new Map(plans.map((plan) => [plan.key, assembleTensor(plan, (key, shard) => files[shard]!.get(key)!)]));

const named = (prefix: string, tensors: Tensors): [string, NdArray][] =>
  [...tensors].map(([key, value]) => [`${prefix}.${key}`, value]);

/** Numbers of ranks that a case stores. */
function ranksOf(c: ParityCase): number[] {
  const found = [...c.outputs.keys()].map((name) => /^tp\d+of(\d+)\./.exec(name)?.[1]).filter((n) => n !== undefined);
  return [...new Set(found)].map(Number);
}

export const tokenLayouts: CaseKind = {
  name: 'checkpoint layouts',
  matches: (c) => c.weights.size > 0 && [...c.outputs.keys()].some((name) => /^(te|tp\d+of\d+)\./.test(name)),
  async run(c) {
    if (c.config.pytorch_rope_version === 'v1') {
      throw new InputError('pytorch_rope_version', { got: 'v1', need: 'v2' }, 'unsupported');
    }
    const shapes = shapesOf(c.weights);
    const engine = made(toTransformerEngine(shapes), [c.weights]);
    const out = named('te', engine);
    sameAs(c, made(fromTransformerEngine(shapesOf(engine)), [engine]), 'Transformer Engine');
    for (const ranks of ranksOf(c)) {
      const shards = Array.from({ length: ranks }, (_, r) => made(tensorParallelShard(shapes, ranks, r), [c.weights]));
      for (const [r, shard] of shards.entries()) out.push(...named(`tp${r}of${ranks}`, shard));
      sameAs(c, made(mergeTensorParallel(shards.map(shapesOf)), shards), `${ranks} shards`);
    }
    return Object.fromEntries(out);
  },
};

/** The way back must give the weights that the way there began with. */
function sameAs(c: ParityCase, back: Tensors, way: string): void {
  const wrong = [...c.weights].find(([key, { shape, data }]) => {
    const found = back.get(key);
    return found?.shape.join() !== shape.join() || !found.data.every((v, i) => v === data[i]);
  });
  if (wrong !== undefined || back.size !== c.weights.size) {
    throw new InputError(
      `${c.name}: way back from ${way}`,
      { got: `another ${wrong?.[0] ?? 'set of keys'}`, need: 'the weights' },
      'model',
    );
  }
}
