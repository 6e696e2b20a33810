// Cosmos tokenizer networks and their parts.

export {
  attentionPair,
  type CausalGeometry,
  causalConv3d,
  factorizedConv,
  frameNorm,
  fromFrames,
  groupNormWith,
  hybridDown,
  hybridUp,
  type Kernel,
  normSilu,
  pointConv,
  type Resample,
  resnetBlock,
  spatialAttention,
  temporalAttention,
  toFrames,
} from './blocks.ts';
export { type ChunkCoder, codeChunks, decodeWindows, encodeWindows, type Windows } from './chunking.ts';
export {
  COSMOS_CV8X8X8,
  type CosmosTokenizerConfig,
  cosmosTokenizerConfig,
  isUnusedTokenizerKey,
  samplingSteps,
} from './cosmos-config.ts';
export { decodeImage, encodeImage, imageAttention, imageResnetBlock } from './cosmos-image.ts';
export { decodeVideo, downSchedule, encodeVideo, splitMoments, type Tap, upSchedule } from './cosmos-video.ts';
export { diffusersTokenizerConfig, diffusersTokenizerKey } from './diffusers-keys.ts';
export { fsqBasis, fsqBound, fsqCodes, fsqCodesOf, fsqIndices, residualFsq } from './fsq.ts';
export { nearest2, type PatchMethod, type PatchOptions, patch2d, patch3d, unpatch2d, unpatch3d } from './haar.ts';
export { WAN_2_1, WAN_2_1_LATENTS, type WanConfig, wanCompression, wanConfig, wanOptions } from './wan-config.ts';
export { decodeWan, encodeWan, type WanMemory, wanMemory, wanPastOf } from './wan-video.ts';
