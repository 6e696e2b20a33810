// Layer 3: sampling and training noise as pure mathematics. No files, no networks, no sessions: runs wherever JavaScript runs.
export {
  composeCondition,
  conditionLatentFrames,
  conditionMask,
  firstFrames,
  firstRandomFrames,
  indicatorAt,
  type LatentCondition,
  randomFrames,
  replaceDenoised,
  replaceOutput,
} from './condition.ts';
export { type Branch, type GuidedDenoiserOptions, guidedDenoiser, type Network, scriptsPrepare } from './denoiser.ts';
export {
  denoisedFrom,
  edmLossWeight,
  edmScalings,
  flowScalings,
  outputFrom,
  type Scalings,
  SIGMA_DATA,
  scaled,
} from './edm.ts';
export { type EulerOptions, sampleEuler } from './edm-euler.ts';
export {
  type FlowCondition,
  type FlowDenoiserOptions,
  type FlowNetwork,
  flowDenoiser,
  velocityDenoiser,
} from './flow-denoiser.ts';
export { guide, guideTwo } from './guidance.ts';
export { type NoiseKey, noise, philox } from './noise.ts';
export { mt19937, numpyNormal, torchNormal } from './reference-noise.ts';
export { RES_SOLVERS, type ResOptions, type ResSolver, resSolverSigmas, sampleRes } from './res.ts';
export {
  type Churn,
  type Denoiser,
  finalSample,
  type NoiseSource,
  type SamplerOptions,
  type SamplerState,
  type SamplerStep,
} from './sampler.ts';
export {
  chunkAugmentSigma,
  DIFFUSERS_EULER,
  type EulerSchedule,
  eulerSigmas,
  eulerStartScale,
  karrasSigmas,
  PREDICT1_EULER,
  PREDICT2_EULER,
  RES_RANGE,
  resSigmas,
  type SigmaRange,
} from './schedules.ts';
export {
  checkTokenSampling,
  drawToken,
  largest,
  PREDICT1_TOKENS,
  sampleToken,
  type TokenDistribution,
  type TokenSampling,
  tokenDistribution,
  tokenUniforms,
} from './tokens.ts';
export {
  AUGMENT_SIGMA,
  AUGMENT_SIGMA_7B,
  CONSTANT_AFTER_WARM_UP,
  cyclicMultiplier,
  type LearningRateCycle,
  learningRateMultiplier,
  normalQuantile,
  powerEmaBeta,
  powerEmaExponent,
  type SigmaDistribution,
  sigmaFromUniform,
} from './training-noise.ts';
export { flowSigmas, PREDICT2_5_UNIPC, sampleUniPc, type UniPcOptions } from './unipc.ts';
