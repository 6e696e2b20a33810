// A clip on its way through the stages after the media pass. Types only.
import type { ClipUnit, VideoRecord } from './pass/job.ts';

/** Why a clip was taken out. */
export type Rejection = {
  readonly by: 'damage' | 'motion' | 'quality' | 'overlay' | 'aesthetic' | 'type';
  readonly reason: string;
};

/** What the stages have found so far. */
export type ClipWork = ClipUnit & {
  readonly kind: 'clip';
  readonly id: string;
  readonly rejected?: Rejection;
  readonly caption?: {
    readonly model: string;
    readonly text: string;
    readonly promptTokens?: number;
    readonly outputTokens?: number;
  };
  /** Score of the worst picture, about 1…10. */
  readonly aesthetic?: number;
  readonly embedding?: readonly number[];
  /** Kind of the examples that it looks most like. */
  readonly type?: string;
  readonly preview?: string;
  readonly errors?: Readonly<Record<string, string>>;
};

/** What travels between the stages. */
export type Work = ClipWork | VideoRecord;

/** A finished clip: what tables and metas are made of. */
export type ClipResult = Omit<ClipWork, 'samples'> & { readonly thumbnail: string };

/** A result of a job. */
export type JobResult = ClipResult | VideoRecord;
