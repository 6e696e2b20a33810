// The part of the step graph that follows the gradients: clipping, AdamW, and the moving average of the weights.
// Large weights have state arrays of their own, small ones share one: no step cuts or joins what is large.
import { sizeOf } from '../base/index.ts';
import {
  add,
  barrier,
  blockShape,
  blockwise,
  concat,
  div,
  gemm,
  gradients,
  input,
  minimum,
  mul,
  reciprocal,
  reshape,
  split,
  sqrt,
  sub,
  sum,
  type Tensor,
  transpose,
} from '../graph/index.ts';
import type { WeightSpec } from '../nets/orrery/weights.ts';

export type AdamWOptions = {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Largest global L2 norm of the gradients. */
  readonly clip: number;
  /** Large matrices by orthogonalised momentum, everything else by AdamW. */
  readonly muon?: MuonOptions | undefined;
};

export type MuonOptions = {
  /** Momentum of the gradients. 0.95 in the paper. */
  readonly momentum: number;
  /** Factor on the learning rate; 1 has the size of AdamW's steps, so that one rate serves both. */
  readonly rate: number;
};

/** Whether a group is one matrix that Muon can take; a convolution counts as outputs by everything else. */
const isMatrix = ({ specs }: StateGroup): boolean => specs.length === 1 && specs[0]!.shape.length >= 2;

/** Loss and further scalars from the weights. */
export type LossOf = (weights: (key: string) => Tensor) => { loss: Tensor; metrics: Record<string, Tensor> };

/** Graph inputs that change at every step; all float32 [1]. */
export const STEP_SCALARS = ['lr', 'correction1', 'correction2', 'emaDecay'] as const;

/** Kinds of state: parameters, first and second moments, moving average of the parameters. */
export const STATE_NAMES = ['p', 'm', 'v', 'ema'] as const;
export type StateName = (typeof STATE_NAMES)[number];

/** Weights whose state lies in one array: one large weight, or all small ones one after the other. */
export type StateGroup = {
  readonly name: string;
  readonly specs: readonly WeightSpec[];
  /** Shape [rows, width] of each of the group's state arrays; `width` numbers are updated at a time. */
  readonly shape: readonly [number, number];
};

/** Name of a state array of the runtime, and of the graph input that reads it. */
export const stateName = (state: StateName, group: StateGroup): string => `${state}:${group.name}`;

/** Graph output with the next value of a state array. */
export const nextName = (state: StateName, group: StateGroup): string => `next.${stateName(state, group)}`;

/** State array of each state input of the graphs of `groups`. */
export const stateInputs = (groups: readonly StateGroup[], states = STATE_NAMES as readonly StateName[]) =>
  Object.fromEntries(groups.flatMap((g) => states.map((s) => [stateName(s, g), stateName(s, g)])));

/** State array that each output of `trainingStep` replaces. */
export const stateOutputs = (groups: readonly StateGroup[]): Record<string, string> =>
  Object.fromEntries(groups.flatMap((g) => STATE_NAMES.map((s) => [nextName(s, g), stateName(s, g)])));

/** Total number of parameters. */
export const parameterCount = (specs: readonly WeightSpec[]): number => specs.reduce((n, s) => n + sizeOf(s.shape), 0);

/** Weights below this size share an array: their few numbers cost less than the handling of another array. */
const SMALL = 32768;

/** How the state of `specs` is laid out in arrays. */
export function stateGroups(specs: readonly WeightSpec[]): StateGroup[] {
  const isSmall = (s: WeightSpec): boolean => sizeOf(s.shape) < SMALL;
  const small = specs.filter(isSmall);
  const groups = specs
    .filter((s) => !isSmall(s))
    .map((s) => ({ name: s.key, specs: [s], shape: blockShape(sizeOf(s.shape)) }));
  if (small.length > 0) groups.push({ name: 'small', specs: small, shape: [1, parameterCount(small)] });
  return groups;
}

/** The weights of `specs` by key, read from the state inputs of one kind. */
export function stateWeights(groups: readonly StateGroup[], state: 'p' | 'ema'): Map<string, Tensor> {
  return new Map(groups.flatMap((g) => cut(input(stateName(state, g), g.shape), g)));
}

function cut(array: Tensor, { specs, shape }: StateGroup): [string, Tensor][] {
  const sizes = specs.map((s) => sizeOf(s.shape));
  const parts = specs.length === 1 ? [array] : split(reshape(array, [shape[0] * shape[1]]), sizes, 0);
  return specs.map((s, i) => [s.key, reshape(parts[i]!, s.shape)]);
}

