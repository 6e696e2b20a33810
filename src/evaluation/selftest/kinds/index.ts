// All kinds of parity cases; the first one that matches is used.
import { tokenGeneration, tokenLoss, tokenTransformer } from './autoregressive.ts';
import { chunkedTokenizer } from './chunking.ts';
import { diffusersNet } from './diffusers-net.ts';
import { decoderWindows, diffusionDecoder } from './diffusion-decoder.ts';
import { diffusionNet } from './diffusion-net.ts';
import { guardDecoder } from './guard-decoder.ts';
import { jitTokenizer } from './jit.ts';
import type { CaseKind, PlainKind } from './kind.ts';
import { METRICS } from './metric-kinds.ts';
import { tokenizerModules } from './modules.ts';
import { sampledNet } from './pipelines.ts';
import { fsq, patchers } from './quantizers.ts';
import { ropeTable } from './rope.ts';
import { analyticSampler, edm, guidance, randomStreams, schedules, trainingScalars } from './sampling.ts';
import { tokenLayouts } from './token-layouts.ts';
import { absoluteTables, rotaryTables, tokenSampling } from './token-tables.ts';
import { tokenizer } from './tokenizer.ts';
import { trainingLoss } from './training.ts';
import { faceBlur, faceDetector, frameClassifier, pixelation } from './vision.ts';

export const KINDS: readonly (CaseKind | PlainKind)[] = [
  diffusionNet,
  diffusersNet,
  diffusionDecoder,
  decoderWindows,
  tokenTransformer,
  tokenGeneration,
  tokenLoss,
  tokenLayouts,
  rotaryTables,
  absoluteTables,
  tokenSampling,
  trainingLoss,
  sampledNet,
  analyticSampler,
  schedules,
  edm,
  guidance,
  randomStreams,
  trainingScalars,
  ropeTable,
  jitTokenizer,
  chunkedTokenizer,
  tokenizer,
  tokenizerModules,
  fsq,
  patchers,
  guardDecoder,
  faceDetector,
  faceBlur,
  pixelation,
  frameClassifier,
  ...METRICS,
];
