// Networks that look at pictures for the guardrail, and the exact arithmetic around them.

export { batchNorm, convNorm, leakyRelu } from './batch-norm.ts';
export { aestheticHead, CLIP_MEAN, CLIP_STD, CLIP_VIT_L14, type ClipConfig, clipVision } from './clip.ts';
export {
  decodeBoxes,
  decodeLandmarks,
  type FaceBox,
  faceInput,
  facePriors,
  type SelectionOptions,
  selectFaces,
} from './face-boxes.ts';
export { enlargeInto, type Picture, pixelate, type Region, shrinkRegion } from './pixelate.ts';
export { resizeBicubic } from './resize-bicubic.ts';
export {
  BGR_MEAN,
  isUnusedRetinaFaceKey,
  type RetinaFaceConfig,
  type RetinaFaceOutputs,
  retinaFace,
  retinaFaceConfig,
} from './retinaface.ts';
export { FRAME_CLASSES, type SafetyHeadConfig, safetyHead, safetyHeadConfig, unitLength } from './safety-head.ts';
export { SIGLIP_SO400M, type SiglipConfig, type SiglipOutputs, siglipConfig, siglipVision } from './siglip.ts';
export { decodeSmallFaces, overlap, SMALL_FACE_ANCHORS, SMALL_FACE_MEAN, smallFaceNet } from './small-face.ts';
export { colourHistogram, TRANSNET_BINS, TRANSNET_V2, type TransnetConfig, transnetV2 } from './transnet-v2.ts';
