// What the media pass gets and gives: one video in, clips out. Types only.

import type { SplitPlan } from './cutter.ts';
import type { EncoderName } from './encode-clip.ts';
import type { QualityFacts } from './measure.ts';
import type { MotionFacts } from './motion.ts';

/** Options of the pass, equal for all videos of a job. */
export type PassOptions = {
  /** Output folder of the job. */
  readonly out: string;
  readonly split: SplitPlan;
  readonly encoder: EncoderName | 'auto';
  readonly crf: number;
  readonly preset: string;
  readonly kilobits?: number;
  /** Longest height of clips; taller videos are scaled down. 0: as they are. */
  readonly maxHeight: number;
  /** Decoder and encoder threads of one worker. */
  readonly threads: number;
  /** Folder of the shot detector; undefined: the shipped one. */
  readonly shotModel?: string;
  /** Whether motion is measured. */
  readonly motion: boolean;
  /** Whether clips keep the sound of the source's first audio track, where MP4 can hold it. */
  readonly audio: boolean;
};

/** A video to work on. */
export type VideoUnit = {
  /** As named in the output: the path below the input folder, or an absolute path. */
  readonly name: string;
  readonly path: string;
  /** Text that clip ids are made of; the published rule takes the full input path. */
  readonly idPath: string;
  /** Only this part of the file, seconds after its first frame (LeRobot episodes share files). */
  readonly part?: { readonly start: number; readonly end: number };
  readonly session?: {
    readonly id: string;
    readonly camera: string;
    readonly isPrimary: boolean;
    readonly endSeconds: number;
  };
  /** Anything that clips of this video inherit: tasks of an episode, topic of a log. */
  readonly tags?: Readonly<Record<string, unknown>>;
};

/** A clip as it leaves the pass. */
export type ClipUnit = {
  readonly video: string;
  readonly videoId: string;
  readonly source: string;
  readonly camera?: string;
  readonly file: string;
  /** Seconds after the first frame of the source. */
  readonly span: readonly [number, number];
  readonly startFrame: number;
  readonly endFrame: number;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly frames: number;
  readonly seconds: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly codec: string;
  /** Codec of the sound that was copied along. */
  readonly audioCodec?: string;
  /** Frames at which the decoder met damage. */
  readonly damagedFrames: number;
  readonly sourceFacts: { readonly width: number; readonly height: number; readonly fps: number };
  readonly quality: QualityFacts;
  readonly motion?: MotionFacts;
  /** Sample pictures, below the output folder; removed when the clip is finished. */
  readonly samples: string;
  readonly tags?: Readonly<Record<string, unknown>>;
};

/** What is known of a video after its pass. */
export type VideoRecord = {
  readonly kind: 'video';
  readonly video: string;
  readonly source: string;
  readonly width: number;
  readonly height: number;
  readonly framerate: number;
  readonly num_frames: number;
  readonly duration: number;
  readonly video_codec: string;
  readonly pixel_format: string;
  readonly audio_format: string | null;
  readonly bytes: number;
  readonly clips: number;
  readonly dropped: number;
  readonly transitions: number;
  readonly decode_errors: number;
  /** Why clips have no sound although it was asked for. */
  readonly audio_note?: string;
  readonly problem?: string;
};
