// From output tensors to the bytes of an ONNX model: passes, deterministic names, weights by reference.
import { assert, DTYPE_BYTES, type DType, type NdArray, numberToHalf, OrreryError, sizeOf } from '../base/index.ts';
import { withBlocks } from './blocks.ts';
import { foldConstants } from './fold.ts';
import { type OnnxInitializer, type OnnxNode, type OnnxValue, writeOnnx } from './onnx/protobuf.ts';
import type { Emit, OnnxAttr } from './op.ts';
import { ONNX_DTYPE } from './ops/elementwise.ts';
import { fuse, mergeEqual, unfold } from './passes.ts';
import {
  input,
  isConstant,
  isInput,
  isParam,
  type Node,
  type Tensor,
  type TensorType,
  topologicalOrder,
} from './tensor.ts';

/** Where the values of a weight come from. */
export type WeightSource =
  /** Fed at every run under the weight's name: training. */
  | { readonly kind: 'input' }
  /** Bytes inside a file of the model folder (plain file name); other float types are converted at load. */
  | {
      readonly kind: 'file';
      readonly file: string;
      readonly offset: number;
      readonly length: number;
      readonly dtype: DType;
    }
  /** Written into the model. */
  | { readonly kind: 'value'; readonly value: NdArray }
  /** A matrix [out, in] in blocks of 8 or 4 bits; a weight of another shape is one row per entry of its first axis. */
  | BlockSource;

/** Where the parts of a matrix in blocks come from. */
export type BlockSource = {
  readonly kind: 'blocks';
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /** u8 [out, in/block, block·bits/8] */
  readonly packed: Exclude<WeightSource, BlockSource>;
  /** f32 [out, in/block] */
  readonly scales: Exclude<WeightSource, BlockSource>;
};

/** Kind of device that a graph is written for. */
export type Target = 'cpu' | 'gpu';

export type CompileOptions = {
  /** Source of each weight by name. Default: every weight is a run-time input. */
  readonly weights?: (name: string, type: TensorType) => WeightSource;
  /** True: only operators of the ONNX standard. Default false. */
  readonly standard?: boolean;
  /**
   * What the graph is written for. 'cpu' (default): long vectors in blocks that fit a processor's cache. 'gpu': without them,
   * and without the parts of fused operators that are wrong there.
   */
  readonly target?: Target;
  /**
   * When weights that a file holds in a narrower type become float32: 'load' (default) once, which needs the memory of both
   * forms; 'use' at every run just before they are used, so that the file stays mapped and one layer is wide at a time.
   */
  readonly widen?: 'load' | 'use';
  readonly name?: string;
};

/** A graph ready to run: the ONNX bytes and what goes in and out. */
export type CompiledGraph = {
  readonly onnx: Uint8Array;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** Files of the model folder that the weights are read from. */
  readonly files: readonly string[];
  /** Number of ONNX nodes. */
  readonly nodes: number;
  /** Uses of each ONNX operator; those outside the standard as `domain:Type`. */
  readonly operators: Readonly<Record<string, number>>;
};

const typeOf = ({ dtype, shape }: TensorType): TensorType => ({ dtype, shape });

/** Bytes in a file from which on a weight is worth keeping as it is stored. */
const LARGE_WEIGHT = 1 << 16;

/** Names become parts of ONNX value names; anything odd would only confuse other tools. */
const plain = (name: string): string => name.replace(/[^A-Za-z0-9_.:/-]/g, '_');

