// Layer 2: pictures in and out of files. Decoding and encoding of outside data runs in child processes.
export { mediaBackends, openBackend } from './backend.ts';
export type { MediaBackend } from './backend-types.ts';
export { contactSheet, type SheetOptions, type SheetRow } from './contact-sheet.ts';
export { decodeVideo, readFrames } from './decode-video.ts';
export { encodeMp4, type FrameSource } from './encode-mp4.ts';
export { MAX_SIDE, type Placement, placeInto } from './geometry.ts';
export { stopIdleMediaProcesses } from './media-process.ts';
export { MAX_FPS, probe } from './probe.ts';
export { type ImageOptions, readImage } from './read-image.ts';
export type {
  BackendName,
  DecodeOptions,
  EncodeOptions,
  EncodeResult,
  Fit,
  FrameBatch,
  Frames,
  MediaOptions,
  ReadFrames,
  ReadOptions,
  VideoInfo,
} from './types.ts';
export { encodeImage, type ImageEncodeOptions, type ResizeOptions, resizeFrames } from './write-image.ts';