/** The arrays of `groups` from one vector in the order of `specs`. */
export function groupArrays(
  specs: readonly WeightSpec[],
  groups: readonly StateGroup[],
  flat: Float32Array,
): Float32Array[] {
  const at = offsets(specs);
  return groups.map((g) => {
    const array = new Float32Array(parameterCount(g.specs));
    let to = 0;
    for (const { key, shape } of g.specs) {
      const from = at.get(key)!;
      array.set(flat.subarray(from, from + sizeOf(shape)), to);
      to += sizeOf(shape);
    }
    return array;
  });
}

/** The inverse of `groupArrays` for one group: writes its array to its places in `flat`. */
export function ungroup(
  specs: readonly WeightSpec[],
  group: StateGroup,
  array: Float32Array,
  flat: Float32Array,
): void {
  const at = offsets(specs);
  let from = 0;
  for (const { key, shape } of group.specs) {
    flat.set(array.subarray(from, from + sizeOf(shape)), at.get(key)!);
    from += sizeOf(shape);
  }
}

function offsets(specs: readonly WeightSpec[]): Map<string, number> {
  let at = 0;
  return new Map(
    specs.map((s) => {
      const from = at;
      at += sizeOf(s.shape);
      return [s.key, from];
    }),
  );
}

/**
 * One training step: from the loss as a function of the weights to the next state.
 * Loshchilov & Hutter 2019, algorithm 2 (AdamW), after global-norm clipping; EMA of the new weights.
 * Safe to update in place: every new value depends on all gradients, the loss and the metrics, hence comes after every use
 * of the old weights.
 */
export function trainingStep(
  specs: readonly WeightSpec[],
  lossOf: LossOf,
  options: AdamWOptions,
): Record<string, Tensor> {
  const groups = stateGroups(specs);
  const { loss, metrics, g } = groupGradients(specs, groups, lossOf);
  const shown = [loss, ...Object.values(metrics)];
  return { loss: reshape(loss, [1]), ...metrics, ...update(groups, g, shown, options) };
}

/** Loss and gradients of one batch, the gradients laid out as the state is. */
function groupGradients(
  specs: readonly WeightSpec[],
  groups: readonly StateGroup[],
  lossOf: LossOf,
): { loss: Tensor; metrics: Record<string, Tensor>; g: Tensor[] } {
  const weights = stateWeights(groups, 'p');
  const { loss, metrics } = lossOf((key) => weights.get(key)!);
  const list = gradients(
    loss,
    specs.map((s) => weights.get(s.key)!),
  );
  const gradient = new Map(specs.map((s, i) => [s.key, list[i]!]));
  const g = groups.map((group) => {
    const parts = group.specs.map(({ key, shape }) => reshape(gradient.get(key)!, [sizeOf(shape)]));
    return reshape(concat(parts, 0), group.shape);
  });
  return { loss, metrics, g };
}

/** State array, and graph input, of the gradients summed so far. */
export const gradientName = (group: StateGroup): string => `g:${group.name}`;

/** Graph output with the next value of a gradient array. */
export const nextGradientName = (group: StateGroup): string => `next.${gradientName(group)}`;

/**
 * The part of a step that is run for each of `batches` batches: adds their gradients up. Input `keepGradient` [1] is 0 for the
 * first batch of a step and 1 for the others. The state of the optimizer is not touched.
 */
export function accumulationStep(
  specs: readonly WeightSpec[],
  lossOf: LossOf,
  batches: number,
): Record<string, Tensor> {
  const groups = stateGroups(specs);
  const { loss, metrics, g } = groupGradients(specs, groups, lossOf);
  const keep = input('keepGradient', [1]);
  const next = groups.map((group, i): [string, Tensor] => [
    nextGradientName(group),
    add(mul(input(gradientName(group), group.shape), keep), mul(g[i]!, 1 / batches)),
  ]);
  return { loss: reshape(loss, [1]), ...metrics, ...Object.fromEntries(next) };
}

/** The rest of such a step: `trainingStep` without loss, from the summed gradients. */
export function updateStep(specs: readonly WeightSpec[], options: AdamWOptions): Record<string, Tensor> {
  const groups = stateGroups(specs);
  return update(
    groups,
    groups.map((group) => input(gradientName(group), group.shape)),
    [],
    options,
  );
}

/** Gradient norm and next state; every new value comes after all of `g` and `before`. */
function update(
  groups: readonly StateGroup[],
  g: readonly Tensor[],
  before: readonly Tensor[],
  options: AdamWOptions,
): Record<string, Tensor> {
  const squares = g.map((t) => {
    const row = reshape(t, [1, sizeOf(t.shape)]);
    return gemm(row, row, { transB: true }); // Σ g²
  });
  const norm = reshape(sqrt(sum(concat(squares, 0))), [1]); // ‖g‖₂
  let ready = minimum(div(options.clip, add(norm, 1e-12)), 1);
  for (const t of before) ready = barrier(ready, reshape(t, [1]));

  const next: Record<string, Tensor> = {};
  for (const [i, group] of groups.entries()) {
    const state = STATE_NAMES.map((s) => input(stateName(s, group), group.shape));
    if (options.muon !== undefined && isMatrix(group)) {
      const [p, m, ema] = muon(group, g[i]!, ready, { ...options, muon: options.muon });
      Object.assign(next, { [nextName('p', group)]: p, [nextName('m', group)]: m, [nextName('ema', group)]: ema });
      continue;
    }
    const updated = adamW([g[i]!, ...state] as unknown as AdamWArrays, ready, options);
    for (const [k, s] of STATE_NAMES.entries()) next[nextName(s, group)] = updated[k]!;
  }
  return { gradNorm: norm, ...next };
}

