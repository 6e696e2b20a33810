// The seam between the media layer and the program that decodes and encodes: plans, facts and the backend type. No code.
import type { SourceFile } from './check-file.ts';
import type { StoredPicture } from './geometry.ts';
import type { BackendName, Fit } from './types.ts';

/** Facts of the best video stream, as the container states them. */
export type StreamFacts = StoredPicture & {
  /** Index of the video stream in the container. */
  readonly streamIndex: number;
  readonly codec: string;
  readonly pixelFormat: string;
  /** Whether the stream says which YUV matrix it uses. */
  readonly isMatrixKnown: boolean;
  /** Average frame rate; 0 when not stated. */
  readonly averageFps: number;
  /** Lowest rate that can carry every time stamp exactly; 0 when not stated. */
  readonly baseFps: number;
  /** Seconds; 0 when not stated. */
  readonly durationSeconds: number;
  /** Counted by the container or by a pass over the packets; 0 when not known. */
  readonly frames: number;
  /** Time of the first frame on the container's clock. */
  readonly startSeconds: number;
  readonly hasAudio: boolean;
  readonly tags: Readonly<Record<string, string>>;
};

/** One decode job with everything resolved. Times are seconds after the first frame. */
export type DecodePlan = {
  readonly picture: StreamFacts;
  readonly width: number;
  readonly height: number;
  readonly fit: Fit;
  readonly fps: number | null;
  readonly startSeconds: number;
  readonly endSeconds: number | null;
  readonly maxFrames: number | null;
  readonly threads: number;
  /** False for containers whose times are unsure after a jump (AVI stores no presentation times): decode from the start. */
  readonly canSeek: boolean;
  /** Length of one frame, for a last frame that states none. */
  readonly frameSeconds: number;
};

/** One decoded picture: `pixels` uint8 RGB `[H, W, 3]`, or undefined for "the previous picture again". */
export type DecodedPicture = { readonly time: number; readonly pixels: Uint8Array | undefined };

/** How a decode job ended: the number of decoding errors met on the way, and whether the end of the file was reached. */
export type DecodeReport = { readonly errors: number; readonly isAtEnd: boolean };

/** One encode job. */
export type EncodePlan = {
  /** Temporary file to write. */
  readonly path: string;
  readonly width: number;
  readonly height: number;
  /** Frames per second as a fraction. */
  readonly rate: readonly [number, number];
  readonly crf: number;
  readonly preset: string;
  readonly tags: Readonly<Record<string, string>>;
};

/** What every call may carry. */
export type RunOptions = { readonly signal?: AbortSignal | undefined; readonly stallSeconds: number };

/** A program that decodes and encodes. */
export type MediaBackend = {
  readonly name: BackendName;
  /** Version text of the FFmpeg inside. */
  readonly version: string;
  /** H.264 encoder it would use. */
  readonly encoder: string;
  probe(file: SourceFile, options: RunOptions): Promise<StreamFacts>;
  /**
   * Pictures in presentation order; the generator's return value tells how it ended.
   * @param place memory for the next picture, so that it is written where it is needed
   */
  decode(
    file: SourceFile,
    plan: DecodePlan,
    place: (byteLength: number) => Uint8Array,
    options: RunOptions,
  ): AsyncGenerator<DecodedPicture, DecodeReport, undefined>;
  /** Encodes pictures uint8 RGB `[H, W, 3]` into `plan.path`; returns the encoder's name. */
  encode(plan: EncodePlan, pictures: AsyncIterable<Uint8Array>, options: RunOptions): Promise<string>;
};
