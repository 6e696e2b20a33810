// Layer 4: the guardrail. Checks texts before and frames after generation, hides faces, and fails closed.
export { CATEGORIES, CATEGORY_CODES, describeCategory } from './categories.ts';
export { type LoggedDecision, type LogOptions, logDecision } from './decision-log.ts';
export { parseAegis, parseLlamaGuard, parseQwenGuard } from './decoders/answers.ts';
export { type DecoderOptions, type GuardDecoder, openGuardDecoder } from './decoders/guard-decoder.ts';
export { type DecoderKind, guardPrompt } from './decoders/templates.ts';
export { type BlurOptions, blurFaces } from './faces/blur.ts';
export type { FaceDetector } from './faces/detector.ts';
export { type DetectorChoice, openFaceDetector } from './faces/open-detector.ts';
export { openRetinaDetector, type RetinaDetectorOptions } from './faces/retina-detector.ts';
export {
  openSmallDetector,
  SMALL_DETECTOR_PACKAGE,
  type SmallDetectorOptions,
  smallDetectorFolder,
} from './faces/small-detector.ts';
export { smoothFaces, type TrackOptions } from './faces/track.ts';
export {
  blockingClasses,
  CLASS_CATEGORIES,
  type ContentClassifier,
  openContentClassifier,
} from './frames/content-classifier.ts';
export {
  checkFrameData,
  type FlashMeter,
  type FrameFindings,
  flashMeter,
} from './frames/frame-checks.ts';
export { LEAST_FACE_SIDE, openGuardrail } from './guard.ts';
export { type GuardVideoEvent, type GuardVideoOptions, guardVideo } from './guard-video.ts';
export { loadKnowledge } from './knowledge.ts';
export { DEFAULT_POLICY, type GuardPolicy, parsePolicy, policySchema, readPolicy } from './policy.ts';
export {
  type RedteamReport,
  type RedteamResult,
  type RedteamRow,
  type ReportLine,
  redteamReport,
  reportHtml,
  reportText,
  type Share,
  wilson,
} from './redteam/report.ts';
export { checkRows, generatedRows, readPromptRows } from './redteam/run.ts';
export { type Answer, type Checker, joinDecisions, type RunnerOptions, runCheckers } from './runner.ts';
export { type Blocklist, type BlocklistHit, findPhrases, parseBlocklist } from './text/blocklist.ts';
export { LANGUAGES, type Language } from './text/languages.ts';
export { openPromptClassifier, type PromptClassifier, type PromptScore } from './text/prompt-classifier.ts';
export { type ReadingKnowledge, readWords, type Word } from './text/read.ts';
export {
  fuzzyCensor,
  type ReferenceLists,
  type ReferenceOutcome,
  referenceBlocklist,
  wholeWordMatch,
} from './text/reference-blocklist.ts';
export { type Block, compose, type LabelledText, readBlocks, textSource } from './training/corpus.ts';
export { DISGUISES, type Disguise, disguise } from './training/disguises.ts';
export {
  type GuardRecipe,
  guardRecipe,
  readGuardRecipe,
  type TrainGuardEvent,
  type TrainGuardOptions,
  trainGuard,
} from './training/train-guard.ts';
export { type TrainHeadEvent, type TrainHeadOptions, trainHead } from './training/train-head.ts';
