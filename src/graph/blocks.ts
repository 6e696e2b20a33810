// Weights in blocks of 8 or 4 bits: which weights can be so, and the graph that uses them. Networks do not know of it.
import { sizeOf } from '../base/index.ts';
import type { BlockSource, WeightSource } from './compile.ts';
import { add } from './ops/elementwise.ts';
import { fromBlocks, quantizedLinear } from './ops/linear.ts';
import { reshape } from './ops/shape.ts';
import { rewrite } from './passes.ts';
import { isParam, makeNode, type Node, param, type Tensor, type TensorType, topologicalOrder } from './tensor.ts';

/** Weights with fewer numbers stay as they are: they cost little and matter much. */
const LEAST = 1 << 14;

/** The weight that a linear layer multiplies by, if `node` is one. */
function matrixOf(node: Node): (Node & { readonly attrs: TensorType & { readonly name: string } }) | undefined {
  if (node.op.name !== 'gemm') return undefined;
  const { transA, transB } = node.attrs as { readonly transA: boolean; readonly transB: boolean };
  const from = node.inputs[1]!.node;
  return transB && !transA && isParam(from) ? from : undefined;
}

/**
 * The weights of a network that can be held in blocks: matrices of linear layers and kernels of convolutions whose rows divide into blocks
 * and that nothing else uses.
 */
export function blockWeights(
  outputs: readonly Tensor[],
  blockSize: number,
): readonly { readonly name: string; readonly shape: readonly number[] }[] {
  const found = new Map<string, readonly number[]>();
  const others = new Set<string>();
  for (const node of topologicalOrder(outputs)) {
    for (const [i, { node: from }] of node.inputs.entries()) {
      if (!isParam(from)) continue;
      const { name, shape } = from.attrs;
      const fits = (i === 1 && node.op.name === 'conv') || (i === 1 && matrixOf(node) === from);
      if (fits && sizeOf(shape) >= LEAST && sizeOf(shape.slice(1)) % blockSize === 0) found.set(name, shape);
      else others.add(name);
    }
  }
  return [...found].filter(([name]) => !others.has(name)).map(([name, shape]) => ({ name, shape }));
}

type Plain = Exclude<WeightSource, BlockSource>;

/**
 * The same graph with linear layers over blocks where `weights` gives blocks; other uses of such a weight get its numbers back. The parts
 * become weights of their own, `NAME.packed` and `NAME.scales`.
 */
export function withBlocks(
  outputs: readonly Tensor[],
  weights: (name: string, type: TensorType) => WeightSource,
): { readonly tensors: Tensor[]; readonly weights: (name: string, type: TensorType) => Plain } {
  const parts = new Map<string, Plain>();
  const blocksOf = new Map<string, { packed: Tensor; scales: Tensor; bits: 4 | 8 } | undefined>();
  const known = new Map<string, Plain>();
  const blocked = (node: Node): { packed: Tensor; scales: Tensor; bits: 4 | 8 } | undefined => {
    if (!isParam(node)) return undefined;
    const { name, shape } = node.attrs;
    if (blocksOf.has(name)) return blocksOf.get(name);
    const source = weights(name, { shape, dtype: node.attrs.dtype });
    if (source.kind !== 'blocks') {
      known.set(name, source);
      blocksOf.set(name, undefined);
      return undefined;
    }
    const { bits, blockSize } = source;
    const [rows, blocks] = [shape[0]!, sizeOf(shape.slice(1)) / blockSize];
    parts.set(`${name}.packed`, source.packed);
    parts.set(`${name}.scales`, source.scales);
    const made = {
      packed: param(`${name}.packed`, [rows, blocks, (blockSize * bits) / 8], 'u8'),
      scales: param(`${name}.scales`, [rows, blocks]),
      bits,
    };
    blocksOf.set(name, made);
    return made;
  };
  const order = topologicalOrder(outputs);
  const plain = (name: string, type: TensorType): Plain =>
    parts.get(name) ?? known.get(name) ?? (weights(name, type) as Plain);
  if (!order.some((node) => blocked(node) !== undefined)) return { tensors: [...outputs], weights: plain };
  const products = new Map<Tensor, Tensor>();
  const tensors = rewrite(outputs, (node, inputs) => {
    const matrix = matrixOf(node);
    const b = matrix === undefined ? undefined : blocked(matrix);
    if (b !== undefined) {
      const bias = inputs[2];
      const y = quantizedLinear(inputs[0]!, b.packed, b.scales, { bits: b.bits, products: 'i8' });
      return [bias === undefined ? y : add(y, bias)];
    }
    if (isParam(node)) return undefined;
    let isChanged = false;
    const ins = node.inputs.map((t, i) => {
      const stored = blocked(t.node);
      if (stored === undefined) return inputs[i]!;
      isChanged = true;
      let whole = products.get(t);
      if (whole === undefined) {
        whole = reshape(fromBlocks(stored.packed, stored.scales, stored.bits), t.shape);
        products.set(t, whole);
      }
      return whole;
    });
    return isChanged ? makeNode(node.op, ins, node.attrs) : undefined;
  });
  return { tensors, weights: plain };
}
