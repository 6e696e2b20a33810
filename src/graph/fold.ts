// Constants of a graph, computed when it is written instead of at every run.
import { sizeOf } from '../base/index.ts';
import { rewrite } from './passes.ts';
import { constant, constantValue, isConstant, type Tensor } from './tensor.ts';

/** Largest constant that folding makes, in elements: a bigger one costs more to store and read than to compute. */
const LARGEST = 1 << 16;

/** Replaces what depends on constants alone by its value, where the op tells it (`Op.evaluate`). */
export function foldConstants(outputs: readonly Tensor[]): Tensor[] {
  return rewrite(outputs, (node, inputs) => {
    const { evaluate } = node.op;
    if (evaluate === undefined || isConstant(node) || sizeOf(node.outputs[0]!.shape) > LARGEST) return undefined;
    const known = inputs.map(constantValue);
    if (known.some((v) => v === undefined)) return undefined;
    const value = evaluate(known as NonNullable<(typeof known)[number]>[], node.attrs);
    return value === undefined ? undefined : [constant(value)];
  });
}
