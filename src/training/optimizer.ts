// The part of the step graph that follows the gradients: clipping, AdamW, and the moving average of the weights.
// All parameters are one flat vector, so each formula is one pass over it.

import { sizeOf } from '../base/index.ts';
import {
  add,
  concat,
  div,
  gemm,
  gradients,
  input,
  minimum,
  mul,
  reshape,
  split,
  sqrt,
  square,
  sub,
  type Tensor,
} from '../graph/index.ts';
import type { WeightSpec } from '../nets/orrery/weights.ts';

export type AdamWOptions = {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Largest global L2 norm of the gradients. */
  readonly clip: number;
};

/** Graph inputs that change at every step; all float32 scalars. */
export const STEP_SCALARS = ['lr', 'correction1', 'correction2', 'emaDecay'] as const;

/** Names of the flat state vectors. */
export const STATE_NAMES = ['p', 'm', 'v', 'ema'] as const;

/** Graph output that holds the next value of a state vector. */
export const nextName = (state: (typeof STATE_NAMES)[number]): string => `next.${state}`;

/** Total number of parameters. */
export const parameterCount = (specs: readonly WeightSpec[]): number => specs.reduce((n, s) => n + sizeOf(s.shape), 0);

/** Cuts a flat vector [P] into the tensors of `specs`, by key. */
export function unflatten(flat: Tensor, specs: readonly WeightSpec[]): Map<string, Tensor> {
  const parts = split(
    flat,
    specs.map((s) => sizeOf(s.shape)),
    0,
  );
  return new Map(specs.map((s, i) => [s.key, reshape(parts[i]!, s.shape)]));
}

/**
 * One training step: from the loss as a function of the weights to the next state.
 * Loshchilov & Hutter 2019, algorithm 2 (AdamW), after global-norm clipping; EMA of the new weights.
 * Safe to update in place: through the global norm every new value depends on all gradients, hence on every use of the old.
 */
export function trainingStep(
  specs: readonly WeightSpec[],
  lossOf: (weights: (key: string) => Tensor) => { loss: Tensor; metrics: Record<string, Tensor> },
  options: AdamWOptions,
): Record<string, Tensor> {
  const total = parameterCount(specs);
  const [p, m, v, ema] = STATE_NAMES.map((name) => input(name, [total])) as [Tensor, Tensor, Tensor, Tensor];
  const [lr, correction1, correction2, emaDecay] = STEP_SCALARS.map((name) => input(name, [1])) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  const weights = unflatten(p, specs);
  const { loss, metrics } = lossOf((key) => weights.get(key)!);
  const grads = gradients(
    loss,
    specs.map((s) => weights.get(s.key)!),
  );
  const raw = concat(
    grads.map((g) => reshape(g, [sizeOf(g.shape)])),
    0,
  ); // g [P]

  const row = reshape(raw, [1, total]);
  const norm = reshape(sqrt(gemm(row, row, { transB: true })), [1]); // ‖g‖₂
  const g = mul(raw, minimum(div(options.clip, add(norm, 1e-12)), 1));

  const m1 = add(mul(m, options.beta1), mul(g, 1 - options.beta1));
  const v1 = add(mul(v, options.beta2), mul(square(g), 1 - options.beta2));
  // correction1 = 1/(1 − β₁ᵗ), correction2 = 1/(1 − β₂ᵗ)
  const update = div(mul(m1, mul(correction1, lr)), add(sqrt(mul(v1, correction2)), options.eps));
  const p1 = sub(sub(p, mul(p, mul(lr, options.weightDecay))), update);
  const ema1 = add(p1, mul(sub(ema, p1), emaDecay));
  const next = { [nextName('p')]: p1, [nextName('m')]: m1, [nextName('v')]: v1, [nextName('ema')]: ema1 };
  return { loss: reshape(loss, [1]), gradNorm: norm, ...metrics, ...next };
}
