// What of a network is trained when training does not start from nothing: everything, everything but frozen weights, or low-rank
// additions to frozen weights (LoRA, Hu et al. 2021). Works on any network, because it stands between the network and its weights.
import { InputError, OrreryError, sizeOf } from '../base/index.ts';
import { add, gemm, input, mul, param, recompute, reshape, type Tensor } from '../graph/index.ts';
import { type Block, scoped, type WeightSpec, type Weights } from '../nets/orrery/weights.ts';
import { addProduct } from '../nets/text/lora.ts';

/** Low-rank additions: W + (alpha/rank)·B·A. */
export type LoraOptions = {
  readonly rank: number;
  readonly alpha: number;
  /** Name patterns of the weights that get an addition; `*` stands for any text. */
  readonly targets: readonly string[];
};

export type Tuning = {
  /** Name patterns of weights that keep their start values. */
  readonly freeze?: readonly string[];
  /** With it all weights of the start model are frozen, except those that `train` names. */
  readonly lora?: LoraOptions;
  /** Name patterns of weights that are trained in full although LoRA or `freeze` would hold them. */
  readonly train?: readonly string[];
};

/** Which weights are trained, and how those of the network follow from them. */
export type WeightPlan = {
  /** The network's weights. */
  readonly all: readonly WeightSpec[];
  /** What the optimizer sees: weights in full, and low-rank factors. */
  readonly trained: readonly WeightSpec[];
  /** Weights that stay as they are. */
  readonly frozen: readonly WeightSpec[];
  readonly lora: LoraOptions | undefined;
  /** Keys that have low-rank factors. */
  readonly targets: readonly string[];
  /** The network's weights in a graph, from those of `trained`; frozen ones are graph inputs, see `frozenName`. */
  effective(trained: (key: string) => Tensor): Weights;
  /** Blocks that are computed again in the backward pass, low-rank additions included: what is kept is the block's inputs. */
  block(trained: (key: string) => Tensor): Block;
  /** True: frozen weights stay where the start model has them and are read from there; false: they are state of the runtime. */
  readonly isMapped: boolean;
};

/** Names of the factors of a weight, as public adapter files have them. */
export const factorNames = (key: string): readonly [a: string, b: string] => [
  `${key}.lora_A.weight`,
  `${key}.lora_B.weight`,
];

/** Graph input and state array of a frozen weight. */
export const frozenName = (key: string): string => `frozen:${key}`;

/** Whether a name fits one of the patterns, in which `*` stands for any text. */
export function fits(name: string, patterns: readonly string[]): boolean {
  return patterns.some((p) =>
    new RegExp(`^${p.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*')}$`).test(name),
  );
}

/** Every pattern must fit something: a pattern that fits nothing is a slip of the pen that would change nothing in silence. */
function requireFits(specs: readonly WeightSpec[], patterns: readonly string[], where: string): void {
  for (const pattern of patterns) {
    if (specs.some((s) => fits(s.key, [pattern]))) continue;
    const some = specs.slice(0, 4).map((s) => s.key);
    throw new InputError(where, {
      got: pattern,
      need: `a pattern that fits a weight, such as ${some.join(', ')}`,
      why: `none of the ${specs.length} weights has such a name`,
    });
  }
}

/** Rows and columns of a weight as a matrix: outputs by everything else. */
const matrixOf = (shape: readonly number[]): readonly [number, number] => [shape[0]!, sizeOf(shape.slice(1))];

/**
 * Plans what is trained.
 * @param known keys that the start model has; weights it lacks are new and always trained. Undefined: nothing to start from.
 * @param isMapped frozen weights are read from the files of the start model
 */
