// What an op is: one record with its formula, shape rule, gradient and ONNX emission. The records live in `ops/`.
import type { NdArray } from '../base/index.ts';
import type { OnnxNode, OnnxValue } from './onnx/protobuf.ts';
import type { Node, Tensor, TensorType } from './tensor.ts';

/** Arguments of a gradient rule: `g` upstream gradients per output (undefined = zero), `x` inputs, `y` outputs. */
export type GradArgs<A> = {
  readonly g: readonly (Tensor | undefined)[];
  /** `g[0]`, for the usual op with one output. */
  readonly gy: Tensor;
  readonly x: readonly Tensor[];
  readonly y: readonly Tensor[];
  readonly attrs: A;
};

/** Attribute values of ONNX nodes. Plain numbers and number lists are integers; floats are wrapped. */
export type OnnxAttr =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly strings: readonly string[] }
  | OnnxSubgraph;

/** A graph inside a node. It sees the values of the graph around it by name. */
export type OnnxSubgraph = {
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
};

/** Where an op writes its ONNX nodes. */
export type Emit = {
  /** True: only operators of the ONNX standard (opset 20), for other runtimes. */
  readonly standard: boolean;
  /** Adds one ONNX node; returns the names of its outputs. */
  node(
    type: string,
    inputs: readonly string[],
    attrs?: Readonly<Record<string, OnnxAttr>>,
    options?: { readonly domain?: string; readonly outputs?: number },
  ): string[];
  /**
   * A body for ops that hold a graph: its own inputs, or values of this graph where `outer` names one.
   * `build` gives the results from placeholders of these types.
   */
  subgraph(
    inputs: readonly { readonly type: TensorType; readonly outer: string | undefined }[],
    build: (inputs: readonly Tensor[]) => readonly Tensor[],
  ): OnnxSubgraph;
  /** Adds an initializer, shared when equal; returns its name. */
  constant(value: NdArray): string;
  /** An int64 list as initializer (axes, shapes). */
  ints(values: readonly number[]): string;
  /** A float32 scalar as initializer, in the dtype of `like`. */
  scalar(value: number, like: TensorType): string;
};

/** One operator. */
export type Op<A = unknown> = {
  readonly name: string;
  /** The definition, in a line. */
  readonly formula: string;
  /** Types of the outputs from the inputs; throws on shapes that do not fit. */
  infer(inputs: readonly Tensor[], attrs: A): readonly TensorType[];
  /**
   * Gradients with respect to each input; undefined = none flows there. `null` in place of the rule: not differentiable, gradient zero.
   * `'unfused'`: differentiate the unfused definition.
   */
  readonly grad: ((args: GradArgs<A>) => readonly (Tensor | undefined)[]) | null | 'unfused';
  /** Writes the op; returns the names of its outputs. */
  onnx(e: Emit, inputs: readonly string[], node: Node<A>): readonly string[];
  /** The result for constant inputs, in float32 as a session would compute it; undefined where it is not worth knowing. */
  evaluate?(inputs: readonly NdArray[], attrs: A): NdArray | undefined;
  /** The op by other ops. Used by gradients (`'unfused'`) and, when `contrib` is set, by standard export. */
  unfused?(inputs: readonly Tensor[], attrs: A): readonly Tensor[];
  /** True: `onnx` writes operators outside the ONNX standard. */
  readonly contrib?: boolean;
};