/** Quintic of the Newton–Schulz iteration whose slope at zero is largest (Jordan 2024). */
const NEWTON_SCHULZ = { a: 3.4445, b: -4.775, c: 2.0315, steps: 5 } as const;

/**
 * The nearest matrix with singular values near 1, by X ← aX + (bA + cA²)X with A = XXᵀ, from X = G/‖G‖ (Jordan 2024, "Muon"). The
 * iteration works on the shorter side.
 */
export function orthogonalised(g: Tensor): Tensor {
  const [rows, columns] = g.shape as [number, number];
  const { a, b, c, steps } = NEWTON_SCHULZ;
  const isTall = rows > columns;
  let x = isTall ? transpose(g, [1, 0]) : g;
  x = div(x, add(sqrt(sum(mul(x, x))), 1e-7));
  for (let i = 0; i < steps; i++) {
    const square = gemm(x, x, { transB: true });
    const polynomial = add(mul(square, b), mul(gemm(square, square), c));
    x = add(mul(x, a), gemm(polynomial, x));
  }
  return isTall ? transpose(x, [1, 0]) : x;
}

/**
 * p′, m′ and the moving average of one matrix: Nesterov momentum, orthogonalised, scaled by 0.2·√max(rows, columns), which gives the
 * step the size that AdamW's has (Liu et al. 2025, "Muon is scalable for LLM training", equation 4).
 */
function muon(
  group: StateGroup,
  g: Tensor,
  factor: Tensor,
  { muon: o, weightDecay }: AdamWOptions & { readonly muon: MuonOptions },
): readonly [p: Tensor, m: Tensor, ema: Tensor] {
  const { shape } = group.specs[0]!;
  const [rows, columns] = [shape[0]!, sizeOf(shape.slice(1))];
  const [p, m, ema] = (['p', 'm', 'ema'] as const).map((s) => input(stateName(s, group), group.shape)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const [lr, keep] = [input('lr', [1]), input('emaDecay', [1])];
  const clipped = mul(g, factor);
  const m1 = add(mul(m, o.momentum), clipped);
  const direction = reshape(add(mul(m1, o.momentum), clipped), [rows, columns]);
  const step = reshape(mul(orthogonalised(direction), 0.2 * o.rate * Math.sqrt(Math.max(rows, columns))), group.shape);
  const p1 = sub(mul(p, sub(1, mul(lr, weightDecay))), mul(step, lr));
  return [p1, m1, add(mul(sub(ema, p1), keep), p1)];
}

type AdamWArrays = readonly [g: Tensor, p: Tensor, m: Tensor, v: Tensor, ema: Tensor];

/** p′, m′, v′ and the moving average from gradient and state of one group; `factor` [1] scales the gradient. */
function adamW(arrays: AdamWArrays, factor: Tensor, options: AdamWOptions): readonly Tensor[] {
  const { beta1, beta2, eps, weightDecay } = options;
  const [lr, correction1, correction2, emaDecay] = STEP_SCALARS.map((name) => input(name, [1])) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  // With correction1 = 1/(1 − β₁ᵗ), correction2 = 1/(1 − β₂ᵗ): m̂/(√v̂ + ε) = c·m/(√v + ε′), scalars worked out once.
  const root = reciprocal(sqrt(correction2));
  const shared = [
    mul(factor, 1 - beta1),
    mul(mul(factor, factor), 1 - beta2),
    mul(root, eps),
    mul(mul(lr, correction1), root),
    sub(1, mul(lr, weightDecay)),
    emaDecay,
  ];
  return blockwise(
    ([g, p, m, v, ema], [gain1, gain2, epsilon, step, decay, keep]) => {
      const m1 = add(mul(m!, beta1), mul(g!, gain1!));
      const v1 = add(mul(v!, beta2), mul(mul(g!, g!), gain2!));
      const update = mul(div(m1, add(sqrt(v1), epsilon!)), step!);
      const p1 = sub(mul(p!, decay!), update);
      return [p1, m1, v1, add(mul(sub(ema!, p1), keep!), p1)];
    },
    arrays,
    shared,
  );
}
