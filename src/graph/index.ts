// Layer 1: symbolic tensors, ops, gradients, and the ONNX writer. Builds graphs; runs nothing.
export { blockWeights } from './blocks.ts';
export {
  type BlockSource,
  type CompiledGraph,
  type CompileOptions,
  compile,
  onlyGathered,
  optimise,
  type WeightSource,
} from './compile.ts';
export { foldConstants } from './fold.ts';
export { gradients, recompute, unfusedOf, vectorJacobian } from './gradients.ts';
export { type OnnxValue, ProtoWriter } from './onnx/protobuf.ts';
export type { Emit, GradArgs, OnnxAttr, Op } from './op.ts';
export * from './ops/index.ts';
export { fuse, mergeEqual, rewrite, unfold } from './passes.ts';
export { countFlops, type MemoryPlan, planMemory } from './plan.ts';
export { cutStages, type Stage, type StageOptions } from './stages.ts';
export {
  constant,
  constantF32,
  constantInts,
  constantValue,
  input,
  isConstant,
  isInput,
  isParam,
  makeNode,
  type Node,
  param,
  scalar,
  type Tensor,
  type TensorType,
  topologicalOrder,
} from './tensor.ts';
