// Diffusion transformers of the Predict1 family and their training loss.
export { blendWindows, type CodeWindow, codeWindows, type WindowOptions } from './decoder-windows.ts';
export { diffusersDitConfig, diffusersDitKey } from './diffusers-keys.ts';
export { type DitTap, type GeneralDitInputs, generalDit } from './general-dit.ts';
export {
  type GeneralDitConfig,
  generalDitConfig,
  PREDICT1_7B,
  PREDICT1_7B_DECODER,
  PREDICT1_14B,
  PREDICT2_2B,
  type SubBlock,
  type TokenCondition,
  type ViewsConfig,
} from './general-dit-config.ts';
export {
  type EdmLoss,
  type EdmLossInputs,
  edmLoss,
  type FlowLossInputs,
  flowLoss,
  logVariance,
  type RawNetwork,
  type TrainingCondition,
} from './loss.ts';
export { learnedPositions, sineCosinePositions } from './positions.ts';
export {
  axisAngles,
  BASE_FPS,
  type Grid,
  type RopeRatios,
  type RopeTables,
  ropeAngles,
  ropeFrequencies,
  ropeSplit,
  ropeTables,
} from './rope.ts';
