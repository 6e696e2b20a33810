// Types of the media layer: frames in memory, facts about files, options. No code.

/** Frames in memory: `data` holds uint8 RGB, row-major `[T, H, W, 3]`, sRGB-like values 0…255. Assignable to `NdArray`. */
export type Frames = {
  readonly dtype: 'u8';
  /** `[T, H, W, 3]`: frames, rows, columns, red-green-blue. */
  readonly shape: readonly [number, number, number, number];
  readonly data: Uint8Array;
};

/** A run of neighbouring frames from a decoder. */
export type FrameBatch = Frames & {
  /** Position of the batch's first frame in the whole result, from 0. */
  readonly firstIndex: number;
  /** Time of each frame in seconds after the first frame of the file, length T. */
  readonly times: Float64Array;
};

/** Where a frame lands when the wanted shape differs from the source: fill and cut, fit with black bars, or distort. */
export type Fit = 'crop' | 'pad' | 'stretch';

/** What a media file holds, as a viewer sees it. */
export type VideoInfo = {
  readonly kind: 'video' | 'image';
  readonly path: string;
  readonly sizeBytes: number;
  /** Container by content, for example `mp4`, `webm`, `jpeg`. */
  readonly container: string;
  /** Codec name, for example `h264`, `vp9`, `jpeg`. */
  readonly codec: string;
  /** Display size in square pixels: after rotation and sample aspect ratio. */
  readonly width: number;
  readonly height: number;
  /** Size as stored in the stream. */
  readonly codedWidth: number;
  readonly codedHeight: number;
  /** Clockwise turn that the viewer applies, in degrees. */
  readonly rotation: 0 | 90 | 180 | 270;
  /** Whether the picture is also mirrored left to right (before the turn). */
  readonly isMirrored: boolean;
  /** Sample aspect ratio, width to height of one stored pixel. */
  readonly sar: readonly [number, number];
  /** Average frames per second; 0 for an image. */
  readonly fps: number;
  /** Length in seconds; 0 for an image. */
  readonly durationSeconds: number;
  /** Number of frames; exact when the container states it, else durationSeconds × fps rounded. */
  readonly frames: number;
  readonly isFrameCountExact: boolean;
  /** Time of the first frame on the container's own clock, in seconds (other times count from the first frame). */
  readonly startSeconds: number;
  readonly pixelFormat: string;
  readonly hasAudio: boolean;
  /** Why the file is incomplete (cut off, still being written), in words; absent when nothing is known to be missing. */
  readonly problem?: string;
  /** Text tags of the container; Orrery keeps its recipe in `comment`. */
  readonly tags: Readonly<Record<string, string>>;
};

/** Which program decodes and encodes. */
export type BackendName = 'node-av' | 'ffmpeg';

/** Options shared by all media calls. */
export type MediaOptions = {
  /** Stops the work; the call throws a `canceled` error. */
  readonly signal?: AbortSignal;
  /** Backend to use. Default `auto`: node-av when installed, else the `ffmpeg` program. */
  readonly backend?: BackendName | 'auto';
  /** Seconds without any sign of life from the media process before it is ended. Default 60. */
  readonly stallSeconds?: number;
};

/** Options of `decodeVideo`. */
export type DecodeOptions = MediaOptions & {
  /** Wanted width in pixels. Default: display width (or from `height` by aspect ratio). */
  readonly width?: number;
  /** Wanted height in pixels. Default: display height (or from `width` by aspect ratio). */
  readonly height?: number;
  /** Default `crop`. Matters only when both `width` and `height` are given. */
  readonly fit?: Fit;
  /** Constant rate to resample to, 0.001…1000. Default: every source frame as it is. */
  readonly fps?: number;
  /** Start, seconds after the first frame. The first result is the frame on screen then. Default 0. */
  readonly startSeconds?: number;
  /** End (exclusive), seconds after the first frame. Default: end of file. */
  readonly endSeconds?: number;
  /** At most this many frames. */
  readonly maxFrames?: number;
  /** Only the last N frames of what the other options select. */
  readonly lastFrames?: number;
  /** Frames per batch. Default: as many as fit 16 MiB, 1…32. */
  readonly batchFrames?: number;
  /** Decoder threads. Default: cores, at most 4. */
  readonly threads?: number;
  /** Accept a cut-off or partly damaged file and give what can be decoded. Default false: an error after the good frames. */
  readonly allowDamaged?: boolean;
};

/** Options of `readFrames`. */
export type ReadOptions = DecodeOptions & {
  /** Most memory that the frames may take. Default 1 GiB; more is refused before decoding. */
  readonly maxBytes?: number;
};

/** Frames of a whole file or a part of it. */
export type ReadFrames = Frames & { readonly times: Float64Array; readonly info: VideoInfo };

/** Options of `encodeMp4`. */
export type EncodeOptions = MediaOptions & {
  /** File to write; replaced in one step when the video is complete. */
  readonly path: string;
  /** Frames per second, 0.001…1000. */
  readonly fps: number;
  /** Picture size; default: the size of the first frames. Both even. */
  readonly width?: number;
  readonly height?: number;
  /** x264 quality, 0 (lossless) … 51; smaller is better. Default 16, visually lossless. */
  readonly crf?: number;
  /** x264 speed preset. Default `medium`. */
  readonly preset?: 'ultrafast' | 'veryfast' | 'fast' | 'medium' | 'slow';
  /** Text tags. Use `comment` for the recipe. */
  readonly metadata?: { readonly comment?: string; readonly title?: string; readonly description?: string };
};

/** What `encodeMp4` wrote. */
export type EncodeResult = {
  readonly path: string;
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly sizeBytes: number;
  readonly backend: BackendName;
  /** Encoder that was used, for example `libx264`. */
  readonly encoder: string;
};
