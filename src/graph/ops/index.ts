// All ops by subject. `OPS` lists every record once, for documentation and for tests.
import { attentionOps } from './attention.ts';
import { blockwiseOps } from './blockwise.ts';
import { convOps } from './conv.ts';
import { depthwiseOps } from './depthwise.ts';
import { elementwiseOps } from './elementwise.ts';
import { indexOps } from './index-ops.ts';
import { linearOps } from './linear.ts';
import { normOps } from './norm.ts';
import { reduceOps } from './reduce.ts';
import { shapeOps } from './shape.ts';

export { attention, rope } from './attention.ts';
export { blockShape, blockwise } from './blockwise.ts';
export { avgPool, type ConvGeometry, conv, convTranspose } from './conv.ts';
export { depthwiseConv } from './depthwise.ts';
export {
  abs,
  add,
  addAlong,
  and,
  barrier,
  broadcastShapes,
  cast,
  clamp,
  cos,
  div,
  equal,
  erf,
  exp,
  floor,
  gelu,
  geluTanh,
  greater,
  greaterOrEqual,
  isNotNumber,
  less,
  lessOrEqual,
  log,
  maximum,
  minimum,
  mul,
  neg,
  not,
  type Operand,
  or,
  pow,
  reciprocal,
  relu,
  round,
  rsqrt,
  sigmoid,
  sign,
  silu,
  sin,
  softplus,
  sqrt,
  square,
  stopGradient,
  sub,
  tanh,
  where,
} from './elementwise.ts';
export {
  gather,
  gatherElements,
  gatherRows,
  type Neighbourhood,
  oneHot,
  scatterElements,
  scatterRows,
} from './index-ops.ts';
export { fromBlocks, gemm, linear, matmul, quantizedLinear } from './linear.ts';
export { layerNorm, rmsNorm, rmsNormPlain } from './norm.ts';
export { argMax, cumsum, logSoftmax, max, mean, softmax, sum, sumTo, topK } from './reduce.ts';
export {
  chunk,
  concat,
  expand,
  flip,
  pad,
  padEdge,
  padReflect,
  repeat,
  reshape,
  slice,
  sliceMany,
  split,
  stack,
  transpose,
} from './shape.ts';

/** Every op record. */
export const OPS = [
  ...elementwiseOps,
  ...reduceOps,
  ...shapeOps,
  ...indexOps,
  ...linearOps,
  ...convOps,
  ...depthwiseOps,
  ...normOps,
  ...attentionOps,
  ...blockwiseOps,
] as const;