/** Compiles named outputs into one ONNX model. Equal graphs give equal bytes. */
export function compile(outputs: Readonly<Record<string, Tensor>>, options: CompileOptions = {}): CompiledGraph {
  const { standard = false, target = 'cpu', widen = 'load', name = 'orrery' } = options;
  const names = Object.keys(outputs);
  const { tensors: blocked, weights } = withBlocks(
    names.map((n) => outputs[n]!),
    options.weights ?? (() => ({ kind: 'input' })),
  );
  const tensors = optimise(blocked, { standard, target });
  const tables = onlyGathered(tensors);

  let nodes: OnnxNode[] = [];
  const initializers: OnnxInitializer[] = [];
  const inputs: OnnxValue[] = [];
  const files = new Set<string>();
  /** Weights that are widened where they are used; of a table only the rows that were picked. */
  const stored = new Set<string>();
  const valueNames = new Map<Node, readonly string[]>();
  const constants = new Map<string, string>();
  const bigConstants = new Map<object, string>();
  let current = '';
  let serial = 0;

  const e: Emit = {
    standard,
    node(type, ins, attrs: Readonly<Record<string, OnnxAttr>> = {}, { domain = '', outputs: count = 1 } = {}) {
      const id = `${current}_${serial++}`;
      const outs = Array.from({ length: count }, (_, i) => (count === 1 ? id : `${id}.${i}`));
      nodes.push({ type, name: id, domain, inputs: ins, outputs: outs, attrs });
      return outs;
    },
    constant(value) {
      const small = sizeOf(value.shape) <= 1024;
      const key = small
        ? `${value.dtype}|${value.shape}|${Array.from(value.data as ArrayLike<number | bigint>, String).join()}`
        : '';
      const known = small ? constants.get(key) : bigConstants.get(value.data);
      // The same numbers under another shape need their own initializer; big ones are shared only when the shape agrees.
      if (known !== undefined && (small || known.endsWith(`[${value.shape.join('x')}]`))) return known;
      const id = `c${initializers.length}${small ? '' : `[${value.shape.join('x')}]`}`;
      initializers.push({ name: id, dtype: value.dtype, shape: value.shape, source: { data: value.data } });
      if (small) constants.set(key, id);
      else bigConstants.set(value.data, id);
      return id;
    },
    subgraph(bodyInputs, build) {
      const own: OnnxValue[] = [];
      const placeholders = bodyInputs.map(({ type, outer }) => {
        const id = outer ?? `${current}_${serial++}.in`;
        const t = input(id, type.shape, type.dtype);
        valueNames.set(t.node, [id]);
        if (outer === undefined) own.push({ name: id, dtype: type.dtype, shape: type.shape });
        return t;
      });
      const results = optimise(build(placeholders), { standard, target });
      const [outerNodes, outerCurrent] = [nodes, current];
      nodes = [];
      emit(results);
      const body = { nodes, inputs: own, outputs: results.map((t) => ({ ...typeOf(t), name: nameOf(t) })) };
      [nodes, current] = [outerNodes, outerCurrent];
      return body;
    },
    ints: (values) => e.constant({ dtype: 'i64', shape: [values.length], data: BigInt64Array.from(values, BigInt) }),
    scalar(value, like) {
      if (like.dtype === 'f16')
        return e.constant({ dtype: 'f16', shape: [], data: Uint16Array.of(numberToHalf(value)) });
      if (like.dtype === 'i64') return e.constant({ dtype: 'i64', shape: [], data: BigInt64Array.of(BigInt(value)) });
      if (like.dtype === 'i32') return e.constant({ dtype: 'i32', shape: [], data: Int32Array.of(value) });
      assert(like.dtype === 'f32', `scalar of type ${like.dtype}`);
      return e.constant({ dtype: 'f32', shape: [], data: Float32Array.of(value) });
    },
  };

  const weightValue = (id: string, type: TensorType): string => {
    const source = weights(id, type);
    if (source.kind === 'input') {
      inputs.push({ name: id, dtype: type.dtype, shape: type.shape });
      return id;
    }
    const dtype = source.kind === 'file' ? source.dtype : source.value.dtype;
    if (source.kind === 'file') {
      const bytes = sizeOf(type.shape) * DTYPE_BYTES[dtype];
      if (bytes !== source.length) {
        throw new OrreryError(
          'model',
          `weight ${id}: ${source.length} bytes in ${source.file}, but [${type.shape}] ${dtype} needs ${bytes}`,
        );
      }
      files.add(source.file);
      const { file, offset, length } = source;
      initializers.push({ name: id, dtype, shape: type.shape, source: { file, offset, length } });
    } else {
      initializers.push({ name: id, dtype, shape: type.shape, source: { data: source.value.data } });
    }
    if (dtype === type.dtype) return id;
    const isLarge = source.kind === 'file' && source.length >= LARGE_WEIGHT;
    if (isLarge && (widen === 'use' || tables.has(id))) {
      stored.add(id);
      return id;
    }
    return cast(id, type);
  };

  const cast = (id: string, type: TensorType): string => {
    current = 'widen';
    return e.node('Cast', [id], { to: ONNX_DTYPE[type.dtype] })[0]!;
  };

  /** The name of an input of `user`. A stored weight is widened here, and not before another input of `user` is known. */
  const operand = (t: Tensor, user: Node): string => {
    const id = nameOf(t);
    if (!stored.has(id)) return id;
    const first = user.inputs.find((i) => !isParam(i.node) && !isConstant(i.node) && i.dtype === 'f32');
    if (first === undefined) return cast(id, t);
    current = 'widen';
    const [flat] = e.node('Reshape', [nameOf(first), e.ints([-1])]);
    const [head] = e.node('Slice', [flat!, e.ints([0]), e.ints([1])]);
    const [isNan] = e.node('IsNaN', [head!]);
    // Both branches are the weight's own shape; only a run can tell, so the runtime cannot widen it early.
    const [shape] = e.node('Where', [isNan!, e.ints(t.shape), e.ints(t.shape)]);
    return cast(e.node('Reshape', [id, shape!])[0]!, t);
  };

  const nameOf = (t: Tensor): string => valueNames.get(t.node)![t.index]!;

  /** Writes what `results` depend on and is not written yet. */
  const emit = (results: readonly Tensor[]): void => {
    for (const node of topologicalOrder(results)) {
      if (valueNames.has(node)) continue;
      if (isInput(node)) {
        const { name: id, dtype, shape } = node.attrs;
        assert(!inputs.some((i) => i.name === id), `two inputs are named ${id}`);
        inputs.push({ name: id, dtype, shape });
        valueNames.set(node, [id]);
      } else if (isParam(node)) {
        valueNames.set(node, [weightValue(node.attrs.name, node.attrs)]);
      } else if (isConstant(node)) {
        valueNames.set(node, [e.constant(node.attrs.value)]);
      } else {
        current = plain(node.op.name);
        if (node.op.name === 'gather' && stored.has(nameOf(node.inputs[0]!))) {
          valueNames.set(node, [cast(node.op.onnx(e, node.inputs.map(nameOf), node)[0]!, node.outputs[0]!)]);
          continue;
        }
        const ins = node.inputs.map((t) => operand(t, node));
        current = plain(node.op.name);
        valueNames.set(node, node.op.onnx(e, ins, node));
      }
    }
  };
  emit(tensors);

  // An output takes the caller's name where a node writes it; through Identity where that cannot be: a value may be two
  // outputs, or an input or constant at the same time.
  const written = new Set(nodes.flatMap((n) => n.outputs));
  const renamed = new Map<string, string>();
  const onnxOutputs: OnnxValue[] = [];
  const copies: OnnxNode[] = [];
  for (const [i, t] of tensors.entries()) {
    const id = names[i]!;
    const value = stored.has(nameOf(t)) ? cast(nameOf(t), t) : nameOf(t);
    if (written.has(value) && !renamed.has(value)) renamed.set(value, id);
    else copies.push({ type: 'Identity', name: `out_${id}`, domain: '', inputs: [value], outputs: [id], attrs: {} });
    onnxOutputs.push({ name: id, dtype: t.dtype, shape: t.shape });
  }
  const rename = (n: OnnxNode): OnnxNode => ({
    ...n,
    inputs: n.inputs.map((v) => renamed.get(v) ?? v),
    outputs: n.outputs.map((v) => renamed.get(v) ?? v),
    attrs: Object.fromEntries(
      Object.entries(n.attrs).map(([key, a]) => [
        key,
        typeof a === 'object' && 'nodes' in a ? { ...a, nodes: a.nodes.map(rename) } : a,
      ]),
    ),
  });
  const finished = deepestLast(joinReshapes([...nodes, ...copies].map(rename), names));
  const onnx = writeOnnx({ graphName: name, nodes: finished, initializers, inputs, outputs: onnxOutputs });
  const operators: Record<string, number> = {};
  for (const n of finished) {
    const type = n.domain === '' ? n.type : `${n.domain}:${n.type}`;
    operators[type] = (operators[type] ?? 0) + 1;
  }
  return { onnx, inputs, outputs: onnxOutputs, files: [...files], nodes: finished.length, operators };
}

