// The autoregressive world models of Cosmos-Predict1: network, positions, cache, loss.
export {
  type AutoregressiveConfig,
  autoregressiveConfig,
  BEGIN_OF_VIDEO,
  clipTokens,
  hasCross,
  PREDICT1_AR,
  PREDICT1_AR_4B,
  PREDICT1_AR_5B,
  PREDICT1_AR_12B,
  PREDICT1_AR_13B,
  type RotaryConfig,
  VIDEO_CODES,
  VIDEO_PAD,
  type YarnConfig,
} from './config.ts';
export {
  type AutoregressiveLoss,
  type AutoregressiveLossOptions,
  autoregressiveLoss,
  ignoredPositions,
  nextTokenLabels,
} from './loss.ts';
export {
  absoluteRows,
  range,
  rotaryFrequencies,
  rotaryRows,
  videoFrequencies,
  yarnFrequencies,
  yarnMagnitude,
} from './positions.ts';
export {
  type AutoregressiveTap,
  autoregressive,
  autoregressiveStep,
  crossCache,
  type KeyValue,
  type PositionTensors,
  type StepOutputs,
} from './transformer.ts';
