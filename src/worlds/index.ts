// Layer 4: pipelines from a request to a world, as streams of typed events.
export { type GenerateTokensOptions, generateTokens, type TokenEvent } from './autoregressive/generate-tokens.ts';
export {
  autoregressiveWeights,
  type FeedOptions,
  openTokenModel,
  type SequenceOptions,
  type TokenModel,
  type TokenModelOptions,
} from './autoregressive/token-model.ts';
export { type GenerateEvent, type GenerateOptions, generate } from './generate.ts';
export { type OpenedNano, openNano } from './open-nano.ts';
export {
  CONDITIONS,
  type Condition,
  type NanoRun,
  nanoFeeds,
  nanoGraph,
  RESIDUAL_SIGMA,
  type SampleOptions,
  type SamplingRange,
  sampleLatents,
  sampleWindow,
  type WindowSize,
  type WindowStep,
} from './orrery-nano.ts';
export {
  decodeLatents,
  denormalise,
  encodeClip,
  type LatentStats,
  type LoadedTokenizer,
  loadTokenizer,
  normalise,
  repeatLast,
  toBytes,
  weightsOf,
} from './orrery-tokenizer.ts';
export { type GenerateRequest, parseRequest, requestSchema } from './request.ts';
export { type TokenizeEvent, type TokenizeOptions, tokenize } from './tokenize.ts';
