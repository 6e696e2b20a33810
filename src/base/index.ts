// Layer 0: what everything else stands on. No dependencies, no Node built-ins.
export {
  bfloatToF32,
  DTYPE_BYTES,
  type DType,
  f32,
  f32ToBfloat,
  f32ToHalf,
  halfToF32,
  halfToNumber,
  type NdArray,
  numberToHalf,
  sizeOf,
  type TypedData,
  toF32,
  zeros,
} from './arrays.ts';
export {
  assert,
  type ErrorCode,
  exitCodeOf,
  InputError,
  type InputProblem,
  needOf,
  OrreryError,
  type SchemaIssue,
  show,
  throwIfAborted,
} from './errors.ts';
export {
  type GuardCategory,
  type GuardCheck,
  type GuardDecision,
  type GuardFrameOptions,
  type GuardFrames,
  type Guardrail,
  type GuardText,
  type GuardVerdict,
  noGuardrail,
} from './guardrail.ts';
export { hash32, type RandomStream, randomStream } from './random.ts';
