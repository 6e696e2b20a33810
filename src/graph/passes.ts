// Rewrites of a graph before it is written: unfolding of fused nodes, common subexpressions, and small fusions.
// Dead code needs no pass: only what the outputs depend on is ever visited.
import { type NdArray, sizeOf } from '../base/index.ts';
import { unfusedOf } from './gradients.ts';
import { silu } from './ops/elementwise.ts';
import { matmul } from './ops/linear.ts';
import { isConstant, makeNode, type Node, type Tensor, topologicalOrder } from './tensor.ts';

/**
 * Rebuilds the graph bottom-up. `rule` sees each node with its inputs already rewritten and may give replacement outputs.
 */
export function rewrite(
  outputs: readonly Tensor[],
  rule: (node: Node, inputs: readonly Tensor[]) => readonly Tensor[] | undefined,
): Tensor[] {
  const done = new Map<Node, readonly Tensor[]>();
  const at = (t: Tensor): Tensor => done.get(t.node)![t.index]!;
  for (const node of topologicalOrder(outputs)) {
    const inputs = node.inputs.map(at);
    const replaced = rule(node, inputs);
    if (replaced !== undefined) done.set(node, replaced);
    else if (inputs.every((t, i) => t === node.inputs[i])) done.set(node, node.outputs);
    else done.set(node, makeNode(node.op, inputs, node.attrs));
  }
  return outputs.map(at);
}

/**
 * Replaces fused nodes by their unfused definition where needed: always where the op can only be written so, for standard
 * export where it has no standard operator, and where gradients already use inner values (so forward work is not done twice).
 */
export function unfold(outputs: readonly Tensor[], options: { standard: boolean; target?: 'cpu' | 'gpu' }): Tensor[] {
  let current = [...outputs];
  for (;;) {
    const order = topologicalOrder(current);
    const reachable = new Set(order);
    const mustUnfold = (node: Node): boolean => {
      if (node.op.unfused === undefined) return false;
      if (node.op.name === 'recompute' || node.op.name === 'gatherRows') return true;
      if (options.standard && node.op.contrib === true) return true;
      if (options.target === 'gpu' && (node.op.name === 'blockwise' || hasBrokenStatistics(node, order))) return true;
      if (node.unfused === undefined) return false;
      const borders = new Set(node.inputs.map((t) => t.node));
      return topologicalOrder(node.unfused, borders).some(
        (inner) => !borders.has(inner) && !isConstant(inner) && reachable.has(inner),
      );
    };
    const chosen = new Set(order.filter(mustUnfold));
    if (chosen.size === 0) return current;
    // Replace without rebuilding what the unfused definition shares with the gradients: map outputs only.
    const done = new Map<Node, readonly Tensor[]>();
    const visit = (root: readonly Tensor[]): Tensor[] => {
      for (const node of topologicalOrder(root)) {
        if (done.has(node)) continue;
        if (chosen.has(node)) {
          done.set(node, visit(unfusedOf(node)));
          continue;
        }
        const inputs = node.inputs.map((t) => done.get(t.node)![t.index]!);
        const same = inputs.every((t, i) => t === node.inputs[i]);
        done.set(node, same ? node.outputs : makeNode(node.op, inputs, node.attrs));
      }
      return root.map((t) => done.get(t.node)![t.index]!);
    };
    current = visit(current);
  }
}

/** The WebGPU kernel of RMSNorm leaves its second output, 1/√(mean x² + ε), unwritten: only gradients read it. */
function hasBrokenStatistics(node: Node, order: readonly Node[]): boolean {
  return node.op.name === 'rmsNorm' && order.some((user) => user.inputs.includes(node.outputs[1]!));
}

/** Merges equal nodes: same op, same attributes, same inputs; constants by content. */
export function mergeEqual(outputs: readonly Tensor[]): Tensor[] {
  const ids = new Map<object, number>();
  const idOf = (o: object): number => {
    let id = ids.get(o);
    if (id === undefined) ids.set(o, (id = ids.size));
    return id;
  };
  const seen = new Map<string, readonly Tensor[]>();
  return rewrite(outputs, (node, inputs) => {
    const key = isConstant(node)
      ? constantKey(node.attrs.value, idOf)
      : `${node.op.name}|${attrsKey(node.attrs, idOf)}|${inputs.map((t) => `${idOf(t.node)}.${t.index}`).join(',')}`;
    const first = seen.get(key);
    if (first !== undefined) return first;
    const made = inputs.every((t, i) => t === node.inputs[i]) ? node.outputs : makeNode(node.op, inputs, node.attrs);
    seen.set(key, made);
    return made;
  });
}

/** Attributes as text; functions and typed arrays by identity. */
function attrsKey(attrs: unknown, idOf: (o: object) => number): string {
  return JSON.stringify(attrs, (_, value: unknown) => {
    if (typeof value === 'function' || ArrayBuffer.isView(value)) return `#${idOf(value)}`;
    return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
  });
}

function constantKey(value: NdArray, idOf: (o: object) => number): string {
  const small = sizeOf(value.shape) <= 1024;
  return `constant|${value.dtype}|${value.shape}|${small ? Array.from(value.data as ArrayLike<number | bigint>, String).join() : `#${idOf(value.data)}`}`;
}

/** Small fusions for speed: x·σ(x) → silu, transposes of the last two axes into products. */
export function fuse(outputs: readonly Tensor[]): Tensor[] {
  return rewrite(outputs, (node, inputs) => {
    if (node.op.name === 'mul') {
      const [a, b] = inputs as [Tensor, Tensor];
      if (b.node.op.name === 'sigmoid' && b.node.inputs[0] === a) return [silu(a)];
      if (a.node.op.name === 'sigmoid' && a.node.inputs[0] === b) return [silu(b)];
    }
    if (node.op.name === 'plainMatmul') {
      const [a, b] = inputs as [Tensor, Tensor];
      const ta = lastAxesSwapped(a);
      const tb = lastAxesSwapped(b);
      if (ta !== undefined || tb !== undefined) {
        return [matmul(ta ?? a, tb ?? b, { transA: ta !== undefined, transB: tb !== undefined })];
      }
    }
    return undefined;
  });
}

/** The source of a transpose that swaps just the last two axes, or undefined. */
function lastAxesSwapped(t: Tensor): Tensor | undefined {
  if (t.node.op.name !== 'transpose') return undefined;
  const { perm } = t.node.attrs as { perm: readonly number[] };
  const r = perm.length;
  const swapped = perm.every((p, i) => p === (i === r - 1 ? r - 2 : i === r - 2 ? r - 1 : i));
  return swapped ? t.node.inputs[0]! : undefined;
}
