// A graph cut into pieces that run one after the other, so that only the weights of one piece are in memory at a time.
import { assert } from '../base/index.ts';
import { bytesOf } from './plan.ts';
import {
  input,
  isLeaf,
  isParam,
  makeNode,
  type Node,
  type Tensor,
  type TensorType,
  topologicalOrder,
} from './tensor.ts';

/** A piece of a graph. Values that pass from one piece to a later one have the names `cut.N`. */
export type Stage = {
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Its weights by name. */
  readonly weights: ReadonlyMap<string, TensorType>;
};

export type StageOptions = {
  /** Most bytes of weights of a piece; a piece with a larger single weight holds that one alone. */
  readonly maxBytes: number;
  /** Bytes of a weight where it is stored. */
  readonly weightBytes: (name: string, type: TensorType) => number;
};

/**
 * Cuts a graph where few values are alive. Each piece starts from values of earlier ones, fed as inputs; weights and constants are not
 * passed on, every piece names its own.
 */
export function cutStages(outputs: Readonly<Record<string, Tensor>>, options: StageOptions): readonly Stage[] {
  const results = Object.values(outputs);
  const order = topologicalOrder(results).filter((node) => !isLeaf(node));
  const stageOf = new Map<Node, number>();
  for (const [stage, { from, to }] of ranges(order, results, options).entries()) {
    for (let i = from; i < to; i++) stageOf.set(order[i]!, stage);
  }
  const count = 1 + Math.max(0, ...stageOf.values());

  // What a stage must hand on: values that a later one reads, and results.
  const handed = Array.from({ length: count }, () => new Map<Tensor, string>());
  let serial = 0;
  for (const node of order) {
    for (const t of node.inputs) {
      if (isLeaf(t.node)) continue;
      const made = stageOf.get(t.node)!;
      if (made < stageOf.get(node)! && !handed[made]!.has(t)) handed[made]!.set(t, `cut.${serial++}`);
    }
  }
  const final = Array.from({ length: count }, (): [string, Tensor][] => []);
  for (const [name, t] of Object.entries(outputs)) final[stageOf.get(t.node) ?? count - 1]!.push([name, t]);

  return Array.from({ length: count }, (_, stage) => {
    const built = new Map<Tensor, Tensor>();
    const weights = new Map<string, TensorType>();
    const at = (t: Tensor): Tensor => {
      if (isParam(t.node)) weights.set(t.node.attrs.name, { dtype: t.dtype, shape: t.shape });
      if (isLeaf(t.node)) return t;
      let known = built.get(t);
      if (known === undefined) {
        const made = stageOf.get(t.node)!;
        assert(made < stage, 'a value is used before it is made');
        known = input(handed[made]!.get(t)!, t.shape, t.dtype);
        built.set(t, known);
      }
      return known;
    };
    for (const node of order) {
      if (stageOf.get(node) !== stage) continue;
      const inputs = node.inputs.map(at);
      const same = inputs.every((t, i) => t === node.inputs[i]);
      const made = same ? node.outputs : makeNode(node.op, inputs, node.attrs);
      for (const [i, t] of node.outputs.entries()) built.set(t, made[i]!);
    }
    const given = [...handed[stage]!].map(([t, name]): [string, Tensor] => [name, built.get(t)!]);
    const ends = final[stage]!.map(([name, t]): [string, Tensor] => [name, at(t)]);
    return { outputs: Object.fromEntries([...given, ...ends]), weights };
  });
}

/** Where to cut: pieces between half and all of the allowed bytes, at the place with the fewest bytes alive. */
function ranges(
  order: readonly Node[],
  results: readonly Tensor[],
  { maxBytes, weightBytes }: StageOptions,
): { readonly from: number; readonly to: number }[] {
  const alive = aliveAfter(order, results);
  const own = order.map((node) =>
    node.inputs.reduce((n, { node: from }) => n + (isParam(from) ? weightBytes(from.attrs.name, from.attrs) : 0), 0),
  );
  const out: { from: number; to: number }[] = [];
  let from = 0;
  while (from < order.length) {
    let bytes = 0;
    let best = -1;
    let to = from;
    for (; to < order.length; to++) {
      bytes += own[to]!;
      if (bytes > maxBytes && to > from) break;
      if (bytes >= maxBytes / 2 && (best < 0 || alive[to]! <= alive[best]!)) best = to;
    }
    const end = to === order.length ? to : (best < 0 ? to - 1 : best) + 1;
    out.push({ from, to: end });
    from = end;
  }
  return out;
}

/** Bytes of intermediate values that are read after each node. */
function aliveAfter(order: readonly Node[], results: readonly Tensor[]): number[] {
  const last = new Map<Tensor, number>();
  for (const [i, node] of order.entries()) for (const t of node.inputs) if (!isLeaf(t.node)) last.set(t, i);
  for (const t of results) last.set(t, order.length);
  const change = new Array<number>(order.length + 1).fill(0);
  for (const [i, node] of order.entries()) {
    for (const t of node.outputs) {
      const end = last.get(t);
      if (end === undefined) continue;
      change[i]! += bytesOf(t);
      change[end]! -= bytesOf(t);
    }
  }
  const out: number[] = [];
  let sum = 0;
  for (let i = 0; i < order.length; i++) out.push((sum += change[i]!));
  return out;
}