/** Values that a node reads, its subgraphs too. */
const readBy = (n: OnnxNode): readonly string[] => [
  ...n.inputs,
  ...Object.values(n.attrs).flatMap((a) => (typeof a === 'object' && 'nodes' in a ? a.nodes.flatMap(readBy) : [])),
];

/** A reshape of a reshape reads what the first one reads. ONNX Runtime does the same, but writes a new last node for it: see below. */
function joinReshapes(nodes: readonly OnnxNode[], results: readonly string[]): OnnxNode[] {
  const sourceOf = new Map<string, string>();
  const joined = nodes.map((n) => {
    if (n.type !== 'Reshape') return n;
    const [from, shape] = n.inputs as [string, string];
    const source = sourceOf.get(from) ?? from;
    sourceOf.set(n.outputs[0]!, source);
    return source === from ? n : { ...n, inputs: [source, shape] };
  });
  const used = new Set([...results, ...joined.flatMap(readBy)]);
  return joined.filter((n) => n.type !== 'Reshape' || used.has(n.outputs[0]!));
}

/**
 * Nodes by the longest path that leads to them. ONNX Runtime walks back from the results and takes the input that was written last
 * first. So it computes what a side branch gives, such as keys and values of a text in each block, when the main path needs it; in the
 * order of writing it would compute those of all blocks before the first one and hold them.
 */
