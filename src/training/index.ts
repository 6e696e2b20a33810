// Layer 4: training by recipes, checkpoints, and the way from a checkpoint to a model folder.
export { type Adapter, type AdapterPart, type MergeEvent, mergeAdapter, readAdapter, writeAdapter } from './adapter.ts';
export { type CheckpointRecord, loadCheckpoint, saveCheckpoint, type TrainingState } from './checkpoint.ts';
export { type ClipMeta, type Clips, loadClips } from './clips.ts';
export { type EstimateOptions, estimateTraining, type TrainingEstimate } from './estimate.ts';
export type { Exchange, RoundRecord, Work } from './exchange.ts';
export { folderExchange } from './exchange-folder.ts';
export { type NatsExchangeOptions, natsExchange } from './exchange-nats.ts';
export { averagedWeights, exportModel, trainedWeights, writeModel } from './export.ts';
export { findLearningRate, type RateEvent, type RateRange, rateSweep } from './find-rate.ts';
export { type ImportEvent, type ImportSettings, importClips } from './imports/import-clips.ts';
export { openSource, type Source, type SourceVideo } from './imports/sources.ts';
export { cacheLatents, latentsBeside } from './latents.ts';
export { type AdamWOptions, parameterCount, type StateGroup, stateGroups, trainingStep } from './optimizer.ts';
export { type ParallelOptions, runParallel } from './parallel.ts';
export { type PrincipalComponents, principalComponents } from './pca.ts';
export {
  type CosmosRecipe,
  type OwnRecipe,
  optimizerSettings,
  parseRecipe,
  type Recipe,
  readRecipe,
  type TokenizerRecipe,
  type WorldRecipe,
} from './recipe.ts';
export { emaDecay, learningRate, type Schedule } from './schedule.ts';
export { scoreModel } from './score.ts';
export { type StartWeights, weightsOfModel } from './start.ts';
export { exportTrained, type TrainOptions, train } from './train.ts';
export {
  runTraining,
  type TrainEvent,
  type TrainerOptions,
  type TrainingTask,
  type ValidationModel,
} from './trainer.ts';
export {
  effectiveValues,
  factorNames,
  type LoraOptions,
  type Tuning,
  type WeightPlan,
  weightPlan,
} from './tuning.ts';
export { motionIoU, type ObjectScore, paletteOf, psnr, scoreObjects } from './world-scores.ts';
