// Symbolic tensors: what a network function takes and returns. A tensor is one output of one node; nodes form a DAG.
// Nothing is computed here. Shapes are static.
import { assert, type DType, f32, type NdArray, numberToHalf, sizeOf } from '../base/index.ts';
import type { Op } from './op.ts';

/** Element type and static shape of a tensor. */
export type TensorType = { readonly dtype: DType; readonly shape: readonly number[] };

/** A symbolic tensor: output number `index` of `node`. */
export type Tensor = TensorType & { readonly node: Node; readonly index: number };

/** One use of an op. */
export type Node<A = unknown> = {
  readonly op: Op<A>;
  readonly inputs: readonly Tensor[];
  readonly attrs: A;
  readonly outputs: readonly Tensor[];
  /** The unfused definition of a fused node, made on first demand so that forward and gradient share it. */
  unfused?: readonly Tensor[];
};

/** Makes a node and infers the types of its outputs. Ops call this; networks call the functions of `ops/`. */
export function makeNode<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): readonly Tensor[] {
  const outputs: Tensor[] = [];
  const node: Node<A> = { op, inputs, attrs, outputs };
  for (const [index, type] of op.infer(inputs, attrs).entries()) {
    for (const d of type.shape) assert(Number.isInteger(d) && d >= 0, `${op.name} gave the shape [${type.shape}]`);
    outputs.push({ node: node as Node, index, dtype: type.dtype, shape: type.shape });
  }
  return outputs;
}

const noInputs = (what: string): never => {
  throw new Error(`${what} has no inputs`);
};

type LeafAttrs = TensorType & { readonly name: string };

/** A value fed at every run. */
const inputOp: Op<LeafAttrs> = {
  name: 'input',
  formula: 'y = fed value',
  infer: (_, a) => [a],
  grad: () => [],
  onnx: () => noInputs('input'),
};

/** A weight of the network, bound to a file, to memory or to a run-time input when the graph is compiled. */
const paramOp: Op<LeafAttrs> = {
  name: 'param',
  formula: 'y = weight',
  infer: (_, a) => [a],
  grad: () => [],
  onnx: () => noInputs('param'),
};

/** A value known when the graph is built. */
const constantOp: Op<{ readonly value: NdArray }> = {
  name: 'constant',
  formula: 'y = value',
  infer: (_, a) => [{ dtype: a.value.dtype, shape: a.value.shape }],
  grad: () => [],
  onnx: (e, _inputs, node) => [e.constant(node.attrs.value)],
};

/** A value fed at every run. */
export function input(name: string, shape: readonly number[], dtype: DType = 'f32'): Tensor {
  return makeNode(inputOp, [], { name, shape, dtype })[0]!;
}

/** A named weight of shape `shape`. Names keep the spelling of the checkpoint. */
export function param(name: string, shape: readonly number[], dtype: DType = 'f32'): Tensor {
  return makeNode(paramOp, [], { name, shape, dtype })[0]!;
}

/** A constant tensor. */
export function constant(value: NdArray): Tensor {
  assert(
    value.data.length === sizeOf(value.shape),
    `constant of ${value.data.length} numbers and shape [${value.shape}]`,
  );
  return makeNode(constantOp, [], { value })[0]!;
}

/** A float32 constant from numbers. */
export function constantF32(shape: readonly number[], data: Float32Array | readonly number[]): Tensor {
  return constant(f32(shape, data));
}

/** A constant int64 tensor, for indices. */
export function constantInts(shape: readonly number[], data: readonly number[] | Int32Array): Tensor {
  return constant({ dtype: 'i64', shape, data: BigInt64Array.from(data as readonly number[], BigInt) });
}

/** A scalar constant of the dtype of `like` (default float32). */
export function scalar(value: number, like?: TensorType): Tensor {
  const dtype = like?.dtype ?? 'f32';
  if (dtype === 'f32') return constantF32([], [value]);
  if (dtype === 'i64') return constant({ dtype, shape: [], data: BigInt64Array.of(BigInt(value)) });
  if (dtype === 'i32') return constant({ dtype, shape: [], data: Int32Array.of(value) });
  if (dtype === 'bool') return constant({ dtype, shape: [], data: Uint8Array.of(value ? 1 : 0) });
  assert(dtype === 'f16', `no scalar constant of type ${dtype}`);
  return constant({ dtype, shape: [], data: Uint16Array.of(numberToHalf(value)) });
}

export function isInput(node: Node): node is Node & { readonly attrs: LeafAttrs } {
  return node.op === (inputOp as unknown);
}
export function isParam(node: Node): node is Node & { readonly attrs: LeafAttrs } {
  return node.op === (paramOp as unknown);
}
export function isConstant(node: Node): node is Node & { readonly attrs: { readonly value: NdArray } } {
  return node.op === (constantOp as unknown);
}

/** True for inputs, weights and constants: nothing is computed for them. */
export const isLeaf = (node: Node): boolean => isInput(node) || isParam(node) || isConstant(node);

/** The value of a constant tensor, or undefined. */
export function constantValue(t: Tensor): NdArray | undefined {
  return isConstant(t.node) ? t.node.attrs.value : undefined;
}

/**
 * All nodes that the tensors depend on, inputs before users, in a fixed order. Iterative: graphs can be deep.
 * The walk does not go behind the nodes of `stopAt`, which are included themselves.
 */
export function topologicalOrder(outputs: readonly Tensor[], stopAt?: ReadonlySet<Node>): Node[] {
  const order: Node[] = [];
  const state = new Set<Node>();
  const stack: { node: Node; next: number }[] = [];
  for (const output of outputs) {
    if (state.has(output.node)) continue;
    state.add(output.node);
    stack.push({ node: output.node, next: 0 });
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      const child = stopAt?.has(top.node) ? undefined : top.node.inputs[top.next++];
      if (child === undefined) {
        order.push(top.node);
        stack.pop();
      } else if (!state.has(child.node)) {
        state.add(child.node);
        stack.push({ node: child.node, next: 0 });
      }
    }
  }
  return order;
}
