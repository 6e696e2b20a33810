// What a media process can be asked to do: the JSON of each job. Shared by the parent and the child; no code.
import type { DecodePlan, EncodePlan, StreamFacts } from './backend-types.ts';

/** A job for the child. */
export type Job =
  | { readonly op: 'hello' }
  | { readonly op: 'probe'; readonly path: string; readonly demuxer: string; readonly sizeBytes: number }
  | { readonly op: 'decode'; readonly path: string; readonly demuxer: string; readonly plan: DecodePlan }
  | { readonly op: 'encode'; readonly plan: EncodePlan }
  | { readonly op: 'image'; readonly path: string; readonly job: ImageJob };

/** Reads an image file; sizes undefined means the image's own. */
export type ImageJob = {
  readonly factsOnly: boolean;
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly fit: 'crop' | 'pad' | 'stretch';
};

/** Facts of an image file. */
export type ImageFacts = {
  readonly width: number;
  readonly height: number;
  readonly codedWidth: number;
  readonly codedHeight: number;
  readonly rotation: 0 | 90 | 180 | 270;
  readonly isMirrored: boolean;
  readonly pixelFormat: string;
};

/** Answer to `hello`. */
export type Hello = { readonly version: string; readonly encoder: string } | { readonly missing: string };

/** Answer to `probe`. */
export type Probed = StreamFacts;

/** A failure as it travels: `found` is a phrase for a file error; `internal` marks failures that are not the file's fault. */
export type Failure = {
  readonly kind: 'file' | 'disk' | 'internal';
  readonly found: string;
  readonly next?: string;
};
