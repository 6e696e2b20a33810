// Layer 2: what lies on disk between commands: model folders and run folders.
export { type BadTensor, checkWeights, type WeightsReport } from './check-weights.ts';
export { cachedSha256, sha256OfFile, sha256Steps } from './checksums.ts';
export {
  type CachedModel,
  cachedModels,
  cachedSnapshot,
  removeCached,
  type SnapshotFile,
  snapshotFiles,
  verifySnapshot,
} from './huggingface/cache.ts';
export { type GetEvent, type GetOptions, getModel } from './huggingface/get.ts';
export { locateModel } from './huggingface/locate.ts';
export { type HubSettings, hubSettings, isRepoName } from './huggingface/settings.ts';
export { assembleTensor, type Shapes, type TensorPart, type TensorPlan } from './keys/assemble.ts';
export {
  type AutoregressiveLayout,
  autoregressiveLayout,
  fromNemo,
  fromTransformerEngine,
  type HeadCounts,
  isUnusedAutoregressiveKey,
  mergeTensorParallel,
  tensorParallelAxis,
  tensorParallelShard,
  toTransformerEngine,
} from './keys/autoregressive.ts';
export {
  inspectModel,
  listModels,
  type ModelDescription,
  type ModelFolder,
  type ModelReport,
  type ModelSummary,
  type OpenModelOptions,
  openModelFolder,
  readModelFolder,
  shippedModels,
  type VerifyEvent,
  verifyModelFolder,
  writeModelFolder,
} from './model-folder.ts';
export { VERSION } from './package-info.ts';
export { type FileRecord, type ModelRecord, modelRecordSchema, parseModelRecord } from './record.ts';
export {
  createRunFolder,
  listRuns,
  type RunFolder,
  type RunRecord,
  readEvents,
  readRun,
  runFile,
} from './run-folder.ts';