function deepestLast(nodes: readonly OnnxNode[]): OnnxNode[] {
  const depthOf = new Map<string, number>();
  const depths = new Map<OnnxNode, number>();
  for (const n of nodes) {
    const depth = 1 + readBy(n).reduce((most, v) => Math.max(most, depthOf.get(v) ?? 0), 0);
    depths.set(n, depth);
    for (const v of n.outputs) depthOf.set(v, depth);
  }
  return [...nodes].sort((a, b) => depths.get(a)! - depths.get(b)!);
}

/** Names of weights that are only ever picked from by rows, as embedding tables are. */
export function onlyGathered(tensors: readonly Tensor[]): ReadonlySet<string> {
  const picked = new Set<string>();
  const used = new Set<string>(tensors.flatMap(({ node }) => (isParam(node) ? [node.attrs.name] : [])));
  for (const node of topologicalOrder(tensors)) {
    for (const [i, { node: from }] of node.inputs.entries()) {
      if (isParam(from)) (node.op.name === 'gather' && i === 0 ? picked : used).add(from.attrs.name);
    }
  }
  for (const name of used) picked.delete(name);
  return picked;
}

/** The passes in order. Exported for tests and for counting. */
export function optimise(
  outputs: readonly Tensor[],
  options: { readonly standard: boolean; readonly target?: Target },
): Tensor[] {
  const unfolded = unfold(outputs, options);
  const merged = mergeEqual(foldConstants(unfolded));
  // Fusions write contrib operators; what they leave equal is merged once more.
  return options.standard ? merged : mergeEqual(fuse(merged));
}
