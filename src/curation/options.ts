// The schema of the curate task: one source for the library, the flags and the config file. Names of the file are
// snake_case; the library's are camelCase.
import { z } from 'zod';
import { InputError } from '../base/index.ts';

const share = z.number().min(0).max(1);

/** Options of a curation job. */
export const curateSchema = z.strictObject({
  /** How videos are split: at shot boundaries, or every so many seconds. */
  split: z.enum(['shots', 'fixed']).default('shots'),
  /** Detector of shot boundaries: ours, or a folder with public TransNetV2 weights. */
  shotModel: z.string().min(1).optional(),
  /** Seconds. For shots: limits of a clip; for fixed: the shortest kept one. */
  minSeconds: z.number().min(0.1).max(3600).default(2),
  maxSeconds: z.number().min(0.5).max(3600).default(60),
  cropSeconds: z.number().min(0).max(30).default(0.5),
  longShots: z.enum(['stride', 'truncate']).default('stride'),
  clipSeconds: z.number().min(0.5).max(3600).default(10),
  strideSeconds: z.number().min(0.1).max(3600).optional(),
  /** Most clips per video; 0: all. Fixed split only. */
  limitClips: z.number().int().min(0).default(0),

  encoder: z.enum(['auto', 'h264_nvenc', 'libx264', 'libopenh264', 'libsvtav1', 'libvpx-vp9']).default('auto'),
  crf: z.number().int().min(0).max(63).default(20),
  preset: z.enum(['ultrafast', 'veryfast', 'fast', 'medium', 'slow']).default('veryfast'),
  kilobits: z.number().int().min(50).max(200_000).optional(),
  maxHeight: z.number().int().min(0).max(8192).default(0),
  /** copy: the first audio track goes along as it is (AAC, MP3, AC-3, ALAC, Opus, FLAC). */
  audio: z.enum(['off', 'copy']).default('off'),

  /** off: not measured; score: measured only; filter: clips below the thresholds go to filtered_clips. */
  motion: z.enum(['off', 'score', 'filter']).default('score'),
  motionGlobal: z.number().min(0).default(0.00098),
  motionPatch: z.number().min(0).default(0.000001),
  /** score: measured only; filter: bad clips go to filtered_clips. */
  quality: z.enum(['score', 'filter']).default('filter'),
  minSharpness: z.number().min(0).default(8),
  maxFreeze: share.default(0.8),
  maxDark: share.default(0.9),
  maxBright: share.default(0.9),
  maxBars: share.default(0.5),
  maxFlashes: z.number().min(0).default(4),
  overlay: z.enum(['score', 'filter']).default('score'),
  maxOverlay: share.default(0.02),

  /** Public weights of CLIP ViT-L/14 and of the aesthetic head on its features: scores are measured when both are given. */
  clipModel: z.string().min(1).optional(),
  aestheticModel: z.string().min(1).optional(),
  /** Clips below go to filtered_clips; −1: measured only. The published value for training sets is 3.5. */
  minAesthetic: z.number().min(-1).max(10).default(-1),

  /** Folder with a sub-folder of pictures or clips per kind: each clip gets the kind of the examples that it looks most like. */
  typeExamples: z.string().min(1).optional(),
  /** Kinds that go to filtered_clips; kinds that alone stay (none named: all). */
  dropTypes: z.array(z.string().min(1)).default([]),
  keepTypes: z.array(z.string().min(1)).default([]),

  embed: z.enum(['orrery', 'off']).default('orrery'),
  caption: z.enum(['facts', 'endpoint', 'off']).default('facts'),
  /** OpenAI-compatible service, such as http://127.0.0.1:8001/v1. */
  captionUrl: z.url().optional(),
  captionModel: z.string().min(1).optional(),
  captionPrompt: z.enum(['default', 'av', 'av-surveillance']).default('default'),
  preview: z.boolean().default(false),
  /** Also one JSON file per clip in metas/v0, as the public pipeline writes. */
  metas: z.boolean().default(true),
  sessions: z.boolean().default(false),
  primaryCamera: z.string().min(1).default('front'),

  cores: z.number().int().min(1).max(1024).optional(),
  threads: z.number().int().min(1).max(64).default(1),
  memoryMb: z.number().int().min(200).default(1500),
  stallSeconds: z.number().min(1).default(60),
  attempts: z.number().int().min(1).max(20).default(4),
  retryDead: z.boolean().default(false),
});

/** A checked curation job. */
export type CurateOptions = z.infer<typeof curateSchema>;

/** Fills defaults and checks; the error names the first wrong value. */
export function parseCurateOptions(value: unknown): CurateOptions {
  const parsed = curateSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const got = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value);
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    throw new InputError(
      unknown ?? (issue.path.join('.') || 'options'),
      unknown === undefined
        ? { got, need: issue.message.replace(/^Invalid input: expected /, '') }
        : { got: 'set', need: `one of ${Object.keys(curateSchema.shape).join(', ')}` },
    );
  }
  const o = parsed.data;
  if (o.maxSeconds <= o.minSeconds)
    throw new InputError('maxSeconds', { got: o.maxSeconds, need: `more than minSeconds, ${o.minSeconds}` });
  if (o.caption === 'endpoint' && o.captionUrl === undefined)
    throw new InputError('captionUrl', {
      got: undefined,
      need: 'the address of an OpenAI-compatible service, because caption is "endpoint"',
    });
  if ((o.clipModel === undefined) !== (o.aestheticModel === undefined))
    throw new InputError(o.clipModel === undefined ? 'clipModel' : 'aestheticModel', {
      got: undefined,
      need: 'both the weights of CLIP ViT-L/14 and those of the aesthetic head',
    });
  if (o.minAesthetic > -1 && o.clipModel === undefined)
    throw new InputError('minAesthetic', { got: o.minAesthetic, need: 'clipModel and aestheticModel beside it' });
  if (o.dropTypes.length + o.keepTypes.length > 0 && o.typeExamples === undefined)
    throw new InputError('typeExamples', {
      got: undefined,
      need: 'a folder with a sub-folder of examples per kind, because kinds to keep or drop are named',
    });
  if (o.typeExamples !== undefined && o.embed === 'off')
    throw new InputError('embed', { got: 'off', need: 'orrery', why: 'kinds are told by embeddings' });
  if (o.sessions && o.split !== 'fixed')
    throw new InputError('split', {
      got: o.split,
      need: 'fixed',
      why: 'cameras of a session are cut at the same times',
    });
  return o;
}

/** snake_case keys of a config file to the library's names. */
export function fromSnakeCase(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([key, v]) => [key.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase()), v]),
  );
}
