// Layer 4: pipelines from a request to a world, as streams of typed events.

export { ACTION_SIZE, type Actions, actionFeed, actionShape, mirroredAction, requireActions } from './actions.ts';
export { type GenerateTokensOptions, generateTokens, type TokenEvent } from './autoregressive/generate-tokens.ts';
export {
  autoregressiveWeights,
  type FeedOptions,
  openTokenModel,
  type SequenceOptions,
  type TokenModel,
  type TokenModelOptions,
} from './autoregressive/token-model.ts';
export {
  type AutoregressiveWorldEvent,
  type AutoregressiveWorldOptions,
  autoregressiveWorld,
  type DiffusionDecoder,
  type DiffusionDecoderOptions,
  openDiffusionDecoder,
} from './cosmos/autoregressive-world.ts';
export { type BlockOptions, type BlockProgress, inBlocks } from './cosmos/block-weights.ts';
export { type Component, componentOf, type LatentTable } from './cosmos/component.ts';
export { actionBetween, readCamera, readRobotActions, readTrajectory } from './cosmos/conditions.ts';
export {
  type DiffusionModel,
  type GivenLatents,
  openDiffusionModel,
  type SampleWorldOptions,
  type WorldStep,
} from './cosmos/diffusion-model.ts';
export { type DiffusionWorldEvent, type DiffusionWorldOptions, diffusionWorld } from './cosmos/diffusion-world.ts';
export { activationsOf, type Need, type NeedOptions, networkNeed } from './cosmos/fit.ts';
export { openFlowModel } from './cosmos/flow-model.ts';
export { KNOWN_MODELS, type KnownModel, knownNeeds, type ModelNeed } from './cosmos/known-models.ts';
export {
  type MultiviewWorldEvent,
  type MultiviewWorldOptions,
  multiviewWorld,
  VIEW_NAMES,
} from './cosmos/multiview-world.ts';
export {
  ditNetwork,
  type LatentSize,
  type Outputs,
  type PixelSize,
  textNetwork,
  tokenizerNetworks,
  tokenNetwork,
} from './cosmos/networks.ts';
export {
  type CosmosParts,
  findCosmosParts,
  isCosmosModel,
  isReasonEncoder,
  isWanPart,
  openAutoregressivePart,
  openReasonPart,
  openTextPart,
  openTextTokenizer,
  openTokenizerPart,
  openTransformerPart,
  openWanPart,
} from './cosmos/open-model.ts';
export { openReasonEncoder, type ReasonEncoderOptions } from './cosmos/reason-encoder.ts';
export { loadGraph } from './cosmos/sessions.ts';
export {
  openTextEncoder,
  type PromptEncoder,
  type TextEncoder,
  type TextEncoderOptions,
} from './cosmos/text-encoder.ts';
export {
  extended,
  type Latents,
  lastFrames,
  latentArray,
  openVideoTokenizer,
  type PixelFrames,
  type VideoTokenizer,
  type VideoTokenizerOptions,
} from './cosmos/video-tokenizer.ts';
export { openWanTokenizer, type WanTokenizerOptions } from './cosmos/wan-tokenizer.ts';
export { WEIGHT_FORMS, type WeightForm, type WeightOptions, withWeights } from './cosmos/weight-form.ts';
export { type GenerateEvent, type GenerateOptions, generate } from './generate.ts';
export {
  lookAt,
  nextFrames,
  rollOut,
  stepsFor,
  type WindowModel,
  type WindowProgress,
  type WindowRequest,
  windowsFor,
} from './nano-window.ts';
export { type OpenedNano, openNano, windowOf } from './open-nano.ts';
export {
  CONDITIONS,
  type Condition,
  conditionOf,
  contextCells,
  type Given,
  givenFlags,
  type NanoRun,
  nanoFeeds,
  nanoGraph,
  RESIDUAL_SIGMA,
  type SampleOptions,
  type Sampler,
  type Sampling,
  type SamplingRange,
  sampleLatents,
  sampleWindow,
  WINDOW_FRAMES,
  type WindowSize,
  type WindowStep,
} from './orrery-nano.ts';
export {
  decodeLatents,
  denormalise,
  encodeClip,
  expectation,
  type LatentStats,
  type LoadedTokenizer,
  loadTokenizer,
  normalise,
  repeatLast,
  toBytes,
  weightsOf,
} from './orrery-tokenizer.ts';
export { requestOfRun } from './repeat.ts';
export { type GenerateRequest, parseRequest, requestSchema } from './request.ts';
export { openRobotWorld, type RobotWorld, type RobotWorldOptions } from './robot-world.ts';
export { type TokenizeEvent, type TokenizeOptions, tokenize } from './tokenize.ts';