export function weightPlan(
  all: readonly WeightSpec[],
  tuning: Tuning = {},
  known: ReadonlySet<string> | undefined = undefined,
  isMapped = false,
): WeightPlan {
  const { freeze = [], lora, train = [] } = tuning;
  if (known === undefined && (freeze.length > 0 || lora !== undefined)) {
    throw new InputError('tune', {
      got: lora === undefined ? 'freeze' : 'lora',
      need: 'a recipe with "from", the model folder to start from',
      why: 'freezing random start values would teach nothing',
    });
  }
  requireFits(all, freeze, 'tune.freeze');
  requireFits(all, train, 'tune.train');
  requireFits(all, lora?.targets ?? [], 'tune.lora.targets');
  const isHeld = (s: WeightSpec): boolean =>
    known?.has(s.key) === true && !fits(s.key, train) && (lora !== undefined || fits(s.key, freeze));
  const targets = all.filter((s) => lora !== undefined && isHeld(s) && fits(s.key, lora.targets));
  for (const { key, shape } of targets) {
    const [rows, columns] = matrixOf(shape);
    if (shape.length < 2 || lora!.rank >= Math.min(rows, columns)) {
      throw new InputError('tune.lora', {
        got: `rank ${lora!.rank} for ${key} [${shape}]`,
        need: 'a rank below both sides of every target; vectors can only be trained in full (tune.train)',
      });
    }
  }
  const factors = targets.flatMap(({ key, shape }): WeightSpec[] => {
    const [rows, columns] = matrixOf(shape);
    const [a, b] = factorNames(key);
    // Hu et al. 2021, section 4.1: A random, B zero, so that the addition starts at zero.
    return [
      { key: a, shape: [lora!.rank, columns], init: { kind: 'normal', std: 1 / Math.sqrt(columns) } },
      { key: b, shape: [rows, lora!.rank], init: { kind: 'zeros' } },
    ];
  });
  const frozen = all.filter(isHeld);
  const trained = [...all.filter((s) => !isHeld(s)), ...factors];
  if (trained.length === 0) {
    throw new InputError('tune', { got: 'every weight is frozen', need: 'something to train' });
  }
  const isFrozen = new Set(frozen.map((s) => s.key));
  const isTarget = new Set(targets.map((s) => s.key));
  const held = (key: string, shape: readonly number[]): Tensor =>
    isMapped ? param(key, shape) : input(frozenName(key), shape);
  const effective: WeightPlan['effective'] = (trainedTensor) => {
    const made = new Map<string, Tensor>();
    const make = (key: string, shape: readonly number[]): Tensor => {
      const base = isFrozen.has(key) ? held(key, shape) : trainedTensor(key);
      if (!isTarget.has(key)) return base;
      const [a, b] = factorNames(key);
      const product = gemm(trainedTensor(b), trainedTensor(a));
      return add(base, reshape(mul(product, lora!.alpha / lora!.rank), shape));
    };
    return (key, shape) => {
      if (!made.has(key)) made.set(key, make(key, shape));
      return made.get(key)!;
    };
  };
  return {
    all,
    trained,
    frozen,
    lora,
    isMapped,
    targets: [...isTarget],
    effective,
    block: (trainedTensor) => (build, inputs, _weights, prefix) => {
      // Built once to see which trained weights it reads: they are inputs of the block, so that gradients reach them.
      const used = new Map<string, Tensor>();
      const noted = effective((key) => {
        used.set(key, trainedTensor(key));
        return used.get(key)!;
      });
      build(inputs, scoped(noted, prefix));
      const keys = [...used.keys()];
      return recompute(
        (all) => {
          const own = new Map(keys.map((key, i) => [key, all[inputs.length + i]!]));
          return build(
            all.slice(0, inputs.length),
            scoped(
              effective((key) => own.get(key)!),
              prefix,
            ),
          );
        },
        [...inputs, ...used.values()],
      );
    },
  };
}

/** The network's weights as numbers, from those of `plan.trained` and the frozen ones. */
export function effectiveValues(
  plan: WeightPlan,
  trained: ReadonlyMap<string, Float32Array>,
  frozen: Pick<ReadonlyMap<string, Float32Array>, 'get'>,
): Map<string, Float32Array> {
  const out = new Map<string, Float32Array>();
  const isTarget = new Set(plan.targets);
  for (const { key, shape } of plan.all) {
    const base = trained.get(key) ?? frozen.get(key);
    if (base === undefined) throw new OrreryError('internal', `weight ${key} is neither trained nor frozen`);
    if (!isTarget.has(key)) {
      out.set(key, base);
      continue;
    }
    const [a, b] = factorNames(key).map((name) => trained.get(name)!) as [Float32Array, Float32Array];
    const sum = base.slice();
    addProduct(sum, b, a, plan.lora!.rank, matrixOf(shape), plan.lora!.alpha / plan.lora!.rank);
    out.set(key, sum);
  }
  return out;
}
