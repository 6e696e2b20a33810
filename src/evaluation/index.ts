// Layer 4: is the network right, and is the world right? Parity with reference cases, metrics, baselines, benchmarks.

export { type ConsistencyOptions, consistencyBenchmark } from './benchmarks/consistency.ts';
export { openPredictor, type Predictor } from './benchmarks/models.ts';
export { type PhysicsOptions, physicsBenchmark } from './benchmarks/physics.ts';
export { type PromptsOptions, promptsBenchmark } from './benchmarks/prompts.ts';
export type { BenchmarkEvent } from './benchmarks/runner.ts';
export { type SpeedOptions, type SpeedResult, speedBenchmark } from './benchmarks/speed.ts';
export { type TokenizerOptions, tokenizerBenchmark } from './benchmarks/tokenizer.ts';
export { type SampsonResult, temporalSampson } from './geometry/consistency.ts';
export { findKeypoints, MATCHER, matchPairs } from './geometry/features.ts';
export { DRIVING_RIG, type FTheta, fthetaRays, raysToPinhole, TARGET_PINHOLE } from './geometry/ftheta.ts';
export { eightPoint, type RansacOptions, type RansacResult, ransacFundamental } from './geometry/fundamental.ts';
export { absoluteError, cameraControlError, relativeError, type Similarity, umeyama } from './geometry/poses.ts';
export {
  aggregatePairs,
  canvasScale,
  type Matches,
  type PairError,
  pairError,
  sampsonPixels,
  sampsonSquared,
} from './geometry/sampson.ts';
export { type Structure, type StructureOptions, structureFromMotion } from './geometry/sfm/structure.ts';
export { type SynthesisResult, viewSynthesis } from './geometry/sfm/synthesis.ts';
export { POINT_TRACKER } from './geometry/sfm/tracks.ts';
export { codebookUsage } from './metrics/codebook.ts';
export { type Features, type Frechet, frechetDistance, polynomialMmd } from './metrics/frechet.ts';
export { type IouSummary, iouOf, maskOverlap, type Overlap, summariseIou } from './metrics/masks.ts';
export { cosineDistance, dreamSimEmbedding, type LayerFeatures, lpipsLayers } from './metrics/perceptual.ts';
export {
  type PhysicsIqMeasures,
  type PhysicsIqScore,
  type PhysicsIqTotal,
  type PhysicsIqView,
  physicsIqScore,
  physicsIqView,
} from './metrics/physics-iq.ts';
export {
  meanSquaredError,
  meanSquaredErrors,
  PSNR_CAP,
  psnrPicture,
  psnrTokenBench,
  psnrTraining,
} from './metrics/psnr.ts';
export { type MsSsim, msSsim, type PictureSize, ssimGaussian, ssimMap, ssimUniform } from './metrics/ssim.ts';
export { type TemporalMeasures, temporalMeasures } from './metrics/temporal.ts';
export {
  type ClipRow,
  defined,
  type MetricInfo,
  type Results,
  type Summary,
  scoresOf,
  summarise,
} from './report/table.ts';
export type { ReportFiles } from './report/write.ts';
export { type OpenCvFilter, resizeOpenCv, resizeOpenCvBytes } from './resize/opencv.ts';
export { type PillowFilter, resizePillow } from './resize/pillow.ts';
export { resizeTorch, type TorchFilter } from './resize/torch.ts';
export * from './selftest/index.ts';
export { TRACKER, type TrackOptions, trackMasks } from './tracking/tracker.ts';
export { type EvaluateVideosEvent, type EvaluateVideosOptions, evaluateVideos } from './videos/evaluate.ts';
export { VIDEO_METRICS, type VideoMetric } from './videos/metrics.ts';
