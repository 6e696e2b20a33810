// Writes the few protobuf messages of an ONNX model (https://onnx.ai, onnx.proto). Field numbers are the format's own.
import type { DType, TypedData } from '../../base/index.ts';
import type { OnnxAttr } from '../op.ts';
import { ONNX_DTYPE } from '../ops/elementwise.ts';

const utf8 = new TextEncoder();

/** A growing byte buffer with protobuf's wire types. */
export class ProtoWriter {
  private bytes = new Uint8Array(256);
  private length = 0;

  private reserve(n: number): void {
    if (this.length + n <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + n));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  private raw(data: Uint8Array): void {
    this.reserve(data.length);
    this.bytes.set(data, this.length);
    this.length += data.length;
  }

  private varint(value: number | bigint): void {
    this.reserve(10);
    let v = BigInt.asUintN(64, BigInt(value));
    while (v >= 0x80n) {
      this.bytes[this.length++] = Number(v & 0x7fn) | 0x80;
      v >>= 7n;
    }
    this.bytes[this.length++] = Number(v);
  }

  int(field: number, value: number | bigint): void {
    this.varint(field << 3);
    this.varint(value);
  }

  float(field: number, value: number): void {
    this.varint((field << 3) | 5);
    this.raw(new Uint8Array(Float32Array.of(value).buffer));
  }

  data(field: number, value: Uint8Array): void {
    this.varint((field << 3) | 2);
    this.varint(value.length);
    this.raw(value);
  }

  string(field: number, value: string): void {
    this.data(field, utf8.encode(value));
  }

  message(field: number, write: (w: ProtoWriter) => void): void {
    const inner = new ProtoWriter();
    write(inner);
    this.data(field, inner.finish());
  }

  ints(field: number, values: readonly number[]): void {
    // Packed repeated int64.
    const inner = new ProtoWriter();
    for (const v of values) inner.varint(v);
    this.data(field, inner.finish());
  }

  finish(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }
}

/** NodeProto. */
export type OnnxNode = {
  readonly type: string;
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attrs: Readonly<Record<string, OnnxAttr>>;
};

/** TensorProto: data inside the model, or in a file beside it. */
export type OnnxInitializer = {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly source:
    | { readonly data: TypedData }
    | { readonly file: string; readonly offset: number; readonly length: number };
};

export type OnnxValue = { readonly name: string; readonly dtype: DType; readonly shape: readonly number[] };

export type OnnxModel = {
  readonly graphName: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxInitializer[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
};

const ATTRIBUTE = { float: 1, int: 2, string: 3, graph: 5, ints: 7, strings: 8 } as const;

function writeAttribute(w: ProtoWriter, name: string, value: OnnxAttr): void {
  w.string(1, name);
  if (typeof value === 'number') {
    w.int(3, value);
    w.int(20, ATTRIBUTE.int);
  } else if (typeof value === 'string') {
    w.string(4, value);
    w.int(20, ATTRIBUTE.string);
  } else if ('float' in value) {
    w.float(2, value.float);
    w.int(20, ATTRIBUTE.float);
  } else if ('nodes' in value) {
    w.message(6, (graph) => {
      for (const node of value.nodes) graph.message(1, (n) => writeNode(n, node));
      graph.string(2, name);
      for (const v of value.inputs) graph.message(11, (i) => writeValue(i, v));
      for (const v of value.outputs) graph.message(12, (o) => writeValue(o, v));
    });
    w.int(20, ATTRIBUTE.graph);
  } else if ('strings' in value) {
    for (const s of value.strings) w.string(9, s);
    w.int(20, ATTRIBUTE.strings);
  } else {
    w.ints(8, value);
    w.int(20, ATTRIBUTE.ints);
  }
}

function writeNode(w: ProtoWriter, node: OnnxNode): void {
  for (const i of node.inputs) w.string(1, i);
  for (const o of node.outputs) w.string(2, o);
  w.string(3, node.name);
  w.string(4, node.type);
  for (const [name, value] of Object.entries(node.attrs)) w.message(5, (a) => writeAttribute(a, name, value));
  if (node.domain !== '') w.string(7, node.domain);
}

function writeValue(w: ProtoWriter, v: OnnxValue): void {
  w.string(1, v.name);
  w.message(2, (type) =>
    type.message(1, (tensor) => {
      tensor.int(1, ONNX_DTYPE[v.dtype]);
      tensor.message(2, (shape) => {
        for (const d of v.shape) shape.message(1, (dim) => dim.int(1, d));
      });
    }),
  );
}

function writeInitializer(w: ProtoWriter, t: OnnxInitializer): void {
  w.ints(1, t.shape);
  w.int(2, ONNX_DTYPE[t.dtype]);
  w.string(8, t.name);
  if ('data' in t.source) {
    const { buffer, byteOffset, byteLength } = t.source.data;
    w.data(9, new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength));
    return;
  }
  const entries = [
    ['location', t.source.file],
    ['offset', String(t.source.offset)],
    ['length', String(t.source.length)],
  ] as const;
  for (const [key, value] of entries) {
    w.message(13, (entry) => {
      entry.string(1, key);
      entry.string(2, value);
    });
  }
  w.int(14, 1); // data_location = EXTERNAL
}

/** The bytes of an ONNX file, opset 20. */
export function writeOnnx(model: OnnxModel): Uint8Array {
  const w = new ProtoWriter();
  w.int(1, 9); // ir_version
  w.string(2, 'orrery');
  w.message(7, (graph) => {
    for (const node of model.nodes) graph.message(1, (n) => writeNode(n, node));
    graph.string(2, model.graphName);
    for (const t of model.initializers) graph.message(5, (i) => writeInitializer(i, t));
    for (const v of model.inputs) graph.message(11, (i) => writeValue(i, v));
    for (const v of model.outputs) graph.message(12, (o) => writeValue(o, v));
  });
  const domains = new Map([['', 20]]);
  for (const node of model.nodes) if (node.domain !== '') domains.set(node.domain, 1);
  for (const [domain, version] of domains) {
    w.message(8, (o) => {
      o.string(1, domain);
      o.int(2, version);
    });
  }
  return w.finish();
}
