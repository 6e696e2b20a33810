// Layer 4: public checkpoints of any layout: opened, checked against the network, converted and exported.
export { publicAutoregressiveConfig } from './autoregressive-config.ts';
export { type ConvertEvent, type ConvertOptions, convertCheckpoint, LAYOUTS, type TargetLayout } from './convert.ts';
export { type ExportEvent, type ExportOptions, exportOnnx } from './export-onnx.ts';
export { type CheckpointFiles, findCheckpoint, readConfig } from './find.ts';
export { compareKeys, type Misfit, requireFit, requireValues, type ValueProblem, valueProblem } from './fit.ts';
export {
  type AutoregressiveOptions,
  autoregressiveWeights,
  fromLayout,
  joinPieces,
} from './keys/autoregressive.ts';
export { ditName } from './keys/general-dit.ts';
export { latentTable, requirePair } from './latents.ts';
export { type Checkpoint, type Network, type OpenCheckpointOptions, openCheckpoint } from './open.ts';
export { isTextEncoder, openTextCheckpoint, type TextCheckpoint } from './text-encoder.ts';
export type { CheckpointTensor, Expected, Family, LatentTable, Spelling, Tensors } from './types.ts';
export { requireTokenizer, type VerifyModelEvent, verifyModel } from './verify.ts';
