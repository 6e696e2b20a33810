// Reverse-mode differentiation of symbolic graphs, and blocks that are recomputed in the backward pass.
import { assert } from '../base/index.ts';
import type { Op } from './op.ts';
import { add, barrier } from './ops/elementwise.ts';
import { expand } from './ops/shape.ts';
import { isConstant, isInput, isParam, makeNode, type Node, scalar, type Tensor, topologicalOrder } from './tensor.ts';

/** The unfused definition of a node, made once and shared by everyone who asks. */
export function unfusedOf(node: Node): readonly Tensor[] {
  assert(node.op.unfused !== undefined, `${node.op.name} has no unfused definition`);
  node.unfused ??= node.op.unfused(node.inputs, node.attrs);
  return node.unfused;
}

/**
 * ∂loss/∂t for every tensor of `wrt`.
 * @param loss scalar (shape [] or one element)
 * @param wrt any tensors that the loss may depend on
 * @returns tensors of the shapes of `wrt`; zeros where the loss does not depend on one
 */
export function gradients(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  assert(
    loss.shape.every((d) => d === 1),
    `gradients of a loss of shape [${loss.shape}]; reduce it to a scalar first`,
  );
  return vectorJacobian([loss], [expand(scalar(1, loss), loss.shape)], wrt).map(
    (g, i) => g ?? expand(scalar(0, wrt[i]!), wrt[i]!.shape),
  );
}

/**
 * Σ_o seed_o·∂output_o/∂t for every tensor of `wrt`; undefined where nothing flows.
 * @param local true: `wrt` are the borders of a block; nothing flows through one of them to another
 */
export function vectorJacobian(
  outputs: readonly Tensor[],
  seeds: readonly (Tensor | undefined)[],
  wrt: readonly Tensor[],
  local = false,
): (Tensor | undefined)[] {
  // Only nodes between `wrt` and the outputs matter.
  const targets = new Set(wrt.map((t) => t.node));
  const order = topologicalOrder(outputs, local ? targets : undefined);
  const needed = new Set<Node>();
  for (const node of order) {
    if (targets.has(node) || node.inputs.some((t) => needed.has(t.node))) needed.add(node);
  }

  const upstream = new Map<Node, (Tensor | undefined)[]>();
  const accumulate = (t: Tensor, g: Tensor): void => {
    assert(
      g.shape.length === t.shape.length && g.shape.every((d, i) => d === t.shape[i]),
      `gradient [${g.shape}] of a tensor [${t.shape}] of ${t.node.op.name}`,
    );
    const list = upstream.get(t.node) ?? new Array<Tensor | undefined>(t.node.outputs.length).fill(undefined);
    const old = list[t.index];
    list[t.index] = old === undefined ? g : add(old, g);
    upstream.set(t.node, list);
  };
  for (const [i, output] of outputs.entries()) {
    const seed = seeds[i];
    if (seed !== undefined) accumulate(output, seed);
  }

  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i]!;
    const g = upstream.get(node);
    if (g === undefined || !needed.has(node) || node.op.grad === null || (local && targets.has(node))) continue;
    if (node.op.grad === 'unfused') {
      // Walk the unfused definition as a small graph of its own, from its outputs back to this node's inputs.
      const through = vectorJacobian(unfusedOf(node), g, node.inputs, true);
      for (const [k, gx] of through.entries()) if (gx !== undefined) accumulate(node.inputs[k]!, gx);
      continue;
    }
    const gy = g[0] ?? expand(scalar(0, node.outputs[0]!), node.outputs[0]!.shape);
    const flowing = node.op.grad({ g, gy, x: node.inputs, y: node.outputs, attrs: node.attrs });
    for (const [k, gx] of flowing.entries()) {
      const x = node.inputs[k]!;
      if (gx !== undefined && needed.has(x.node)) accumulate(x, gx);
    }
  }
  return wrt.map((t) => upstream.get(t.node)?.[t.index]);
}

type BlockAttrs = { readonly build: (inputs: readonly Tensor[]) => readonly Tensor[]; readonly explicit: number };

const recomputeOp: Op<BlockAttrs> = {
  name: 'recompute',
  formula: 'y = block(x), whose inner values are computed again in the backward pass instead of being kept',
  infer: (inputs, { build, explicit }) => build(inputs.slice(0, explicit)),
  grad: ({ g, x, attrs: { build, explicit } }) => {
    const token = g.find((t) => t !== undefined);
    if (token === undefined) return x.map(() => undefined);
    // The second copy hangs on the upstream gradient, so no optimiser can merge it with the first.
    const again = x.slice(0, explicit).map((t) => (isConstant(t.node) ? t : barrier(t, token)));
    return vectorJacobian(build(again), g, [...again, ...x.slice(explicit)], true);
  },
  contrib: true,
  onnx: () => {
    throw new Error('recompute is written through its unfused definition');
  },
  unfused: (inputs, { build, explicit }) => build(inputs.slice(0, explicit)),
};

/**
 * Runs `build` on `inputs` and marks the block for recomputation (activation checkpointing): only the inputs are kept for
 * the backward pass. Weights used inside are found by themselves; every other tensor that `build` reads must be in `inputs`.
 */
export function recompute(
  build: (inputs: readonly Tensor[]) => readonly Tensor[],
  inputs: readonly Tensor[],
): readonly Tensor[] {
  const own = new Set(inputs.map((t) => t.node));
  const leaves: Tensor[] = [];
  for (const node of topologicalOrder(build(inputs))) {
    if ((isParam(node) || isInput(node)) && !own.has(node)) leaves.push(node.outputs[0]!);
  }
  return makeNode(recomputeOp, [...inputs, ...leaves], { build, explicit: inputs.length });
}
